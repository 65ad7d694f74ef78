//! The rows. They are stored as JSON, so a later field is an optional one; the file as a whole carries a version.

use crate::{
    blob::BlobId,
    checksum::{Algorithm, Checksum, Kind},
};
use hive_auth::AccountId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bucket {
    /// Twelve digits.
    pub owner: String,
    pub created_ms: i64,
}

impl Bucket {
    pub fn is_owned_by(&self, account: &AccountId) -> bool {
        self.owner == account.as_str()
    }
}

/// Response headers stored with an object (`content-type`, `cache-control`, ...) and user metadata without its prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub standard: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
}

/// A run of an object's bytes: one whole blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub blob: BlobId,
    pub size: u64,
}

/// Where an object's bytes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// In the metadata, in a row of this name; nowhere if the object is empty.
    Inline(BlobId),
    Blob(BlobId),
    /// One blob per part, listed in the manifest of this name.
    Parts {
        manifest: BlobId,
        count: u16,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Object {
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    pub modified_ms: i64,
    pub checksum: Option<Checksum>,
    pub body: Body,
    #[serde(default)]
    pub headers: Headers,
}

/// A part, in an upload and, once completed, in an object's manifest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    pub number: u16,
    pub etag: String,
    pub piece: Piece,
    pub modified_ms: i64,
    /// Of the upload's algorithm.
    pub checksum: Checksum,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upload {
    pub created_ms: i64,
    pub headers: Headers,
    pub algorithm: Algorithm,
    pub kind: Kind,
    /// Whether the client chose the algorithm, rather than us.
    pub chosen: bool,
}
