//! A guest that asks the services: whole frames, DHCP, DNS, TCP to the metadata service, and neighbour discovery, in IPv4 and IPv6, one
//! after the other.
#![no_main]

use hive_netd::services::Services;
use hive_netd::services::device::Answers;
use hive_netd::services::interface::{Client, Directory, Interface};
use hive_netd::services::model::ipv6::{METADATA_ADDRESS_V6, RESOLVER_ADDRESS_V6};
use hive_netd::services::model::{METADATA_ADDRESS, Port, Segment};
use hive_netd_api as api;
use hive_packet::{Frame, Network, build, ipv4, ipv6};
use libfuzzer_sys::fuzz_target;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 5, 0, 0, 0, 0x55);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 5);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

fn segment() -> Segment {
    let text = r#"{"segment_id":"s","network":"10.0.0.0","prefix_len":24,"gateway":"10.0.0.1","dns":"10.0.0.2",
        "gateway_mac":"02:00:00:00:00:01","mtu":1500,"domain_name":"ec2.internal","name_servers":["10.0.0.2"],
        "ipv6":{"network":"2001:db8:0:5::","prefix_len":64,"name_servers":["fd00:ec2::253"],"ntp_servers":["fd00:ec2::123"]}}"#;
    Segment::parse(serde_json::from_str(text).expect("a segment")).expect("a segment")
}

fn port(segment: Arc<Segment>) -> Port {
    let text = r#"{"port_id":"p","segment_id":"s","mac":"02:00:00:00:00:05","ipv4":"10.0.0.5","ipv6":["2001:db8:0:5::55"],"hostname":"h","number":7,
        "metadata":{"enabled":true,"token_required":false,"hop_limit":1,"ipv6":true,"tree":{"meta-data/public-keys/0=k":"x"}}}"#;
    let spec: api::Port = serde_json::from_str(text).expect("a port");
    Port::parse(spec, segment).expect("a port")
}

fuzz_target!(|asked: Vec<(u8, u8, u32, u32, &[u8])>| {
    let segment = Arc::new(segment());
    let directory = Arc::new(Directory::default());
    let interface = Arc::new(Interface::new(port(segment.clone()), &directory));
    directory.set([segment.clone()].iter(), [interface.clone()].iter(), [].iter());
    let (port, answers) = (interface.port(), Arc::new(Answers::new().expect("an eventfd")));
    let client = Client { interface, answers: answers.clone() };
    let mut services = Services::new(directory, None).expect("no upstream");
    for (kind, flags, sequence, acknowledged, bytes) in asked {
        let packet = match kind % 16 {
            0 => build::udp(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, 68, 67, bytes),
            1 => build::udp(GUEST, RESOLVER, 1000, 53, bytes),
            2 => build::tcp_at(GUEST, METADATA_ADDRESS, [1, 80], flags, [sequence, acknowledged], bytes),
            3 => build::icmp(GUEST, GATEWAY, flags, 0, [0; 4], bytes),
            4 => build::v6::udp(LINK_LOCAL, ALL_DHCP_SERVERS, 546, 547, bytes),
            5 => build::v6::udp(GUEST_V6, RESOLVER_ADDRESS_V6, 1000, 53, bytes),
            6 => build::v6::tcp_at(GUEST_V6, METADATA_ADDRESS_V6, [1, 80], flags, [sequence, acknowledged], bytes),
            7 => build::v6::icmp(GUEST_V6, RESOLVER_ADDRESS_V6, flags, 0, [0; 4], bytes),
            8 => build::v6::neighbour(LINK_LOCAL, ALL_ROUTERS, flags, [0; 4], bytes),
            9 => build::v6::neighbour(Ipv6Addr::UNSPECIFIED, ALL_ROUTERS, flags, [0; 4], bytes),
            _ => build::v6::packet(GUEST_V6, RESOLVER_ADDRESS_V6, flags, 255, bytes),
        };
        let frame = match kind / 16 % 2 {
            0 => build::ethernet(segment.gateway_mac, port.mac, &packet),
            _ => [&segment.gateway_mac.0[..], &port.mac.0, bytes].concat(),
        };
        let _ = services.answer(&client, &frame);
        for (number, answer) in answers.take() {
            let parsed = Frame::parse(&answer, answer.len()).expect("an answer parses");
            assert_eq!((number, parsed.dst, parsed.src), (7, port.mac, segment.gateway_mac));
            if let Network::Ipv4(header) = parsed.network {
                let packet = &answer[hive_packet::ETHERNET_HEADER_BYTES..];
                assert!(ipv4::header_checksum_holds(packet, &header) && ipv4::transport_checksum_holds(packet, &header));
            } else if let Network::Ipv6(header) = parsed.network {
                let packet = &answer[hive_packet::ETHERNET_HEADER_BYTES..];
                assert!(ipv6::transport_checksum_holds(packet, &header) && header.total_bytes == packet.len());
                assert!(api::is_unicast_v6(header.dst) || header.dst == ALL_NODES);
            }
        }
    }
});
