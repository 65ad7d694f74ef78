//! The bridge's agent against a controller that says anything: it answers or refuses, and a bundle that fails has done nothing.
#![no_main]

use hive_ofproto::{Bridge, BridgeConfig, ConnectionKind, Port};
use hive_openflow::{Desc, Framer, Hello, Message, PortNo, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, stream) = input;
    let version = Version::ALL[usize::from(choice) % Version::ALL.len()];
    let mut bridge = Bridge::new(BridgeConfig { datapath_id: 1, desc: Desc::default() });
    bridge.add_port(Port::new(PortNo(1), "p1", [2, 0, 0, 0, 0, 1], 0));
    let id = bridge.connect(ConnectionKind::Controller);
    let mut hello = Vec::new();
    let context = hive_openflow::Context::new(version);
    Message::Hello(Hello::of(&[version])).encode(1, &context, &mut hello).expect("a hello can be written");
    bridge.receive(id, &hello, 0).expect("the version is spoken");
    let mut framer = Framer::default();
    framer.push(stream);
    let mut now_ms = 0;
    while let Ok(Some(bytes)) = framer.next_message() {
        now_ms += 700;
        bridge.receive(id, bytes, now_ms).expect("a session goes on after its hello");
        bridge.expire(now_ms);
        bridge.take_commands();
        bridge.output(id).expect("the connection is there").clear();
    }
});
