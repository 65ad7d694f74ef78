//! What survives a restart: one file of all segments and ports, replaced atomically.

use crate::error::DaemonError;
use hive_netd_api::{Port, Segment};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Version of the file's format.
const VERSION: u32 = 1;
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
        let document: Document<serde_json::Value> = serde_json::from_slice(&bytes)
            .map_err(|error| DaemonError::State { path: path.clone(), why: error.to_string() })?;
        if document.version != VERSION {
            let why = format!("version {} is not {VERSION}", document.version);
            return Err(DaemonError::State { path, why });
        }
        serde_json::from_value(document.state).map_err(|error| DaemonError::State { path, why: error.to_string() })
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
    use crate::model::tests as model;

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
        fs::write(store.path(), text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        assert!(store.load().unwrap_err().to_string().contains("version 2"));
    }

    #[test]
    fn a_directory_is_one_daemons_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert!(Store::open(directory.path()).is_err());
        drop(store);
        Store::open(directory.path()).unwrap();
    }

    /// The format of version 1, as written to disk.
    #[test]
    fn the_first_version_stays_readable() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        fs::write(
            store.path(),
            r#"{"version":1,"segments":{"s":{"segment_id":"s","network":"10.0.0.0","prefix_len":24,"gateway":"10.0.0.1",
            "dns":"10.0.0.2","gateway_mac":"02:00:00:00:00:01","mtu":9001,"domain_name":"d","uplink":true}},"ports":{}}"#,
        )
        .unwrap();
        assert!(store.load().unwrap().segments["s"].uplink);
    }
}
