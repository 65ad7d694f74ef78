//! Frames as guests and other nodes send them: parsing, offload completion, address rewriting, BFD.
#![no_main]

use hive_packet::MacAddr;
use hive_packet::bfd::Packet;
use hive_packet::frame::{Frame, Network};
use hive_packet::ipv4::{self, Tuple};
use hive_packet::offload::{self, VnetHeader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ([u8; offload::VNET_HEADER_BYTES], &[u8])| {
    let (header, frame) = input;
    let mut frame = frame.to_vec();
    if let Some(packet) = Packet::parse(&frame) {
        assert_eq!(Packet::parse(&packet.frame(MacAddr([0; 6]))), Some(packet));
    }
    let parsed = Frame::parse(&frame, frame.len());
    let _ = offload::complete_checksum(&mut frame, &VnetHeader::from_bytes(&header));
    let (Ok(Frame { network: Network::Ipv4(_), .. }), Some(packet)) =
        (parsed, frame.get_mut(hive_packet::ETHERNET_HEADER_BYTES..))
    else {
        return;
    };
    let Some(header) = ipv4::Ipv4Header::parse(packet, packet.len()) else { return };
    if let Some(tuple) = Tuple::parse(packet, &header) {
        let held = ipv4::transport_checksum_holds(packet, &header);
        let mut other = tuple;
        std::mem::swap(&mut other.src, &mut other.dst);
        if ipv4::rewrite(packet, &header, &tuple, &other) && held {
            let header = ipv4::Ipv4Header::parse(packet, packet.len()).expect("a rewritten header parses");
            assert!(ipv4::transport_checksum_holds(packet, &header));
        }
    }
    ipv4::decrement_ttl(packet);
});
