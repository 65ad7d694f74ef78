//! The real aws-cli as a client, and its answers as JSON.

use crate::command;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The `AWS_*` variables of a cloud.
#[derive(Clone, Debug)]
pub struct Aws {
    variables: BTreeMap<String, String>,
    config: PathBuf,
}

/// aws-cli 1 presigns S3 requests with Signature Version 2 in regions as old as us-east-1 unless told otherwise; Hive knows version 4
/// only, as AWS's newer regions do.
const CONFIG: &str = "[default]\ns3 =\n    signature_version = s3v4\n";

/// An error that the service answered: `An error occurred (CODE) when calling the OPERATION operation: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceError {
    pub code: String,
    pub message: String,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ServiceError {}

impl Aws {
    /// Reads the environment file that a started cloud writes; the CLI's configuration is put beside it.
    ///
    /// # Errors
    /// It cannot be read, or a line is not `export NAME=VALUE`.
    pub fn from_env_file(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut variables = BTreeMap::new();
        for line in text.lines() {
            let (name, value) = line
                .strip_prefix("export ")
                .and_then(|assignment| assignment.split_once('='))
                .with_context(|| format!("{line:?} exports nothing"))?;
            variables.insert(name.to_owned(), value.trim_matches('\'').to_owned());
        }
        let config = path.with_file_name("aws-config");
        fs::write(&config, CONFIG).with_context(|| format!("cannot write {}", config.display()))?;
        Ok(Self { variables, config })
    }

    /// # Errors
    /// The environment file had no such variable.
    pub fn variable(&self, name: &str) -> Result<&str> {
        self.variables.get(name).map(String::as_str).with_context(|| format!("{name} is not set"))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("aws");
        // Nothing of the person who runs this: no profile, no configuration of theirs, no pager, no retries that hide an error.
        command
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .env("AWS_CONFIG_FILE", &self.config)
            .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
            .env("AWS_PAGER", "")
            .env("AWS_MAX_ATTEMPTS", "1")
            .envs(&self.variables)
            .args(arguments);
        command
    }

    /// Runs `aws ARGUMENTS --output json`; an answer without a body is null.
    ///
    /// # Errors
    /// [`ServiceError`] when the service answered one; another error when the CLI failed by itself.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.text(&[arguments, &["--output", "json"]].concat())?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("aws {} answered no JSON", arguments.join(" ")))
    }

    /// Runs `aws ARGUMENTS` and returns what it prints.
    ///
    /// # Errors
    /// As [`Aws::json`].
    pub fn text(&self, arguments: &[&str]) -> Result<String> {
        let output = command::output(&mut self.command(arguments))?;
        if output.status.success() {
            return String::from_utf8(output.stdout).context("aws printed no UTF-8");
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        match service_error(&stderr) {
            Some(error) => Err(error).with_context(|| format!("aws {}", arguments.join(" "))),
            None => bail!("aws {} failed ({}): {}", arguments.join(" "), output.status, stderr.trim()),
        }
    }

    /// Runs a command that must be refused and checks with which code.
    ///
    /// # Errors
    /// It succeeds, or fails in another way.
    pub fn refused(&self, code: &str, arguments: &[&str]) -> Result<()> {
        match self.json(arguments) {
            Ok(answer) => bail!("aws {} should have failed with {code} but answered {answer}", arguments.join(" ")),
            Err(error) => {
                let answered = error.downcast_ref::<ServiceError>().map(|error| error.code.as_str());
                ensure!(
                    answered == Some(code),
                    "aws {} should have failed with {code}: {error:#}",
                    arguments.join(" ")
                );
                Ok(())
            }
        }
    }
}

fn service_error(stderr: &str) -> Option<ServiceError> {
    let (_, rest) = stderr.split_once("An error occurred (")?;
    let (code, rest) = rest.split_once(')')?;
    let message = rest.split_once("operation").map_or(rest, |(_, message)| message);
    Some(ServiceError { code: code.to_owned(), message: message.trim_start_matches(':').trim().to_owned() })
}

/// The text at a JSON pointer.
///
/// # Errors
/// There is none.
pub fn text_at<'a>(answer: &'a Value, pointer: &str) -> Result<&'a str> {
    answer.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no text at {pointer} in {answer}"))
}

/// The list at a JSON pointer.
///
/// # Errors
/// There is none.
pub fn list_at<'a>(answer: &'a Value, pointer: &str) -> Result<&'a [Value]> {
    let list = answer.pointer(pointer).and_then(Value::as_array);
    list.map(Vec::as_slice).with_context(|| format!("no list at {pointer} in {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_errors_are_told_from_others() {
        let stderr = "\nAn error occurred (InvalidAMIID.NotFound) when calling the RunInstances operation: The image does not exist\n";
        let error = service_error(stderr).unwrap();
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("InvalidAMIID.NotFound", "The image does not exist")
        );
        assert_eq!(service_error("Could not connect to the endpoint URL"), None);
    }
}
