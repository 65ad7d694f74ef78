//! `hive-scenarios`: boots a simulated node, starts the cloud in it, and runs every scenario against it.

use anyhow::{Context, Result};
use clap::Parser;
use hive_tests::aws::{Aws, list_at, text_at};
use hive_tests::harness::{Cloud, Scenario, node_story, run_all};
use hive_tests::scenarios;
use hive_tests::simnode::{Plan, Progress, SimNode, check_host_tools};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// End-to-end scenarios with the real aws-cli on a simulated node.
#[derive(Debug, Parser)]
#[command(
    after_help = "Examples:\n  hive-scenarios\n  hive-scenarios objects             those whose name contains it\n  \
                        hive-scenarios --keep two-guests   leave the node running afterwards"
)]
struct Cli {
    /// Only scenarios whose name contains one of these
    filters: Vec<String>,
    /// Release binaries [default: where this program is]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// Images built by `hive image build`
    #[arg(long, default_value = ".hive/cache/images", value_name = "DIR")]
    images: PathBuf,
    /// Kept between runs
    #[arg(long, default_value = ".hive/cache", value_name = "DIR")]
    cache: PathBuf,
    /// Everything of the node
    #[arg(long, default_value = ".hive/scenarios", value_name = "DIR")]
    dir: PathBuf,
    /// Use the node that runs in DIR, if one does, and leave it running
    #[arg(long)]
    keep: bool,
    /// Name the scenarios and exit
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("hive-scenarios: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    let is_chosen = |scenario: &&Scenario| {
        cli.filters.is_empty() || cli.filters.iter().any(|filter| scenario.name.contains(filter.as_str()))
    };
    let (chosen, skipped): (Vec<&Scenario>, Vec<&Scenario>) = scenarios::ALL.iter().partition(is_chosen);
    if cli.list {
        scenarios::ALL.iter().for_each(|scenario| println!("{}", scenario.name));
        return Ok(true);
    }
    let chosen: Vec<Scenario> = chosen.into_iter().copied().collect();
    let another = || {
        SimNode::down(&cli.dir)?;
        start(cli)
    };
    let passed = start(cli).and_then(|cloud| run_all(cloud, &chosen, another));
    for scenario in skipped {
        println!("  SKIPPED {}: not asked for", scenario.name);
    }
    if !cli.keep {
        SimNode::down(&cli.dir)?;
    }
    passed
}

fn start(cli: &Cli) -> Result<Cloud> {
    check_host_tools()?;
    let node = match SimNode::attach(&cli.dir) {
        Ok(node) if cli.keep && node.env_file().exists() => node,
        _ => boot(cli)?,
    };
    let aws = Aws::from_env_file(&node.env_file())?;
    let images = aws.json(&["ec2", "describe-images", "--filters", "Name=name,Values=hive-minimal"]);
    let images = images.with_context(|| node_story(&node))?;
    let image = list_at(&images, "/Images")?.first().context("the cloud has no image hive-minimal")?;
    let image = text_at(image, "/ImageId")?.to_owned();
    Ok(Cloud { node, aws, image })
}

fn boot(cli: &Cli) -> Result<SimNode> {
    let binaries = match &cli.binaries {
        Some(directory) => directory.clone(),
        None => std::env::current_exe()?.parent().map(Path::to_owned).unwrap_or_default(),
    };
    let plan = Plan {
        directory: cli.dir.clone(),
        cache: cli.cache.clone(),
        binaries,
        images: vec![cli.images.join("hive-minimal")],
        api_port: None,
        memory_mib: 4096,
        vcpus: 2,
        with_qemu: false,
        extra: Vec::new(),
    };
    let progress = Progress::begin();
    let node = SimNode::boot(&plan, &progress)?;
    node.start_cloud(&plan, &progress).with_context(|| node_story(&node))?;
    Ok(node)
}
