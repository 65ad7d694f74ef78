//! Makes the file systems of a disk image with the tools that own their formats.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use crate::command;
use crate::error::{BuildError, io_error};

/// Where a file system lies in a disk image.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) offset_bytes: u64,
    pub(crate) size_bytes: u64,
}

/// Block size of every ext4 here: the guest's page size.
const EXT4_BLOCK_BYTES: u64 = 4096;

/// Makes `path` a file of `size_bytes` without any data.
pub(crate) fn create_sparse(path: &Path, size_bytes: u64) -> Result<(), BuildError> {
    File::create(path).and_then(|file| file.set_len(size_bytes)).map_err(io_error("making the disk image", path))
}

/// Makes an ext4 that holds a copy of `content`, with owners and permissions, at `extent` of `disk`.
///
/// `label` and `uuid` are the file system's own; `uuid` also seeds its directory hashes.
pub(crate) fn make_ext4(
    disk: &Path,
    extent: Extent,
    label: &str,
    uuid: &str,
    content: &Path,
) -> Result<(), BuildError> {
    command::run(
        "making the root file system",
        Command::new("mkfs.ext4")
            .args(["-q", "-F", "-L", label, "-U", uuid, "-b", &EXT4_BLOCK_BYTES.to_string()])
            // No lazy initialisation: a guest would write all inode tables on its first boot.
            .args(["-m", "1", "-E"])
            .arg(format!(
                "offset={},hash_seed={uuid},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0",
                extent.offset_bytes
            ))
            .arg("-d")
            .arg(content)
            .arg(disk)
            .arg((extent.size_bytes / EXT4_BLOCK_BYTES).to_string())
            // mke2fs 1.47.0 takes its clock from here, later ones from SOURCE_DATE_EPOCH.
            .env("E2FSPROGS_FAKE_TIME", crate::SOURCE_DATE_EPOCH.to_string()),
    )?;
    Ok(())
}
