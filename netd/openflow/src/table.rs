//! Tables: OFPT_TABLE_MOD, descriptions, counters, features.

use crate::oxm::OxmField;
use crate::property::{self, Property};
use crate::wire::{Put, Reader};
use crate::{ErrorCode, Version};

/// Bytes of a table's name, its NUL included.
const NAME_BYTES: usize = 32;
/// OFPTC_*: of OpenFlow 1.4 and later.
const CONFIG_EVICTION: u32 = 1 << 2;
const CONFIG_VACANCY_EVENTS: u32 = 1 << 3;
/// OFPTMPT_*.
const EVICTION: u64 = 2;
const VACANCY: u64 = 3;

/// When to tell that a table gets full, in percent of free entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacancy {
    pub down_percent: u8,
    pub up_percent: u8,
    /// What is free now; of descriptions only.
    pub now_percent: u8,
}

/// How a table is configured; OpenFlow 1.3 has nothing of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// [`crate::TABLE_ALL`]: all tables.
    pub table: u8,
    pub eviction: bool,
    pub vacancy_events: bool,
    /// OFPTMPEF_*, by what is evicted first.
    pub eviction_flags: Option<u32>,
    pub vacancy: Option<Vacancy>,
}

impl TableConfig {
    fn from_bits(table: u8, config: u32, version: Version) -> Self {
        let later = version >= Version::V1_4;
        Self {
            table,
            eviction: later && config & CONFIG_EVICTION != 0,
            vacancy_events: later && config & CONFIG_VACANCY_EVENTS != 0,
            eviction_flags: None,
            vacancy: None,
        }
    }

    fn bits(&self, version: Version) -> u32 {
        let flag = |set: bool, flag: u32| if set && version >= Version::V1_4 { flag } else { 0 };
        flag(self.eviction, CONFIG_EVICTION) | flag(self.vacancy_events, CONFIG_VACANCY_EVENTS)
    }

    /// `change`: a table mod, in which all must be known and sensible.
    fn decode_properties(&mut self, reader: &mut Reader<'_>, change: bool) -> Result<(), ErrorCode> {
        while !reader.is_empty() {
            let property = Property::decode(reader)?;
            match property.kind {
                EVICTION => self.eviction_flags = Some(property.u32()?),
                VACANCY => {
                    let [down_percent, up_percent, now_percent, _] = property.u32()?.to_be_bytes();
                    let sensible = down_percent <= up_percent && up_percent <= 100 && now_percent == 0;
                    if change && !sensible {
                        return Err(ErrorCode::PropertyBadValue);
                    }
                    self.vacancy = Some(Vacancy { down_percent, up_percent, now_percent });
                }
                // So says Open vSwitch, of experimenters' properties too.
                _ if change => return Err(ErrorCode::RequestBadType),
                _ => {}
            }
        }
        Ok(())
    }

    fn encode_properties(&self, out: &mut Vec<u8>) {
        if let Some(flags) = self.eviction_flags {
            property::put_u32(out, EVICTION, flags);
        }
        if let Some(Vacancy { down_percent, up_percent, now_percent }) = self.vacancy {
            property::put_u32(out, VACANCY, u32::from_be_bytes([down_percent, up_percent, now_percent, 0]));
        }
    }

    /// OFPT_TABLE_MOD.
    pub(crate) fn decode_mod(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let table = reader.u8()?;
        reader.skip(3)?;
        let mut this = Self::from_bits(table, reader.u32()?, version);
        this.decode_properties(reader, true)?;
        Ok(this)
    }

    pub(crate) fn encode_mod(&self, out: &mut Vec<u8>, version: Version) {
        out.u8(self.table);
        out.zeros(3);
        out.u32(self.bits(version));
        if version >= Version::V1_4 {
            self.encode_properties(out);
        }
    }

    /// `ofp_table_desc`.
    pub(crate) fn decode_desc(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let (length, table) = (usize::from(reader.u16()?), reader.u8()?);
        reader.skip(1)?;
        let mut this = Self::from_bits(table, reader.u32()?, version);
        let properties = length.checked_sub(8).ok_or(ErrorCode::RequestBadLen)?;
        this.decode_properties(&mut reader.sub(properties)?, false)?;
        Ok(this)
    }

    pub(crate) fn encode_desc(&self, out: &mut Vec<u8>, version: Version) {
        let start = out.len();
        out.u16(0);
        out.u8(self.table);
        out.zeros(1);
        out.u32(self.bits(version));
        self.encode_properties(out);
        out.set_length(start, 0);
    }
}

/// A table's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    pub table: u8,
    pub active: u32,
    pub lookups: u64,
    pub matches: u64,
    /// The rest, OpenFlow 1.0 only.
    pub name: String,
    /// OFPFW_*: what may be wildcarded.
    pub wildcards: u32,
    pub entries_max: u32,
}

impl TableStats {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Self, ErrorCode> {
        let mut this = Self { table: reader.u8()?, ..Default::default() };
        reader.skip(3)?;
        if version == Version::V1_0 {
            this.name = reader.text(NAME_BYTES)?;
            this.wildcards = reader.u32()?;
            this.entries_max = reader.u32()?;
        }
        this.active = reader.u32()?;
        this.lookups = reader.u64()?;
        this.matches = reader.u64()?;
        Ok(this)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, version: Version) {
        out.u8(self.table);
        out.zeros(3);
        if version == Version::V1_0 {
            out.text(&self.name, NAME_BYTES);
            out.u32(self.wildcards);
            out.u32(self.entries_max);
        }
        out.u32(self.active);
        out.u64(self.lookups);
        out.u64(self.matches);
    }
}

/// A field as table features name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldHeader {
    /// Class, number, mask bit, length: the first four bytes of an OXM header.
    pub header: u32,
    /// Of an experimenter's field.
    pub experimenter: u32,
}

/// OFPXMC_EXPERIMENTER.
const EXPERIMENTER_CLASS: u32 = 0xffff;

impl FieldHeader {
    /// How `version` names the field. `masked`: it may be matched under any mask.
    pub fn of(field: OxmField, masked: bool, version: Version) -> Self {
        let context = crate::Context::new(version);
        let mut bytes = Vec::new();
        crate::oxm::encode_header(&mut bytes, field, Some(version), masked, &context);
        let mut reader = Reader::new(&bytes, ErrorCode::RequestBadLen);
        Self { header: reader.u32().unwrap_or(0), experimenter: reader.u32().unwrap_or(0) }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let header = reader.u32()?;
        let experimenter = if header >> 16 == EXPERIMENTER_CLASS { reader.u32()? } else { 0 };
        Ok(Self { header, experimenter })
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.u32(self.header);
        if self.header >> 16 == EXPERIMENTER_CLASS {
            out.u32(self.experimenter);
        }
    }
}

/// OFPTFPT_*: a property of a table; `miss`: of its table-miss flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableProperty {
    /// Numbers of instructions.
    Instructions {
        miss: bool,
        kinds: Vec<u16>,
    },
    /// Tables that can be gone to.
    NextTables {
        miss: bool,
        tables: Vec<u8>,
    },
    /// Numbers of actions in Write-Actions, or in Apply-Actions.
    WriteActions {
        miss: bool,
        kinds: Vec<u16>,
    },
    ApplyActions {
        miss: bool,
        kinds: Vec<u16>,
    },
    Match(Vec<FieldHeader>),
    /// Fields that need not be matched on.
    Wildcards(Vec<FieldHeader>),
    /// Fields that can be set in Write-Actions, or in Apply-Actions.
    WriteSetField {
        miss: bool,
        fields: Vec<FieldHeader>,
    },
    ApplySetField {
        miss: bool,
        fields: Vec<FieldHeader>,
    },
    /// Not known here.
    Other {
        kind: u64,
        content: Vec<u8>,
    },
}

const INSTRUCTIONS: u64 = 0;
const NEXT_TABLES: u64 = 2;
const WRITE_ACTIONS: u64 = 4;
const APPLY_ACTIONS: u64 = 6;
const MATCH: u64 = 8;
const WILDCARDS: u64 = 10;
const WRITE_SET_FIELD: u64 = 12;
const APPLY_SET_FIELD: u64 = 14;

impl TableProperty {
    fn decode(property: Property<'_>) -> Result<Self, ErrorCode> {
        let mut reader = Reader::new(property.content, ErrorCode::PropertyBadLen);
        let miss = property.kind & 1 != 0;
        let kinds = |reader: &mut Reader<'_>| {
            let mut kinds = Vec::new();
            while !reader.is_empty() {
                let (kind, length) = (reader.u16()?, usize::from(reader.u16()?));
                reader.skip(length.checked_sub(4).ok_or(ErrorCode::PropertyBadLen)?)?;
                kinds.push(kind);
            }
            Ok(kinds)
        };
        let fields = |reader: &mut Reader<'_>| {
            let mut fields = Vec::new();
            while !reader.is_empty() {
                fields.push(FieldHeader::decode(reader)?);
            }
            Ok(fields)
        };
        Ok(match property.kind & !1 {
            INSTRUCTIONS => Self::Instructions { miss, kinds: kinds(&mut reader)? },
            NEXT_TABLES => Self::NextTables { miss, tables: reader.take_all().to_vec() },
            WRITE_ACTIONS => Self::WriteActions { miss, kinds: kinds(&mut reader)? },
            APPLY_ACTIONS => Self::ApplyActions { miss, kinds: kinds(&mut reader)? },
            MATCH if !miss => Self::Match(fields(&mut reader)?),
            WILDCARDS if !miss => Self::Wildcards(fields(&mut reader)?),
            WRITE_SET_FIELD => Self::WriteSetField { miss, fields: fields(&mut reader)? },
            APPLY_SET_FIELD => Self::ApplySetField { miss, fields: fields(&mut reader)? },
            _ => Self::Other { kind: property.kind, content: property.content.to_vec() },
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let put_kinds = |out: &mut Vec<u8>, kind: u64, miss: bool, kinds: &[u16]| {
            property::put(out, kind | u64::from(miss), |out| {
                for kind in kinds {
                    out.u16(*kind);
                    out.u16(4);
                }
            });
        };
        let put_fields = |out: &mut Vec<u8>, kind: u64, miss: bool, fields: &[FieldHeader]| {
            property::put(out, kind | u64::from(miss), |out| fields.iter().for_each(|field| field.encode(out)));
        };
        match self {
            Self::Instructions { miss, kinds } => put_kinds(out, INSTRUCTIONS, *miss, kinds),
            Self::NextTables { miss, tables } => {
                property::put(out, NEXT_TABLES | u64::from(*miss), |out| out.put(tables));
            }
            Self::WriteActions { miss, kinds } => put_kinds(out, WRITE_ACTIONS, *miss, kinds),
            Self::ApplyActions { miss, kinds } => put_kinds(out, APPLY_ACTIONS, *miss, kinds),
            Self::Match(fields) => put_fields(out, MATCH, false, fields),
            Self::Wildcards(fields) => put_fields(out, WILDCARDS, false, fields),
            Self::WriteSetField { miss, fields } => put_fields(out, WRITE_SET_FIELD, *miss, fields),
            Self::ApplySetField { miss, fields } => put_fields(out, APPLY_SET_FIELD, *miss, fields),
            Self::Other { kind, content } => property::put(out, *kind, |out| out.put(content)),
        }
    }
}

/// `ofp_table_features`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFeatures {
    pub table: u8,
    /// OpenFlow 1.5: OFPTFC_*.
    pub command: u8,
    /// OpenFlow 1.5: OFPTFF_*.
    pub features: u32,
    /// At most 31 bytes.
    pub name: String,
    pub metadata_match: u64,
    pub metadata_write: u64,
    /// OpenFlow 1.4 and later: bit 2 eviction, bit 3 vacancy events.
    pub capabilities: u32,
    pub entries_max: u32,
    pub properties: Vec<TableProperty>,
}

/// Bytes of `ofp_table_features` without properties.
const FEATURES_BYTES: usize = 64;

impl TableFeatures {
    /// A table that can do all that this crate can say, as Open vSwitch describes its own.
    pub fn everything(table: u8, tables: u8, name: &str, entries_max: u32, version: Version) -> Self {
        let header =
            |masked: bool| move |field: OxmField| FieldHeader::of(field, masked && field.is_maskable(), version);
        let named: Vec<OxmField> =
            OxmField::all().filter(|field| !matches!(field, OxmField::InPort | OxmField::RecircId)).collect();
        let all: Vec<_> = named.iter().copied().map(header(true)).collect();
        let wildcards: Vec<_> = named.iter().copied().map(header(false)).collect();
        let settable: Vec<_> = named.iter().copied().filter(|field| field.is_writable()).map(header(false)).collect();
        let instructions: Vec<u16> =
            if matches!(version, Version::V1_3 | Version::V1_4) { (1..=6).collect() } else { (1..=5).collect() };
        let actions: Vec<u16> = [0].into_iter().chain(15..=25).collect();
        let next: Vec<u8> = (table.saturating_add(1)..tables).collect();
        let mut properties = Vec::new();
        for miss in [false, true] {
            properties.extend([
                TableProperty::Instructions { miss, kinds: instructions.clone() },
                TableProperty::NextTables { miss, tables: next.clone() },
                TableProperty::WriteActions { miss, kinds: actions.clone() },
                TableProperty::WriteSetField { miss, fields: settable.clone() },
                TableProperty::ApplyActions { miss, kinds: actions.clone() },
                TableProperty::ApplySetField { miss, fields: settable.clone() },
            ]);
        }
        properties.extend([TableProperty::Match(all), TableProperty::Wildcards(wildcards)]);
        Self {
            table,
            command: 0,
            features: 0,
            name: name.to_owned(),
            metadata_match: u64::MAX,
            metadata_write: u64::MAX,
            capabilities: if version >= Version::V1_4 { CONFIG_EVICTION | CONFIG_VACANCY_EVENTS } else { 0 },
            entries_max,
            properties,
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let mut header = Reader::new(reader.rest(), ErrorCode::PropertyBadLen);
        let length = usize::from(header.u16()?);
        let properties = length.checked_sub(FEATURES_BYTES).ok_or(ErrorCode::PropertyBadLen)?;
        if length % 8 != 0 || length > reader.remaining() {
            return Err(ErrorCode::PropertyBadLen);
        }
        reader.skip(length)?;
        let mut this = Self {
            table: header.u8()?,
            command: header.u8()?,
            features: header.u32()?,
            name: header.text(NAME_BYTES)?,
            metadata_match: header.u64()?,
            metadata_write: header.u64()?,
            capabilities: header.u32()?,
            entries_max: header.u32()?,
            properties: Vec::new(),
        };
        if this.table == crate::TABLE_ALL {
            return Err(ErrorCode::TableFeaturesBadTable);
        }
        let mut properties = header.sub(properties)?;
        while !properties.is_empty() {
            this.properties.push(TableProperty::decode(Property::decode(&mut properties)?)?);
        }
        Ok(this)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u16(0);
        out.u8(self.table);
        out.u8(self.command);
        out.u32(self.features);
        out.text(&self.name, NAME_BYTES);
        out.u64(self.metadata_match);
        out.u64(self.metadata_write);
        out.u32(self.capabilities);
        out.u32(self.entries_max);
        self.properties.iter().for_each(|property| property.encode(out));
        out.set_length(start, 0);
    }
}
