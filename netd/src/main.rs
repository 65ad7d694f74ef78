//! Arguments and logging; everything else is in the library.

#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use hive_netd::config::Config;
use hive_netd::ovs::{self, OvsOptions, ServicesOptions};
use std::io::IsTerminal;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Userspace switch. With --config: a layer-2 network for guests over vhost-user-net, with DHCP, DNS and instance metadata. With
/// --db: in the place of ovs-vswitchd, managed by ovs-vsctl, ovs-ofctl and ovs-appctl, and driven by OVN if that is wanted.
#[derive(Parser)]
#[command(version, after_long_help = EXAMPLE)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", required_unless_present = "db", conflicts_with = "db")]
    config: Option<PathBuf>,
    /// Check the configuration and exit.
    #[arg(long, requires = "config")]
    check_config: bool,
    /// Print the configuration with all defaults and exit.
    #[arg(long, requires = "config")]
    print_config: bool,
    /// The Open_vSwitch database of an ovsdb-server: unix:PATH.
    #[arg(long, value_name = "DATABASE")]
    db: Option<String>,
    /// Run directory, for sockets (OVS_RUNDIR, else /var/run/openvswitch).
    #[arg(long, value_name = "DIR", requires = "db")]
    rundir: Option<PathBuf>,
    /// In place of <rundir>/netd.pid.
    #[arg(long, value_name = "FILE", requires = "db")]
    pidfile: Option<PathBuf>,
    /// Socket for ovs-appctl, in place of <rundir>/netd.<pid>.ctl.
    #[arg(long, value_name = "FILE", requires = "db")]
    unixctl: Option<PathBuf>,
    /// For interfaces of type `services`: keeps what DHCP, DNS and instance metadata answer.
    #[arg(long, value_name = "DIR", requires = "db", requires = "control_socket")]
    state_dir: Option<PathBuf>,
    /// For interfaces of type `services`: socket that takes what they answer, a segment or port with a number a line.
    #[arg(long, value_name = "FILE", requires = "db", requires = "state_dir")]
    control_socket: Option<PathBuf>,
    /// For interfaces of type `services`: resolver of names that they do not know.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "state_dir")]
    resolver: Option<std::net::SocketAddrV4>,
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

Beside a stock ovsdb-server:

  netd --db unix:/var/run/openvswitch/db.sock &
  ovs-vsctl add-br br0 -- add-port br0 eth1
  ovs-appctl -t netd fdb/show br0

For OVN, in a node whose ovs-vswitchd does not run; ovn-controller makes br-int:

  ovs-vsctl set open_vswitch . external_ids:system-id=node1 external_ids:ovn-remote=tcp:192.0.2.1:6642 \
    external_ids:ovn-encap-type=geneve external_ids:ovn-encap-ip=192.0.2.11 external_ids:ovn-bridge-datapath-type=netdev
  ovn-controller --detach
  ovs-vsctl add-port br-int tap0 -- set interface tap0 external_ids:iface-id=NAME-OF-THE-LOGICAL-PORT

With DHCP, DNS and metadata behind a port, to which flows bring packets with the port's number as tun_id:

  netd --db unix:/var/run/openvswitch/db.sock --state-dir /var/lib/netd --control-socket /run/netd.sock &
  ovs-vsctl add-port br0 svc -- set interface svc type=services ofport_request=20
  (as above, with "number":7 in put-port, and no socket in the answer)

Each answer of the control socket is one line; put-port answers with the vhost-user socket that the virtual machine connects to.
Log level: RUST_LOG=debug (default info); with --db, ovs-appctl -t netd vlog/set."#;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let Arguments { config, check_config, print_config, db, .. } = &arguments;
    if let Some(database) = db.clone() {
        let logs = ovs::start_logging();
        let Arguments { rundir, pidfile, unixctl, state_dir, control_socket, resolver: upstream, .. } = arguments;
        let services = state_dir.zip(control_socket);
        let services =
            services.map(|(state_dir, control_socket)| ServicesOptions { state_dir, control_socket, upstream });
        return Ok(ovs::run(&OvsOptions { database, rundir, pidfile, unixctl, services }, logs)?);
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let config = Config::load(config.as_ref().context("no configuration file")?)?;
    if *print_config {
        print!("{}", toml::to_string(&config).context("cannot print the configuration")?);
    }
    if !*check_config && !*print_config {
        hive_netd::run(&config)?;
    }
    Ok(())
}
