//! What is to be removed from the store. It is noted in the state directory before it is forgotten here: a removal that the end of
//! the daemon or an absence of the store left half done is taken up again.

use super::{Daemon, DaemonError, Known};
use crate::backing::{Holder, parse_segment_key, segment_key, segment_prefix};
use crate::engine::format::{Checkpoint, VolumeUid};
use crate::engine::log::SegmentName;
use crate::keys::{hex, unhex};
use crate::volume::manifest::{Manifest, manifest_key, volume_prefix};
use crate::{snapshot, volume};
use hive_blockd_api::SnapshotId;
use hive_blockd_store::StoreError;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Snapshot(SnapshotId),
    /// With everything that it wrote, unless somebody has taken it over under a later epoch.
    Volume(VolumeUid, u32),
    /// What a snapshot's builder wrote, unless the snapshot came to be.
    Builder(VolumeUid),
}

/// One removal: a first line that names the subject, then the keys of segments that may have lost their last reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Removal {
    pub subject: Subject,
    pub segments: Vec<SegmentName>,
}

impl Removal {
    fn name(&self) -> String {
        match &self.subject {
            Subject::Snapshot(id) => format!("snapshot-{id}"),
            Subject::Volume(uid, _) => format!("volume-{}", hex(uid)),
            Subject::Builder(uid) => format!("builder-{}", hex(uid)),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut text = match &self.subject {
            Subject::Snapshot(id) => format!("snapshot {id}\n"),
            Subject::Volume(uid, epoch) => format!("volume {} {epoch}\n", hex(uid)),
            Subject::Builder(uid) => format!("builder {}\n", hex(uid)),
        };
        for segment in &self.segments {
            text += &segment_key(*segment);
            text.push('\n');
        }
        text.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(bytes).ok()?.lines();
        let subject = match lines.next()?.split(' ').collect::<Vec<_>>()[..] {
            ["snapshot", id] => Subject::Snapshot(id.parse().ok()?),
            ["volume", uid, epoch] => Subject::Volume(unhex(uid)?, epoch.parse().ok()?),
            ["builder", uid] => Subject::Builder(unhex(uid)?),
            _ => return None,
        };
        Some(Self { subject, segments: lines.map(parse_segment_key).collect::<Option<_>>()? })
    }
}

impl Daemon {
    /// From here on it will be removed, whatever happens to us.
    pub(super) fn note_removal(&self, removal: &Removal) -> Result<(), DaemonError> {
        let noted = self.catalogue.put_removal(&removal.name(), &removal.encode());
        noted.map_err(|e| DaemonError::Record("note what is to be removed", e))
    }

    /// The builder's snapshot came to be: its segments stay.
    pub(super) fn builder_succeeded(&self, uid: VolumeUid) {
        self.forget_removal(&Removal { subject: Subject::Builder(uid), segments: Vec::new() });
    }

    fn forget_removal(&self, removal: &Removal) {
        if let Err(error) = self.catalogue.delete_removal(&removal.name()) {
            // It is gone through once more at the next start, to no effect.
            tracing::warn!(removal = removal.name(), %error, "cannot forget a removal");
        }
    }

    /// Removals that a predecessor left; `volumes` are those of this node.
    pub(super) fn load_removals(
        &self,
        known: &mut Known,
        volumes: &HashMap<VolumeUid, Checkpoint>,
    ) -> anyhow::Result<Vec<Removal>> {
        let mut removals = Vec::new();
        // Copies that go on where they were; when they have ended, the removal is forgotten or is carried out.
        let copies = known.snapshots.iter().filter(|(_, entry)| entry.record.building.is_some());
        let going_on: HashSet<VolumeUid> =
            copies.filter_map(|(id, _)| Some(self.snapshot_map(id).ok()?.volume)).collect();
        for (path, bytes) in self.catalogue.removals()? {
            let decoded = Removal::decode(&bytes);
            if matches!(&decoded, Some(Removal { subject: Subject::Builder(uid), .. }) if going_on.contains(uid)) {
                continue;
            }
            let Some(mut removal) = decoded else {
                tracing::error!(path = %path.display(), "not a removal, left as it is");
                continue;
            };
            // What a volume still has may be on its way to the store again, for another snapshot; it goes with the volume.
            removal.segments.retain(|name| !volumes.get(&name.owner).is_some_and(|map| volume::may_have(map, *name)));
            if let Subject::Snapshot(id) = &removal.subject {
                known.removing.insert(id.clone());
            }
            removals.push(removal);
        }
        Ok(removals)
    }

    /// Carry a removal out in the background, however long the store is away.
    pub(super) fn remove(self: &Arc<Self>, removal: Removal) {
        let daemon = self.clone();
        self.node.runtime.spawn(async move {
            match daemon.carry_out(&removal).await {
                // Not on this thread: see `Daemon::lock`.
                Ok(true) => drop(tokio::task::spawn_blocking(move || daemon.removed(&removal)).await),
                Ok(false) => {
                    tracing::error!(
                        removal = removal.name(),
                        "what others need of the store is not known: put off to the next start"
                    );
                }
                Err(error) => {
                    tracing::error!(removal = removal.name(), %error, "cannot remove, trying again at the next start");
                }
            }
        });
    }

    fn removed(&self, removal: &Removal) {
        self.forget_removal(removal);
        if let Subject::Snapshot(id) = &removal.subject {
            self.lock().removing.remove(id);
        }
    }

    /// False: its segments must stay for now.
    async fn carry_out(&self, removal: &Removal) -> Result<bool, StoreError> {
        let backing = &self.node.backing;
        let mut free = removal.segments.clone();
        match &removal.subject {
            Subject::Snapshot(id) => {
                for key in [snapshot::manifest_key(id), snapshot::map_key(id)] {
                    backing.patiently(&key, || backing.store.delete(&key)).await?;
                }
                free.extend(backing.release_all(Holder::snapshot(id)));
            }
            Subject::Volume(uid, epoch) => {
                backing.idle(*uid).await;
                if self.is_foreign(*uid, *epoch).await? {
                    tracing::warn!(
                        volume = hex(uid),
                        "taken over by another node: nothing of it is removed from the store"
                    );
                    return Ok(true);
                }
                free.extend(self.list_segments(*uid).await?);
                let prefix = volume_prefix(*uid);
                for key in backing.patiently(&prefix, || backing.store.list(&prefix)).await? {
                    backing.patiently(&key, || backing.store.delete(&key)).await?;
                }
            }
            Subject::Builder(uid) => free.extend(self.list_segments(*uid).await?),
        }
        if backing.is_in_doubt() {
            return Ok(false);
        }
        for name in free {
            backing.remove_if_free(name).await?;
        }
        Ok(true)
    }

    async fn is_foreign(&self, uid: VolumeUid, epoch: u32) -> Result<bool, StoreError> {
        let (backing, key) = (&self.node.backing, manifest_key(uid));
        match backing.patiently(&key, || backing.store.get(&key)).await {
            Ok((bytes, _)) => Ok(serde_json::from_slice::<Manifest>(&bytes).is_ok_and(|found| found.epoch > epoch)),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list_segments(&self, uid: VolumeUid) -> Result<Vec<SegmentName>, StoreError> {
        let (backing, prefix) = (&self.node.backing, segment_prefix(uid));
        let keys = backing.patiently(&prefix, || backing.store.list(&prefix)).await?;
        Ok(keys.iter().filter_map(|key| parse_segment_key(key)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::check::SegmentId;

    #[test]
    fn a_removal_comes_back_as_it_was_noted() {
        let id = SegmentId { epoch: 3, incarnation: 70_000, seq: 9 };
        let segments = vec![SegmentName { owner: [0xab; 16], id }, SegmentName { owner: [1; 16], id }];
        let subjects =
            [Subject::Snapshot("snap-1".parse().unwrap()), Subject::Volume([7; 16], 12), Subject::Builder([8; 16])];
        for subject in subjects {
            let removal = Removal { subject, segments: segments.clone() };
            assert_eq!(Removal::decode(&removal.encode()), Some(removal));
        }
        assert_eq!(Removal::decode(b""), None);
        assert_eq!(Removal::decode(b"volume x 1\n"), None);
        assert_eq!(Removal::decode(b"snapshot snap-1\nsegments/zz/1\n"), None);
    }
}
