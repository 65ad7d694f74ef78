//! Geneve with Open vSwitch's own tunnels, in its userspace datapath.

use crate::namespace::Namespace;
use crate::tunnels::{config, mapped, node, nodes, to};
use hive_device::tunnel::{Kind, TunnelConfig};
use hive_flow::Field;
use hive_program::Tunnel;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// ovsdb-server and ovs-vswitchd in a namespace.
struct OpenVSwitch<'a> {
    namespace: &'a Namespace,
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
}

impl Drop for OpenVSwitch<'_> {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl<'a> OpenVSwitch<'a> {
    fn start(namespace: &'a Namespace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut switch = Self { namespace, folder, daemons: Vec::new() };
        let at = switch.folder.path().display().to_string();
        crate::namespace::run(
            "ovsdb-tool",
            &["create", &format!("{at}/conf.db"), "/usr/share/openvswitch/vswitch.ovsschema"],
        );
        switch.daemon(&format!("ovsdb-server {at}/conf.db --remote=punix:{at}/db.sock --unixctl={at}/db.ctl"));
        crate::namespace::wait("the database answers", || std::fs::exists(format!("{at}/db.sock")).unwrap());
        switch.control("ovs-vsctl --no-wait init");
        switch.daemon(&format!("ovs-vswitchd unix:{at}/db.sock --unixctl={at}/switch.ctl"));
        switch
    }

    /// `guard`: what runs it, and becomes it.
    fn command(&self, guard: &[&str], command: &str) -> Command {
        let mut process = Command::new("ip");
        process.args(["netns", "exec", &self.namespace.name]).args(guard).args(command.split_whitespace());
        process.env("OVS_RUNDIR", self.folder.path());
        process
    }

    fn daemon(&mut self, command: &str) {
        // Killed, `timeout` would leave it behind.
        let daemon = self
            .command(&["setpriv", "--pdeathsig", "KILL", "--"], command)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.daemons.push(daemon);
    }

    fn control(&self, command: &str) -> String {
        let output = self.command(&["timeout", "60"], command).output().unwrap();
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{command}: {text}");
        text
    }

    fn vsctl(&self, command: &str) -> String {
        let db = self.folder.path().join("db.sock").display().to_string();
        self.control(&format!("ovs-vsctl --timeout=30 --db=unix:{db} {command}"))
    }
}

#[test]
fn geneve_with_options_speaks_with_open_vswitch() {
    let [left, right] = nodes();
    let switch = OpenVSwitch::start(&right);
    right.exec("ethtool -K eth0 tx off");
    left.exec("ethtool -K eth0 tx off");
    switch.vsctl("add-br phy -- set bridge phy datapath_type=netdev -- add-port phy eth0");
    right.ip("addr flush dev eth0");
    right.address("phy", "192.168.7.2/24");
    right.address("phy", "fd00:7::2/64");
    left.ping("192.168.7.2");
    switch.vsctl("add-br int -- set bridge int datapath_type=netdev");
    switch.vsctl("add-port int tun -- set interface tun type=geneve options:remote_ip=192.168.7.1 options:key=7");
    right.address("int", "10.0.0.2/24");
    right.ip("link set int mtu 1400");
    switch.control("ovs-ofctl add-tlv-map int {class=0x102,type=0x80,len=4}->tun_metadata0");
    switch.control("ovs-ofctl del-flows int");
    switch.control("ovs-ofctl add-flow int in_port=LOCAL,actions=set_field:0xcafe->tun_metadata0,output:tun");
    switch.control("ovs-ofctl add-flow int in_port=tun,tun_metadata0=0x10002,actions=LOCAL");

    let config = TunnelConfig { options: mapped(), ..config(Kind::Geneve, "192.168.7.2", 7) };
    let options: Arc<[u8]> = Arc::new([1, 2, 0x80, 1, 0, 1, 0, 2]);
    let one = node(&left, config, Tunnel { options, ..to("192.168.7.2", 7) }, "10.0.0.1/24", 1400);
    left.ping("10.0.0.2");
    left.stream(&right, "10.0.0.2", 1 << 20);
    right.stream(&left, "10.0.0.1", 1 << 20);
    let key = one.metadata()[1].unwrap();
    assert_eq!((key.get(Field::TunMetadata(0)), key.get(Field::TunId)), (0xcafe, 7));
}
