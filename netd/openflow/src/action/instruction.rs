//! Instructions of OpenFlow 1.1 and later.

use super::decode::{decode_actions, decode_list, meters_are_instructions};
use super::encode::{Flow, encode_action, encode_actions};
use super::{Action, Allowed, Instruction, Outer, verify};
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, Version};

const GOTO_TABLE: u16 = 1;
const WRITE_METADATA: u16 = 2;
const WRITE_ACTIONS: u16 = 3;
const APPLY_ACTIONS: u16 = 4;
const CLEAR_ACTIONS: u16 = 5;
const METER: u16 = 6;
const EXPERIMENTER: u16 = 0xffff;
const HEADER_BYTES: usize = 4;

/// Read a flow's instructions to the end of `reader`; in OpenFlow 1.0, its actions.
pub(crate) fn decode_instructions(reader: &mut Reader<'_>, context: &Context) -> Result<Vec<Action>, ErrorCode> {
    let version = context.version;
    if version == Version::V1_0 {
        return decode_actions(reader, context, Allowed::All, Outer::Nothing, 0);
    }
    if !reader.remaining().is_multiple_of(8) {
        return Err(ErrorCode::InstructionBadLen);
    }
    // In order of execution: meter, apply, clear, write, metadata, goto.
    let mut found: [Option<Reader<'_>>; 6] = [None; 6];
    while !reader.is_empty() {
        let mut header = Reader::new(reader.rest(), ErrorCode::InstructionBadLen);
        let (kind, length) = (header.u16()?, usize::from(header.u16()?));
        if !length.is_multiple_of(8) || length < 8 {
            return Err(ErrorCode::InstructionBadLen);
        }
        let mut whole =
            Reader::new(reader.take(length).map_err(|_| ErrorCode::InstructionBadLen)?, ErrorCode::InstructionBadLen);
        whole.skip(HEADER_BYTES)?;
        let (place, fits) = match kind {
            METER => (Instruction::Meter, length == 8),
            APPLY_ACTIONS => (Instruction::Apply, true),
            CLEAR_ACTIONS => (Instruction::Clear, length == 8),
            WRITE_ACTIONS => (Instruction::Write, true),
            WRITE_METADATA => (Instruction::Metadata, length == 24),
            GOTO_TABLE => (Instruction::Goto, length == 8),
            EXPERIMENTER => return Err(ErrorCode::InstructionBadExperimenter),
            _ => return Err(ErrorCode::InstructionUnknownInst),
        };
        if !fits {
            return Err(ErrorCode::InstructionBadLen);
        }
        if kind == METER && !meters_are_instructions(version) {
            return Err(ErrorCode::InstructionUnknownInst);
        }
        let slot = &mut found[place as usize];
        if slot.is_some() {
            return Err(ErrorCode::InstructionDupInst);
        }
        *slot = Some(whole);
    }
    let [meter, apply, clear, write, metadata, goto] = found;
    let mut actions = Vec::new();
    if let Some(mut meter) = meter {
        actions.push(Action::Meter(meter.u32()?));
    }
    if let Some(mut apply) = apply {
        apply.skip(4)?;
        let mut apply = Reader::new(apply.take_all(), ErrorCode::ActionBadLen);
        actions.extend(decode_list(&mut apply, context, 0)?);
    }
    if clear.is_some() {
        actions.push(Action::ClearActions);
    }
    if let Some(mut write) = write {
        write.skip(4)?;
        let mut write = Reader::new(write.take_all(), ErrorCode::ActionBadLen);
        let set = decode_list(&mut write, context, 0)?;
        if !set.iter().all(Action::is_allowed_in_set) {
            return Err(ErrorCode::ActionBadType);
        }
        actions.push(Action::WriteActions(set));
    }
    if let Some(mut metadata) = metadata {
        metadata.skip(4)?;
        actions.push(Action::WriteMetadata { value: metadata.u64()?, mask: metadata.u64()? });
    }
    if let Some(mut goto) = goto {
        actions.push(Action::GotoTable(goto.u8()?));
    }
    verify(&actions, version, Allowed::All, Outer::Nothing)?;
    Ok(actions)
}

/// Write a flow's instructions; in OpenFlow 1.0, its actions.
pub(crate) fn encode_instructions(actions: &[Action], flow: &mut Flow, out: &mut Vec<u8>, context: &Context) {
    let version = context.version;
    if version == Version::V1_0 {
        return encode_actions(actions, flow, out, context);
    }
    let same_instruction = |a: &Action, b: &Action| {
        a.instruction(version) == Instruction::Apply && b.instruction(version) == Instruction::Apply
    };
    for run in actions.chunk_by(same_instruction) {
        let Some(first) = run.first() else { continue };
        match first {
            Action::Meter(meter) if first.instruction(version) == Instruction::Meter => {
                put(METER, out, |out| out.u32(*meter));
            }
            Action::ClearActions => put(CLEAR_ACTIONS, out, |out| out.zeros(4)),
            Action::WriteActions(set) => {
                put_actions(WRITE_ACTIONS, out, |out| encode_actions(set, flow, out, context));
            }
            Action::WriteMetadata { value, mask } => put(WRITE_METADATA, out, |out| {
                out.zeros(4);
                out.u64(*value);
                out.u64(*mask);
            }),
            Action::GotoTable(table) => put(GOTO_TABLE, out, |out| {
                out.u8(*table);
                out.zeros(3);
            }),
            _ => put_actions(APPLY_ACTIONS, out, |out| {
                run.iter().for_each(|action| encode_action(action, flow, out, context));
            }),
        }
    }
}

fn put(kind: u16, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.u16(kind);
    out.u16(0);
    body(out);
    out.set_length(start, 2);
}

/// An instruction that holds no action is not written at all.
fn put_actions(kind: u16, out: &mut Vec<u8>, actions: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(kind, out, |out| {
        out.zeros(4);
        actions(out);
    });
    if out.len() == start + 8 {
        out.truncate(start);
    }
}
