//! The node's operating system: Debian's cloud kernel and a small root, as one initramfs. Built once per recipe.

use super::Progress;
use crate::command;
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const BUILD_SCRIPT: &str = include_str!("../../simnode/build-base");
const INIT_SCRIPT: &str = include_str!("../../simnode/init");
const PACKAGES: &[&str] = &[
    "dropbear-bin",
    "iproute2",
    "iputils-ping",
    "kmod",
    "mount",
    "procps",
    // Libraries of ovsdb-server and its tools.
    "libssl3",
    "libcap-ng0",
    "libnuma1",
    "libxdp1",
    "libunbound8",
];
/// The rival of the boot side-by-side.
const QEMU_PACKAGES: &[&str] = &["qemu-system-x86"];

/// A directory with `vmlinuz`, `base.cpio` and the ssh key `id`.
#[derive(Clone, Debug)]
pub struct Base(pub PathBuf);

/// The base from the cache, built first when its recipe is new. Older bases of the same kind are removed.
pub fn ensure(cache: &Path, with_qemu: bool, progress: &Progress) -> Result<Base> {
    let kind = if with_qemu { "simnode-qemu" } else { "simnode" };
    let packages: Vec<&str> = PACKAGES.iter().chain(QEMU_PACKAGES.iter().filter(|_| with_qemu)).copied().collect();
    let recipe =
        Sha256::new().chain_update(BUILD_SCRIPT).chain_update(INIT_SCRIPT).chain_update(packages.join(" ")).finalize();
    let name = format!("{kind}-{}", hex::encode(&recipe[..8]));
    let finished = cache.join(&name);
    if finished.exists() {
        progress.step("node base is in the cache");
        return Ok(Base(finished));
    }
    progress.step("node base: mmdebstrap (about a minute, once)");
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let building = tempfile::Builder::new()
        .prefix("simnode-building-")
        .tempdir_in(cache)
        .with_context(|| format!("cannot create a directory in {}", cache.display()))?;
    let script = |name: &str, text: &str| -> Result<PathBuf> {
        let path = building.path().join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    };
    let build = script("build-base", BUILD_SCRIPT)?;
    let init = script("init", INIT_SCRIPT)?;
    command::run(Command::new(build).arg(building.path()).arg(init).args(&packages))
        .context("cannot build the node's base")?;
    remove_older(cache, kind)?;
    let building = building.keep();
    fs::rename(&building, &finished).with_context(|| format!("cannot move the base to {}", finished.display()))?;
    Ok(Base(finished))
}

fn remove_older(cache: &Path, kind: &str) -> Result<()> {
    for entry in fs::read_dir(cache)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_kind = name
            .strip_prefix(kind)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|recipe| recipe.len() == 16 && recipe.bytes().all(|b| b.is_ascii_hexdigit()));
        if is_kind {
            fs::remove_dir_all(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}
