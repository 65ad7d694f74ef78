//! The metadata tree: leaves by path, directories made from them.
//!
//! A part of a path may be written `0=name`, as EC2 lists public keys: it is listed so, without a slash, and found as `0` too.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Leaf(&'a str),
    /// One entry a line; directories end in a slash.
    Directory(String),
}

fn matches(part: &str, asked: &str) -> bool {
    part == asked || part.split_once('=').is_some_and(|(index, _)| index == asked)
}

/// Looks a path up, given as its parts.
pub fn find<'a>(tree: &'a BTreeMap<String, String>, asked: &[&str]) -> Option<Found<'a>> {
    let mut entries = BTreeSet::new();
    for (path, text) in tree {
        let mut parts = path.split('/');
        if !asked.iter().all(|asked| parts.next().is_some_and(|part| matches(part, asked))) {
            continue;
        }
        let Some(next) = parts.next() else { return Some(Found::Leaf(text)) };
        let is_leaf = parts.next().is_none();
        entries.insert(if is_leaf || next.contains('=') { next.to_owned() } else { format!("{next}/") });
    }
    if entries.is_empty() {
        return None;
    }
    Some(Found::Directory(entries.into_iter().collect::<Vec<_>>().join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_and_directories_are_found() {
        let tree: BTreeMap<String, String> = [
            ("meta-data/instance-id", "i-1"),
            ("meta-data/placement/region", "us-east-1"),
            ("meta-data/public-keys/0=my-key/openssh-key", "ssh-ed25519 AAAA"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into();
        let directory = |text: &str| Some(Found::Directory(text.to_owned()));
        assert_eq!(find(&tree, &["meta-data", "instance-id"]), Some(Found::Leaf("i-1")));
        assert_eq!(find(&tree, &["meta-data"]), directory("instance-id\nplacement/\npublic-keys/"));
        assert_eq!(find(&tree, &["meta-data", "public-keys"]), directory("0=my-key"));
        assert_eq!(find(&tree, &["meta-data", "public-keys", "0"]), directory("openssh-key"));
        let key = Some(Found::Leaf("ssh-ed25519 AAAA"));
        assert_eq!(find(&tree, &["meta-data", "public-keys", "0", "openssh-key"]), key);
        assert_eq!(find(&tree, &["meta-data", "instance"]), None);
        assert_eq!(find(&tree, &[]), directory("meta-data/"));
    }
}
