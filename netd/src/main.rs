//! Arguments and logging; everything else is in the library.

#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use hive_netd::config::Config;
use std::io::IsTerminal;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Userspace switch: a layer-2 network for guests over vhost-user-net, with DHCP, DNS and instance metadata.
#[derive(Parser)]
#[command(version, after_long_help = EXAMPLE)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Check the configuration and exit.
    #[arg(long)]
    check_config: bool,
    /// Print the configuration with all defaults and exit.
    #[arg(long)]
    print_config: bool,
}

const EXAMPLE: &str = r#"A first network:

  cat > netd.toml <<END
  state_dir = "/var/lib/hive/netd"
  run_dir = "/run/hive/netd"
  control_socket = "/run/hive/netd/control.sock"
  [uplink]          # optional: the host reaches guests, guests reach the host
  enabled = true
  END
  netd --config netd.toml --print-config
  netd --config netd.toml &

  socat - UNIX:/run/hive/netd/control.sock <<END
  {"method":"put-segment","segment_id":"lan","network":"10.0.0.0","prefix_len":24,"gateway":"10.0.0.1","dns":"10.0.0.2","gateway_mac":"02:00:00:00:00:01","mtu":9001,"domain_name":"ec2.internal","uplink":true}
  {"method":"put-port","port_id":"vm1","segment_id":"lan","mac":"02:00:00:00:00:05","ipv4":"10.0.0.5","hostname":"ip-10-0-0-5","metadata":{"enabled":true,"token_required":false,"hop_limit":1,"tree":{"meta-data/instance-id":"i-1"}}}
  {"method":"list-ports"}
  {"method":"metrics"}
  END

Each answer is one line; put-port answers with the vhost-user socket that the virtual machine connects to.
Log level: RUST_LOG=debug (default info)."#;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = Config::load(&arguments.config)?;
    if arguments.print_config {
        print!("{}", toml::to_string(&config).context("cannot print the configuration")?);
    }
    if !arguments.check_config && !arguments.print_config {
        hive_netd::run(&config)?;
    }
    Ok(())
}
