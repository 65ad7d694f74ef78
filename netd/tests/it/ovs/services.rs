//! DHCP, DNS and metadata behind a port of the bridge.

use super::lab::Lab;
use super::namespace::wait;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

fn put(lab: &Lab, request: &str) {
    let mut stream = UnixStream::connect(lab.path("control.sock")).unwrap();
    writeln!(stream, "{request}").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert_eq!(answer.trim(), "\"done\"", "{request}");
}

const SEGMENT: &str = r#"{"method":"put-segment","segment_id":"lan","network":"10.1.0.0","prefix_len":24,"gateway":"10.1.0.254","dns":"10.1.0.253","gateway_mac":"02:00:00:00:00:fe","mtu":1500,"domain_name":"ec2.internal","uplink":false}"#;

fn port(number: u32, mac: &str) -> String {
    format!(
        r#"{{"method":"put-port","port_id":"eni-{number}","segment_id":"lan","mac":"{mac}","ipv4":"10.1.0.{number}","hostname":"host-{number}","number":{number},"metadata":{{"enabled":true,"token_required":false,"hop_limit":1,"tree":{{"meta-data/instance-id":"i-{number}"}}}}}}"#
    )
}

#[test]
fn metadata_is_answered_to_each_port_by_its_number() {
    let mut lab = Lab::new();
    lab.kill_switch();
    lab.start_switch_with(&["--state-dir", &lab.path("state"), "--control-socket", &lab.path("control.sock")]);
    let hosts = lab.hosts::<2>();
    lab.vsctl("add-port br0 svc -- set interface svc type=services ofport_request=20");
    lab.ofctl("del-flows br0");
    put(&lab, SEGMENT);
    for (number, host) in (1..).zip(&hosts) {
        let mac = host.exec("cat /sys/class/net/eth0/address");
        put(&lab, &port(number, mac.trim()));
        lab.flow(&format!("in_port={number},actions=set_field:{number}->tun_id,output:20"));
        lab.flow(&format!("in_port=20,tun_id={number},actions=output:{number}"));
        host.exec("ip route add 169.254.169.254/32 via 10.1.0.254");
    }
    let ask = |number: usize| {
        let url = "http://169.254.169.254/latest/meta-data/instance-id";
        hosts[number - 1].exec(&format!("curl --silent --show-error --max-time 10 {url}"))
    };
    for number in [1, 2] {
        assert_eq!(ask(number), format!("i-{number}"));
    }
    // It answers again after a crash, before anybody puts anything.
    lab.kill_switch();
    lab.start_switch_with(&["--state-dir", &lab.path("state"), "--control-socket", &lab.path("control.sock")]);
    wait("br0 is there", || lab.try_ofctl("show br0").is_ok_and(|shown| shown.contains("20(svc)")));
    lab.ofctl("del-flows br0");
    for number in 1..=2 {
        lab.flow(&format!("in_port={number},actions=set_field:{number}->tun_id,output:20"));
        lab.flow(&format!("in_port=20,tun_id={number},actions=output:{number}"));
        assert_eq!(ask(number), format!("i-{number}"));
    }
}

#[test]
fn without_a_place_for_its_state_there_is_no_such_port() {
    let lab = Lab::new();
    lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    lab.vsctl("add-port br0 svc -- set interface svc type=services");
    assert!(lab.vsctl("get interface svc error").contains("--state-dir"));
}
