//! All numbers of messages in all versions: known, and as long, as ovs-ofctl has them.

use hive_openflow::{Context, ErrorCode, Version, decode};
use std::fmt::Write as _;
use std::process::Command;
use std::thread;

const NICIRA: u32 = 0x2320;
const ONF: u32 = 0x4f4e_4600;

/// A message without body, and how it is named here.
fn empty_messages(version: Version) -> Vec<(String, Vec<u8>)> {
    let mut messages = Vec::new();
    let mut add = |name: String, kind: u8, body: &[u8]| {
        let mut message = vec![version.wire(), kind];
        message.extend((8 + body.len() as u16).to_be_bytes());
        message.extend([0, 0, 0, 1]);
        message.extend(body);
        messages.push((name, message));
    };
    let old = version == Version::V1_0;
    let multipart = if old { [16, 17] } else { [18, 19] };
    for kind in (0..40).filter(|kind| *kind != 4 && !multipart.contains(kind)) {
        add(format!("type {kind}"), kind, &[]);
    }
    let vendor = |vendor: u32, number: u32| [vendor.to_be_bytes(), number.to_be_bytes()].concat();
    for number in (0..40).chain(128..136) {
        add(format!("nicira {number}"), 4, &vendor(NICIRA, number));
    }
    for number in [1865, 1867, 1870, 1871, 1872, 1873, 1911, 2300, 2301, 2302, 2350] {
        add(format!("onf {number}"), 4, &vendor(ONF, number));
    }
    for kind in multipart {
        let head = |number: u16| [&number.to_be_bytes()[..], &[0; 6][..if old { 2 } else { 6 }]].concat();
        for number in 0..24 {
            add(format!("multipart {kind} {number}"), kind, &head(number));
        }
        for (id, numbers) in [(NICIRA, 0..14), (ONF, 1865..1872)] {
            for number in numbers {
                let vendor = [vendor(id, number), vec![0; if old { 4 } else { 0 }]].concat();
                add(format!("multipart {kind} {id:x} {number}"), kind, &[head(0xffff), vendor].concat());
            }
        }
    }
    messages
}

/// What the tool says of a message without body: `None`, it does not know it; else the least length and the unit of what follows.
fn form(message: &[u8]) -> Option<(usize, usize)> {
    let output = Command::new("ovs-ofctl").args(["ofp-print", &hex::encode(message)]).output().unwrap();
    let (printed, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if ["BAD_TYPE", "BAD_SUBTYPE", "BAD_STAT", "BAD_VENDOR", "BAD_EXPERIMENTER"]
        .iter()
        .any(|code| printed.contains(&format!("OFPBRC_{code}")))
    {
        return None;
    }
    let number_after = |phrase: &str| -> Option<usize> {
        let rest = &told[told.find(phrase)? + phrase.len()..];
        rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
    };
    let unit = number_after("multiple of ");
    let at_least = number_after("expected length at least ").map(|length| (length, 1));
    let exactly = number_after("expected length ").map(|length| (length, 0));
    let longer = number_after("must be exactly ").map(|length| (length, unit.unwrap_or(0)));
    Some(longer.or(at_least).or(exactly).unwrap_or((message.len(), 1)))
}

fn refusal(message: &[u8], context: &Context) -> Option<ErrorCode> {
    decode(message, context).err()
}

/// The message, with as many zeros as it takes to this length.
fn extended(message: &[u8], length: usize) -> Vec<u8> {
    let mut message = message.to_vec();
    message.resize(length, 0);
    message[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    message
}

fn differences(version: Version) -> String {
    let context = Context::new(version);
    let mut text = String::new();
    for (name, message) in empty_messages(version) {
        let ours = refusal(&message, &context);
        let unknown = matches!(
            ours,
            Some(
                ErrorCode::RequestBadType
                    | ErrorCode::RequestBadSubtype
                    | ErrorCode::RequestBadStat
                    | ErrorCode::RequestBadVendor
            )
        );
        match form(&message) {
            None if !unknown => drop(writeln!(text, "{version:?} {name}: only the tool refuses it")),
            Some(_) if unknown => drop(writeln!(text, "{version:?} {name}: only the tool knows it")),
            Some((least, unit)) => {
                let mut wrong = vec![least.wrapping_sub(1)];
                wrong.extend((unit != 1).then_some(least + 1));
                wrong.extend((unit == 0).then_some(least + 8));
                for length in wrong.into_iter().filter(|length| (message.len()..65536).contains(length)) {
                    let ours = refusal(&extended(&message, length), &context);
                    if ours != Some(ErrorCode::RequestBadLen) {
                        let _ = writeln!(text, "{version:?} {name}: {length} bytes: {ours:?}, not {least} and {unit}");
                    }
                }
            }
            None => {}
        }
    }
    text
}

#[test]
fn all_messages_are_known_as_the_tool_knows_them() {
    let workers = Version::ALL.map(|version| thread::spawn(move || differences(version)));
    let text: String = workers.map(|worker| worker.join().unwrap()).concat();
    assert!(text.is_empty(), "{text}");
}
