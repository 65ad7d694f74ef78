//! Keys of Curve25519, as WireGuard's tools write them: 44 characters of Base64.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use boringtun::x25519;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::str::FromStr;

const KEY_BYTES: usize = 32;
/// Of a key's file: the key, a line's end, and some blanks of whoever wrote it by hand.
const FILE_BYTES_MAX: u64 = 128;
/// Nobody but the owner may read, write or run it.
const OTHERS: u32 = 0o077;

/// What is wrong with a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("not a key: 44 characters of Base64")]
    Format,
    /// With it the secret that two ends share is nobody's secret (RFC 7748, 6.1).
    #[error("not a key of anybody: its shared secret is always the same")]
    Weak,
    #[error("cannot read it ({0})")]
    Read(#[from] io::Error),
    #[error("not a file")]
    NoFile,
    #[error("others than its owner may read it (mode {mode:o}): chmod 600")]
    Exposed { mode: u32 },
    #[error("belongs to user {owner}, neither to root nor to whom this runs as")]
    Owner { owner: u32 },
}

fn decode(text: &str) -> Result<[u8; KEY_BYTES], KeyError> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| KeyError::Format)?;
    bytes.try_into().map_err(|_| KeyError::Format)
}

/// Whom packets are for, and from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; KEY_BYTES]);

impl PublicKey {
    pub(super) fn x25519(self) -> x25519::PublicKey {
        self.0.into()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let key = Self(decode(text)?);
        // Any secret shows it: those points have none of their own.
        let shared = x25519::StaticSecret::from([1; KEY_BYTES]).diffie_hellman(&key.x25519());
        if shared.was_contributory() { Ok(key) } else { Err(KeyError::Weak) }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who this is. Never printed.
#[derive(Clone)]
pub struct PrivateKey(x25519::StaticSecret);

impl PrivateKey {
    /// Reads a file, which nobody else may read.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        // A pipe in its place must not hold up the switch.
        let file =
            std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(KeyError::NoFile);
        }
        if metadata.mode() & OTHERS != 0 {
            return Err(KeyError::Exposed { mode: metadata.mode() & 0o7777 });
        }
        if metadata.uid() != 0 && metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(KeyError::Owner { owner: metadata.uid() });
        }
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        text.trim().parse()
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(x25519::PublicKey::from(&self.0).to_bytes())
    }

    pub(super) fn x25519(&self) -> x25519::StaticSecret {
        self.0.clone()
    }
}

impl FromStr for PrivateKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Ok(Self(decode(text)?.into()))
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.public() == other.public()
    }
}

impl Eq for PrivateKey {}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;

    /// RFC 7748, 6.1: Alice's.
    const PRIVATE: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
    const PUBLIC: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

    #[test]
    fn a_private_key_has_its_public_one_and_is_not_printed() {
        let key: PrivateKey = PRIVATE.parse().unwrap();
        assert_eq!(key.public().to_string(), PUBLIC);
        assert_eq!(PUBLIC.parse::<PublicKey>().unwrap(), key.public());
        assert!(!format!("{key:?}").contains(&PRIVATE[..8]));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let zero = BASE64_STANDARD.encode([0; 32]);
        assert!(matches!(zero.parse::<PublicKey>(), Err(KeyError::Weak)));
        for text in ["", "a", &PUBLIC[1..], &PUBLIC[..43], &format!("{PUBLIC} "), &BASE64_STANDARD.encode([7; 33])] {
            assert!(matches!(text.parse::<PublicKey>(), Err(KeyError::Format)), "{text}");
        }
    }

    #[test]
    fn a_file_is_the_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, format!("{PRIVATE}\n")).unwrap();
        let allow = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o601] {
            allow(mode);
            let error = PrivateKey::read(&path).unwrap_err();
            assert!(matches!(error, KeyError::Exposed { mode: found } if found == mode), "{error}");
        }
        for mode in [0o600, 0o400] {
            allow(mode);
            assert_eq!(PrivateKey::read(&path).unwrap(), PRIVATE.parse().unwrap());
        }
        std::fs::write(&path, PRIVATE.repeat(9)).ok();
        allow(0o600);
        std::fs::write(&path, PRIVATE.repeat(9)).unwrap();
        assert!(matches!(PrivateKey::read(&path), Err(KeyError::Format)));
        assert!(matches!(PrivateKey::read(directory.path()), Err(KeyError::NoFile | KeyError::Read(_))));
        assert!(matches!(PrivateKey::read(&directory.path().join("none")), Err(KeyError::Read(_))));
    }

    proptest! {
        #[test]
        fn any_text_has_an_answer(text in ".{0,60}", bytes in any::<[u8; 32]>()) {
            let _ = text.parse::<PublicKey>();
            let encoded = BASE64_STANDARD.encode(bytes);
            if let Ok(key) = encoded.parse::<PublicKey>() {
                prop_assert_eq!(key.to_string(), encoded);
            }
        }
    }
}
