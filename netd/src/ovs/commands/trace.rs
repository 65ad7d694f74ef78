//! `ofproto/trace`: the way of a packet that nobody sent.

use super::{Adder, parse};
use crate::ovs::act::VLAN_LIMIT;
use hive_flow::CT_STATE_NAMES;
use hive_pipeline::TraceRequest;

/// Of a packet that is given, in hexadecimal digits.
const PACKET_DIGITS_MAX: usize = 2 * 65_536;

pub(super) fn add(adder: &mut Adder<'_>) {
    let usage = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]";
    adder.add("ofproto/trace", usage, 1..=64, |daemon, arguments| {
        let mut words = arguments.iter().map(String::as_str);
        let (mut plain, mut ct_next, mut effects) = (Vec::new(), Vec::new(), false);
        while let Some(word) = words.next() {
            let states = match word {
                "-generate" | "--generate" => {
                    effects = true;
                    continue;
                }
                "--ct-next" => words.next(),
                _ => word.strip_prefix("--ct-next="),
            };
            match states {
                Some(states) => ct_next.push(ct_state(states)?),
                None => plain.push(word),
            }
        }
        let (bridge, flow, packet) = match plain.as_slice() {
            [bridge, flow] => (*bridge, *flow, None),
            [bridge, flow, packet] => (*bridge, *flow, Some(frame(packet)?)),
            _ => return Err("Must specify bridge name and flow".to_owned()),
        };
        effects |= packet.is_some();
        let frame = packet.as_deref();
        let request = TraceRequest { bridge, flow, frame, effects, ct_next, vlan_limit: VLAN_LIMIT };
        daemon.pipeline.trace(&request, daemon.now_ms()).map_err(|error| error.to_string())
    });
}

fn ct_state(names: &str) -> Result<u32, String> {
    let bad = |name: &str| format!("{name}: unknown connection tracking state flag");
    names.split([',', '|']).try_fold(0x20, |set, name| {
        let bit = CT_STATE_NAMES.iter().position(|known| *known == name);
        bit.map(|bit| set | 1 << bit).ok_or_else(|| bad(name))
    })
}

fn frame(digits: &str) -> Result<Vec<u8>, String> {
    let bad = || "Trailing garbage in packet data".to_owned();
    if digits.len() > PACKET_DIGITS_MAX || !digits.len().is_multiple_of(2) {
        return Err(bad());
    }
    let bytes = digits.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        parse::number::<u8>(&format!("0x{pair}"))
    });
    bytes.collect::<Option<Vec<u8>>>().ok_or_else(bad)
}
