//! What a controller sends to the switch, in every version: what is accepted must be written, and read again, the same.
#![no_main]

use hive_openflow::{CheckParameters, Context, Framer, Message, PortNo, Version, decode, decode_request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (choice, table_ids, stream) = input;
    let version = Version::ALL[usize::from(choice) % Version::ALL.len()];
    let mut context = Context::new(version);
    context.table_ids = table_ids && version == Version::V1_0;
    let mut framer = Framer::default();
    framer.push(stream);
    while let Ok(Some(bytes)) = framer.next_message() {
        let Ok(decoded) = decode_request(bytes, &context) else { continue };
        if let Message::TlvTableMod(change) = &decoded.message {
            context.tlvs = context.tlvs.apply(change).unwrap_or(context.tlvs);
        }
        if let Message::FlowMod(flow_mod) = &decoded.message {
            let parameters = CheckParameters { version, ports_max: PortNo::MAX, table: flow_mod.table, tables: 254 };
            let _ = parameters.check(&flow_mod.actions, &flow_mod.flow);
        }
        let mut written = Vec::new();
        decoded.message.encode(decoded.header.xid, &context, &mut written).expect("what was read can be written");
        if usize::from(u16::from_be_bytes([written[2], written[3]])) < written.len() {
            // It takes more than one part.
            continue;
        }
        let again = decode(&written, &context).expect("what was written can be read");
        let mut twice = Vec::new();
        again.message.encode(again.header.xid, &context, &mut twice).expect("once more");
        assert_eq!(written, twice);
    }
});
