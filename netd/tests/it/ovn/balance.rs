//! Load balancers: groups that select by hash, and track connections in their buckets.

use super::lab::{NETWORKS, OUTSIDE, machines, region};
use crate::ovs::namespace::{DEADLINE, Namespace, wait};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Answers each connection to port 8080 with a name, as long as the test runs.
fn serve(machine: &Namespace, name: &'static str) {
    let listener = machine.enter(|| TcpListener::bind("0.0.0.0:8080").unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(name.as_bytes()));
        }
    });
}

/// Who answered how many of so many connections.
fn asked(from: &Namespace, to: &str, times: usize) -> BTreeMap<String, usize> {
    let to: SocketAddr = to.parse().unwrap();
    from.enter(move || {
        let mut answers = BTreeMap::new();
        for _ in 0..times {
            let mut stream = TcpStream::connect_timeout(&to, DEADLINE).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            *answers.entry(answer).or_insert(0) += 1;
        }
        answers
    })
}

#[test]
fn connections_are_spread_inside_and_from_outside() {
    let (central, chassis) = region(&format!("{NETWORKS}{OUTSIDE}"));
    central.program(
        "
        lb-add inner 10.1.9.100:80 10.1.1.12:8080,10.1.2.21:8080 tcp
        ls-lb-add web inner
        ls-lb-add app inner
        lb-add outer 192.168.9.60:80 10.1.1.12:8080,10.1.2.21:8080 tcp
        lr-lb-add router outer
        ",
    );
    let [web1, web2, app1] = machines(&chassis);
    let world = chassis.outsider("world", 99, "192.168.9.9/24");
    serve(&web2, "web2");
    serve(&app1, "app1");
    central.sync();
    assert!(chassis.lab.ofctl("-O OpenFlow15 dump-groups br-int").contains("selection_method=dp_hash"));
    for (from, to) in [(&web1, "10.1.9.100:80"), (&world, "192.168.9.60:80")] {
        let answers = asked(from, to, 60);
        // Of 60 connections not one at either has a chance of one in 10^17.
        assert!(answers.keys().map(String::as_str).eq(["app1", "web2"]), "{answers:?}");
    }
    // A machine that is balanced to itself.
    let answers = asked(&web2, "10.1.9.100:80", 60);
    assert!(answers.keys().map(String::as_str).eq(["app1", "web2"]), "{answers:?}");
    // One that is taken out gets none any more.
    central.nbctl("--may-exist lb-add inner 10.1.9.100:80 10.1.2.21:8080 tcp");
    central.sync();
    assert_eq!(asked(&web1, "10.1.9.100:80", 20), BTreeMap::from([("app1".to_owned(), 20)]));
}

/// Flows that are learned keep a client at its server.
#[test]
fn a_client_stays_with_its_server_if_that_is_wanted() {
    let (central, chassis) = region(NETWORKS);
    central.program(
        "
        lb-add inner 10.1.9.100:80 10.1.1.12:8080,10.1.2.21:8080 tcp
        set Load_Balancer inner options:affinity_timeout=60
        ls-lb-add web inner
        ",
    );
    let [web1, web2, app1] = machines(&chassis);
    serve(&web2, "web2");
    serve(&app1, "app1");
    central.sync();
    // OVN 23.03 drops the packets of the connection that teaches it, with ovs-vswitchd too.
    let teacher =
        web1.enter(|| TcpStream::connect_timeout(&"10.1.9.100:80".parse().unwrap(), Duration::from_millis(300)));
    assert!(teacher.is_err());
    wait("a flow is learned", || chassis.lab.ofctl("dump-flows br-int table=78").contains("nw_dst=10.1.9.100"));
    assert_eq!(asked(&web1, "10.1.9.100:80", 60).len(), 1);
}

/// ovn-controller asks servers itself whether they live.
#[test]
fn a_server_that_does_not_answer_is_left() {
    let (central, chassis) = region(NETWORKS);
    central.program(
        "
        lb-add inner 10.1.9.100:80 10.1.1.12:8080,10.1.2.21:8080 tcp
        ls-lb-add web inner
        set Load_Balancer inner ip_port_mappings:10.1.1.12=web2:10.1.1.250 ip_port_mappings:10.1.2.21=app1:10.1.2.250
        --id=@check create Load_Balancer_Health_Check vip=10.1.9.100\\:80 options:interval=1 options:timeout=1 \
           options:success_count=1 options:failure_count=1
        add Load_Balancer inner health_check @check
        ",
    );
    let [web1, web2, app1] = machines(&chassis);
    serve(&web2, "web2");
    serve(&app1, "app1");
    central.sync();
    let count = |status: &str| central.sbctl("--bare --columns=status list Service_Monitor").matches(status).count();
    wait("both are found alive", || count("online") == 2);
    central.sync();
    assert_eq!(asked(&web1, "10.1.9.100:80", 60).len(), 2);
    app1.ip("link set eth0 down");
    wait("one is found dead", || count("offline") == 1);
    central.sync();
    assert_eq!(asked(&web1, "10.1.9.100:80", 20), BTreeMap::from([("web2".to_owned(), 20)]));
}
