//! The awsd daemon.

use anyhow::Context;
use awsd::{Config, Gateway};
use clap::Parser;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The AWS endpoint of this region: EC2, IAM and STS calls go over NATS to hived, S3 requests to objectd
#[derive(Parser)]
#[command(
    version,
    after_help = "Example awsd.toml:\n\n  \
    listen = \"127.0.0.1:8443\"\n  \
    certificate = \"/etc/hive/tls/cert.pem\"\n  \
    key = \"/etc/hive/tls/key.pem\"\n  \
    nats_url = \"nats://127.0.0.1:4222\"\n  \
    objectd = \"127.0.0.1:9000\"\n  \
    region = \"us-east-1\"\n\n\
    Try it:  aws --endpoint-url https://127.0.0.1:8443 --ca-bundle ca.pem sts get-caller-identity\n\
    Logs go to stderr, filtered by HIVE_LOG (error, warn, info, debug, or awsd=debug,info).\n\
    SIGTERM and SIGINT let calls under way end, then stop."
)]
struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only say whether the configuration is good
    #[arg(long)]
    check_config: bool,
    /// Print the configuration in effect, defaults included
    #[arg(long)]
    print_config: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config = Config::load(&args.config)?;
    if args.print_config {
        print!("{}", toml::to_string(&config)?);
    }
    if args.check_config || args.print_config {
        return Ok(());
    }
    let filter = EnvFilter::try_from_env("HIVE_LOG").or_else(|_| EnvFilter::try_from_default_env());
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Gateway::bind(&config).await?.serve(stop).await;
        Ok(())
    })
}
