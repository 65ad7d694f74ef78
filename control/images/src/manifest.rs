//! `image.json`: what an image folder holds.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Largest `image.json` that is read; a `debian-12` with some 300 packages needs 30 KiB.
const MANIFEST_SIZE_MAX_BYTES: u64 = 1 << 20;
/// Largest kernel or initrd: they are loaded into guest memory below 3 GiB, and the smallest guests have 128 MiB.
const BOOT_FILE_SIZE_MAX_BYTES: u64 = 1 << 30;
/// Largest disk, EBS's own limit for a gp3 volume.
const DISK_SIZE_MAX_BYTES: u64 = 64 << 40;
/// A disk is made of whole 512-byte sectors.
const SECTOR_SIZE_BYTES: u64 = 512;
/// Longest kernel command line: COMMAND_LINE_SIZE of Linux on x86, its terminating zero left out.
const CMDLINE_MAX_BYTES: usize = 2047;
/// Longest name or version, as EC2 limits the name of an image.
const NAME_MAX_BYTES: usize = 128;
/// Longest description, as EC2 limits the description of an image.
const DESCRIPTION_MAX_BYTES: usize = 255;
/// Most packages listed; a full desktop has about 2,000.
const PACKAGES_MAX: usize = 10_000;
/// Bytes hashed at a time.
const HASH_BLOCK_BYTES: usize = 1 << 20;

/// One file of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// File name inside the image folder, without any slash.
    pub file: String,
    pub size_bytes: u64,
    /// SHA-256 of the whole content, 64 lower-case hexadecimal digits. Holes of a sparse file count as zeros.
    pub sha256: String,
}

/// A Debian package that went into an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
    pub version: String,
}

/// The content of `image.json`. Values that came through [`ImageManifest::load`] or [`ImageManifest::parse`] are valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageManifest {
    /// Format of this document: [`ImageManifest::VERSION`].
    pub version: u32,
    /// Name of the image: letters, digits and `-._`.
    pub name: String,
    pub description: String,
    /// [`ImageManifest::ARCHITECTURE`].
    pub architecture: String,
    /// A bzImage.
    pub kernel: Artifact,
    pub initrd: Artifact,
    /// Kernel command line for a direct boot with the disk as `/dev/vda`.
    pub cmdline: String,
    /// Raw, normally sparse; its size is the smallest a root volume may have.
    pub disk: Artifact,
    /// What the image was made from, sorted by name.
    pub packages: Vec<Package>,
}

/// Why a manifest, or a file it names, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("reading {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("writing {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} has {size_bytes} bytes; an image manifest has at most {MANIFEST_SIZE_MAX_BYTES}")]
    TooLarge { path: PathBuf, size_bytes: u64 },
    #[error("the image manifest is not what was expected")]
    Syntax(#[from] serde_json::Error),
    #[error("image manifest version {0} is not known here; this program reads version {known}", known = ImageManifest::VERSION)]
    Version(u32),
    #[error("image manifest: {field} {problem}")]
    Field { field: &'static str, problem: String },
    #[error("{path} does not match the manifest: its {what} is {found}, not {expected}")]
    Mismatch { path: PathBuf, what: &'static str, found: String, expected: String },
}

fn invalid(field: &'static str, problem: impl Into<String>) -> ManifestError {
    ManifestError::Field { field, problem: problem.into() }
}

fn check_word(field: &'static str, text: &str, max_bytes: usize) -> Result<(), ManifestError> {
    if text.is_empty() || text.len() > max_bytes {
        return Err(invalid(field, format!("has {} bytes; 1 to {max_bytes} are allowed", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(field, "has control characters"));
    }
    Ok(())
}

impl Artifact {
    /// Describes the file `name` in `folder`, reading all of it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_file(folder: &Path, name: &str) -> io::Result<Self> {
        let (size_bytes, sha256) = size_and_sha256(&folder.join(name))?;
        Ok(Self { file: name.to_owned(), size_bytes, sha256 })
    }

    /// Where this file is, if the image is in `folder`.
    pub fn path(&self, folder: &Path) -> PathBuf {
        folder.join(&self.file)
    }

    /// Checks size and content of the file in `folder` against this description.
    ///
    /// # Errors
    /// If it cannot be read or differs.
    pub fn verify(&self, folder: &Path) -> Result<(), ManifestError> {
        let path = self.path(folder);
        let read_error = |source| ManifestError::Read { path: path.clone(), source };
        let mismatch = |what, found, expected| ManifestError::Mismatch { path: path.clone(), what, found, expected };
        // The cheap check first: a truncated copy is the usual fault.
        let length_bytes = fs::metadata(&path).map_err(read_error)?.len();
        if length_bytes != self.size_bytes {
            return Err(mismatch("size", length_bytes.to_string(), self.size_bytes.to_string()));
        }
        let (_, sha256) = size_and_sha256(&path).map_err(read_error)?;
        if sha256 != self.sha256 {
            return Err(mismatch("SHA-256", sha256, self.sha256.clone()));
        }
        Ok(())
    }

    fn validate(&self, field: &'static str, size_max_bytes: u64) -> Result<(), ManifestError> {
        check_word(field, &self.file, NAME_MAX_BYTES)?;
        let mut components = Path::new(&self.file).components();
        let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
        if !plain || self.file.contains(['/', '\\']) {
            return Err(invalid(field, "names a file outside the image folder"));
        }
        if !(1..=size_max_bytes).contains(&self.size_bytes) {
            return Err(invalid(field, format!("has {} bytes; 1 to {size_max_bytes} are allowed", self.size_bytes)));
        }
        let digits = self.sha256.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if self.sha256.len() != 64 || !digits {
            return Err(invalid(field, "has a SHA-256 that is not 64 lower-case hexadecimal digits"));
        }
        Ok(())
    }
}

impl ImageManifest {
    /// The format this crate reads and writes.
    pub const VERSION: u32 = 1;
    /// The only architecture guests have.
    pub const ARCHITECTURE: &'static str = "x86_64";
    /// Name of the manifest inside an image folder.
    pub const FILE: &'static str = "image.json";

    /// Reads and validates `folder`'s manifest. The other files are not touched: see [`ImageManifest::verify`].
    ///
    /// # Errors
    /// If it is absent, too large, of another version or not valid.
    pub fn load(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(Self::FILE);
        let read_error = |source| ManifestError::Read { path: path.clone(), source };
        let file = File::open(&path).map_err(read_error)?;
        let size_bytes = file.metadata().map_err(read_error)?.len();
        if size_bytes > MANIFEST_SIZE_MAX_BYTES {
            return Err(ManifestError::TooLarge { path, size_bytes });
        }
        let mut text = Vec::new();
        file.take(MANIFEST_SIZE_MAX_BYTES).read_to_end(&mut text).map_err(read_error)?;
        Self::parse(&text)
    }

    /// Parses and validates a manifest.
    ///
    /// # Errors
    /// If it is not JSON of the expected shape, or a value is out of its bounds.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        // Before the rest: a later version may have other fields, and "unknown field" would be a poor answer.
        let Version { version } = serde_json::from_slice(json)?;
        if version != Self::VERSION {
            return Err(ManifestError::Version(version));
        }
        let manifest: Self = serde_json::from_slice(json)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Checks every bound that the types do not express.
    ///
    /// # Errors
    /// The first field that is out of bounds.
    pub fn validate(&self) -> Result<(), ManifestError> {
        if self.version != Self::VERSION {
            return Err(ManifestError::Version(self.version));
        }
        check_word("name", &self.name, NAME_MAX_BYTES)?;
        if !self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
            return Err(invalid("name", "has characters other than letters, digits and -._"));
        }
        check_word("description", &self.description, DESCRIPTION_MAX_BYTES)?;
        if self.architecture != Self::ARCHITECTURE {
            return Err(invalid("architecture", format!("is {}, not {}", self.architecture, Self::ARCHITECTURE)));
        }
        self.kernel.validate("kernel", BOOT_FILE_SIZE_MAX_BYTES)?;
        self.initrd.validate("initrd", BOOT_FILE_SIZE_MAX_BYTES)?;
        check_word("cmdline", &self.cmdline, CMDLINE_MAX_BYTES)?;
        self.disk.validate("disk", DISK_SIZE_MAX_BYTES)?;
        if !self.disk.size_bytes.is_multiple_of(SECTOR_SIZE_BYTES) {
            return Err(invalid("disk", format!("is not a multiple of {SECTOR_SIZE_BYTES} bytes")));
        }
        let files = [&self.kernel.file, &self.initrd.file, &self.disk.file];
        if files.contains(&&Self::FILE.to_owned())
            || files[0] == files[1]
            || files[0] == files[2]
            || files[1] == files[2]
        {
            return Err(invalid("kernel, initrd, disk", "are not three files beside the manifest"));
        }
        if self.packages.len() > PACKAGES_MAX {
            return Err(invalid("packages", format!("lists more than {PACKAGES_MAX}")));
        }
        for package in &self.packages {
            check_word("packages", &package.name, NAME_MAX_BYTES)?;
            check_word("packages", &package.version, NAME_MAX_BYTES)?;
        }
        Ok(())
    }

    /// Checks size and SHA-256 of kernel, initrd and disk in `folder`. Reads all of them.
    ///
    /// # Errors
    /// The first file that cannot be read or differs.
    pub fn verify(&self, folder: &Path) -> Result<(), ManifestError> {
        [&self.kernel, &self.initrd, &self.disk].into_iter().try_for_each(|artifact| artifact.verify(folder))
    }

    /// Writes this manifest into `folder`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn store(&self, folder: &Path) -> Result<(), ManifestError> {
        let path = folder.join(Self::FILE);
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        fs::write(&path, json).map_err(|source| ManifestError::Write { path, source })
    }
}

fn size_and_sha256(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; HASH_BLOCK_BYTES];
    let mut size_bytes = 0;
    loop {
        let read_bytes = match file.read(&mut block) {
            Ok(0) => return Ok((size_bytes, hex::encode(hash.finalize()))),
            Ok(read_bytes) => read_bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&block[..read_bytes]);
        size_bytes += read_bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn artifact(file: &str) -> Artifact {
        Artifact { file: file.to_owned(), size_bytes: 512, sha256: "0123456789abcdef".repeat(4) }
    }

    fn sample() -> ImageManifest {
        ImageManifest {
            version: 1,
            name: "hive-minimal".to_owned(),
            description: "for tests".to_owned(),
            architecture: "x86_64".to_owned(),
            kernel: artifact("vmlinuz"),
            initrd: artifact("initrd"),
            cmdline: "console=ttyS0".to_owned(),
            disk: artifact("disk.raw"),
            packages: vec![Package { name: "busybox-static".to_owned(), version: "1:1.35.0-4".to_owned() }],
        }
    }

    /// The document as version 1 was first written: reading it must go on working.
    const GOLDEN: &str = r#"{
        "version": 1, "name": "hive-minimal", "description": "for tests", "architecture": "x86_64",
        "kernel": {"file": "vmlinuz", "size_bytes": 512, "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        "initrd": {"file": "initrd", "size_bytes": 512, "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        "cmdline": "console=ttyS0",
        "disk": {"file": "disk.raw", "size_bytes": 512, "sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        "packages": [{"name": "busybox-static", "version": "1:1.35.0-4"}]
    }"#;

    #[test]
    fn the_golden_document_is_read() {
        assert_eq!(ImageManifest::parse(GOLDEN.as_bytes()).expect("valid"), sample());
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = GOLDEN.replace("\"cmdline\"", "\"surprise\": 1, \"cmdline\"");
        assert!(matches!(ImageManifest::parse(text.as_bytes()), Err(ManifestError::Syntax(_))));
    }

    #[test]
    fn another_version_is_named_even_with_other_fields() {
        let error = ImageManifest::parse(br#"{"version": 2, "surprise": 1}"#).expect_err("version 2");
        assert!(matches!(error, ManifestError::Version(2)));
    }

    fn refused(change: impl FnOnce(&mut ImageManifest)) -> String {
        let mut manifest = sample();
        change(&mut manifest);
        manifest.validate().expect_err("must be refused").to_string()
    }

    #[test]
    fn every_bound_is_checked() {
        for file in ["../vmlinuz", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "a\0b"] {
            assert!(refused(|manifest| manifest.kernel.file = file.to_owned()).contains("kernel"), "{file:?}");
        }
        assert!(refused(|manifest| manifest.initrd.size_bytes = 0).contains("initrd"));
        assert!(refused(|manifest| manifest.initrd.size_bytes = BOOT_FILE_SIZE_MAX_BYTES + 1).contains("initrd"));
        assert!(refused(|manifest| manifest.disk.size_bytes = 513).contains("disk"));
        assert!(refused(|manifest| manifest.disk.size_bytes = DISK_SIZE_MAX_BYTES + 512).contains("disk"));
        assert!(refused(|manifest| manifest.disk.sha256 = "ABC".to_owned()).contains("SHA-256"));
        assert!(refused(|manifest| manifest.disk.sha256 = "A".repeat(64)).contains("SHA-256"));
        assert!(refused(|manifest| manifest.disk.file = "vmlinuz".to_owned()).contains("three files"));
        assert!(refused(|manifest| manifest.disk.file = "image.json".to_owned()).contains("three files"));
        assert!(refused(|manifest| manifest.cmdline = "x".repeat(2048)).contains("cmdline"));
        assert!(refused(|manifest| manifest.cmdline = "a\nb".to_owned()).contains("cmdline"));
        assert!(refused(|manifest| manifest.name = "white space".to_owned()).contains("name"));
        assert!(refused(|manifest| manifest.architecture = "arm64".to_owned()).contains("arm64"));
        assert!(refused(|manifest| manifest.version = 0).contains("version 0"));
        let many = vec![sample().packages[0].clone(); PACKAGES_MAX + 1];
        assert!(refused(|manifest| manifest.packages = many).contains("packages"));
    }

    #[test]
    fn a_changed_file_is_found() {
        let folder = tempfile::tempdir().expect("tempdir");
        let mut manifest = sample();
        for artifact in [&mut manifest.kernel, &mut manifest.initrd, &mut manifest.disk] {
            fs::write(artifact.path(folder.path()), [7; 1024]).expect("write");
            *artifact = Artifact::of_file(folder.path(), &artifact.file).expect("hash");
        }
        manifest.store(folder.path()).expect("store");
        let loaded = ImageManifest::load(folder.path()).expect("load");
        assert_eq!(loaded, manifest);
        loaded.verify(folder.path()).expect("unchanged");

        fs::write(loaded.disk.path(folder.path()), [8; 1024]).expect("write");
        let error = loaded.verify(folder.path()).expect_err("changed");
        assert!(matches!(error, ManifestError::Mismatch { what: "SHA-256", .. }), "{error}");
        fs::write(loaded.disk.path(folder.path()), [7; 512]).expect("write");
        let error = loaded.verify(folder.path()).expect_err("truncated");
        assert!(matches!(error, ManifestError::Mismatch { what: "size", .. }), "{error}");
    }

    #[test]
    fn an_oversized_manifest_is_not_read() {
        let folder = tempfile::tempdir().expect("tempdir");
        let file = File::create(folder.path().join(ImageManifest::FILE)).expect("create");
        file.set_len(MANIFEST_SIZE_MAX_BYTES + 1).expect("grow");
        assert!(matches!(ImageManifest::load(folder.path()), Err(ManifestError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn hostile_text_never_panics_and_never_escapes_the_folder(text in "\\PC*", at in 0..GOLDEN.len()) {
            let _ = ImageManifest::parse(text.as_bytes());
            let mut golden = GOLDEN.to_owned();
            golden.insert_str(at, &text);
            if let Ok(manifest) = ImageManifest::parse(golden.as_bytes()) {
                for artifact in [&manifest.kernel, &manifest.initrd, &manifest.disk] {
                    prop_assert!(!artifact.file.contains('/'));
                    let path = artifact.path(Path::new("/images"));
                    prop_assert_eq!(path.parent(), Some(Path::new("/images")));
                }
            }
        }
    }
}
