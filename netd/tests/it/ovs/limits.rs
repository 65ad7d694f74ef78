//! Too much of everything: connections, ports, what controllers say. What is there goes on, and nothing grows without an end.

use super::lab::{Lab, reaches};
use super::namespace::{DEADLINE, Namespace, wait};
use hive_flow::{Field, Match};
use hive_openflow::{
    Action, Context, CookieMask, FlowMod, FlowRequest, GROUP_ANY, Hello, Message, NO_BUFFER, PacketOut, PortNo,
    Request, Version,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A TCP connection between two hosts, by which something can be said.
struct Talk(TcpStream, TcpStream);

impl Talk {
    fn new(from: &Namespace, to: &Namespace, address: &'static str) -> Self {
        let listener = to.enter(move || TcpListener::bind((address, 0)).unwrap());
        let at = listener.local_addr().unwrap();
        let client = from.enter(move || TcpStream::connect_timeout(&at, DEADLINE).unwrap());
        let (server, _) = listener.accept().unwrap();
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.set_write_timeout(Some(DEADLINE)).unwrap();
        }
        Self(client, server)
    }

    fn say(&mut self) {
        let mut heard = [0; 5];
        self.0.write_all(b"there").unwrap();
        self.1.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"there");
        self.1.write_all(b"again").unwrap();
        self.0.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"again");
    }
}

/// Of `coverage/show`, how often so far; 0 for what it says never was.
fn counted(lab: &Lab, name: &str) -> u64 {
    let text = lab.appctl("coverage/show");
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.and_then(|line| line.rsplit("total: ").next()?.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn a_full_connection_table_keeps_out_what_is_new_and_nothing_else() {
    let lab = Lab::new();
    let [one, two] = lab.hosts::<2>();
    lab.ofctl("del-flows br0");
    lab.flow("priority=9,arp,actions=NORMAL");
    lab.flow("priority=5,ip,actions=ct(table=1,zone=5)");
    lab.flow("table=1,ip,ct_state=+trk+est,actions=NORMAL");
    lab.flow("table=1,ip,ct_state=+trk+new,actions=ct(commit,zone=5),NORMAL");
    let mut talk = Talk::new(&one, &two, "10.1.0.2");
    talk.say();
    let there = lab.appctl("dpctl/ct-get-nconns");
    for (limit, lift, refused, dropped) in [
        (
            format!("dpctl/ct-set-maxconns {}", there.trim()),
            "dpctl/ct-set-maxconns 3000000",
            "conntrack_refused_full",
            "datapath_drop_conntrack_full",
        ),
        (
            format!("dpctl/ct-set-limits zone=5,limit={}", there.trim()),
            "dpctl/ct-del-limits zone=5",
            "conntrack_refused_zone_full",
            "datapath_drop_conntrack_zone_full",
        ),
    ] {
        lab.appctl(&limit);
        assert!(!reaches(&one, "10.1.0.2"), "{limit}");
        talk.say();
        assert_eq!(lab.appctl("dpctl/ct-get-nconns"), there);
        assert!(counted(&lab, refused) > 0 && counted(&lab, dropped) > 0, "{limit}");
        lab.appctl(lift);
        assert!(reaches(&one, "10.1.0.2"), "{lift}");
        lab.appctl("dpctl/flush-conntrack zone=5 ct_nw_src=10.1.0.1,ct_nw_proto=1");
    }
}

/// How many entries a directory of the switch's process has.
fn count(lab: &Lab, what: &str) -> usize {
    let id = lab.switch.as_ref().unwrap().id();
    std::fs::read_dir(format!("/proc/{id}/{what}")).unwrap().count()
}

/// The most memory that the switch ever had.
fn peak_bytes(lab: &Lab) -> usize {
    let id = lab.switch.as_ref().unwrap().id();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Each has a thread that looks for its guest.
#[test]
fn a_thousand_guests_ports_come_and_go_while_others_go_on() {
    const PORTS: usize = 1000;
    let lab = Lab::new();
    let [one, two] = lab.hosts::<2>();
    one.ping("10.1.0.2");
    let mut talk = Talk::new(&one, &two, "10.1.0.2");
    let held = |lab: &Lab| (count(lab, "fd"), count(lab, "task"));
    let (fds, threads) = held(&lab);
    let batch = |each: &dyn Fn(usize) -> String| (0..PORTS).map(each).collect::<Vec<_>>().join(" -- ");
    let kind = |at: usize| if at.is_multiple_of(2) { "dpdkvhostuserclient" } else { "dpdkvhostuser" };
    let add = batch(&|at| {
        let path = lab.path(&format!("guest{at}"));
        format!(
            "add-port br0 g{at} -- set interface g{at} type={} options:vhost-server-path={path} ofport_request={}",
            kind(at),
            at + 100
        )
    });
    let remove = batch(&|at| format!("del-port br0 g{at}"));
    for _ in 0..2 {
        let done = Arc::new(AtomicBool::new(false));
        let speaker = std::thread::spawn({
            let done = done.clone();
            move || {
                while !done.load(Ordering::Relaxed) {
                    talk.say();
                }
                talk
            }
        });
        lab.vsctl(&add);
        assert_eq!(lab.vsctl(&format!("get interface g{} ofport", PORTS - 1)), (PORTS + 99).to_string());
        assert_eq!(lab.ofctl("-O OpenFlow13 dump-ports-desc br0").matches("addr:").count(), PORTS + 3);
        let (fds_now, threads_now) = held(&lab);
        println!("{fds_now} descriptors, {threads_now} threads, {} MiB", peak_bytes(&lab) >> 20);
        assert!(threads_now <= threads + PORTS + 8 && fds_now <= fds + 4 * PORTS, "{fds_now} {threads_now}");
        lab.vsctl(&remove);
        assert_eq!(lab.ofctl("-O OpenFlow13 dump-ports-desc br0").matches("addr:").count(), 3);
        done.store(true, Ordering::Relaxed);
        talk = speaker.join().unwrap();
        // Of connections of the tools some may be there at the moment.
        wait("nothing is left of them", || {
            let (fds_now, threads_now) = held(&lab);
            fds_now <= fds + 8 && threads_now <= threads
        });
        assert!(!std::fs::exists(lab.path("g1")).unwrap(), "its socket too");
    }
    one.ping("10.1.0.2");
}

/// A controller that says much. `questions`: it wants to be told all flows, again and again.
fn flood(context: &Context, flows_from: u32, questions: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut add = |message: Message| message.encode(1, context, &mut bytes).unwrap();
    let out = |port| vec![Action::Output { port: PortNo(port), max_len: 0 }];
    for number in 0..100 {
        add(Message::EchoRequest(vec![7; 500]));
        let mut flow = Match::default();
        flow.exactly(Field::EthType, 0x0800);
        flow.exactly(Field::Ipv4Dst, (flows_from + number).into());
        add(Message::FlowMod(Box::new(FlowMod { table: 9, ..FlowMod::add(flow, 7, out(1)) })));
        let mut metadata = Match::default();
        metadata.exactly(Field::InPort, PortNo::CONTROLLER.0.into());
        let packet = vec![2; 200];
        add(Message::PacketOut(Box::new(PacketOut { buffer: NO_BUFFER, metadata, actions: out(2), packet })));
    }
    for _ in 0..questions {
        let request = FlowRequest {
            table: 9,
            out_port: PortNo::NONE,
            out_group: GROUP_ANY,
            cookie: CookieMask::default(),
            flow: Match::default(),
            nicira: false,
        };
        add(Message::Request { request: Request::Flow(request), more: false });
    }
    bytes
}

/// Flows that the flood changes again and again.
const FLOWS: u32 = 10_000;

fn accepted(listener: &UnixListener, context: &Context) -> UnixStream {
    listener.set_nonblocking(true).unwrap();
    let mut stream = None;
    wait("the switch connects", || {
        stream = listener.accept().ok();
        stream.is_some()
    });
    let (mut stream, _) = stream.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut hello = Vec::new();
    Message::Hello(Hello::of(&[context.version])).encode(1, context, &mut hello).unwrap();
    stream.write_all(&hello).unwrap();
    stream
}

#[test]
fn controllers_that_flood_hold_up_nobody() {
    let lab = Lab::new();
    let [one, _two] = lab.hosts::<2>();
    one.ping("10.1.0.2");
    let context = Context::new(Version::V1_3);
    let listeners = ["loud", "deaf"].map(|name| UnixListener::bind(lab.path(name)).unwrap());
    lab.vsctl(&format!(
        "set-fail-mode br0 secure -- set-controller br0 unix:{} unix:{}",
        lab.path("loud"),
        lab.path("deaf")
    ));
    lab.flow("actions=NORMAL");
    let before = peak_bytes(&lab);
    let [mut loud, mut deaf] = listeners.each_ref().map(|listener| accepted(listener, &context));
    let (done, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // One takes its answers, and goes on as fast as it is listened to.
    let mut answers = loud.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut piece = vec![0; 1 << 16];
        while answers.read(&mut piece).is_ok_and(|length| length > 0) {}
    });
    let speaker = std::thread::spawn({
        let (done, sent, context) = (done.clone(), sent.clone(), context.clone());
        move || {
            loud.set_write_timeout(Some(DEADLINE)).unwrap();
            for number in (0..FLOWS / 100).cycle() {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let bytes = flood(&context, 100 * number, 0);
                loud.write_all(&bytes).unwrap();
                sent.fetch_add(bytes.len(), Ordering::Relaxed);
            }
            loud.shutdown(std::net::Shutdown::Both).unwrap();
        }
    });
    wait("all flows are there", || {
        lab.ofctl("-O OpenFlow13 dump-aggregate br0 table=9").contains(&format!("flow_count={FLOWS}"))
    });
    // The other asks for all of them and takes nothing: it is listened to no more, and left at last.
    deaf.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let questions = flood(&context, 0, 200);
    let stopped = (0..1000).find_map(|_| deaf.write_all(&questions).err()).expect("it is listened to for ever");
    assert!(
        matches!(stopped.kind(), ErrorKind::WouldBlock | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
        "{stopped}"
    );
    for _ in 0..3 {
        one.ping("10.1.0.2");
        assert!(lab.ofctl("dump-flows br0 table=0").contains("NORMAL"));
        assert!(lab.appctl("fdb/show br0").contains("MAC"));
        lab.vsctl("set bridge br0 external_ids:x=y");
    }
    wait("much was said", || sent.load(Ordering::Relaxed) > 16 << 20);
    done.store(true, Ordering::Relaxed);
    speaker.join().unwrap();
    reader.join().unwrap();
    let grown = peak_bytes(&lab).saturating_sub(before);
    println!("{} MiB more", grown >> 20);
    assert!(grown < 200 << 20, "{grown} bytes");
    drop(deaf);
    one.ping("10.1.0.2");
}
