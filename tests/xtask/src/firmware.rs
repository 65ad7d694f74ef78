//! Builds the guest firmware.

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Build the guest firmware, `hive-firmware.elf`.
#[derive(ClapArgs)]
pub struct Args {
    /// Where to put the ELF.
    #[arg(long, default_value = "target/firmware/hive-firmware.elf")]
    output: PathBuf,
}

/// Builds the firmware of the repository at `root` in a target folder beside the output: a build by the same `cargo` that runs
/// this task, with other features, would make the workspace's own build stale.
pub fn run(args: &Args, root: &Path) -> anyhow::Result<()> {
    let output = root.join(&args.output);
    let folder = output.parent().context("the output has no folder")?;
    let target = folder.join("build");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root)
        .args(["build", "--quiet", "--release", "--package", "hive-firmware", "--bin", "hive-firmware"])
        .args(["--features", "elf", "--target-dir"])
        .arg(&target)
        .status()
        .context("starting cargo to build the firmware")?;
    if !status.success() {
        bail!("building the firmware failed: {status}");
    }
    fs::copy(target.join("release/hive-firmware"), &output)
        .with_context(|| format!("copying the firmware to {}", output.display()))?;
    println!("{}", output.display());
    Ok(())
}
