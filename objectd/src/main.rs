use anyhow::Context;
use clap::Parser;
use hive_objectd::{Config, Server};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// The S3 store of one node.
///
/// A configuration to start with:
///
///     data_dir = "/var/lib/hive/objectd"
///     listen = "127.0.0.1:9000"
///     region = "us-east-1"
///     domains = ["s3.example.org"]      # BUCKET.s3.example.org addresses a bucket; optional
///
///     [[credentials]]                   # or credentials_file = "/etc/hive/credentials.toml"
///     access_key_id = "AKIAEXAMPLE"
///     secret_access_key = "..."
///     account_id = "123456789012"
///
/// Then: aws --endpoint-url http://127.0.0.1:9000 s3 mb s3://first
///
/// RUST_LOG sets what is logged, `RUST_LOG=debug` every request.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// The configuration file.
    #[arg(long, default_value = "/etc/hive/objectd.toml")]
    config: PathBuf,
    /// Check the configuration and exit.
    #[arg(long)]
    check_config: bool,
    /// Print the effective configuration, secrets left out, and exit.
    #[arg(long)]
    print_config: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let config = Config::load(&arguments.config)?;
    if arguments.print_config {
        print!("{}", config.print());
    }
    if arguments.print_config || arguments.check_config {
        return Ok(());
    }
    tokio::runtime::Runtime::new().context("starting the runtime")?.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("watching for SIGTERM")?;
    let server = Server::start(config).await?;
    tracing::info!(address = %server.address()?, "serving");
    server
        .serve(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        })
        .await;
    Ok(())
}
