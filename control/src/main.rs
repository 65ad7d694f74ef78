//! `hived`: the control daemon of Hive.

use anyhow::{Context, Result};
use clap::Parser;
use hived::Config;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Hive's control daemon: answers API calls from the bus and keeps this node's instances as desired.
///
/// Example: hived --config /etc/hive/hived.toml
///
/// The log goes to standard error; HIVE_LOG sets the filter, as in HIVE_LOG=hived=debug,info.
/// SIGTERM ends it cleanly; the machines that it started go on, and the next hived takes them over.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Configuration file (TOML); packaging/config has examples.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and end: status 0 when it is sound.
    #[arg(long)]
    check_config: bool,
    /// Print the configuration with all defaults filled in and end.
    #[arg(long)]
    print_config: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let config = Config::load(&args.config).context("the configuration is not usable")?;
    if args.print_config {
        print!("{}", toml::to_string(&config).context("cannot print the configuration")?);
        return Ok(());
    }
    if args.check_config {
        println!("{} is sound", args.config.display());
        return Ok(());
    }
    let filter = EnvFilter::try_from_env("HIVE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(hived::run(config))
}
