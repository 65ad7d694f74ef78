//! The real ovs-vswitchd on its dummy datapath, and what it tells the database.

use crate::server::{Process, Server};
use crate::switch::Switch;
use std::collections::BTreeSet;
use std::process::Stdio;

pub struct Vswitchd(#[expect(dead_code, reason = "is killed when it is dropped")] Process);

impl Vswitchd {
    pub fn start(server: &Server) -> Self {
        let mut command = server.command("ovs-vswitchd");
        command.arg(server.remote()).args(["--enable-dummy", "--disable-system", "-vconsole:off"]);
        command.arg(format!("--unixctl={}", server.path().join("vswitchd.ctl").display()));
        command.arg(format!("--log-file={}", server.path().join("ovs-vswitchd.log").display()));
        Self(Process(command.stderr(Stdio::null()).spawn().expect("ovs-vswitchd of openvswitch-switch")))
    }
}

/// Columns that hold something other than what a row begins with, as `Table.column`.
fn filled(server: &Server) -> BTreeSet<String> {
    let mut filled = BTreeSet::new();
    for table in ["Open_vSwitch", "Bridge", "Port", "Interface", "Controller", "Mirror"] {
        for line in server.vsctl(&["list", table]).lines() {
            let Some((column, value)) = line.split_once(':') else { continue };
            let (column, value) = (column.trim(), value.trim());
            if column != "_uuid" && !["[]", "{}", "\"\"", "false"].contains(&value) {
                filled.insert(format!("{table}.{column}"));
            }
        }
    }
    filled
}

fn build(server: &Server, datapath: &str, kind: &str) {
    let (datapath, kind) = (format!("datapath_type={datapath}"), format!("type={kind}"));
    server.vsctl(&["add-br", "br0", "--", "set", "bridge", "br0", &datapath]);
    server.vsctl(&["add-port", "br0", "p1", "--", "set", "interface", "p1", &kind]);
    // One that cannot be: ovs-vsctl says so and returns.
    let odd = server.vsctl_output(&["add-port", "br0", "p2", "--", "set", "interface", "p2", "type=frob"]);
    let complaint = String::from_utf8_lossy(&odd.stderr).into_owned();
    assert!(
        odd.status.success()
            && complaint.contains("could not open network device p2 (Address family not supported by protocol)")
    );
    server.vsctl(&["set-controller", "br0", "tcp:127.0.0.1:1"]);
    server.vsctl(&[
        "--",
        "--id=@p",
        "get",
        "port",
        "p1",
        "--",
        "--id=@m",
        "create",
        "mirror",
        "name=m",
        "output-port=@p",
        "--",
        "set",
        "bridge",
        "br0",
        "mirrors=@m",
    ]);
    server.vsctl(&[
        "wait-until",
        "mirror",
        "m",
        "statistics!={}",
        "--",
        "wait-until",
        "controller",
        "br0",
        "status!={}",
    ]);
}

#[test]
fn the_same_columns_are_filled() {
    let (theirs, ours) = (Server::start(), Server::start());
    let _real = Vswitchd::start(&theirs);
    let _switch = Switch::start(&ours);
    build(&theirs, "dummy", "dummy");
    build(&ours, "netdev", "tap");
    let (theirs, mut ours) = (filled(&theirs), filled(&ours));
    // ovs-vswitchd leaves the datapath's row to others.
    assert!(ours.remove("Open_vSwitch.datapaths"));
    assert_eq!(ours, theirs);
    assert!(
        theirs.contains("Interface.mac_in_use")
            && theirs.contains("Interface.error")
            && theirs.contains("Open_vSwitch.iface_types")
    );
}
