//! What this node must run, as last read from the bus, kept on disk: a node that comes up while NATS is away starts its instances
//! from here. Nothing is ever deleted on the word of this copy.

use super::network::Region;
use crate::store::{InstanceRecord, Network, VolumeRecord};
use hive_types::id::AccountId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct View {
    pub instances: Vec<InstanceRecord>,
    pub volumes: Vec<VolumeRecord>,
    /// Of the accounts that have instances or NAT gateways here. The oldest copies have none.
    #[serde(default)]
    pub networks: BTreeMap<AccountId, Network>,
    #[serde(default)]
    pub region: Region,
}

#[derive(Debug)]
pub struct LocalCopy {
    path: PathBuf,
    saved: View,
}

impl LocalCopy {
    /// Reads the copy; an absent or unreadable one is empty, for the bus has the truth.
    pub fn open(state_dir: &Path) -> Self {
        let path = state_dir.join("node.json");
        let read = std::fs::read(&path);
        let saved = match read.map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(view)) => view,
            Ok(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "the local copy does not decode");
                View::default()
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "cannot read the local copy");
                }
                View::default()
            }
        };
        Self { path, saved }
    }

    pub fn view(&self) -> &View {
        &self.saved
    }

    /// Saves a view that differs from the saved one.
    pub fn save(&mut self, view: View) -> io::Result<()> {
        if view == self.saved {
            return Ok(());
        }
        write_durably(&self.path, &serde_json::to_vec(&view)?)?;
        self.saved = view;
        Ok(())
    }
}

/// Replaces a file so that a crash leaves the old or the new content, and a return means the new one stays.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_durably_with(path, bytes, None)
}

/// As [`write_durably`]; who may read it, if not anybody.
pub fn write_durably_with(path: &Path, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if let Some(mode) = mode {
        // One that was left behind may be open to others.
        let _ = std::fs::remove_file(&temporary);
        options.create_new(true).mode(mode);
    }
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(directory)?.sync_all()
}
