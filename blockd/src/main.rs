use clap::Parser;
use hive_blockd::config::Config;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Volume daemon: serves volumes as vhost-user-blk disks.
///
/// Volumes and images are managed over the control socket, one JSON request a line:
///
///     echo '{"method":"list-volumes"}' | socat - UNIX:/run/hive/blockd/control.sock
///
/// Configuration (TOML): state_dir, run_dir (required), control_socket, poll_us, [store], upload, key_file, cache_bytes, map_bytes,
/// dirty_quota_bytes, keep_local_bytes, rpo_seconds, scrub_interval_days, scrub_mib_per_second,
/// [[peer_stores]]; --print-config shows them all. Attached volumes are served again after a restart or a crash. SIGTERM drains, flushes and closes them. RUST_LOG sets what is logged (default: info).
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and exit
    #[arg(long)]
    check_config: bool,
    /// Print the configuration with all defaults filled in and exit
    #[arg(long)]
    print_config: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let config = Config::load(&arguments.config)?;
    if arguments.print_config {
        print!("{}", toml::to_string(&config)?);
    }
    if arguments.check_config || arguments.print_config {
        return Ok(());
    }
    hive_blockd::run(&config)
}
