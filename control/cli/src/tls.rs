//! The node's own certificate authority and the gateway's certificate, made once per root directory.

use crate::root::Root;
use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Makes `tls/{ca.pem,cert.pem,key.pem}` when the certificate is absent. The authority's key is not kept: a new name in `names`
/// means a new authority.
///
/// # Errors
/// A name is not a DNS name or IP address, or a file cannot be written.
pub fn ensure_certificate(root: &Root, names: &[String]) -> Result<()> {
    if root.tls("cert.pem").exists() {
        return Ok(());
    }
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Hive node authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate().context("cannot draw the authority's key")?;
    let authority_certificate = authority.self_signed(&authority_key).context("cannot sign the authority")?;
    let issuer = Issuer::new(authority, authority_key);

    let mut leaf =
        CertificateParams::new(names).with_context(|| format!("cannot name the certificate {}", names.join(", ")))?;
    leaf.distinguished_name.push(DnType::CommonName, "Hive API");
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf_key = KeyPair::generate().context("cannot draw the API's key")?;
    let leaf_certificate = leaf.signed_by(&leaf_key, &issuer).context("cannot sign the API's certificate")?;

    // The certificate last: its presence says that all three are whole.
    write_private(&root.tls("key.pem"), &leaf_key.serialize_pem())?;
    write(&root.tls("ca.pem"), &authority_certificate.pem())?;
    write(&root.tls("cert.pem"), &leaf_certificate.pem())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a secret that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let attempt = || {
        let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn is_made_once_and_the_key_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path()).unwrap();
        root.create().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        ensure_certificate(&root, &names).unwrap();
        let first = fs::read(root.tls("cert.pem")).unwrap();
        ensure_certificate(&root, &names).unwrap();
        assert_eq!(fs::read(root.tls("cert.pem")).unwrap(), first);
        assert_eq!(fs::metadata(root.tls("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
