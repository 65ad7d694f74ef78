//! Guest images made from Debian packages, and the manifest that describes one.
//!
//! [`build`] makes one of the [`Recipe`]s into a folder: `image.json` (an [`ImageManifest`]), `vmlinuz`, `initrd` and `disk.raw`.
//! The manifest records kernel, initrd and command line, so that an instance boots directly, without firmware; `debian-12` carries
//! GRUB on an EFI system partition as well. The importer reads the folder with [`ImageManifest::load`] and [`ImageManifest::verify`].
//!
//! Package downloads and the bootstrapped `debian-12` root are kept in [`BuildOptions::cache_dir`]: a second build needs no network.
#![forbid(unsafe_code)]

mod command;
mod cpio;
mod debian;
mod disk;
mod error;
mod manifest;
mod minimal;
mod modules;
mod packages;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use error::BuildError;
pub use manifest::{Artifact, ImageManifest, ManifestError, Package};

use error::io_error;

/// Names of the files an image folder holds.
pub const KERNEL_FILE: &str = "vmlinuz";
/// See [`KERNEL_FILE`].
pub const INITRD_FILE: &str = "initrd";
/// See [`KERNEL_FILE`].
pub const DISK_FILE: &str = "disk.raw";

/// Debian packages a host needs to build every recipe, for error messages and installers.
pub const HOST_PACKAGES: &[&str] =
    &["apt", "debian-archive-keyring", "dosfstools", "e2fsprogs", "gdisk", "mmdebstrap", "mtools", "tar", "zstd"];

/// Time stamped on every file of an image (2024-01-01T00:00:00Z): the same packages give the same bytes.
pub(crate) const SOURCE_DATE_EPOCH: u32 = 1_704_067_200;

/// An image this crate knows how to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Debian's cloud kernel, a static busybox and a small init: boots in the time the kernel takes.
    HiveMinimal,
    /// Debian 12 with cloud-init, OpenSSH and GRUB for UEFI. Building it needs root.
    Debian12,
}

impl Recipe {
    /// Every recipe, in the order in which to list them.
    pub const ALL: [Self; 2] = [Self::HiveMinimal, Self::Debian12];

    /// The name of the image, as operators write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HiveMinimal => "hive-minimal",
            Self::Debian12 => "debian-12",
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Recipe {
    type Err = BuildError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|recipe| recipe.name() == name)
            .ok_or_else(|| BuildError::UnknownRecipe { name: name.to_owned() })
    }
}

/// Where a build finds its packages.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Folder for downloads that later builds reuse; made if absent. Removing it makes the next build fetch the newest packages.
    pub cache_dir: PathBuf,
    /// Debian archive, such as `http://deb.debian.org/debian`.
    pub mirror: String,
    /// Debian security archive.
    pub security_mirror: String,
}

impl BuildOptions {
    /// Debian's own mirrors, with downloads kept in `cache_dir`.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            mirror: "http://deb.debian.org/debian".to_owned(),
            security_mirror: "http://deb.debian.org/debian-security".to_owned(),
        }
    }
}

/// Builds `recipe` into `out_dir`, which is made if absent, and returns the manifest written there as `image.json`.
///
/// `progress` is called with one line as each step begins. The build happens in a temporary folder beside `out_dir` and replaces
/// the image's files there only when it is complete; `image.json` comes last.
///
/// # Errors
/// The step that failed, with the path or the last lines that the tool wrote to its standard error.
pub fn build(
    recipe: Recipe,
    options: &BuildOptions,
    out_dir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<ImageManifest, BuildError> {
    fs::create_dir_all(&options.cache_dir).map_err(io_error("making the package cache", &options.cache_dir))?;
    fs::create_dir_all(out_dir).map_err(io_error("making the image folder", out_dir))?;
    // Tools run in folders of their own, so paths must not depend on the current one.
    let cache_dir =
        options.cache_dir.canonicalize().map_err(io_error("finding the package cache", &options.cache_dir))?;
    let options = &BuildOptions { cache_dir, ..options.clone() };
    let out_dir = &out_dir.canonicalize().map_err(io_error("finding the image folder", out_dir))?;
    // Inside `out_dir`, so that the finished files are on the same file system and can be renamed.
    let work = tempfile::Builder::new()
        .prefix(".build-")
        .tempdir_in(out_dir)
        .map_err(io_error("making a work folder", out_dir))?;
    let staging = work.path().join("image");
    fs::create_dir(&staging).map_err(io_error("making a work folder", &staging))?;

    let context = Context { options, work: work.path(), staging: &staging };
    let described = match recipe {
        Recipe::HiveMinimal => minimal::build(&context, progress)?,
        Recipe::Debian12 => debian::build(&context, progress)?,
    };

    progress("hashing the files");
    let manifest = described.into_manifest(recipe, &staging)?;
    manifest.store(&staging)?;
    for file in [KERNEL_FILE, INITRD_FILE, DISK_FILE, ImageManifest::FILE] {
        fs::rename(staging.join(file), out_dir.join(file))
            .map_err(io_error("moving a finished file to", &out_dir.join(file)))?;
    }
    Ok(manifest)
}

/// What every step of a build works with.
struct Context<'a> {
    options: &'a BuildOptions,
    /// Removed when the build ends.
    work: &'a Path,
    /// Receives the image's files.
    staging: &'a Path,
}

/// What a recipe says of the files it left in the staging folder.
struct Described {
    description: &'static str,
    cmdline: String,
    packages: Vec<Package>,
}

impl Described {
    fn into_manifest(self, recipe: Recipe, staging: &Path) -> Result<ImageManifest, BuildError> {
        let artifact = |file: &str| Artifact::of_file(staging, file).map_err(io_error("hashing", &staging.join(file)));
        let manifest = ImageManifest {
            version: ImageManifest::VERSION,
            name: recipe.name().to_owned(),
            description: self.description.to_owned(),
            architecture: ImageManifest::ARCHITECTURE.to_owned(),
            kernel: artifact(KERNEL_FILE)?,
            initrd: artifact(INITRD_FILE)?,
            cmdline: self.cmdline,
            disk: artifact(DISK_FILE)?,
            packages: self.packages,
        };
        manifest.validate()?;
        Ok(manifest)
    }
}
