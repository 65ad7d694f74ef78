//! DHCP: packets that the controller answers, and that go on from where they were stopped.

use super::lab::{NETWORKS, machines, region};
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_machine_is_told_its_address() {
    let (central, chassis) = region(NETWORKS);
    let options = central.nbctl("create DHCP_Options cidr=10.1.1.0/24");
    central.nbctl(&format!(
        "dhcp-options-set-options {options} server_id=10.1.1.1 server_mac=02:00:00:00:01:01 lease_time=3600 router=10.1.1.1 \
         dns_server=10.1.1.2 mtu=1442"
    ));
    central.nbctl(&format!("lsp-set-dhcpv4-options web1 {options}"));
    let [web1, _web2, _app1] = machines(&chassis);
    central.sync();
    let (script, told) = (chassis.lab.path("told.sh"), chassis.lab.path("told"));
    let text =
        format!("#!/bin/sh\n[ \"$1\" = bound ] && echo $ip/$mask $router $dns $lease $mtu $serverid >{told}\nexit 0\n");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    web1.ip("addr flush dev eth0");
    web1.exec(&format!("busybox udhcpc -i eth0 -n -q -f -t 10 -T 2 -O mtu -s {script}"));
    let told = std::fs::read_to_string(&told).unwrap();
    assert_eq!(told.trim(), "10.1.1.11/24 10.1.1.1 10.1.1.2 3600 1442 10.1.1.1");
}
