//! From botocore's service models to two committed products: `hive-aws-model` (schema tables of every operation, for the gateway's
//! generic interpreters) and `hive-aws-types` (typed structs of the operations in `operations.toml`, for handlers).
//!
//! The model comes from one wheel pinned by version and SHA-256 in `botocore.lock`; `cargo xtask codegen --check` proves that the
//! committed text is what this crate makes of it.

#![forbid(unsafe_code)]

mod model;
mod naming;
mod source;
mod tables;
mod types;
mod wheel;

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Services with schema tables, and their API versions in botocore.
pub const SERVICES: [(&str, &str); 5] =
    [("ebs", "2019-11-02"), ("ec2", "2016-11-15"), ("iam", "2010-05-08"), ("s3", "2006-03-01"), ("sts", "2011-06-15")];

/// Generated files by their path below the repository's root.
type Output = BTreeMap<PathBuf, String>;

/// Generates both crates' sources below `root` (the repository), fetching the wheel into `cache` when it is not there.
pub fn generate(root: &Path, cache: &Path) -> Result<()> {
    for (path, text) in render(root, cache)? {
        let path = root.join(path);
        if fs::read_to_string(&path).ok().as_ref() == Some(&text) {
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Fails, naming the files, when the committed sources are not what [`generate`] would write.
pub fn check(root: &Path, cache: &Path) -> Result<()> {
    let stale: Vec<String> = render(root, cache)?
        .into_iter()
        .filter(|(path, text)| fs::read_to_string(root.join(path)).ok().as_ref() != Some(text))
        .map(|(path, _)| path.display().to_string())
        .collect();
    if !stale.is_empty() {
        bail!("generated sources are stale, run `cargo xtask codegen`: {}", stale.join(", "));
    }
    Ok(())
}

fn render(root: &Path, cache: &Path) -> Result<Output> {
    let here = root.join("gateway/codegen");
    let lock = source::Lock::read(&here.join("botocore.lock"))?;
    let wheel = lock.fetch(cache)?;
    let mut models = BTreeMap::new();
    for (service, version) in SERVICES {
        let json = wheel::service_model(&wheel, service, version)?;
        let model: model::Model =
            serde_json::from_slice(&json).with_context(|| format!("reading the model of {service}"))?;
        models.insert(service, model);
    }
    let header = format!("// Generated from botocore {} by `cargo xtask codegen`. Do not edit.\n\n", lock.version);
    let mut output = Output::new();
    for (service, model) in &models {
        output.insert(format!("gateway/aws-model/src/{service}.rs").into(), tables::render(service, model)?);
    }
    let allowed = source::allowed_operations(&here.join("operations.toml"))?;
    for (file, text) in types::render(&models, &allowed)? {
        output.insert(Path::new("control/aws-types/src").join(file), text);
    }
    for text in output.values_mut() {
        *text = rustfmt(root, &format!("{header}{text}"))?;
    }
    Ok(output)
}

fn rustfmt(root: &Path, text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .arg("--edition=2024")
        .arg("--config-path")
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting rustfmt")?;
    let mut stdin = child.stdin.take().context("rustfmt's input")?;
    let text = text.to_owned();
    let writer =
        std::thread::Builder::new().name("rustfmt-input".into()).spawn(move || stdin.write_all(text.as_bytes()))?;
    let output = child.wait_with_output().context("running rustfmt")?;
    match writer.join() {
        Ok(written) => written.context("writing to rustfmt")?,
        Err(_) => bail!("the thread that feeds rustfmt panicked"),
    }
    if !output.status.success() {
        bail!("rustfmt refused generated text");
    }
    String::from_utf8(output.stdout).context("rustfmt's output")
}
