//! The node's key, under which the data keys of volumes are kept.
//!
//! A data key exists in the clear only in memory. Where only its wrapped form is kept, beside what it protects, deleting that form
//! leaves ciphertext that nobody can read.

use crate::engine::check::KEY_BYTES;
use crate::engine::format::{VolumeUid, WRAPPED_KEY_BYTES, WrappedKey};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const FILE_MODE: u32 = 0o600;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("cannot read or create the key file {0}")]
    File(PathBuf, #[source] io::Error),
    #[error("the key file {0} does not hold {KEY_BYTES} bytes")]
    Length(PathBuf),
    #[error("the data key is kept under key {wanted}, this node has key {ours}")]
    WrongKey { wanted: String, ours: String },
    #[error("the wrapped data key is damaged")]
    Damaged,
    #[error("no random bytes are to be had")]
    Random,
}

/// See the module's documentation.
pub struct NodeKey {
    id: [u8; 16],
    key: LessSafeKey,
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodeKey({})", hex(&self.id))
    }
}

/// A data key in the clear.
pub type DataKey = [u8; KEY_BYTES];

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes that [`hex`] wrote.
pub fn unhex(text: &str) -> Option<VolumeUid> {
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

pub fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}

impl NodeKey {
    /// The key in `path`, drawn and written there if there is none.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let error = |e| KeyError::File(path.to_owned(), e);
        match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path) {
            Ok(mut file) => {
                file.write_all(&random::<KEY_BYTES>()?).and_then(|()| file.sync_all()).map_err(error)?;
                let dir = path.parent().unwrap_or(Path::new("/"));
                std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(error)?;
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(error(e)),
        }
        let mut bytes = Vec::new();
        let file = OpenOptions::new().read(true).open(path).map_err(error)?;
        file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(error)?;
        let bytes: [u8; KEY_BYTES] = bytes.try_into().map_err(|_| KeyError::Length(path.to_owned()))?;
        Self::new(&bytes).ok_or_else(|| KeyError::Length(path.to_owned()))
    }

    fn new(bytes: &[u8; KEY_BYTES]) -> Option<Self> {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut id = [0; 16];
        id.copy_from_slice(&digest.as_ref()[..16]);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).ok()?);
        Some(Self { id, key })
    }

    /// A new data key for the volume, and its wrapped form.
    pub fn draw(&self, volume: VolumeUid) -> Result<(DataKey, WrappedKey), KeyError> {
        let data_key: DataKey = random()?;
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut bytes = [0; WRAPPED_KEY_BYTES];
        let (head, tag) = bytes.split_at_mut(NONCE_LEN + KEY_BYTES);
        head[..NONCE_LEN].copy_from_slice(&nonce);
        head[NONCE_LEN..].copy_from_slice(&data_key);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::from(volume), &mut head[NONCE_LEN..]);
        tag.copy_from_slice(sealed.map_err(|_| KeyError::Damaged)?.as_ref());
        Ok((data_key, WrappedKey { key_id: self.id, bytes }))
    }

    pub fn unwrap(&self, volume: VolumeUid, wrapped: &WrappedKey) -> Result<DataKey, KeyError> {
        if wrapped.key_id != self.id {
            return Err(KeyError::WrongKey { wanted: hex(&wrapped.key_id), ours: hex(&self.id) });
        }
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&wrapped.bytes[..NONCE_LEN]);
        let mut sealed = wrapped.bytes[NONCE_LEN..].to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(volume), &mut sealed).map_err(|_| KeyError::Damaged)?;
        <DataKey>::try_from(&*opened).map_err(|_| KeyError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_key_comes_back_only_under_its_key_and_for_its_volume() {
        let dir = tempfile::tempdir().unwrap();
        let key = NodeKey::open(&dir.path().join("key")).unwrap();
        let (data_key, wrapped) = key.draw([1; 16]).unwrap();
        let again = NodeKey::open(&dir.path().join("key")).unwrap();
        assert_eq!(again.unwrap([1; 16], &wrapped).unwrap(), data_key);
        assert!(matches!(again.unwrap([2; 16], &wrapped), Err(KeyError::Damaged)));
        let other = NodeKey::open(&dir.path().join("other")).unwrap();
        let error = other.unwrap([1; 16], &wrapped).unwrap_err().to_string();
        assert!(error.contains("this node has key"), "{error}");
        std::fs::write(dir.path().join("short"), b"abc").unwrap();
        assert!(matches!(NodeKey::open(&dir.path().join("short")), Err(KeyError::Length(_))));
        assert_eq!(unhex(&hex(&[0xa5; 16])), Some([0xa5; 16]));
        assert_eq!(unhex("zz"), None);
    }
}
