//! Frames as guests and other nodes send them: parsing, offload completion, checksums, BFD.
#![no_main]

use hive_packet::MacAddr;
use hive_packet::bfd::Packet;
use hive_packet::coalesce::Coalescer;
use hive_packet::frame::{Frame, Network};
use hive_packet::offload::{self, VnetHeader};
use hive_packet::{ipv4, ipv6};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: ([u8; offload::VNET_HEADER_BYTES], &[u8])| {
    let (header, frame) = input;
    let mut frame = frame.to_vec();
    if let Some(packet) = Packet::parse(&frame) {
        assert_eq!(Packet::parse(&packet.frame(MacAddr([0; 6]))), Some(packet));
    }
    let mut coalescer = Coalescer::default();
    let (begun, other) = (coalescer.begin(&frame), coalescer.append(&frame));
    assert!(begun || !other);
    if let Some((header, frame)) = coalescer.take() {
        header.check(frame, frame.len()).expect("what was put together is sound");
    }
    let parsed = Frame::parse(&frame, frame.len());
    let _ = offload::complete_checksum(&mut frame, &VnetHeader::from_bytes(&header));
    let (Ok(Frame { network, .. }), Some(packet)) = (parsed, frame.get_mut(hive_packet::ETHERNET_HEADER_BYTES..))
    else {
        return;
    };
    if let Some(header) = ipv6::Ipv6Header::parse(packet, packet.len()) {
        assert!(header.payload(packet).is_some());
        let _ = ipv6::transport_checksum_holds(packet, &header);
    }
    if !matches!(network, Network::Ipv4(_)) {
        return;
    }
    let Some(header) = ipv4::Ipv4Header::parse(packet, packet.len()) else { return };
    assert!(header.payload(packet).is_some());
    let _ = ipv4::transport_checksum_holds(packet, &header);
    ipv4::fix_header_checksum(packet);
    assert!(ipv4::header_checksum_holds(packet, &header));
});
