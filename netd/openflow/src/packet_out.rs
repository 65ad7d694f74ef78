//! OFPT_PACKET_OUT.

use crate::action::{Action, Flow, decode_actions_of_length, encode_actions};
use crate::oxm::{decode_loose, encode_match};
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, PortNo, Version};
use hive_flow::{Field, Match};

/// A packet from the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketOut {
    /// See [`crate::NO_BUFFER`]; then [`PacketOut::packet`] holds it.
    pub buffer: u32,
    /// At least the input port. OpenFlow 1.5 may set registers and the like.
    pub metadata: Match,
    pub actions: Vec<Action>,
    pub packet: Vec<u8>,
}

impl PacketOut {
    /// The port that the packet is said to come from.
    pub fn in_port(&self) -> PortNo {
        PortNo(self.metadata.get(Field::InPort).value as u16)
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, context: &Context) -> Result<Self, ErrorCode> {
        let version = context.version;
        let buffer = reader.u32()?;
        let mut metadata = Match::default();
        let actions_bytes;
        if version == Version::V1_5 {
            actions_bytes = reader.u16()?;
            reader.skip(2)?;
            metadata = decode_loose(reader, context)?;
            check_metadata(&metadata)?;
        } else {
            let in_port = PortNo::decode(reader, version)?;
            actions_bytes = reader.u16()?;
            reader.skip(if version == Version::V1_0 { 0 } else { 6 })?;
            metadata.exactly(Field::InPort, in_port.0.into());
        }
        let in_port = PortNo(metadata.get(Field::InPort).value as u16);
        let actions = decode_actions_of_length(reader, actions_bytes.into(), context)?;
        let stands_for_a_port = matches!(in_port, PortNo::LOCAL | PortNo::NONE | PortNo::CONTROLLER);
        if in_port >= PortNo::MAX && !stands_for_a_port {
            return Err(ErrorCode::RequestBadPort);
        }
        let packet = if buffer == crate::NO_BUFFER { reader.take_all().to_vec() } else { Vec::new() };
        Ok(Self { buffer, metadata, actions, packet })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        let version = context.version;
        out.u32(self.buffer);
        let place;
        if version == Version::V1_5 {
            place = out.len();
            out.zeros(4);
            encode_match(&self.metadata, out, context);
        } else {
            self.in_port().encode(version, out);
            place = out.len();
            out.zeros(if version == Version::V1_0 { 2 } else { 8 });
        }
        let start = out.len();
        encode_actions(&self.actions, &mut Flow::default(), out, context);
        let actions_bytes = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
        out.set(place, &actions_bytes.to_be_bytes());
        out.put(&self.packet);
    }
}

/// Only what the switch keeps beside a packet may be given, and the port must be.
fn check_metadata(metadata: &Match) -> Result<(), ErrorCode> {
    let kept = |field: Field| {
        matches!(
            field,
            Field::InPort
                | Field::PacketType
                | Field::Metadata
                | Field::Reg(_)
                | Field::TunId
                | Field::TunSrc
                | Field::TunDst
                | Field::TunIpv6Src
                | Field::TunIpv6Dst
                | Field::TunFlags
                | Field::TunGbpId
                | Field::TunGbpFlags
                | Field::TunMetadata(_)
        )
    };
    if !metadata.iter().all(|(field, _)| kept(field)) {
        return Err(ErrorCode::RequestPipelineFieldsOnly);
    }
    if metadata.exact(Field::InPort).is_none() { Err(ErrorCode::RequestBadPort) } else { Ok(()) }
}
