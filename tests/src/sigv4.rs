//! Requests signed by hand, for what the aws-cli cannot be made to send: bad signatures, wrong clocks, malformed parameters.

use crate::aws::Aws;
use crate::command;
use anyhow::{Context, Result};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use std::fs;
use std::process::Command;

/// What a request is signed with; each may be wrong on purpose.
#[derive(Clone, Debug)]
pub struct Signer {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub region: String,
    pub service: &'static str,
    pub time: Timestamp,
}

/// A request without its signature.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    /// Path and nothing else; as it is sent.
    pub path: String,
    pub body: String,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

impl Signer {
    /// Signs truly, with the cloud's root credential and this machine's clock.
    ///
    /// # Errors
    /// The environment lacks a variable.
    pub fn of(aws: &Aws, service: &'static str) -> Result<Self> {
        Ok(Self {
            access_key_id: aws.variable("AWS_ACCESS_KEY_ID")?.to_owned(),
            secret_access_key: aws.variable("AWS_SECRET_ACCESS_KEY")?.to_owned(),
            region: aws.variable("AWS_DEFAULT_REGION")?.to_owned(),
            service,
            time: Timestamp::now(),
        })
    }

    /// Headers that sign `request` for `host` (Signature Version 4), `host` itself left out.
    fn headers(&self, host: &str, request: &Request) -> Vec<(&'static str, String)> {
        let zoned = self.time.to_zoned(TimeZone::UTC);
        let date_time = zoned.strftime("%Y%m%dT%H%M%SZ").to_string();
        let date = zoned.strftime("%Y%m%d").to_string();
        let payload_hash = hex::encode(Sha256::digest(&request.body));
        let signed = [
            ("host", host.to_owned()),
            ("x-amz-content-sha256", payload_hash.clone()),
            ("x-amz-date", date_time.clone()),
        ];
        let names = signed.each_ref().map(|(name, _)| *name).join(";");
        let lines: String = signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("{}\n{}\n\n{lines}\n{names}\n{payload_hash}", request.method, request.path);
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{date_time}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
        let key = [&date, self.region.as_str(), self.service, "aws4_request"]
            .iter()
            .fold(format!("AWS4{}", self.secret_access_key).into_bytes(), |key, part| hmac(&key, part));
        let signature = hex::encode(hmac(&key, &to_sign));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.access_key_id
        );
        let [_, hash, time] = signed;
        vec![hash, time, ("authorization", authorization)]
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length, so this cannot fail.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

/// Sends `request` to the cloud, signed by `signer`, or unsigned.
///
/// # Errors
/// There is no answer at all.
pub fn send(aws: &Aws, signer: Option<&Signer>, request: &Request) -> Result<Response> {
    let endpoint = aws.variable("AWS_ENDPOINT_URL")?;
    let host = endpoint.trim_start_matches("https://");
    let body = tempfile::NamedTempFile::new().context("cannot keep the body")?;
    fs::write(body.path(), &request.body)?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--write-out", "\n%{http_code}"])
        .args(["--cacert", aws.variable("AWS_CA_BUNDLE")?, "--request", request.method])
        .args(["--header", "content-type: application/x-www-form-urlencoded; charset=utf-8", "--header", "expect:"]);
    for (name, value) in signer.map(|signer| signer.headers(host, request)).unwrap_or_default() {
        curl.arg("--header").arg(format!("{name}: {value}"));
    }
    curl.arg("--data-binary").arg(format!("@{}", body.path().display())).arg(format!("{endpoint}{}", request.path));
    let output = String::from_utf8(command::run(&mut curl)?).context("the answer is no UTF-8")?;
    let (body, status) = output.rsplit_once('\n').context("curl told no status")?;
    Ok(Response { status: status.parse().context("curl told no status")?, body: body.to_owned() })
}

impl Response {
    /// The error code of an XML error body.
    pub fn code(&self) -> Option<&str> {
        let (_, rest) = self.body.split_once("<Code>")?;
        rest.split_once("</Code>").map(|(code, _)| code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key derivation example of AWS's documentation ("Deriving the signing key").
    #[test]
    fn derives_the_documented_key() {
        let key = ["20120215", "us-east-1", "iam", "aws4_request"]
            .iter()
            .fold(b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec(), |key, part| hmac(&key, part));
        assert_eq!(hex::encode(key), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
    }

    #[test]
    fn finds_the_code() {
        let response =
            Response { status: 400, body: "<Response><Errors><Error><Code>X</Code></Error></Errors>".into() };
        assert_eq!(response.code(), Some("X"));
    }
}
