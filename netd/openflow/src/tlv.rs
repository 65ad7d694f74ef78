//! Which tunnel option each `tun_metadata` field stands for (NXT_TLV_TABLE_*).

use crate::ErrorCode;
use crate::wire::{Put, Reader};
use hive_flow::TUNNEL_OPTIONS;
use std::collections::BTreeMap;

/// Bytes that all mapped options may have together, as in Open vSwitch.
pub const OPTION_SPACE_BYTES: u32 = 256;
/// A field holds no longer option ([`hive_flow::Field::TunMetadata`]).
pub const OPTION_BYTES_MAX: u8 = 16;
/// Options of Geneve are at most that long; longer ones no message may name.
const WIRE_OPTION_BYTES_MAX: u8 = 124;

/// A tunnel option: class, type, and bytes of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvOption {
    pub class: u16,
    pub kind: u8,
    /// A multiple of 4.
    pub length_bytes: u8,
}

/// An option and the index of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlvMapping {
    pub index: u16,
    pub option: TlvOption,
}

/// NXT_TLV_TABLE_MOD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlvTableMod {
    Add(Vec<TlvMapping>),
    Delete(Vec<TlvMapping>),
    /// Delete all. What mappings come with it mean nothing.
    Clear(Vec<TlvMapping>),
}

/// NXT_TLV_TABLE_REPLY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvTableReply {
    /// See [`OPTION_SPACE_BYTES`].
    pub option_space_bytes: u32,
    pub fields_max: u16,
    pub mappings: Vec<TlvMapping>,
}

/// The mappings in force. An old table stays valid for the flows that were read with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlvTable {
    options: BTreeMap<u8, TlvOption>,
}

impl TlvTable {
    /// Bytes of the option behind a field; `None`: not mapped.
    pub fn option_bytes(&self, index: u8) -> Option<u8> {
        self.options.get(&index).map(|option| option.length_bytes)
    }

    pub fn option(&self, index: u8) -> Option<TlvOption> {
        self.options.get(&index).copied()
    }

    /// In the order of fields.
    pub fn mappings(&self) -> impl Iterator<Item = TlvMapping> + '_ {
        self.options.iter().map(|(index, option)| TlvMapping { index: (*index).into(), option: *option })
    }

    /// The table after a change. Whether flows use what is deleted, the switch must know.
    ///
    /// # Errors
    /// `NXTTMFC_*`; then nothing of the change holds.
    pub fn apply(&self, change: &TlvTableMod) -> Result<Self, ErrorCode> {
        let mut table = self.clone();
        match change {
            TlvTableMod::Clear(_) => table.options.clear(),
            TlvTableMod::Delete(mappings) => {
                let index = |mapping: &TlvMapping| u8::try_from(mapping.index).ok();
                table.options.retain(|kept, _| !mappings.iter().any(|mapping| index(mapping) == Some(*kept)));
            }
            TlvTableMod::Add(mappings) => mappings.iter().try_for_each(|mapping| table.add(*mapping))?,
        }
        Ok(table)
    }

    fn add(&mut self, TlvMapping { index, option }: TlvMapping) -> Result<(), ErrorCode> {
        let index = u8::try_from(index).ok().filter(|index| *index < TUNNEL_OPTIONS);
        let index = index.ok_or(ErrorCode::NxTlvTableModBadFieldIdx)?;
        if option.length_bytes > OPTION_BYTES_MAX {
            return Err(ErrorCode::NxTlvTableModBadOptLen);
        }
        if self.options.contains_key(&index) {
            return Err(ErrorCode::NxTlvTableModAlreadyMapped);
        }
        if self.options.values().any(|other| (other.class, other.kind) == (option.class, option.kind)) {
            return Err(ErrorCode::NxTlvTableModDupEntry);
        }
        let used: u32 = self.options.values().map(|option| u32::from(option.length_bytes)).sum();
        if used + u32::from(option.length_bytes) > OPTION_SPACE_BYTES {
            return Err(ErrorCode::NxTlvTableModTableFull);
        }
        self.options.insert(index, option);
        Ok(())
    }
}

fn decode_mappings(reader: &mut Reader<'_>) -> Result<Vec<TlvMapping>, ErrorCode> {
    let mut mappings = Vec::new();
    while !reader.is_empty() {
        let (class, kind, length_bytes) = (reader.u16()?, reader.u8()?, reader.u8()?);
        let index = reader.u16()?;
        reader.skip(2)?;
        if length_bytes == 0 || length_bytes % 4 != 0 || length_bytes > WIRE_OPTION_BYTES_MAX {
            return Err(ErrorCode::NxTlvTableModBadOptLen);
        }
        if index >= TUNNEL_OPTIONS.into() {
            return Err(ErrorCode::NxTlvTableModBadFieldIdx);
        }
        mappings.push(TlvMapping { index, option: TlvOption { class, kind, length_bytes } });
    }
    Ok(mappings)
}

fn encode_mappings(mappings: &[TlvMapping], out: &mut Vec<u8>) {
    for TlvMapping { index, option } in mappings {
        out.u16(option.class);
        out.u8(option.kind);
        out.u8(option.length_bytes);
        out.u16(*index);
        out.zeros(2);
    }
}

impl TlvTableMod {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let command = reader.u16()?;
        reader.skip(6)?;
        let command = match command {
            0 => Self::Add,
            1 => Self::Delete,
            2 => Self::Clear,
            _ => return Err(ErrorCode::NxTlvTableModBadCommand),
        };
        decode_mappings(reader).map(command)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let (command, mappings) = match self {
            Self::Add(mappings) => (0, mappings),
            Self::Delete(mappings) => (1, mappings),
            Self::Clear(mappings) => (2, mappings),
        };
        out.u16(command);
        out.zeros(6);
        encode_mappings(mappings, out);
    }
}

impl TlvTableReply {
    pub fn of(table: &TlvTable) -> Self {
        Self {
            option_space_bytes: OPTION_SPACE_BYTES,
            fields_max: TUNNEL_OPTIONS.into(),
            mappings: table.mappings().collect(),
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let (option_space_bytes, fields_max) = (reader.u32()?, reader.u16()?);
        reader.skip(10)?;
        Ok(Self { option_space_bytes, fields_max, mappings: decode_mappings(reader)? })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.option_space_bytes);
        out.u16(self.fields_max);
        out.zeros(10);
        encode_mappings(&self.mappings, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(index: u16, kind: u8, length_bytes: u8) -> TlvMapping {
        TlvMapping { index, option: TlvOption { class: 0x102, kind, length_bytes } }
    }

    #[test]
    fn a_change_holds_as_a_whole_or_not_at_all() {
        let table = TlvTable::default().apply(&TlvTableMod::Add(vec![mapping(0, 0x80, 4)])).unwrap();
        assert_eq!(table.option_bytes(0), Some(4));
        let refused = [
            (vec![mapping(1, 0x81, 8), mapping(0, 0x82, 4)], ErrorCode::NxTlvTableModAlreadyMapped),
            (vec![mapping(1, 0x80, 4)], ErrorCode::NxTlvTableModDupEntry),
            (vec![mapping(64, 0x81, 4)], ErrorCode::NxTlvTableModBadFieldIdx),
            (vec![mapping(1, 0x81, 20)], ErrorCode::NxTlvTableModBadOptLen),
            ((1..20).map(|index| mapping(index, index as u8, 16)).collect(), ErrorCode::NxTlvTableModTableFull),
        ];
        for (mappings, error) in refused {
            assert_eq!(table.apply(&TlvTableMod::Add(mappings)), Err(error));
        }
        assert_eq!(table.apply(&TlvTableMod::Delete(vec![mapping(0, 0, 4)])), Ok(TlvTable::default()));
        assert_eq!(table.apply(&TlvTableMod::Clear(Vec::new())), Ok(TlvTable::default()));
    }
}
