//! `hive volume` and `hive snapshot`: what this node's blockd has, whether it is whole, and the way in and out of it.

use crate::blockd::Blockd;
use crate::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use hive_blockd_api::{
    ExportSource, Limits, MAX_VOLUME_SIZE_BYTES, Metrics, Reply, Request, Snapshot, SnapshotId, Volume as BlockdVolume,
    VolumeHealth, VolumeId,
};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Debug, Subcommand)]
pub enum Volume {
    /// Show the volumes of this node, or one of them in full
    ///
    /// Asks blockd itself, so it works without hived and NATS: sizes, health, limits, and how much of what guests wrote is not in the
    /// object store yet (RPO: what a loss of this node would lose).
    #[command(after_help = "Examples:\n  hive volume inspect\n  hive volume inspect vol-0123456789abcdef0")]
    Inspect {
        /// Only this one, in full
        volume: Option<VolumeId>,
    },
    /// Read a whole volume and verify its checksums; fails when a block is damaged
    ///
    /// The volume may be attached. Reads every block, also those in the object store, so it takes as long as that.
    #[command(after_help = "Example:\n  hive volume check vol-0123456789abcdef0 && echo whole")]
    Check {
        /// A volume's id
        volume: VolumeId,
    },
    /// Write a volume or a snapshot to a file
    ///
    /// A volume must not be attached: take a snapshot of an attached one and export that. Raw files are sparse.
    #[command(
        after_help = "Examples:\n  hive volume export vol-0123456789abcdef0 disk.raw\n  hive volume export snap-0123456789abcdef0 disk.qcow2 --format qcow2"
    )]
    Export {
        /// vol-... or snap-...; another name is a volume's, or a snapshot's with --snapshot
        source: String,
        /// Must not exist yet
        file: PathBuf,
        #[arg(long, value_enum, default_value_t = Format::Raw)]
        format: Format,
        /// SOURCE names a snapshot
        #[arg(long)]
        snapshot: bool,
    },
    /// Take a disk image (raw, qcow2, vmdk, ...) in as a snapshot, and with --volume as a volume
    ///
    /// What is made is this node's blockd's and nobody's in EC2: `hive image import` makes images that instances are launched from.
    #[command(
        after_help = "Examples:\n  hive volume import disk.qcow2\n  hive volume import disk.raw --name golden --volume golden-disk --encrypted"
    )]
    Import(Import),
    /// Rebuild a volume of a lost node on this one, from what it had uploaded
    ///
    /// The volume is as it was when its manifest was written last: everything up to some moment, nothing behind it. Both nodes need the
    /// same store and, for an encrypted volume, the same key file. Should the old node live, it can write the volume no more.
    #[command(after_help = "Example:\n  hive volume restore vol-0123456789abcdef0")]
    Restore {
        /// The volume's id on the lost node
        volume: VolumeId,
    },
}

#[derive(Debug, Args)]
pub struct Import {
    /// A disk image in any format that qemu-img reads
    file: PathBuf,
    /// Name of the snapshot [default: a new snap-...]
    #[arg(long)]
    name: Option<SnapshotId>,
    /// Also make a volume of this name that is a clone of the snapshot
    #[arg(long, value_name = "NAME")]
    volume: Option<VolumeId>,
    /// Encrypt at rest
    #[arg(long)]
    encrypted: bool,
}

#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Snapshots of this node's blockd, and how far each is
    #[command(after_help = "Example:\n  hive snapshot list")]
    List,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Raw,
    Qcow2,
}

/// Carries out `hive volume`; false: a check found damage.
pub fn run(blockd: &Blockd, command: Volume) -> Result<bool> {
    match command {
        Volume::Inspect { volume: None } => list(blockd)?,
        Volume::Inspect { volume: Some(id) } => inspect(blockd, id)?,
        Volume::Check { volume } => return check(blockd, volume),
        Volume::Export { source, file, format, snapshot } => export(blockd, &source, snapshot, &file, format)?,
        Volume::Import(request) => import(blockd, request)?,
        Volume::Restore { volume } => restore(blockd, volume)?,
    }
    Ok(true)
}

fn unexpected<T>(reply: &Reply) -> Result<T> {
    bail!("blockd answers something else: {reply:?}")
}

/// `12.5 GiB`, `300 KiB`
fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = (0..UNITS.len() - 1).find(|unit| bytes >> (10 * (unit + 1)) == 0).unwrap_or(UNITS.len() - 1);
    let scale = 1u64 << (10 * unit);
    let (whole, tenths) = (bytes / scale, bytes % scale * 10 / scale);
    if tenths == 0 { format!("{whole} {}", UNITS[unit]) } else { format!("{whole}.{tenths} {}", UNITS[unit]) }
}

fn health(volume: &BlockdVolume) -> &'static str {
    match volume.health {
        VolumeHealth::Ok => "ok",
        VolumeHealth::Degraded => "degraded",
        VolumeHealth::Impaired => "IMPAIRED",
    }
}

fn metrics(blockd: &Blockd) -> Result<Metrics> {
    match blockd.ask(&Request::Metrics)? {
        Reply::Metrics(metrics) => Ok(metrics),
        other => unexpected(&other),
    }
}

fn list(blockd: &Blockd) -> Result<()> {
    let volumes = match blockd.ask(&Request::ListVolumes)? {
        Reply::Volumes(volumes) => volumes,
        other => return unexpected(&other),
    };
    say!(
        "{:<22} {:>10} {:>10} {:<9} {:<9} {:>10} {:>5}",
        "VOLUME",
        "SIZE",
        "LOCAL",
        "ATTACHED",
        "HEALTH",
        "DIRTY",
        "RPO"
    );
    for volume in volumes {
        let id = volume.volume_id.to_string();
        let attached = match (&volume.socket, volume.connected) {
            (Some(_), true) => "in use",
            (Some(_), false) => "waiting",
            (None, _) => "no",
        };
        say!(
            "{id:<22} {:>10} {:>10} {attached:<9} {:<9} {:>10} {:>4}s",
            human(volume.size_bytes),
            human(volume.allocated_bytes),
            health(&volume),
            human(volume.dirty_bytes),
            volume.rpo_seconds
        );
    }
    Ok(())
}

fn inspect(blockd: &Blockd, volume_id: VolumeId) -> Result<()> {
    let volume = match blockd.ask(&Request::DescribeVolume { volume_id })? {
        Reply::Volume(volume) => volume,
        other => return unexpected(&other),
    };
    let limit = |limit: Option<u64>| limit.map_or("none".to_owned(), |limit| limit.to_string());
    say!("volume            {}", volume.volume_id);
    say!("size              {} ({} bytes)", human(volume.size_bytes), volume.size_bytes);
    say!("clone of          {}", volume.snapshot_id.as_ref().map_or("nothing".into(), ToString::to_string));
    say!("encrypted         {}", if volume.encrypted { "yes" } else { "no" });
    say!("health            {}{}", health(&volume), volume.fault.as_ref().map_or(String::new(), |f| format!(": {f}")));
    say!("IOPS limit        {}", limit(volume.limits.iops.map(u64::from)));
    say!("throughput limit  {}", volume.limits.throughput_bytes_per_s.map_or("none".into(), |b| human(b) + "/s"));
    say!("on this disk      {}", human(volume.allocated_bytes));
    say!("not in the store  {}, the oldest for {} s", human(volume.dirty_bytes), volume.rpo_seconds);
    say!("socket            {}", volume.socket.as_ref().map_or("not attached".into(), |s| s.display().to_string()));
    let Some(counted) = metrics(blockd)?.volumes.remove(volume.volume_id.as_ref()) else { return Ok(()) };
    say!("since blockd started:");
    say!("  reads           {} ({})", counted.reads, human(counted.read_bytes));
    say!("  writes          {} ({})", counted.writes, human(counted.write_bytes));
    say!("  flushes         {}, discards {}, errors {}", counted.flushes, counted.discards, counted.errors);
    say!("  throttled       {}", counted.throttled);
    say!("  remote reads    {}, {} of them from the cache", counted.remote_reads, counted.cache_hits);
    say!("  damaged blocks  {}", counted.damaged_blocks);
    Ok(())
}

fn check(blockd: &Blockd, volume_id: VolumeId) -> Result<bool> {
    let progress = Progress::start(format!("checking {volume_id}"), || None);
    let report = match blockd.ask(&Request::CheckVolume { volume_id })? {
        Reply::Check(report) => report,
        other => return unexpected(&other),
    };
    drop(progress);
    say!("{} blocks checked, {} damaged", report.blocks_checked, report.blocks_damaged);
    for damage in &report.damage {
        say!("  {damage}");
    }
    Ok(report.blocks_damaged == 0)
}

fn restore(blockd: &Blockd, volume_id: VolumeId) -> Result<()> {
    let progress = Progress::start(format!("restoring {volume_id}"), || None);
    let volume = match blockd.ask(&Request::RestoreVolume { volume_id })? {
        Reply::Volume(volume) => volume,
        other => return unexpected(&other),
    };
    drop(progress);
    say!("{} of {} is here and can be attached", volume.volume_id, human(volume.size_bytes));
    Ok(())
}

/// What `source` names.
fn export_source(source: &str, is_snapshot: bool) -> Result<ExportSource> {
    Ok(if is_snapshot || source.starts_with("snap-") {
        ExportSource::Snapshot(source.parse()?)
    } else {
        ExportSource::Volume(source.parse()?)
    })
}

/// Bytes that a file takes on its disk, for progress.
fn allocated(path: &Path) -> Option<String> {
    fs::metadata(path).ok().map(|metadata| human(metadata.blocks() * 512))
}

fn export(blockd: &Blockd, source: &str, is_snapshot: bool, file: &Path, format: Format) -> Result<()> {
    let file = std::path::absolute(file).with_context(|| format!("cannot make {} absolute", file.display()))?;
    ensure!(!file.exists(), "{} exists already", file.display());
    let raw = match format {
        Format::Raw => file.clone(),
        Format::Qcow2 => Scratch::beside(&file)?,
    };
    let scratch = Scratch((format == Format::Qcow2).then(|| raw.clone()));
    let request = Request::ExportVolume { source: export_source(source, is_snapshot)?, path: raw.clone() };
    let progress = {
        let raw = raw.clone();
        Progress::start(format!("exporting {source}"), move || allocated(&raw))
    };
    match blockd.ask(&request)? {
        Reply::Done => {}
        other => return unexpected(&other),
    }
    drop(progress);
    if format == Format::Qcow2 {
        convert(&raw, "raw", &file, "qcow2")?;
    }
    drop(scratch);
    let size = fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len();
    say!("{source} is in {} ({})", file.display(), human(size));
    Ok(())
}

fn import(blockd: &Blockd, request: Import) -> Result<()> {
    let file = fs::canonicalize(&request.file).with_context(|| format!("no file {}", request.file.display()))?;
    let format = format_of(&file)?;
    let snapshot_id = match request.name {
        Some(name) => name,
        None => drawn()?,
    };
    let (raw, scratch) = if format == "raw" {
        (file.clone(), Scratch(None))
    } else {
        let raw = Scratch::beside(&file)?;
        let scratch = Scratch(Some(raw.clone()));
        convert(&file, &format, &raw, "raw")?;
        (raw, scratch)
    };
    let progress = Progress::start(format!("importing {}", file.display()), || None);
    let import = Request::ImportSnapshot { snapshot_id: snapshot_id.clone(), path: raw, encrypted: request.encrypted };
    let snapshot = match blockd.ask(&import)? {
        Reply::Snapshot(snapshot) => snapshot,
        other => return unexpected(&other),
    };
    drop((progress, scratch));
    say!("{} is snapshot {snapshot_id} ({})", file.display(), human(snapshot.size_bytes));
    let Some(volume_id) = request.volume else { return Ok(()) };
    let create = Request::CreateVolume {
        volume_id: volume_id.clone(),
        size_bytes: snapshot.size_bytes,
        snapshot_id: Some(snapshot_id),
        encrypted: request.encrypted,
        limits: Limits::default(),
    };
    blockd.ask(&create)?;
    say!("{volume_id} is a volume of it");
    Ok(())
}

/// A new name in EC2's form.
fn drawn() -> Result<SnapshotId> {
    let mut bytes = [0; 9];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("cannot draw random bytes: {error}"))?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("snap-{}", &digits[..17]).parse()?)
}

/// A file that goes when it has done its work, whichever way that ends.
#[derive(Debug)]
struct Scratch(Option<PathBuf>);

impl Scratch {
    /// A name beside `file`, on the same file system.
    fn beside(file: &Path) -> Result<PathBuf> {
        let mut name = file.file_name().context("no file is named")?.to_owned();
        name.push(format!(".{}.raw", std::process::id()));
        Ok(file.with_file_name(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// The format that `qemu-img` sees in a file.
fn format_of(file: &Path) -> Result<String> {
    let output = qemu_img().args(["info", "--output=json"]).arg(file).stderr(Stdio::inherit()).output();
    let output = output.context("cannot start qemu-img (packaging/install-deps installs qemu-utils)")?;
    ensure!(output.status.success(), "qemu-img does not read {}", file.display());
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).context("qemu-img info answers no JSON")?;
    let size = info["virtual-size"].as_u64().context("qemu-img info tells no size")?;
    ensure!(size <= MAX_VOLUME_SIZE_BYTES, "{} is larger than any volume: {}", file.display(), human(size));
    // A file of another disk within is never followed: it would be read with this command's rights.
    let data_file = info.pointer("/format-specific/data/data-file");
    let is_alone = info.get("backing-filename").is_none() && data_file.is_none();
    ensure!(is_alone, "{} is an overlay of another file", file.display());
    Ok(info["format"].as_str().context("qemu-img info tells no format")?.to_owned())
}

fn qemu_img() -> Command {
    let mut command = Command::new("qemu-img");
    command.stdin(Stdio::null());
    command
}

/// Progress goes to standard error.
fn convert(from: &Path, from_format: &str, to: &Path, to_format: &str) -> Result<()> {
    eprintln!("converting {} from {from_format} to {to_format}", from.display());
    let mut command = qemu_img();
    command.args(["convert", "-p", "-f", from_format, "-O", to_format]).arg(from).arg(to).stdout(std::io::stderr());
    let status = command.status().context("cannot start qemu-img (packaging/install-deps installs qemu-utils)")?;
    ensure!(status.success(), "qemu-img could not convert {} ({status})", from.display());
    Ok(())
}

/// Carries out `hive snapshot`.
pub fn run_snapshot(blockd: &Blockd, command: &SnapshotCommand) -> Result<()> {
    let SnapshotCommand::List = command;
    let snapshots = match blockd.ask(&Request::ListSnapshots)? {
        Reply::Snapshots(snapshots) => snapshots,
        other => return unexpected(&other),
    };
    say!("{:<22} {:<10} {:>5} {:>10} {:>10}  OF", "SNAPSHOT", "STATE", "DONE", "SIZE", "STORED");
    for snapshot in &snapshots {
        say!("{}", snapshot_line(snapshot));
    }
    Ok(())
}

fn snapshot_line(snapshot: &Snapshot) -> String {
    let state = serde_json::to_value(snapshot.state).ok();
    format!(
        "{:<22} {:<10} {:>4}% {:>10} {:>10}  {}",
        snapshot.snapshot_id.to_string(),
        state.as_ref().and_then(|state| state.as_str()).unwrap_or("?"),
        snapshot.progress_percent,
        human(snapshot.size_bytes),
        human(snapshot.stored_bytes),
        match (&snapshot.volume_id, &snapshot.fault) {
            (_, Some(fault)) => fault.clone(),
            (Some(volume), None) => volume.to_string(),
            (None, None) => "-".into(),
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (8 << 30, "8 GiB"),
            (16 << 40, "16 TiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn sources_are_told_by_their_names() {
        let volume = export_source("vol-0123456789abcdef0", false).unwrap();
        assert!(matches!(volume, ExportSource::Volume(_)));
        assert!(matches!(export_source("snap-01", false).unwrap(), ExportSource::Snapshot(_)));
        assert!(matches!(export_source("golden", true).unwrap(), ExportSource::Snapshot(_)));
        assert!(export_source("../x", false).is_err());
    }

    #[test]
    fn drawn_names_are_ec2s() {
        let name = drawn().unwrap().to_string();
        assert!(name.starts_with("snap-") && name.len() == 22, "{name}");
        assert_ne!(drawn().unwrap().to_string(), name);
    }
}
