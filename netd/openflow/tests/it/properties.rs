//! What holds of all bytes and all matches.

use hive_flow::{Field, Match};
use hive_openflow::{
    Action, Context, FlowMod, Framer, HEADER_BYTES, Message, OxmField, PortNo, TlvMapping, TlvOption, TlvTable,
    TlvTableMod, Version, decode, decode_request,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn context(version: Version) -> Context {
    let mapping = |index: u16, length_bytes: u8| TlvMapping {
        index,
        option: TlvOption { class: 0x102, kind: index as u8, length_bytes },
    };
    let change = TlvTableMod::Add(vec![mapping(0, 4), mapping(1, 8), mapping(5, 16)]);
    let mut context = Context::new(version);
    context.tlvs = TlvTable::default().apply(&change).unwrap();
    context
}

fn golden() -> Vec<Vec<u8>> {
    let messages = [include_str!("../golden/messages.txt"), include_str!("../golden/events.txt")].concat();
    let bytes = messages.lines().filter_map(|line| line.strip_prefix("> ").or_else(|| line.strip_prefix("< ")));
    bytes.map(|text| hex::decode(text).unwrap()).filter(|bytes| Version::from_wire(bytes[0]).is_some()).collect()
}

/// What can be read can be written, and is then read the same.
fn check_stable(bytes: &[u8], context: &Context) -> Result<(), TestCaseError> {
    let Ok(decoded) = decode(bytes, context) else {
        prop_assert!(decode_request(bytes, context).is_err());
        return Ok(());
    };
    let mut written = Vec::new();
    decoded.message.encode(decoded.header.xid, context, &mut written).map_err(|error| {
        TestCaseError::fail(format!("{error} of {:?} from {}", decoded.message, hex::encode(bytes)))
    })?;
    let mut framer = Framer::default();
    framer.push(&written);
    let Ok(Some(first)) = framer.next_message() else {
        return Err(TestCaseError::fail(format!("not framed: {}", hex::encode(&written))));
    };
    if first.len() < written.len() {
        // Too long for one part.
        return Ok(());
    }
    let again = decode(&written, context).map_err(|error| {
        TestCaseError::fail(format!("{error} in {} from {}", hex::encode(&written), hex::encode(bytes)))
    })?;
    let mut twice = Vec::new();
    again.message.encode(again.header.xid, context, &mut twice).unwrap();
    prop_assert_eq!(hex::encode(&written), hex::encode(&twice), "of {}", hex::encode(bytes));
    Ok(())
}

fn set_length(bytes: &mut [u8]) {
    let length = (bytes.len() as u16).to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
}

/// What fields depend on, and those that depend on it.
type Kind = (&'static [(Field, u128)], &'static [Field]);
const KINDS: [Kind; 6] = [
    (&[], &[]),
    (
        &[(Field::EthType, 0x800), (Field::IpProto, 6)],
        &[Field::Ipv4Src, Field::Ipv4Dst, Field::IpDscp, Field::IpEcn, Field::IpTtl, Field::TpSrc, Field::TcpFlags],
    ),
    (
        &[(Field::EthType, 0x86dd), (Field::IpProto, 58), (Field::IcmpType, 135), (Field::IcmpCode, 0)],
        &[Field::Ipv6Src, Field::Ipv6Dst, Field::Ipv6Label, Field::NdTarget, Field::NdSll],
    ),
    (&[(Field::EthType, 0x86dd), (Field::IpProto, 132)], &[Field::IpFrag, Field::TpSrc, Field::TpDst]),
    (&[(Field::EthType, 0x806)], &[Field::ArpOp, Field::ArpSpa, Field::ArpTpa, Field::ArpSha, Field::ArpTha]),
    (&[(Field::EthType, 0x8847)], &[Field::MplsLabel, Field::MplsTc, Field::MplsBos, Field::MplsTtl]),
];

/// A match on some fields, which may lack what they depend on.
fn any_match() -> impl Strategy<Value = (Kind, Match)> {
    // Options are as wide as their table says, and ports are numbers that versions write differently.
    let is_plain = |field: &OxmField| {
        use OxmField as F;
        !matches!(field, F::TunMetadata(_) | F::InPort | F::InPortOxm | F::ActsetOutput)
    };
    let fields: Vec<OxmField> = OxmField::all().filter(is_plain).collect();
    let fields = vec((select(fields), any::<u128>(), any::<u128>(), any::<bool>()), 0..4);
    (select(KINDS.to_vec()), fields).prop_map(|(kind, fields)| {
        let mut flow = Match::default();
        for (field, value, mask, exact) in fields {
            let mask = if exact || !field.is_maskable() { u128::MAX } else { mask };
            for part in field.parts() {
                let ones = u128::MAX >> (128 - part.bits);
                let (value, mask) = (value >> part.view_offset & ones, mask >> part.view_offset & ones);
                flow.set(part.field, (value & mask) << part.offset, mask << part.offset);
            }
        }
        for (field, value) in kind.0 {
            flow.exactly(*field, *value);
        }
        (kind, flow)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes_can_be_looked_at(
        version in select(Version::ALL.to_vec()),
        kind in 0u8..36,
        body in vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = vec![version.wire(), kind, 0, 0, 0, 0, 0, 7];
        bytes.extend(body);
        set_length(&mut bytes);
        check_stable(&bytes, &context(version))?;
    }

    #[test]
    fn damaged_messages_can_be_looked_at(
        message in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<Index>()),
    ) {
        let messages = golden();
        let mut bytes = message.get(&messages).clone();
        let version = Version::from_wire(bytes[0]).unwrap();
        for (at, value) in changes {
            let at = HEADER_BYTES + at.index(bytes.len().max(HEADER_BYTES + 1) - HEADER_BYTES);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(HEADER_BYTES + cut.index(bytes.len() - HEADER_BYTES + 1));
        }
        set_length(&mut bytes);
        check_stable(&bytes, &context(version))?;
    }

    #[test]
    fn matches_are_read_as_they_were_written(version in select(Version::ALL.to_vec()), (kind, flow) in any_match()) {
        let context = context(version);
        let actions = vec![Action::Output { port: PortNo(1), max_len: 0 }];
        let flow_mod = FlowMod { nicira: version == Version::V1_0, ..FlowMod::add(flow, 5, actions) };
        let mut bytes = Vec::new();
        Message::FlowMod(Box::new(flow_mod.clone())).encode(1, &context, &mut bytes).unwrap();
        // A field that lacks what it depends on is left out or refused.
        if let Ok(decoded) = decode_request(&bytes, &context) {
            let Message::FlowMod(found) = decoded.message else { panic!("no flow mod") };
            for (field, wanted) in flow_mod.flow.iter() {
                let is_kept = field <= Field::EthType || kind.1.contains(&field);
                let found = found.flow.get(field);
                prop_assert!(found == wanted || !is_kept && found.mask & !wanted.mask == 0, "{field:?}: {wanted:?} {found:?}");
            }
            prop_assert_eq!(found.actions, flow_mod.actions);
        }
    }

    #[test]
    fn the_cut_of_a_stream_does_not_matter(chosen in vec(any::<Index>(), 1..6), pieces in vec(1usize..300, 1..50)) {
        let messages = golden();
        let chosen: Vec<_> = chosen.iter().map(|index| index.get(&messages).clone()).collect();
        let stream = chosen.concat();
        let (mut framer, mut found, mut rest) = (Framer::default(), Vec::new(), &stream[..]);
        for length in pieces.iter().cycle() {
            let (piece, left) = rest.split_at((*length).min(rest.len()));
            framer.push(piece);
            while let Some(message) = framer.next_message().unwrap() {
                found.push(message.to_vec());
            }
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, chosen);
    }
}
