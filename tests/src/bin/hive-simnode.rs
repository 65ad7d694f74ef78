//! `hive-simnode`: a simulated node for trying things by hand and for `make up`.

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use hive_tests::command;
use hive_tests::simnode::{Plan, Progress, SimNode, check_host_tools};
use std::path::PathBuf;
use std::process::ExitCode;

/// Boots a machine with KVM in software emulation and runs the cloud in it.
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n  hive-simnode up --image .hive/cache/images/hive-minimal\n  . .hive/simnode/env && aws ec2 describe-images\n  \
                        hive-simnode ssh hive dev status\n  hive-simnode down"
)]
struct Cli {
    /// Everything of the node: disks, console, environment
    #[arg(long, global = true, default_value = ".hive/simnode", value_name = "DIR")]
    dir: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Boot a node and start the cloud in it
    Up(Up),
    /// Kill the node and remove its directory
    Down,
    /// Run a command in the node; without one, a shell
    Ssh {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Say whether the node runs, and the state of its daemons
    Status,
}

#[derive(Debug, Args)]
struct Up {
    /// Kept between runs: the node's operating system, nats-server
    #[arg(long, default_value = ".hive/cache", value_name = "DIR")]
    cache: PathBuf,
    /// Release binaries [default: where this program is]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Directory of an image to import; may be repeated
    #[arg(long = "image", value_name = "DIR")]
    images: Vec<PathBuf>,
    /// More programs for the node's /payload/bin; may be repeated
    #[arg(long = "copy", value_name = "FILE")]
    extra: Vec<PathBuf>,
    /// Port on 127.0.0.1 that leads to the API
    #[arg(long, default_value_t = 8443)]
    api_port: u16,
    #[arg(long, default_value_t = 4096)]
    memory_mib: u32,
    #[arg(long, default_value_t = 2)]
    vcpus: u8,
    /// Only boot; do not start the cloud
    #[arg(long)]
    no_cloud: bool,
    /// Bring QEMU into the node, as the rival of side-by-sides
    #[arg(long)]
    with_qemu: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hive-simnode: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.action {
        Action::Up(up) => start(cli.dir, up),
        Action::Down => SimNode::down(&cli.dir),
        Action::Ssh { command: words } => {
            let node = SimNode::attach(&cli.dir)?;
            let script = if words.is_empty() { "exec sh -i".to_owned() } else { words.join(" ") };
            let status = node.ssh_command(&script).status()?;
            std::process::exit(status.code().unwrap_or(1));
        }
        Action::Status => {
            let node = SimNode::attach(&cli.dir)?;
            println!(
                "node runs (pid {}), API on https://127.0.0.1:{}",
                node.machine().pid(),
                node.machine().api_port()
            );
            command::show(&mut node.ssh_command("hive dev status"))
        }
    }
}

fn start(directory: PathBuf, up: Up) -> Result<()> {
    check_host_tools()?;
    let binaries = match up.binaries {
        Some(directory) => directory,
        None => std::env::current_exe()?.parent().map(Into::into).unwrap_or_default(),
    };
    let plan = Plan {
        directory,
        cache: up.cache,
        binaries,
        images: up.images,
        api_port: Some(up.api_port),
        memory_mib: up.memory_mib,
        vcpus: up.vcpus,
        with_qemu: up.with_qemu,
        extra: up.extra,
    };
    let progress = Progress::begin();
    let node = SimNode::boot(&plan, &progress)?;
    if up.no_cloud { Ok(()) } else { node.start_cloud(&plan, &progress) }
}
