//! Commands of ovs-appctl that other tests do not use.

use super::lab::Lab;
use super::namespace::wait;

#[test]
fn every_command_answers() {
    let lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    one.ping("10.1.0.2");
    let expected = [
        ("version", "(Open vSwitch) 3.1.0"),
        ("list-commands", "dpif-netdev/pmd-stats-show"),
        ("vlog/list", "ofproto"),
        ("vlog/set ofproto:dbg", ""),
        ("coverage/show", "datapath_packets"),
        ("memory/show", "ports:3"),
        ("fdb/stats-show br0", "Total number of learned MAC entries     : "),
        ("fdb/flush br0", "table successfully flushed"),
        ("fdb/flush", "table successfully flushed"),
        ("dpif/show", "br0 65534/"),
        ("dpif/dump-flows br0", ""),
        ("dpif/show-dp-features br0", "Recirc: Yes"),
        ("dpif/show-dp-features br0", "Ufid: No"),
        ("dpctl/show", "port 1: br0 (tap)"),
        ("dpctl/dump-flows", ""),
        ("dpctl/del-flows", ""),
        ("dpctl/dump-conntrack", ""),
        ("dpctl/flush-conntrack", ""),
        ("dpctl/flush-conntrack netdev@ovs-netdev zone=5", ""),
        ("dpctl/ct-get-maxconns", "3000000"),
        ("dpctl/ct-set-maxconns 1000", "setting maxconns successful"),
        ("dpctl/ct-stats-show", "Total: 0"),
        ("dpctl/ct-set-limits zone=5,limit=10", ""),
        ("dpctl/ct-get-limits zone=5", "zone=5,limit=10,count=0"),
        ("dpctl/ct-del-limits zone=5", ""),
        ("ofproto/list", "br0"),
        ("bridge/dump-flows br0", "actions=NORMAL"),
        ("bridge/reconnect", ""),
        ("dpif-netdev/pmd-stats-show", "packets received: "),
        ("dpif-netdev/pmd-stats-clear", ""),
        ("upcall/show", "flows"),
        ("tnl/ports/show", "Listening ports:"),
        ("lacp/show", ""),
        ("bond/list", "Bond\tType\tRecircID\tMembers"),
        ("bond/show", ""),
    ];
    for (command, part) in expected {
        let answer = lab.appctl(command);
        assert!(answer.contains(part), "{command}: {answer}");
    }
    assert_eq!(lab.appctl("dpctl/ct-get-maxconns").trim(), "1000");
    for (command, part) in [
        ("fdb/show none", "no such bridge"),
        ("qos/show p1", "QoS not configured on p1"),
        ("bond/show none", "no such bond"),
        ("lacp/show none", "no such lacp object"),
        // What is not understood does not flush everything, nor is it done by halves.
        ("dpctl/flush-conntrack zone5", "Failed to parse ct-tuple"),
        ("dpctl/flush-conntrack icmp_id=x", "Failed to parse ct-tuple"),
        ("dpctl/ct-set-limits default=5", "not supported"),
        ("ofproto/trace", "requires at least 1 arguments"),
        ("frob", "is not a valid command"),
    ] {
        let answer = lab.try_appctl(command).expect_err(command);
        assert!(answer.contains(part), "{command}: {answer}");
    }
}

#[test]
fn static_addresses_stay() {
    let lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    one.ping("10.1.0.2");
    lab.appctl("fdb/add br0 p2 0 02:00:00:00:00:09");
    lab.appctl("fdb/flush br0");
    let shown = lab.appctl("fdb/show br0");
    assert!(shown.contains("    2     0  02:00:00:00:00:09  static"), "{shown}");
    lab.appctl("fdb/del br0 0 02:00:00:00:00:09");
    assert!(lab.try_appctl("fdb/del br0 0 02:00:00:00:00:09").is_err());
    wait("it is learned anew", || {
        one.ping("10.1.0.2");
        lab.appctl("fdb/show br0").lines().count() >= 3
    });
}
