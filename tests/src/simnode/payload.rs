//! The node's two disks: the payload (our programs and images, read only) and an empty one for everything the cloud keeps.

use super::Plan;
use crate::command;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the node runs, beside nats-server.
const PROGRAMS: &[&str] = &["hive", "hived", "blockd", "netd", "objectd", "awsd", "hive-vmm"];
/// The node's disk: sparse, so this is only a limit.
const NODE_DISK_SIZE_BYTES: u64 = 20 << 30;
/// Room in the payload's file system beside its files.
const PAYLOAD_SLACK_BYTES: u64 = 64 << 20;

pub const NODE_DISK: &str = "node.ext4";
pub const PAYLOAD_DISK: &str = "payload.ext4";

/// Makes both disks in the plan's directory.
pub fn build(plan: &Plan) -> Result<()> {
    let tree = tempfile::tempdir_in(&plan.directory).context("cannot create a directory for the payload")?;
    let bin = tree.path().join("bin");
    let images = tree.path().join("images");
    fs::create_dir(&bin)?;
    fs::create_dir(&images)?;
    let programs = PROGRAMS.iter().map(|name| plan.binaries.join(name));
    for program in programs.chain([plan.cache.join("nats-server")]).chain(plan.extra.iter().cloned()) {
        ensure!(program.exists(), "{} is missing: run make build", program.display());
        let name = program.file_name().context("a program without a name")?;
        let is_elf = fs::read(&program)?.starts_with(b"\x7fELF");
        if is_elf {
            command::run(Command::new("strip").arg("-o").arg(bin.join(name)).arg(fs::canonicalize(&program)?))?;
        } else {
            fs::copy(&program, bin.join(name))?;
        }
    }
    for image in &plan.images {
        let image = fs::canonicalize(image).with_context(|| format!("no image in {}", image.display()))?;
        let name = image.file_name().context("an image directory without a name")?;
        fs::create_dir(images.join(name))?;
        for entry in fs::read_dir(&image)? {
            let entry = entry?;
            // A hard link instead of a copy, where the file system allows.
            let target = images.join(name).join(entry.file_name());
            if fs::hard_link(entry.path(), &target).is_err() {
                command::run(Command::new("cp").args(["--sparse=always"]).arg(entry.path()).arg(&target))?;
            }
        }
    }
    let payload_bytes = allocated_bytes(tree.path())? + PAYLOAD_SLACK_BYTES;
    make_ext4(&plan.directory.join(PAYLOAD_DISK), payload_bytes, Some(tree.path()))?;
    make_ext4(&plan.directory.join(NODE_DISK), NODE_DISK_SIZE_BYTES, None)?;
    Ok(())
}

fn make_ext4(path: &Path, size_bytes: u64, content: Option<&Path>) -> Result<()> {
    fs::File::create(path)
        .and_then(|file| file.set_len(size_bytes))
        .with_context(|| format!("cannot create {}", path.display()))?;
    let mut command = Command::new("mkfs.ext4");
    command.env("PATH", super::machine::path_with_sbin()).args(["-q", "-F", "-E", "root_owner=0:0", "-m", "0"]);
    if let Some(directory) = content {
        command.arg("-d").arg(directory);
    }
    command::run(command.arg(path)).map(drop)
}

/// Bytes that the files of `directory` take, holes left out.
fn allocated_bytes(directory: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { allocated_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(sum)
}
