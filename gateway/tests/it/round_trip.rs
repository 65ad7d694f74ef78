//! Every implemented operation, called by botocore with all its members, answered with all its members: what the worker gets is
//! what the caller gave, and what botocore reads is what the worker answered.

use crate::cloud::{Cloud, KEY_ID, REGION, SECRET};
use crate::populate;
use hive_types::ApiReply;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const ORACLE: &str = include_str!("oracle.py");

fn has_botocore() -> bool {
    let probe = Command::new("python3").args(["-c", "import botocore"]).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}

/// Runs the oracle on `cases`; one result a case.
fn ask(cloud: &Cloud, cases: &[Value]) -> Vec<Value> {
    let mut child = Command::new("python3")
        .args(["-c", ORACLE])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let work = json!({
        "endpoint": format!("https://{}", cloud.address), "ca": cloud.certificate(), "region": REGION,
        "key_id": KEY_ID, "secret": SECRET, "cases": cases,
    });
    child.stdin.take().expect("stdin").write_all(work.to_string().as_bytes()).expect("written");
    let output = child.wait_with_output().expect("output");
    assert!(output.status.success(), "the oracle failed");
    serde_json::from_slice(&output.stdout).expect("results")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn botocore_and_the_worker_agree() {
    assert!(has_botocore(), "python3 has no botocore: run packaging/install-deps");
    let cloud = Cloud::start("127.0.0.1:9".parse().expect("address")).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let empty = Arc::new(Mutex::new(false));
    let _worker = {
        let (seen, empty) = (seen.clone(), empty.clone());
        cloud
            .worker(move |request| {
                let schema = hive_aws_model::service(&request.service).expect("service");
                let output = schema.operation(&request.action).and_then(|operation| operation.output());
                let full = output.map(|shape| populate::structure(shape, 0)).unwrap_or_default();
                seen.lock().expect("seen").push(request.params);
                ApiReply::Ok(if *empty.lock().expect("empty") { Map::new() } else { full })
            })
            .await
    };
    let cases: Vec<Value> = hive_aws_types::OPERATIONS
        .iter()
        .map(|id| {
            let operation =
                hive_aws_model::service(id.service).and_then(|schema| schema.operation(id.name)).expect("operation");
            let output = operation.output().map(|shape| populate::structure(shape, 0)).unwrap_or_default();
            json!({"service": id.service, "operation": id.name, "input": populate::input(operation), "output": output})
        })
        .collect();
    let results = tokio::task::block_in_place(|| ask(&cloud, &cases));
    let received = std::mem::take(&mut *seen.lock().expect("seen"));
    assert_eq!((results.len(), received.len()), (cases.len(), cases.len()), "{results:?}");
    for ((case, result), received) in cases.iter().zip(&results).zip(received) {
        let name = &case["operation"];
        assert_eq!(result["error"], Value::Null, "{name}");
        assert_eq!(result["sent"], Value::Object(received), "{name}: what the worker got");
        assert_eq!(result["parsed"], result["expected"], "{name}: what botocore read");
    }
    // Nothing at all in the answer: every list is there, and empty.
    *empty.lock().expect("empty") = true;
    for (case, result) in cases.iter().zip(tokio::task::block_in_place(|| ask(&cloud, &cases))) {
        assert_eq!(result["error"], Value::Null, "{}", case["operation"]);
        let lists = result["expected"].as_object().expect("object").iter().filter(|(_, value)| value.is_array());
        for (member, _) in lists {
            assert_eq!(result["parsed"][member], json!([]), "{}.{member}", case["operation"]);
        }
    }
}
