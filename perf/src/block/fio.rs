//! fio: straight on a file, which is the limit, and as the NBD client of nbdkit.

use crate::virtio_blk::{Load, Outcome, Pattern};
use anyhow::{Context, bail};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What fio works on.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    File(&'a Path),
    /// An NBD server's Unix socket.
    Nbd(&'a Path),
}

/// Run `load` for so long.
pub fn measure(target: Target<'_>, load: Load, duration: Duration) -> anyhow::Result<Outcome> {
    let side = match load.pattern {
        Pattern::RandomRead | Pattern::SequentialRead => "read",
        Pattern::RandomWrite | Pattern::SequentialWrite | Pattern::WriteFlush => "write",
    };
    let report = run(target, load, &[&format!("--runtime={}ms", duration.as_millis()), "--time_based"])?;
    let job = &report["jobs"][0][side];
    let number = |value: &Value| value.as_f64().context("fio's report lacks a figure");
    let us = |part: &str| number(&job["lat_ns"]["percentile"][part]).map(|ns| ns / 1000.0);
    Ok(Outcome {
        per_second: number(&job["iops"])?,
        requests: job["total_ios"].as_u64().unwrap_or(0),
        p50_us: us("50.000000")?,
        p99_us: us("99.000000")?,
        p999_us: us("99.900000")?,
        max_us: number(&job["lat_ns"]["max"])? / 1000.0,
    })
}

/// Write `bytes` in all by `load`, or for so long if they take longer, and wait until they are on the disk.
pub fn write(target: Target<'_>, load: Load, bytes: u64, limit: Duration) -> anyhow::Result<()> {
    let limits = [format!("--io_size={bytes}"), format!("--runtime={}ms", limit.as_millis())];
    run(target, load, &[&limits[0], &limits[1], "--end_fsync=1", "--norandommap"])?;
    Ok(())
}

fn run(target: Target<'_>, load: Load, arguments: &[&str]) -> anyhow::Result<Value> {
    let rw = match load.pattern {
        Pattern::RandomRead => "randread",
        Pattern::RandomWrite | Pattern::WriteFlush => "randwrite",
        Pattern::SequentialRead => "read",
        Pattern::SequentialWrite => "write",
    };
    let mut command = Command::new("fio");
    command.args(["--name=limit", "--output-format=json", "--lat_percentiles=1", &format!("--rw={rw}")]);
    command.args([format!("--bs={}", load.block_bytes), format!("--iodepth={}", load.depth)]);
    command.arg(format!("--size={}", load.span_bytes)).args(arguments);
    match target {
        Target::File(file) => {
            command.args(["--direct=1", "--ioengine=io_uring"]).arg(format!("--filename={}", file.display()))
        }
        Target::Nbd(socket) => {
            command.arg("--ioengine=nbd").arg(format!("--uri=nbd+unix:///?socket={}", socket.display()))
        }
    };
    if load.pattern == Pattern::WriteFlush {
        command.arg("--fsync=1");
    }
    let output = command.output().context("cannot start fio")?;
    if !output.status.success() {
        bail!("fio failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    // The nbd engine says a word before the report.
    let start = output.stdout.iter().position(|byte| *byte == b'{').context("fio reports nothing")?;
    Ok(serde_json::from_slice(output.stdout.get(start..).unwrap_or_default())?)
}
