//! What survives a restart: one file of all segments and ports, replaced atomically.

use crate::error::DaemonError;
use hive_netd_api::{Port, Segment};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Version of the file's format.
const VERSION: u32 = 2;
const FILE_NAME: &str = "state.json";

/// Segments and ports by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub segments: BTreeMap<String, Segment>,
    pub ports: BTreeMap<String, Port>,
}

#[derive(Serialize, Deserialize)]
struct Document<S> {
    version: u32,
    #[serde(flatten)]
    state: S,
}

/// What version 2 has instead: it names DNS servers to guests apart from where DNS is answered, and all its ports are the database's.
fn from_version_1(state: &mut Value) {
    let segments = state.get_mut("segments").and_then(Value::as_object_mut);
    for segment in segments.into_iter().flat_map(serde_json::Map::values_mut).filter_map(Value::as_object_mut) {
        segment.remove("uplink");
        if let Some(dns) = segment.get("dns").cloned() {
            segment.insert("name_servers".to_owned(), json!([dns]));
        }
    }
    if let Some(ports) = state.get_mut("ports").and_then(Value::as_object_mut) {
        // Those without a number had sockets, of a mode that is no more.
        ports.retain(|_, port| port["number"].is_u64());
        for port in ports.values_mut().filter_map(Value::as_object_mut) {
            port.remove("queue_pairs");
        }
    }
}

#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    /// Locked (flock(2)) as long as this lives, so that no two daemons save over each other.
    opened: File,
}

impl Store {
    /// Opens the directory, making it when it is not there.
    pub fn open(directory: &Path) -> Result<Self, DaemonError> {
        fs::create_dir_all(directory).map_err(|source| DaemonError::File {
            action: "make the state directory",
            path: directory.to_owned(),
            source,
        })?;
        let failed = |action| move |source| DaemonError::File { action, path: directory.to_owned(), source };
        let opened = File::open(directory).map_err(failed("open"))?;
        opened.try_lock().map_err(|error| failed("have for this process alone")(error.into()))?;
        Ok(Self { directory: directory.to_owned(), opened })
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE_NAME)
    }

    /// What was last saved; nothing on first start.
    pub fn load(&self) -> Result<State, DaemonError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(State::default()),
            Err(source) => return Err(DaemonError::File { action: "read the state", path, source }),
        };
        let unusable = |why| DaemonError::State { path: path.clone(), why };
        let mut document: Document<Value> =
            serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        match document.version {
            1 => from_version_1(&mut document.state),
            VERSION => {}
            other => return Err(unusable(format!("version {other} is newer than {VERSION}"))),
        }
        serde_json::from_value(document.state).map_err(|error| unusable(error.to_string()))
    }

    /// Saves durably: when this returns, a power failure leaves the new state; before, the old one.
    pub fn save(&self, state: &State) -> Result<(), DaemonError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| DaemonError::File { action, path, source }
        };
        let path = self.path();
        let new = path.with_extension("json.new");
        let bytes = serde_json::to_vec_pretty(&Document { version: VERSION, state })
            .map_err(|error| DaemonError::State { path: path.clone(), why: error.to_string() })?;
        let mut file = File::create(&new).map_err(failed("create", &new))?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed("write", &new))?;
        fs::rename(&new, &path).map_err(failed("replace", &path))?;
        self.opened.sync_all().map_err(failed("sync", &self.directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::model::tests as model;

    #[test]
    fn state_is_read_back_and_other_versions_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.load().unwrap(), State::default());
        let mut state = State::default();
        state.segments.insert("subnet-1".into(), model::segment());
        state.ports.insert("eni-1".into(), model::port());
        store.save(&state).unwrap();
        assert_eq!(store.load().unwrap(), state);
        let text = fs::read_to_string(store.path()).unwrap();
        fs::write(store.path(), text.replace("\"version\": 2", "\"version\": 3")).unwrap();
        assert!(store.load().unwrap_err().to_string().contains("version 3"));
    }

    #[test]
    fn a_directory_is_one_daemons_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert!(Store::open(directory.path()).is_err());
        drop(store);
        Store::open(directory.path()).unwrap();
    }

    /// The formats of versions 1 and 2, as written to disk.
    #[test]
    fn former_versions_stay_readable() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let metadata = r#"{"enabled":true,"token_required":false,"hop_limit":1,"tree":{},"user_data":null}"#;
        let first = r#"{"version":1,"segments":{"s":{"segment_id":"s","network":"10.0.0.0","prefix_len":24,"gateway":"10.0.0.1",
            "dns":"10.0.0.2","gateway_mac":"02:00:00:00:00:01","mtu":9001,"domain_name":"d","uplink":true}},"ports":{
            "old":{"port_id":"old","segment_id":"s","mac":"02:00:00:00:00:04","ipv4":"10.0.0.4","queue_pairs":2,"hostname":"h",
                   "metadata":METADATA},
            "p":{"port_id":"p","segment_id":"s","mac":"02:00:00:00:00:05","ipv4":"10.0.0.5","queue_pairs":1,"hostname":"h",
                 "metadata":METADATA,"number":7}}}"#;
        let second = r#"{"version":2,"segments":{"s":{"segment_id":"s","names":"","network":"10.0.0.0","prefix_len":24,
            "gateway":"10.0.0.1","dns":"10.0.0.2","gateway_mac":"02:00:00:00:00:01","mtu":9001,"domain_name":"d",
            "name_servers":["10.0.0.2"],"ntp_servers":[],"netbios_name_servers":[],"netbios_node_type":null,"lease_s":3600}},
            "ports":{"p":{"port_id":"p","segment_id":"s","mac":"02:00:00:00:00:05","ipv4":"10.0.0.5","hostname":"h",
                          "metadata":METADATA,"number":7}}}"#;
        let mut read = [first, second].map(|text| {
            fs::write(store.path(), text.replace("METADATA", metadata)).unwrap();
            store.load().unwrap()
        });
        assert_eq!(read[0], read[1]);
        let State { segments, mut ports } = std::mem::take(&mut read[0]);
        assert_eq!(segments["s"].name_servers, [std::net::Ipv4Addr::new(10, 0, 0, 2)]);
        assert_eq!(ports.remove("p").map(|port| port.number), Some(7));
        assert!(ports.is_empty());
    }
}
