//! Numbers of interfaces and NAT gateways on this node: OpenFlow port, connection tracker's zone, `tun_id` at the services port.

use crate::node::local::write_durably;
use hive_vpc::LocalNumber;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Numbers are 1 to this; those above are the bridge's own ports'.
pub const LARGEST: u16 = 60_000;

#[derive(Debug)]
pub struct Numbers {
    path: PathBuf,
    given: Given,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Given {
    by_name: BTreeMap<String, u16>,
    /// The one given last: the next are those after it, so that one which was just given back rests for long.
    last: u16,
}

impl Numbers {
    /// Reads what was given; of a file that cannot be read nothing is known, and all get new ones.
    pub fn open(state_dir: &Path) -> Self {
        let path = state_dir.join("numbers.json");
        let given = match std::fs::read(&path).map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(given)) => given,
            Ok(Err(error)) => {
                tracing::warn!(path = %path.display(), %error, "the numbers of interfaces do not decode");
                Given::default()
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(path = %path.display(), %error, "cannot read the numbers of interfaces");
                }
                Given::default()
            }
        };
        Self { path, given }
    }

    pub fn get(&self, name: &str) -> Option<LocalNumber> {
        self.given.by_name.get(name).copied().map(LocalNumber)
    }

    /// Gives those of `names` a number that have none, and takes back what others have; which are new. Those for which there is no
    /// number have none.
    ///
    /// # Errors
    /// It could not be made durable; all is as before.
    pub fn keep(&mut self, names: &BTreeSet<&str>) -> io::Result<Vec<LocalNumber>> {
        let mut given = self.given.clone();
        given.by_name.retain(|name, number| names.contains(name.as_str()) && (1..=LARGEST).contains(number));
        let mut taken: BTreeSet<u16> = given.by_name.values().copied().collect();
        let mut new = Vec::new();
        for name in names {
            if given.by_name.contains_key(*name) {
                continue;
            }
            let after = (given.last.min(LARGEST) + 1..=LARGEST).chain(1..=given.last.min(LARGEST));
            let Some(number) = after.into_iter().find(|number| taken.insert(*number)) else { break };
            given.last = number;
            given.by_name.insert((*name).to_owned(), number);
            new.push(LocalNumber(number));
        }
        if given != self.given {
            write_durably(&self.path, &serde_json::to_vec(&given)?)?;
            self.given = given;
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_over_restarts_and_rest_after_use() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut numbers = Numbers::open(directory.path());
        let given = |numbers: &mut Numbers, names: &[&str]| {
            numbers.keep(&names.iter().copied().collect()).expect("kept").into_iter().map(|n| n.0).collect::<Vec<_>>()
        };
        assert_eq!(given(&mut numbers, &["a", "b"]), [1, 2]);
        assert!(given(&mut numbers, &["a", "b"]).is_empty());
        assert_eq!(given(&mut numbers, &["b", "c"]), [3]);
        let mut numbers = Numbers::open(directory.path());
        assert_eq!((numbers.get("a"), numbers.get("b")), (None, Some(LocalNumber(2))));
        assert_eq!(given(&mut numbers, &["a", "b", "c"]), [4]);
    }

    #[test]
    fn they_come_round_and_may_run_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut numbers = Numbers::open(directory.path());
        let names: Vec<String> = (0..=LARGEST).map(|i| format!("{i:05}")).collect();
        let all = |range: std::ops::Range<usize>| names[range].iter().map(String::as_str).collect::<BTreeSet<_>>();
        let largest = usize::from(LARGEST);
        assert_eq!(numbers.keep(&all(0..largest)).expect("kept").len(), largest);
        assert_eq!(numbers.keep(&all(0..largest + 1)).expect("kept"), []);
        assert_eq!(numbers.get(&names[largest]), None);
        assert_eq!(numbers.keep(&all(1..largest + 1)).expect("kept"), [LocalNumber(1)]);
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("numbers.json"), "{").expect("written");
        let mut numbers = Numbers::open(directory.path());
        assert_eq!(numbers.keep(&BTreeSet::from(["a"])).expect("kept"), [LocalNumber(1)]);
    }
}
