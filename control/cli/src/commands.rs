//! Commands and their arguments.

use crate::blockd::Blockd;
use crate::cluster::Cluster;
use crate::dev::{self, Cloud, local_address};
use crate::logs;
use crate::node::Kvm;
use crate::profile::{Preset, Profile};
use crate::root::Root;
use crate::volume::{self, SnapshotCommand, Volume};
use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use hive_images::{BuildOptions, Recipe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs and looks after a Hive cloud.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = true,
    after_help = "A first session:\n  hive node check            can this machine run guests?\n  hive dev start             \
                  start the cloud\n  . .hive/node/env           point the aws CLI at it\n  aws ec2 describe-images\n  hive dev stop"
)]
pub struct Cli {
    /// Directory that holds everything of this node: configuration, state, logs, sockets.
    #[arg(long, global = true, env = "HIVE_ROOT", default_value = ".hive/node", value_name = "DIR")]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start, stop and watch the daemons of this node
    #[command(subcommand)]
    Dev(Dev),
    /// Nodes, instances, volumes and images of the cloud, as hived sees them
    #[command(after_help = "Example:\n  hive status")]
    Status,
    /// Print the daemons' logs
    #[command(
        after_help = "Examples:\n  hive logs                  the newest lines of every daemon\n  hive logs -f hived         follow one"
    )]
    Logs(Logs),
    /// Guest images: build, import, list
    #[command(subcommand)]
    Image(Image),
    /// Volumes of this node's blockd: inspect, check, export, import
    #[command(subcommand)]
    Volume(Volume),
    /// Snapshots of this node's blockd
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Nodes: list, check
    #[command(subcommand)]
    Node(Node),
    /// Configuration files
    #[command(subcommand)]
    Config(Config),
}

#[derive(Debug, Subcommand)]
enum Dev {
    /// Start what does not run yet: nats, ovsdb, blockd, netd, objectd, hived, awsd
    ///
    /// Makes configuration, certificate and credential on the first start, waits until each daemon answers, and writes the clients'
    /// environment to ROOT/env. A second start changes nothing.
    #[command(
        after_help = "Examples:\n  hive dev start\n  hive dev start --profile-file my.toml\n  . .hive/node/env && aws sts get-caller-identity"
    )]
    Start(ProfileChoice),
    /// Stop the daemons and, by cutting their power, the guests
    #[command(after_help = "Example:\n  hive dev stop\n\nState stays in ROOT/state; remove ROOT to forget it.")]
    Stop,
    /// Say of each daemon whether it runs and answers; fails when one does not
    #[command(after_help = "Example:\n  hive dev status || hive dev logs")]
    Status,
    /// Print the daemons' logs
    #[command(after_help = "Examples:\n  hive dev logs -f\n  hive dev logs blockd --lines 500")]
    Logs(Logs),
    /// Change how many processes of a daemon run
    #[command(after_help = "Example:\n  hive dev scale hived=3     three hived processes share the API calls")]
    Scale {
        /// `hived=N`
        #[arg(value_name = "DAEMON=N", value_parser = parse_scale)]
        workers: u8,
    },
}

#[derive(Debug, Args)]
struct Logs {
    /// Only this daemon: nats, ovsdb, blockd, netd, objectd, hived, awsd
    daemon: Option<String>,
    /// Go on with what is added, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// How many of the newest lines of each log
    #[arg(short = 'n', long, default_value_t = 50)]
    lines: usize,
}

/// Which profile the daemons' configuration follows. It is kept in ROOT/config/profile.toml from the first start on.
#[derive(Debug, Args)]
struct ProfileChoice {
    /// A profile that comes with Hive [default: the one of the last start, or dev]
    #[arg(long, value_enum, conflicts_with = "profile_file")]
    profile: Option<Preset>,
    /// A profile of your own; `hive config generate --profile dev --show-profile` prints one to start from
    #[arg(long, value_name = "FILE")]
    profile_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Image {
    /// Build a guest image from Debian packages into a directory
    #[command(
        after_help = "Examples:\n  hive image build hive-minimal\n  hive image build debian-12 --out /var/tmp/debian-12    (needs root)"
    )]
    Build {
        /// hive-minimal or debian-12
        name: String,
        /// Where to put it [default: .hive/cache/images/NAME]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Downloaded packages are kept here
        #[arg(long, value_name = "DIR", default_value = ".hive/cache/packages")]
        cache: PathBuf,
    },
    /// Take a built image into the cloud; prints its AMI id
    #[command(after_help = "Example:\n  hive image import .hive/cache/images/hive-minimal")]
    Import {
        /// Directory made by `hive image build`
        directory: PathBuf,
    },
    /// Images of the cloud
    #[command(after_help = "Example:\n  hive image list")]
    List,
}

#[derive(Debug, Subcommand)]
enum Node {
    /// Nodes of the cloud and what they have left
    #[command(after_help = "Example:\n  hive node list")]
    List,
    /// Say whether this machine can run guests; fails when it cannot
    ///
    /// Tells hardware KVM (svm or vmx in /proc/cpuinfo, and /dev/kvm) from a /dev/kvm that merely emulates.
    #[command(after_help = "Example:\n  hive node check && hive dev start")]
    Check,
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Write configuration, certificate, credential and client environment for a profile; start nothing
    #[command(
        after_help = "Examples:\n  hive --root /var/lib/hive config generate --profile prod\n  hive config generate --profile dev --show-profile > my.toml"
    )]
    Generate {
        #[command(flatten)]
        choice: ProfileChoice,
        /// Print the profile itself instead
        #[arg(long)]
        show_profile: bool,
    },
}

fn parse_scale(text: &str) -> Result<u8, String> {
    let number = text.strip_prefix("hived=").ok_or("only hived scales: hived=N")?;
    number.parse().map_err(|error| format!("{number:?} is not a number of processes: {error}"))
}

impl ProfileChoice {
    fn load(&self, root: &Root) -> Result<Profile> {
        match (&self.profile_file, self.profile) {
            (Some(file), _) => Profile::load(file),
            (None, Some(preset)) => Profile::parse(preset.text()),
            (None, None) => current_profile(root),
        }
    }
}

/// The profile of the last start, or `dev`.
fn current_profile(root: &Root) -> Result<Profile> {
    let kept = root.config("profile.toml");
    if kept.exists() { Profile::load(&kept) } else { Profile::parse(Preset::Dev.text()) }
}

/// Carries out a command.
///
/// # Errors
/// What was attempted and why it failed, for people.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let root = Root::new(&cli.root)?;
    let blockd = || Blockd::new(&root.run("blockd.sock"));
    let cluster = || Cluster::connect(local_address(current_profile(&root)?.bus.listen));
    match cli.command {
        Command::Dev(Dev::Start(choice)) => dev::start(&root, &choice.load(&root)?, &programs()?)?,
        Command::Dev(Dev::Stop) => dev::stop(&root)?,
        Command::Dev(Dev::Status) => {
            return Ok(exit(dev::status(&Cloud::new(&root, current_profile(&root)?, &programs()?))));
        }
        Command::Dev(Dev::Scale { workers }) => dev::scale(&root, current_profile(&root)?, &programs()?, workers)?,
        Command::Dev(Dev::Logs(choice)) | Command::Logs(choice) => {
            logs::print(&root.path().join("log"), choice.daemon.as_deref(), choice.lines, choice.follow)?;
        }
        Command::Status => return Ok(exit(cluster()?.print_status()?)),
        Command::Image(Image::Build { name, out, cache }) => build_image(&name, out, &cache)?,
        Command::Image(Image::Import { directory }) => cluster()?.import_image(&directory)?,
        Command::Image(Image::List) => cluster()?.print_images()?,
        Command::Volume(command) => return Ok(exit(volume::run(&blockd(), command)?)),
        Command::Snapshot(command) => volume::run_snapshot(&blockd(), &command)?,
        Command::Node(Node::List) => cluster()?.print_nodes()?,
        Command::Node(Node::Check) => {
            let kvm = Kvm::detect();
            say!("{kvm}");
            return Ok(exit(kvm.usable()));
        }
        Command::Config(Config::Generate { choice, show_profile }) => {
            let profile = choice.load(&root)?;
            if show_profile {
                say!("{}", toml::to_string(&profile).context("cannot write the profile as TOML")?.trim_end());
            } else {
                dev::generate(&root, &profile, &programs()?)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn exit(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The daemons are installed beside `hive`.
fn programs() -> Result<PathBuf> {
    let me = std::env::current_exe().context("cannot find this program's directory")?;
    Ok(me.parent().map(Path::to_owned).unwrap_or_default())
}

fn build_image(name: &str, out: Option<PathBuf>, cache: &Path) -> Result<()> {
    let recipe: Recipe = name.parse()?;
    let out = out.unwrap_or_else(|| Path::new(".hive/cache/images").join(name));
    let manifest = hive_images::build(recipe, &BuildOptions::new(cache), &out, &mut |step| say!("  {step}"))?;
    say!("{} is in {}", manifest.name, out.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(sub.has_subcommands() || help.contains("Example"), "{path} teaches nothing");
                walk(sub, &path);
            }
        }
        walk(&Cli::command(), "hive");
    }

    #[test]
    fn scale_takes_a_number_of_hived_processes_only() {
        assert_eq!(parse_scale("hived=3"), Ok(3));
        for bad in ["netd=2", "hived", "hived=", "hived=-1", "hived=300"] {
            assert!(parse_scale(bad).is_err(), "{bad}");
        }
    }
}
