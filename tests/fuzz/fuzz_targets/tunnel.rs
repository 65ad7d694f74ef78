//! A tunnel's datagram, Geneve or VXLAN, and the packet in an encrypted one's message: any bytes have an answer, and what is read,
//! written again, reads the same.
#![no_main]

use hive_device::tunnel::{MappedOption, OptionMap, PrivateKey, PublicKey, geneve, secure, vxlan};
use hive_flow::Key;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let map: OptionMap = [MappedOption { class: 0x102, kind: 0x80, length_bytes: 4, index: 0 }].into_iter().collect();
    if let Ok(header) = geneve::parse(datagram) {
        assert!(header.frame_at <= datagram.len());
        let _ = map.apply(header.options, &mut Key::default());
        let mut again = Vec::new();
        assert!(geneve::write(header.id, header.options, &mut again));
        assert_eq!(geneve::parse(&again).map(|again| (again.id, again.options)), Ok((header.id, header.options)));
    }
    if let Ok(header) = vxlan::parse(datagram) {
        let mut again = Vec::new();
        vxlan::write(header.id, &mut again);
        assert_eq!(&again[..], &datagram[..header.frame_at]);
    }
    // Between the addresses that it names itself, as an insider would have it.
    if let (Some(source), Some(destination)) = (octets::<4>(datagram, 12), octets::<4>(datagram, 16))
        && let Ok(range) = secure::parse_inner(datagram, source.into(), destination.into(), 6081)
    {
        assert!(range.start >= 28 && range.end <= datagram.len());
    }
    if let (Some(source), Some(destination)) = (octets::<16>(datagram, 8), octets::<16>(datagram, 24))
        && let Ok(range) = secure::parse_inner(datagram, source.into(), destination.into(), 6081)
    {
        assert!(range.start >= 48 && range.end <= datagram.len());
    }
    if let Ok(text) = std::str::from_utf8(datagram) {
        if let Ok(key) = text.parse::<PublicKey>() {
            assert_eq!(key.to_string(), text);
        }
        let _ = text.parse::<PrivateKey>();
    }
});

fn octets<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
