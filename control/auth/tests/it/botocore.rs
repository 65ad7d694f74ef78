//! Requests signed by botocore must verify here.

use crate::{credential, verify};
use hive_auth::{Expected, Rules, Secret, Session, stamp};
use http::Request;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    io::Write,
    process::{Command, Stdio},
};

const TIME: &str = "20240229T235959Z";
const REGION: &str = "us-west-2";
const HOST: &str = "host.example:8443";

fn cases() -> Vec<Value> {
    let mut cases = Vec::new();
    for path in
        ["/", "/b/plain.txt", "/b/sp%20ace%2Bplus/~tilde", "/b//double//./dots/../x", "/b/%C3%A4%E2%82%AC%25%24"]
    {
        for query in ["", "?acl", "?prefix=a%2Fb%20c&delimiter=%2F&list-type=2", "?b=2&a=3&a=1&empty="] {
            for kind in ["s3-header", "s3-query"] {
                for (method, body) in [("GET", ""), ("PUT", "some bytes")] {
                    // A URL is signed before its body is known.
                    let body = if kind == "s3-query" { "" } else { body };
                    for token in [None, Some("to/ken+with=signs")] {
                        cases.push(json!({
                            "kind": kind, "service": "s3", "method": method, "body": body, "token": token,
                            "url": format!("http://{HOST}{path}{query}"),
                            "headers": {"x-amz-meta-note": "  two   words ", "content-type": "text/plain"},
                        }));
                    }
                }
            }
        }
    }
    for service in ["ec2", "iam", "sts"] {
        for path in ["/", "/a//b/../c%20d/"] {
            for (kind, method, query, body) in [
                ("header", "POST", "", "Action=DescribeRegions&Version=2016-11-15"),
                ("header", "GET", "?Action=GetCallerIdentity&Version=2011-06-15", ""),
                ("query", "GET", "?Action=GetCallerIdentity&Version=2011-06-15", ""),
            ] {
                cases.push(json!({
                    "kind": kind, "service": service, "method": method, "body": body, "token": null,
                    "url": format!("https://{HOST}{path}{query}"),
                    "headers": {"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
                }));
            }
        }
    }
    cases
}

fn has_botocore() -> bool {
    let probe = Command::new("python3").args(["-c", "import botocore"]).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

#[test]
fn requests_signed_by_botocore_verify() {
    assert!(has_botocore(), "python3 has no botocore: run packaging/install-deps");
    let cases = cases();
    let work = json!({"time": TIME, "region": REGION, "key": "AKIDEXAMPLE", "secret": "se/cret+key", "cases": cases});
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/oracle.py");
    let mut oracle = Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    oracle.stdin.take().unwrap().write_all(work.to_string().as_bytes()).unwrap();
    let output = oracle.wait_with_output().unwrap();
    assert!(output.status.success());
    let signed: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(signed.len(), cases.len());

    let now = stamp::parse(TIME).unwrap();
    for (case, signed) in cases.iter().zip(&signed) {
        let target = signed["url"].as_str().unwrap().split_once(HOST).unwrap().1;
        let mut request = Request::builder().method(case["method"].as_str().unwrap()).uri(target).header("host", HOST);
        for (name, value) in signed["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let service = case["service"].as_str().unwrap();
        let rules = match service {
            "s3" => Rules::S3,
            _ => Rules::Query { body_sha256: Sha256::digest(case["body"].as_str().unwrap()).into() },
        };
        let mut known = credential("AKIDEXAMPLE", "se/cret+key");
        known.session = case["token"]
            .as_str()
            .map(|token| Session { token: Secret::new(token), expires_at: now + jiff::SignedDuration::from_secs(1) });
        let expected = Expected { service, regions: &[REGION], rules };
        let outcome = verify(&parts, known, &expected, now);
        assert!(outcome.is_ok(), "{outcome:?}\n{case}\n{signed}");
    }
}
