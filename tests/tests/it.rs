//! The house rules that `cargo metadata` can show: who depends on whom, what lies at the top, one vm-memory.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace's top-level folders, and beside them only files, `.`-folders and `target`.
const FOLDERS: &[&str] =
    &["blockd", "control", "docs", "firmware", "gateway", "netd", "objectd", "packaging", "perf", "tests", "vmm"];

/// Folders whose crates a folder's crates may depend on, beside their own.
const ARROWS: &[(&str, &[&str])] = &[
    ("vmm", &[]),
    ("blockd", &[]),
    ("netd", &[]),
    ("firmware", &[]),
    // OpenFlow's codec and its matches are a protocol, as the APIs are, and IPFIX is: hived programs a bridge by them, and hears of flows.
    ("control", &["vmm/api", "blockd/api", "netd/api", "netd/openflow", "netd/flow", "netd/ipfix"]),
    ("gateway", &["control/auth", "control/bus", "control/types", "control/aws-types"]),
    ("objectd", &["control/auth", "control/bus", "control/types", "control/aws-types"]),
    ("perf", &["vmm/api", "blockd/api", "netd/api", "control/auth", "control/bus", "control/types"]),
    ("tests", &["vmm/api", "blockd/api", "netd/api", "control/types", "gateway/codegen"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A crate's folder below the root, `control/bus`.
fn folder(path: &str) -> String {
    Path::new(path).strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

#[test]
fn arrows_run_one_way() {
    let metadata = metadata(&["--no-deps"]);
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let from = folder(Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_str().unwrap());
        let top = from.split('/').next().unwrap();
        let (_, allowed) =
            ARROWS.iter().find(|(name, _)| *name == top).unwrap_or_else(|| panic!("{from} has no place"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let Some(path) = dependency["path"].as_str() else { continue };
            let to = folder(path);
            if !to.starts_with(top) && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{from} -> {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "forbidden dependencies: {wrong:?}");
}

#[test]
fn no_data_path_knows_the_bus() {
    let metadata = metadata(&[]);
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let name_of = |id: &str| {
        let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["id"] == id).unwrap();
        package["name"].as_str().unwrap().to_owned()
    };
    for plane in ["hive-vmm", "hive-blockd", "hive-netd"] {
        let start = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == plane).unwrap();
        let mut seen = BTreeSet::new();
        let mut open = vec![start["id"].as_str().unwrap()];
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                let node = nodes.iter().find(|node| node["id"] == id).unwrap();
                open.extend(node["dependencies"].as_array().unwrap().iter().filter_map(Value::as_str));
            }
        }
        let names: Vec<String> = seen.into_iter().map(name_of).collect();
        assert!(!names.contains(&"async-nats".to_owned()), "{plane} reaches NATS");
    }
}

#[test]
fn there_is_one_vm_memory() {
    let metadata = metadata(&[]);
    let versions: Vec<&Value> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| package["name"] == "vm-memory")
        .map(|package| &package["version"])
        .collect();
    assert_eq!(versions.len(), 1, "vm-memory in several versions: {versions:?}");
}

#[test]
fn the_top_level_is_as_planned() {
    let folders: BTreeSet<String> = std::fs::read_dir(root())
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    assert_eq!(folders, FOLDERS.iter().map(|name| (*name).to_owned()).collect());
}
