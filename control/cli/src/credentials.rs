//! The root credential, drawn once per root directory.

use crate::root::Root;
use crate::tls::write_private;
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::fs;

/// Random characters after `AKIA` in an access key id.
const KEY_ID_CHARS: usize = 16;
/// Length of AWS's secret keys; 40 characters of a 64-letter alphabet carry 240 bits.
const SECRET_CHARS: usize = 40;

/// `config/credentials.toml`, read by hived and objectd.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsFile {
    pub credential: Vec<Credential>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub account: String,
    pub arn: String,
    pub user_id: String,
}

/// The first credential of the root directory; drawn when there is no file yet.
///
/// # Errors
/// The file cannot be read or written, or holds no credential.
pub fn ensure_root_credential(root: &Root, account: &str) -> Result<Credential> {
    let path = root.config("credentials.toml");
    if !path.exists() {
        let credential = Credential {
            access_key_id: format!("AKIA{}", random_text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", KEY_ID_CHARS)?),
            secret_access_key: random_text(
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                SECRET_CHARS,
            )?,
            account: account.to_owned(),
            arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.to_owned(),
        };
        let text = toml::to_string(&CredentialsFile { credential: vec![credential] })
            .context("cannot write the credential as TOML")?;
        write_private(&path, &text)?;
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let file: CredentialsFile = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    file.credential.into_iter().next().with_context(|| format!("{} holds no credential", path.display()))
}

/// Letters of an alphabet whose size is a power of two, at most 256, so that none is likelier than another.
fn random_text(alphabet: &[u8], len: usize) -> Result<String> {
    let mut random = vec![0; len];
    getrandom::fill(&mut random).map_err(|error| anyhow!("cannot draw a credential: {error}"))?;
    Ok(random.into_iter().map(|byte| char::from(alphabet[usize::from(byte) % alphabet.len()])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn is_drawn_once() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(Path::new(directory.path())).unwrap();
        root.create().unwrap();
        let drawn = ensure_root_credential(&root, "123456789012").unwrap();
        assert_eq!(drawn.access_key_id.len(), 20);
        assert_eq!(drawn.secret_access_key.len(), 40);
        assert_eq!(ensure_root_credential(&root, "123456789012").unwrap(), drawn);
    }
}
