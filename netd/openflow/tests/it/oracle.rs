//! Malformed messages: what is refused here must be refused by a real ovs-vswitchd with the same code.

use crate::support::{Connection, Switch};
use hive_openflow::{
    CheckParameters, Context, ErrorCode, ErrorMessage, Message, MeterCommand, MeterMod, PortNo, Version, decode,
    decode_request,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Refusals of two sides.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Difference {
    ours: String,
    theirs: String,
}

/// How often, and the shortest message.
type Differences = BTreeMap<Difference, (usize, Vec<u8>)>;

/// What is refused of the message: by its form, or by its actions against its match.
fn refusal(bytes: &[u8], context: &Context) -> Option<ErrorCode> {
    let decoded = match decode_request(bytes, context) {
        Ok(decoded) => decoded,
        Err(error) => return Some(error),
    };
    let parameters = CheckParameters { version: context.version, ports_max: PortNo::MAX, table: 255, tables: 255 };
    match decoded.message {
        Message::FlowMod(flow_mod) => {
            let table = flow_mod.table;
            CheckParameters { table, ..parameters }.check(&flow_mod.actions, &flow_mod.flow).err()
        }
        Message::MeterMod(MeterMod { command: MeterCommand::Add | MeterCommand::Modify, config }) => {
            config.check().err()
        }
        // What is in a bundle is looked at when it comes.
        Message::BundleAdd(add) => refusal(&add.message, context),
        _ => None,
    }
}

/// Known differences: what is refused here, and what there.
fn is_wanted(ours: Option<ErrorCode>, theirs: Option<ErrorCode>, bytes: &[u8]) -> bool {
    use ErrorCode as E;
    let nicira = |number: u8| bytes[1] == 4 && bytes.get(12..16) == Some(&[0, 0, 0, number]);
    match (ours, theirs) {
        // Found by a hash that is wrong for unknown fields: either code may come.
        (Some(E::ActionBadSetType | E::ActionBadSetLen), Some(E::ActionBadSetLen | E::ActionBadSetType)) => true,
        // bundle_load forgets what it has found wrong before.
        (Some(E::ActionBadArgument), _) => bytes.windows(6).any(|header| header == [0, 0, 0x23, 0x20, 0, 0x0d]),
        // Actions for debugging, which a daemon with dummy ports has.
        (Some(E::ActionBadVendorType), _) => {
            bytes.windows(5).any(|header| header == [0, 0, 0x23, 0x20, 0]) && bytes.iter().any(|byte| *byte >= 0xfe)
        }
        // Later daemons refuse what they do not know, and controllers find out that way.
        (Some(E::PropertyBadType | E::PropertyBadExpType | E::PropertyBadExperimenter), _) if nicira(0x20) => true,
        // Commands of OpenFlow 1.5 in earlier versions.
        (Some(E::GroupModBadCommand), None | Some(E::GroupModUnknownGroup | E::GroupModBadBucket)) => true,
        // Answered with an unknown type; and answers are refused by the switch, not by the codec.
        (Some(E::BundleBadType), None) | (None, Some(E::BundleBadType)) => true,
        // Whether the meter is there is asked first.
        (Some(E::MeterModBadFlags | E::MeterModBadRate), Some(E::MeterModMeterExists | E::MeterModUnknownMeter)) => {
            true
        }
        (Some(E::MeterModBadFlags | E::MeterModBadRate), Some(E::MeterModBadBand | E::MeterModOutOfBands)) => true,
        // The packet decides on what its actions may do.
        (None, Some(E::ActionMatchInconsistent | E::NxRequestUnencodableError)) => bytes[1] == 13,
        // A kind of band that its datapath has not.
        (None, Some(E::MeterModBadBand)) => true,
        (None, Some(theirs)) => is_of_state(theirs),
        _ => false,
    }
}

/// Errors that say something of the switch's state, which a codec cannot know.
fn is_of_state(code: ErrorCode) -> bool {
    use ErrorCode as E;
    matches!(
        code,
        E::RequestEperm
            | E::RequestBadPort
            | E::RequestBufferUnknown
            | E::RequestBufferEmpty
            | E::RequestBadTableId
            | E::ActionBadOutGroup
            | E::ActionBadOutPort
            | E::ActionBadMeter
            | E::FlowModBadTableId
            | E::FlowModOverlap
            | E::NxFlowModBadTableId
            | E::GroupModUnknownGroup
            | E::GroupModUnknownBucket
            | E::GroupModGroupExists
            | E::GroupModLoop
            | E::MeterModMeterExists
            | E::MeterModUnknownMeter
            | E::MeterModInvalidMeter
            | E::MeterModOutOfBands
            | E::GroupModBucketExists
            | E::PortModBadPort
            | E::TableModEperm
            | E::PortModBadHwAddr
            | E::PortModBadConfig
            | E::QueueOpBadPort
            | E::QueueOpBadQueue
            | E::BundleBadId
            | E::BundleBundleExist
            | E::BundleBundleClosed
            | E::BundleBadFlags
            | E::RoleRequestStale
            | E::FlowMonitorUnknownMonitor
            | E::FlowMonitorMonitorExists
            | E::NxResumeStale
            | E::NxResumeNotSupported
            | E::NxStatsNotConfigured
            | E::NxTlvTableModAlreadyMapped
            | E::NxTlvTableModDupEntry
            | E::NxTlvTableModInvalidTlvDel
            | E::TableModBadTable
    )
}

/// Repeatable numbers (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % below as u64) as usize
    }
}

/// Whether a message is neither a greeting nor changes how the rest is read.
fn keeps_state(bytes: &[u8], version: Version) -> bool {
    let nicira = bytes[1] == 4;
    let number = bytes.get(12..16).map_or(0, |number| number[3]);
    bytes[0] == version.wire() && bytes[1] > 3 && !(nicira && matches!(number, 12 | 15 | 24))
}

/// Requests that a tool has written, of one version.
fn requests(version: Version) -> Vec<Vec<u8>> {
    let messages = include_str!("../golden/messages.txt");
    let of_controller = messages.lines().filter_map(|line| line.strip_prefix("> "));
    let bytes = of_controller.map(|text| hex::decode(text).unwrap());
    bytes.filter(|bytes| keeps_state(bytes, version)).collect()
}

/// Change a message a little: bytes within, or its end.
fn damage(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match numbers.next(8) {
        0 => bytes.truncate(8 + numbers.next(bytes.len() - 7)),
        1 => bytes.extend((0..8 * (1 + numbers.next(2))).map(|_| 0)),
        _ => {
            for _ in 0..=numbers.next(2) {
                let at = if bytes.len() > 8 { 8 + numbers.next(bytes.len() - 8) } else { 1 };
                bytes[at] = match numbers.next(6) {
                    0 => 0,
                    1 => 0xff,
                    2 => bytes[at] ^ 1 << numbers.next(8),
                    3 => bytes[at].wrapping_add(1),
                    4 => bytes[at].wrapping_sub(1),
                    _ => numbers.next(256) as u8,
                };
            }
        }
    }
    let length = (bytes.len() as u16).to_be_bytes();
    bytes[2..4].copy_from_slice(&length);
    bytes
}

fn first_error(connection: &mut Connection, bytes: &[u8]) -> std::io::Result<Option<ErrorMessage>> {
    connection.send_bytes(bytes);
    let replies = connection.receive_to_barrier()?;
    Ok(replies.iter().find_map(|reply| match decode(reply, &connection.context).ok()?.message {
        Message::Error(error) if reply[4..8] == bytes[4..8] => Some(error),
        _ => None,
    }))
}

fn name(code: Option<ErrorCode>) -> String {
    code.map_or("accepted".to_owned(), |code| code.name().to_owned())
}

/// Whether a message's refusal cannot be read: Open vSwitch 3.1 returns other bytes than it got.
fn is_garbled(bytes: &[u8], version: Version) -> bool {
    let at = |start: usize| bytes.get(start..start + 2).map_or(0, |number| u16::from_be_bytes([number[0], number[1]]));
    match version {
        Version::V1_0 => bytes[1] == 16 && at(8) == 0xffff && at(18) == 2,
        Version::V1_3 => bytes[1] == 18 && at(8) == 0xffff,
        _ => bytes[1] == 18 && at(8) == 16,
    }
}

fn compare(connection: &mut Connection, bytes: &[u8], differences: &mut Differences) -> std::io::Result<()> {
    let ours = refusal(bytes, &connection.context);
    let answer = first_error(connection, bytes)?;
    if let Some(answer) = &answer {
        // Whatever the code, the refused message comes back as far as here.
        let returned = ErrorMessage::refuse(ErrorCode::RequestBadLen, bytes).data;
        assert_eq!(hex::encode(&answer.data), hex::encode(&returned), "{answer:?}");
    }
    let theirs = answer.map(|answer| answer.code.unwrap_or_else(|unknown| panic!("{unknown:?}")));
    // An error that a version cannot say is said in other words.
    let said = ours.map(|code| {
        let mut written = Vec::new();
        let message = Message::Error(ErrorMessage::refuse(code, bytes));
        message.encode(1, &connection.context, &mut written).unwrap();
        match decode(&written, &connection.context).unwrap().message {
            Message::Error(ErrorMessage { code: Ok(code), .. }) => code,
            other => panic!("{other:?}"),
        }
    });
    if said == theirs || is_wanted(ours, theirs, bytes) {
        return Ok(());
    }
    let difference = Difference { ours: name(said), theirs: name(theirs) };
    let entry = differences.entry(difference).or_insert((0, bytes.to_vec()));
    entry.0 += 1;
    if entry.1.len() > bytes.len() {
        entry.1 = bytes.to_vec();
    }
    Ok(())
}

fn greet(switch: &Switch, version: Version) -> Connection {
    let mut connection = switch.connect(version);
    if version == Version::V1_0 {
        connection.send(&Message::FlowModTableId(true), 2);
        connection.context.table_ids = true;
    }
    connection
}

#[test]
fn what_is_malformed_is_refused_with_the_daemons_code() {
    let (mut switch, mut ends) = (Switch::start(), 0);
    let mut differences = Differences::new();
    let rounds = std::env::var("ORACLE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1500);
    let seed = std::env::var("ORACLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for version in Version::ALL {
        let mut connection = greet(&switch, version);
        let requests = requests(version);
        let mut numbers = Numbers(seed);
        for _ in 0..rounds {
            let bytes = damage(&requests[numbers.next(requests.len())], &mut numbers);
            // Neither an answer nor an end is to be had of these.
            let multipart = bytes[1] == if version == Version::V1_0 { 16 } else { 18 };
            let more = multipart && bytes.get(11).is_some_and(|flags| flags & 1 != 0);
            if !keeps_state(&bytes, version) || more || is_garbled(&bytes, version) {
                continue;
            }
            if compare(&mut connection, &bytes, &mut differences).is_err() {
                // Some packets are the end of the daemon.
                ends += 1;
                assert!(ends < 20, "the daemon ends all the time");
                switch = Switch::start();
                connection = greet(&switch, version);
            }
        }
    }
    let mut text = String::new();
    for (Difference { ours, theirs }, (count, bytes)) in &differences {
        let _ = writeln!(text, "{count} times here {ours}, there {theirs}: {}", hex::encode(bytes));
    }
    assert!(differences.is_empty(), "{text}");
}
