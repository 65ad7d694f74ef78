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
    /// Given anew, and the switch may still know connections of who had them before.
    #[serde(default)]
    to_flush: BTreeSet<u16>,
}

impl Numbers {
    /// Reads what was given; of a file that cannot be read nothing is known, and all get new ones.
    pub fn open(state_dir: &Path) -> Self {
        let path = state_dir.join("numbers.json");
        let mut given = match std::fs::read(&path).map(|bytes| serde_json::from_slice(&bytes)) {
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
        // Of those who have the same one, as only in a damaged file, the first keeps it.
        let mut taken = BTreeSet::new();
        given.by_name.retain(|_, number| (1..=LARGEST).contains(number) && taken.insert(*number));
        Self { path, given }
    }

    pub fn get(&self, name: &str) -> Option<LocalNumber> {
        self.given.by_name.get(name).copied().map(LocalNumber)
    }

    /// Gives those of `names` a number that have none, and takes back what others have. Those for which there is no number have none.
    ///
    /// # Errors
    /// It could not be made durable; all is as before.
    pub fn keep(&mut self, names: &BTreeSet<&str>) -> io::Result<()> {
        let mut given = self.given.clone();
        given.by_name.retain(|name, _| names.contains(name.as_str()));
        let mut taken: BTreeSet<u16> = given.by_name.values().copied().collect();
        given.to_flush.retain(|number| taken.contains(number));
        for name in names {
            if given.by_name.contains_key(*name) {
                continue;
            }
            let after = (given.last.min(LARGEST) + 1..=LARGEST).chain(1..=given.last.min(LARGEST));
            let Some(number) = after.into_iter().find(|number| taken.insert(*number)) else { break };
            given.last = number;
            given.by_name.insert((*name).to_owned(), number);
            given.to_flush.insert(number);
        }
        self.save(given)
    }

    /// Whose zones are to be emptied before they are used.
    pub fn to_flush(&self) -> impl Iterator<Item = LocalNumber> {
        self.given.to_flush.iter().copied().map(LocalNumber)
    }

    /// All of them are empty.
    ///
    /// # Errors
    /// It could not be made durable; they are emptied once more.
    pub fn flushed(&mut self) -> io::Result<()> {
        self.save(Given { to_flush: BTreeSet::new(), ..self.given.clone() })
    }

    fn save(&mut self, given: Given) -> io::Result<()> {
        if given != self.given {
            write_durably(&self.path, &serde_json::to_vec(&given)?)?;
            self.given = given;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps them; which of them are new.
    fn give(numbers: &mut Numbers, names: &[&str]) -> Vec<u16> {
        numbers.keep(&names.iter().copied().collect()).expect("kept");
        let new = numbers.to_flush().map(|number| number.0).collect();
        numbers.flushed().expect("kept");
        new
    }

    #[test]
    fn numbers_stay_over_restarts_and_rest_after_use() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut numbers = Numbers::open(directory.path());
        assert_eq!(give(&mut numbers, &["a", "b"]), [1, 2]);
        assert!(give(&mut numbers, &["a", "b"]).is_empty());
        assert_eq!(give(&mut numbers, &["b", "c"]), [3]);
        let mut numbers = Numbers::open(directory.path());
        assert_eq!((numbers.get("a"), numbers.get("b")), (None, Some(LocalNumber(2))));
        assert_eq!(give(&mut numbers, &["a", "b", "c"]), [4]);
    }

    #[test]
    fn what_is_to_be_flushed_is_known_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let keep = |names: &[&str]| {
            let mut numbers = Numbers::open(directory.path());
            numbers.keep(&names.iter().copied().collect()).expect("kept");
            numbers
        };
        keep(&["a", "b"]);
        keep(&["b"]);
        let mut numbers = keep(&["b", "c"]);
        assert!(numbers.to_flush().eq([2, 3].map(LocalNumber)));
        numbers.flushed().expect("kept");
        assert_eq!(keep(&["b", "c"]).to_flush().count(), 0);
    }

    #[test]
    fn they_come_round_and_may_run_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut numbers = Numbers::open(directory.path());
        let names: Vec<String> = (0..=LARGEST).map(|i| format!("{i:05}")).collect();
        let all = |range: std::ops::Range<usize>| names[range].iter().map(String::as_str).collect::<Vec<_>>();
        let largest = usize::from(LARGEST);
        assert_eq!(give(&mut numbers, &all(0..largest)).len(), largest);
        assert!(give(&mut numbers, &all(0..largest + 1)).is_empty());
        assert_eq!(numbers.get(&names[largest]), None);
        assert_eq!(give(&mut numbers, &all(1..largest + 1)), [1]);
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("numbers.json"), "{").expect("written");
        assert_eq!(give(&mut Numbers::open(directory.path()), &["a"]), [1]);
    }

    #[test]
    fn nobody_has_anothers_number() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = r#"{"by_name": {"a": 5, "b": 5, "c": 0, "d": 65535, "e": 6}, "last": 6}"#;
        std::fs::write(directory.path().join("numbers.json"), text).expect("written");
        assert_eq!(give(&mut Numbers::open(directory.path()), &["a", "b", "c", "d", "e"]), [7, 8, 9]);
    }
}
