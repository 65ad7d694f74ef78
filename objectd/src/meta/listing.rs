//! Listing keys in order, in pages, with everything behind a delimiter rolled up: a range read that skips over what it
//! rolls up.

use super::{
    MetaError, Object, Upload,
    schema::{self, ObjectKey, UploadKey},
};
use crate::blob::BlobId;
use redb::ReadableTable;

/// Where a page starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    Start,
    /// Behind this key.
    Key(String),
    /// Behind everything that begins so: the page before ended with this common prefix.
    Prefix(String),
}

impl Cursor {
    /// Where a page that a client starts at `marker` begins: behind all that `marker` stands for where it is a common prefix,
    /// which was then given out as the end of the page before.
    pub fn behind(marker: &str, prefix: &str, delimiter: &str) -> Self {
        match marker {
            "" => Self::Start,
            marker if marker.starts_with(prefix) && rolled_up(marker, prefix, delimiter) == Some(marker) => {
                Self::Prefix(marker.to_owned())
            }
            marker => Self::Key(marker.to_owned()),
        }
    }
}

#[derive(Clone, Debug)]
pub struct ListQuery {
    pub prefix: String,
    /// Empty for none.
    pub delimiter: String,
    pub after: Cursor,
    pub limit: usize,
}

#[derive(Clone, Debug)]
pub enum Entry {
    Object(String, Box<Object>),
    CommonPrefix(String),
}

impl Entry {
    /// What sorts the entry, and what a page after it continues behind.
    pub fn name(&self) -> &str {
        match self {
            Self::Object(key, _) => key,
            Self::CommonPrefix(prefix) => prefix,
        }
    }

    pub fn cursor(&self) -> Cursor {
        match self {
            Self::Object(key, _) => Cursor::Key(key.clone()),
            Self::CommonPrefix(prefix) => Cursor::Prefix(prefix.clone()),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Listing {
    /// In the order of their names' bytes.
    pub entries: Vec<Entry>,
    pub truncated: bool,
}

#[derive(Clone, Debug)]
pub struct UploadQuery {
    pub prefix: String,
    /// Empty for none.
    pub delimiter: String,
    pub after: Cursor,
    /// With [`Cursor::Key`]: of that key, uploads behind this one are still listed.
    pub after_upload: Option<BlobId>,
    pub limit: usize,
}

#[derive(Clone, Debug)]
pub enum UploadEntry {
    Upload(String, BlobId, Box<Upload>),
    CommonPrefix(String),
}

#[derive(Clone, Debug)]
pub struct UploadListing {
    pub entries: Vec<UploadEntry>,
    pub truncated: bool,
}

/// The first byte string behind all that begin with `prefix`. Keys are UTF-8, whose bytes never reach 0xFF, so the last
/// byte can always grow.
fn behind_prefix(prefix: &str) -> Vec<u8> {
    let mut next = prefix.as_bytes().to_vec();
    if let Some(last) = next.last_mut() {
        *last += 1;
    }
    next
}

/// The common prefix that `key` is rolled up into, if any.
fn rolled_up<'k>(key: &'k str, prefix: &str, delimiter: &str) -> Option<&'k str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = key.get(prefix.len()..)?.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

/// The first key of the page, and whether it is itself excluded.
fn first_key(prefix: &str, after: &Cursor) -> (Vec<u8>, bool) {
    let (start, exclusive) = match after {
        Cursor::Start => (Vec::new(), false),
        Cursor::Key(key) => (key.as_bytes().to_vec(), true),
        Cursor::Prefix(prefix) => (behind_prefix(prefix), false),
    };
    if start.as_slice() < prefix.as_bytes() { (prefix.as_bytes().to_vec(), false) } else { (start, exclusive) }
}

fn key_text(key: &[u8]) -> Result<&str, MetaError> {
    std::str::from_utf8(key).map_err(|source| MetaError::Engine(Box::new(source)))
}

pub(super) fn objects(
    table: &impl ReadableTable<ObjectKey, &'static [u8]>,
    bucket: &str,
    query: &ListQuery,
) -> Result<Listing, MetaError> {
    let mut entries: Vec<Entry> = Vec::new();
    let (mut start, exclusive) = first_key(&query.prefix, &query.after);
    let excluded = exclusive.then(|| start.clone());
    'range: loop {
        for row in table.range((bucket, start.as_slice(), 0)..)? {
            let (key, row) = row?;
            let (found, key, _) = key.value();
            if found != bucket || !key.starts_with(query.prefix.as_bytes()) {
                break 'range;
            }
            if excluded.as_deref() == Some(key) {
                continue;
            }
            if entries.len() == query.limit {
                return Ok(Listing { entries, truncated: true });
            }
            let key = key_text(key)?;
            if let Some(common) = rolled_up(key, &query.prefix, &query.delimiter) {
                let next = behind_prefix(common);
                entries.push(Entry::CommonPrefix(common.to_owned()));
                start = next;
                continue 'range;
            }
            entries.push(Entry::Object(key.to_owned(), Box::new(schema::decode(row.value())?)));
        }
        break;
    }
    Ok(Listing { entries, truncated: false })
}

pub(super) fn uploads(
    table: &impl ReadableTable<UploadKey, &'static [u8]>,
    bucket: &str,
    query: &UploadQuery,
) -> Result<UploadListing, MetaError> {
    let mut entries = Vec::new();
    let (mut start, exclusive) = first_key(&query.prefix, &query.after);
    let excluded = exclusive.then(|| start.clone());
    'range: loop {
        for row in table.range((bucket, start.as_slice(), 0)..)? {
            let (key, row) = row?;
            let (found, key, id) = key.value();
            if found != bucket || !key.starts_with(query.prefix.as_bytes()) {
                break 'range;
            }
            let seen = |upload: BlobId| BlobId(id) <= upload;
            if excluded.as_deref() == Some(key) && query.after_upload.is_none_or(seen) {
                continue;
            }
            if entries.len() == query.limit {
                return Ok(UploadListing { entries, truncated: true });
            }
            let key = key_text(key)?;
            if let Some(common) = rolled_up(key, &query.prefix, &query.delimiter) {
                let next = behind_prefix(common);
                entries.push(UploadEntry::CommonPrefix(common.to_owned()));
                start = next;
                continue 'range;
            }
            entries.push(UploadEntry::Upload(key.to_owned(), BlobId(id), Box::new(schema::decode(row.value())?)));
        }
        break;
    }
    Ok(UploadListing { entries, truncated: false })
}
