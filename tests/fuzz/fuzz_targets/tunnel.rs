//! A tunnel's datagram, Geneve or VXLAN: any bytes have an answer, and what is read, written again, reads the same.
#![no_main]

use hive_device::tunnel::{MappedOption, OptionMap, geneve, vxlan};
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
});
