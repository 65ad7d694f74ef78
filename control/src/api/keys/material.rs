//! The keys themselves, in the forms and with the fingerprints of EC2.
//!
//! Fingerprints (EC2 user guide, "verify the fingerprint"): an RSA pair made by EC2 has the SHA-1 of its private key in PKCS#8 DER, an
//! imported one the MD5 of its public key in DER; Ed25519 pairs have OpenSSH's SHA-256, in base64.

use crate::error::Error;
use crate::store::KeyType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use sha1::Sha1;
use ssh_key::public::KeyData;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, PrivateKey, PublicKey};

const RSA_BITS: usize = 2048;
/// Lengths that EC2 imports.
const IMPORTED_RSA_BITS: [usize; 3] = [1024, 2048, 4096];
/// An OpenSSH line of a 4096-bit RSA key is under 800 bytes; the comment may add some.
const MAX_PUBLIC_KEY_BYTES: usize = 4096;

pub struct Generated {
    /// PEM: PKCS#1 for RSA, OpenSSH's own for Ed25519.
    pub private_key: String,
    pub public_key: String,
    pub fingerprint: String,
}

pub struct Imported {
    pub key_type: KeyType,
    pub public_key: String,
    pub fingerprint: String,
}

pub fn generate(key_type: KeyType) -> Result<Generated, Error> {
    match key_type {
        KeyType::Rsa => generate_rsa(),
        KeyType::Ed25519 => generate_ed25519(),
    }
}

fn fault(error: impl std::fmt::Display) -> Error {
    Error::Fault(format!("cannot make a key: {error}"))
}

fn generate_rsa() -> Result<Generated, Error> {
    let key = RsaPrivateKey::new(&mut OsRng, RSA_BITS).map_err(fault)?;
    let der = key.to_pkcs8_der().map_err(fault)?;
    let public = ssh_key::public::RsaPublicKey::try_from(&key.to_public_key()).map_err(fault)?;
    Ok(Generated {
        private_key: key.to_pkcs1_pem(LineEnding::LF).map_err(fault)?.to_string(),
        public_key: PublicKey::from(KeyData::Rsa(public)).to_openssh().map_err(fault)?,
        fingerprint: colons(&Sha1::digest(der.as_bytes())),
    })
}

fn generate_ed25519() -> Result<Generated, Error> {
    let key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(fault)?;
    Ok(Generated {
        private_key: key.to_openssh(LineEnding::LF).map_err(fault)?.to_string(),
        public_key: key.public_key().to_openssh().map_err(fault)?,
        fingerprint: sha256(key.public_key()),
    })
}

/// A public key in OpenSSH's one-line format; None for anything else, and for kinds that EC2 does not take.
pub fn parse(text: &str) -> Option<Imported> {
    if text.len() > MAX_PUBLIC_KEY_BYTES {
        return None;
    }
    let mut key = PublicKey::from_openssh(text.trim()).ok()?;
    key.set_comment("");
    let (key_type, fingerprint) = match key.key_data() {
        KeyData::Rsa(public) => {
            let public = rsa::RsaPublicKey::try_from(public).ok()?;
            let bits = rsa::traits::PublicKeyParts::size(&public) * 8;
            if !IMPORTED_RSA_BITS.contains(&bits) {
                return None;
            }
            (KeyType::Rsa, colons(&Md5::digest(public.to_public_key_der().ok()?.as_bytes())))
        }
        KeyData::Ed25519(_) => (KeyType::Ed25519, sha256(&key)),
        _ => return None,
    };
    Some(Imported { key_type, public_key: key.to_openssh().ok()?, fingerprint })
}

fn sha256(key: &PublicKey) -> String {
    STANDARD.encode(key.fingerprint(HashAlg::Sha256).as_bytes())
}

/// `1f:51:ae:...`
fn colons(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rsa_pair_belongs_together() {
        let made = generate(KeyType::Rsa).expect("a key");
        assert!(made.private_key.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert_eq!(made.fingerprint.len(), 20 * 3 - 1);
        let imported = parse(&format!("{} somebody@somewhere\n", made.public_key)).expect("its public half");
        assert_eq!((imported.key_type, &imported.public_key), (KeyType::Rsa, &made.public_key));
        assert_eq!(imported.fingerprint.len(), 16 * 3 - 1);
    }

    #[test]
    fn an_ed25519_pair_belongs_together() {
        let made = generate(KeyType::Ed25519).expect("a key");
        let private = PrivateKey::from_openssh(&made.private_key).expect("OpenSSH's format");
        assert_eq!(private.public_key().to_openssh().expect("a line"), made.public_key);
        let imported = parse(&made.public_key).expect("its public half");
        assert_eq!((imported.key_type, imported.fingerprint), (KeyType::Ed25519, made.fingerprint));
    }

    /// `ssh-keygen -l` of a fixed key says the same, without the padding.
    #[test]
    fn known_fingerprint() {
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a b";
        let imported = parse(line).expect("a key");
        assert!(imported.public_key.ends_with("HR4f"));
        assert_eq!(imported.fingerprint, "ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA=");
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "ssh-rsa", "ssh-rsa AAAA", "-----BEGIN PUBLIC KEY-----", &"x".repeat(10_000)] {
            assert!(parse(bad).is_none(), "{bad:.20}");
        }
    }
}
