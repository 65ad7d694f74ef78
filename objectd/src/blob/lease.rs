//! Readers of blobs, so that one being read is not removed under the reader.

use super::BlobId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Default)]
struct Entry {
    readers: usize,
    doomed: bool,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<BlobId, Entry>,
    /// Removable now: their last reader left after they were doomed.
    released: Vec<BlobId>,
}

/// The blobs being read.
///
/// A reader takes its lease first and then asks the metadata again whether the object still has these blobs: whoever
/// deletes does so in the metadata first and dooms the blobs after, so one of the two sees the other.
#[derive(Clone, Debug, Default)]
pub struct Leases(Arc<Mutex<Table>>);

impl Leases {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds `ids` until the lease is dropped.
    pub fn take(&self, ids: Vec<BlobId>) -> Lease {
        let mut table = self.table();
        for id in &ids {
            table.entries.entry(*id).or_default().readers += 1;
        }
        drop(table);
        Lease { leases: self.clone(), ids }
    }

    /// Marks `ids` for removal and returns those of them, and of earlier ones, that nobody reads.
    pub fn doom(&self, ids: Vec<BlobId>) -> Vec<BlobId> {
        let mut table = self.table();
        let mut removable = std::mem::take(&mut table.released);
        for id in ids {
            match table.entries.get_mut(&id) {
                Some(entry) => entry.doomed = true,
                None => removable.push(id),
            }
        }
        removable
    }
}

/// Keeps blobs from being removed.
#[derive(Debug)]
pub struct Lease {
    leases: Leases,
    ids: Vec<BlobId>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut table = self.leases.table();
        for id in &self.ids {
            let Some(entry) = table.entries.get_mut(id) else { continue };
            entry.readers -= 1;
            if entry.readers == 0 {
                let doomed = entry.doomed;
                table.entries.remove(id);
                if doomed {
                    table.released.push(*id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_being_read_is_not_removable() {
        let leases = Leases::default();
        let [one, two] = [BlobId(1), BlobId(2)];
        let reader = leases.take(vec![one]);
        let other = leases.take(vec![one]);
        assert_eq!(leases.doom(vec![one, two]), [two]);
        drop(reader);
        assert_eq!(leases.doom(vec![]), []);
        drop(other);
        assert_eq!(leases.doom(vec![]), [one]);
    }
}
