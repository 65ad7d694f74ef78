//! Groups: OFPT_GROUP_MOD, and what is asked of groups.

use crate::action::{Action, Flow, decode_actions_of_length, encode_actions};
use crate::oxm::{OxmField, decode_entry, encode_entry, width_mask};
use crate::property::{self, Property, experimenter};
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, GROUP_ANY, PortNo, Version};

/// OFPG_MAX: the highest number of a group.
pub const GROUP_MAX: u32 = 0xffff_ff00;
/// OFPG_ALL: every group, of deletions.
pub const GROUP_ALL: u32 = 0xffff_fffc;
/// The highest id of a bucket; above are positions.
pub const BUCKET_MAX: u32 = 0xffff_ff00;
pub const BUCKET_FIRST: u32 = 0xffff_fffd;
pub const BUCKET_LAST: u32 = 0xffff_fffe;
pub const BUCKET_ALL: u32 = 0xffff_ffff;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupCommand {
    Add,
    Modify,
    Delete,
    /// OpenFlow 1.5 and Nicira's form for 1.0.
    InsertBucket,
    RemoveBucket,
    /// Open vSwitch's own.
    AddOrModify,
}

const COMMANDS: [(GroupCommand, u16); 6] = [
    (GroupCommand::Add, 0),
    (GroupCommand::Modify, 1),
    (GroupCommand::Delete, 2),
    (GroupCommand::InsertBucket, 3),
    (GroupCommand::RemoveBucket, 5),
    (GroupCommand::AddOrModify, 0x8000),
];

/// OFPGT_*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    All,
    Select,
    Indirect,
    FastFailover,
}

const KINDS: [GroupKind; 4] = [GroupKind::All, GroupKind::Select, GroupKind::Indirect, GroupKind::FastFailover];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Where the version has none: its place.
    pub id: u32,
    pub weight: u16,
    /// [`PortNo::NONE`]: none.
    pub watch_port: PortNo,
    /// [`GROUP_ANY`]: none.
    pub watch_group: u32,
    pub actions: Vec<Action>,
}

/// How a select group chooses (Netronome's property).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub method: SelectionMethod,
    pub parameter: u64,
    /// Of [`SelectionMethod::Hash`]: which bits are hashed; none: the usual ones.
    pub fields: Vec<(OxmField, u128)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelectionMethod {
    #[default]
    Hash,
    DpHash,
}

impl SelectionMethod {
    fn name(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::DpHash => "dp_hash",
        }
    }
}

/// Bytes of a method's name, its NUL included.
const METHOD_BYTES: usize = 16;
const SELECTION_METHOD: u64 = experimenter(0x0000_154d, 1);
/// An older vendor id of the same property.
const SELECTION_METHOD_OLD: u64 = experimenter(0x0000_1540, 1);
/// OFPGBPT_*.
const WEIGHT: u64 = 0;
const WATCH_PORT: u64 = 1;
const WATCH_GROUP: u64 = 2;

/// OFPT_GROUP_MOD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMod {
    pub command: GroupCommand,
    pub kind: GroupKind,
    /// See [`GROUP_ALL`].
    pub group: u32,
    /// Of [`GroupCommand::InsertBucket`] and [`GroupCommand::RemoveBucket`]: where; else [`BUCKET_ALL`].
    pub command_bucket: u32,
    pub buckets: Vec<Bucket>,
    pub selection: Option<Selection>,
}

/// Whether the version's buckets have ids and properties: OpenFlow 1.5, and Nicira's messages for 1.0.
fn has_bucket_ids(version: Version) -> bool {
    matches!(version, Version::V1_0 | Version::V1_5)
}

fn decode_buckets(
    reader: &mut Reader<'_>,
    kind: Option<GroupKind>,
    context: &Context,
) -> Result<Vec<Bucket>, ErrorCode> {
    const BAD: ErrorCode = ErrorCode::GroupModBadBucket;
    let with_ids = has_bucket_ids(context.version);
    let mut buckets: Vec<Bucket> = Vec::new();
    while !reader.is_empty() {
        let mut header = Reader::new(reader.rest(), BAD);
        let length = usize::from(header.u16()?);
        let header_bytes = if with_ids { 8 } else { 16 };
        let content = length.checked_sub(header_bytes).filter(|_| length <= reader.remaining()).ok_or(BAD)?;
        reader.skip(length)?;
        let bucket = if with_ids {
            let (actions_bytes, id) = (usize::from(header.u16()?), header.u32()?);
            if actions_bytes > content {
                return Err(BAD);
            }
            let mut rest = Reader::new(header.take(content)?, ErrorCode::RequestBadLen);
            let actions = decode_actions_of_length(&mut rest, actions_bytes, context)?;
            let mut bucket = Bucket {
                id,
                weight: u16::from(kind == Some(GroupKind::Select)),
                watch_port: PortNo::NONE,
                watch_group: GROUP_ANY,
                actions,
            };
            let mut watch_port = PortNo::NONE.wide();
            while !rest.is_empty() {
                let property = Property::decode(&mut rest)?;
                match property.kind {
                    WEIGHT => bucket.weight = property.u16()?,
                    WATCH_PORT => watch_port = property.u32()?,
                    WATCH_GROUP => bucket.watch_group = property.u32()?,
                    _ => return Err(property.unknown()),
                }
            }
            bucket.watch_port = PortNo::from_wide(watch_port).map_err(|_| ErrorCode::GroupModBadWatch)?;
            if id > BUCKET_MAX {
                return Err(BAD);
            }
            bucket
        } else {
            let (weight, watch_port, watch_group) = (header.u16()?, header.u32()?, header.u32()?);
            header.skip(4)?;
            let mut rest = Reader::new(header.take(content)?, ErrorCode::RequestBadLen);
            let actions = decode_actions_of_length(&mut rest, content, context)?;
            let watch_port = PortNo::from_wide(watch_port).map_err(|_| ErrorCode::GroupModBadWatch)?;
            Bucket { id: buckets.len() as u32, weight, watch_port, watch_group, actions }
        };
        buckets.push(bucket);
    }
    let mut ids: Vec<_> = buckets.iter().map(|bucket| bucket.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair.first() == pair.last()) { Err(BAD) } else { Ok(buckets) }
}

fn encode_buckets(buckets: &[Bucket], kind: GroupKind, out: &mut Vec<u8>, context: &Context) {
    for bucket in buckets {
        let start = out.len();
        let with_ids = has_bucket_ids(context.version);
        if with_ids {
            out.u32(0);
            out.u32(bucket.id);
        } else {
            out.u16(0);
            out.u16(bucket.weight);
            out.u32(bucket.watch_port.wide());
            out.u32(bucket.watch_group);
            out.zeros(4);
        }
        let actions_start = out.len();
        encode_actions(&bucket.actions, &mut Flow::default(), out, context);
        if with_ids {
            let actions_bytes = u16::try_from(out.len() - actions_start).unwrap_or(u16::MAX);
            out.set(start + 2, &actions_bytes.to_be_bytes());
            if kind == GroupKind::Select {
                property::put_u16(out, WEIGHT, bucket.weight);
            }
            if bucket.watch_port != PortNo::NONE {
                property::put_u32(out, WATCH_PORT, bucket.watch_port.wide());
            }
            if bucket.watch_group != GROUP_ANY {
                property::put_u32(out, WATCH_GROUP, bucket.watch_group);
            }
        }
        out.set_length(start, 0);
    }
}

impl Selection {
    fn decode(property: Property<'_>, context: &Context) -> Result<Self, ErrorCode> {
        let mut reader = Reader::new(property.content, ErrorCode::PropertyBadLen);
        reader.skip(4)?;
        let name = reader.take(METHOD_BYTES)?;
        let parameter = reader.u64()?;
        let end = name.iter().position(|byte| *byte == 0).ok_or(ErrorCode::PropertyBadValue)?;
        let method = [SelectionMethod::Hash, SelectionMethod::DpHash]
            .into_iter()
            .find(|method| name.get(..end) == Some(method.name().as_bytes()))
            .ok_or(ErrorCode::PropertyBadValue)?;
        if !reader.is_empty() && method != SelectionMethod::Hash {
            return Err(ErrorCode::PropertyBadValue);
        }
        let mut reader = Reader::new(reader.rest(), ErrorCode::MatchBadLen);
        let mut fields: Vec<(OxmField, u128)> = Vec::new();
        while !reader.is_empty() {
            let entry = decode_entry(&mut reader, false, context)?;
            let field = entry.field.ok_or(ErrorCode::MatchBadField)?;
            if fields.iter().any(|(other, _)| *other == field) {
                return Err(ErrorCode::MatchDupField);
            }
            let ones = width_mask(field, context);
            if !field.is_maskable() && entry.value != 0 && entry.value != ones {
                return Err(ErrorCode::MatchBadMask);
            }
            fields.push((field, entry.value));
        }
        Ok(Self { method, parameter, fields })
    }

    fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        property::put(out, SELECTION_METHOD, |out| {
            out.zeros(4);
            out.text(self.method.name(), METHOD_BYTES);
            out.u64(self.parameter);
            for (field, mask) in &self.fields {
                encode_entry(out, *field, Some(context.version), *mask, u128::MAX, context);
            }
        });
    }
}

/// In what message a group's properties stand.
#[derive(Clone, Copy)]
enum Judge {
    Description,
    Command(GroupCommand),
    Unknown,
}

/// Read a group's properties.
fn decode_properties(
    reader: &mut Reader<'_>,
    kind: Option<GroupKind>,
    judge: Judge,
    context: &Context,
) -> Result<Option<Selection>, ErrorCode> {
    let mut selection = None;
    while !reader.is_empty() {
        let property = Property::decode(reader)?;
        match property.kind {
            SELECTION_METHOD | SELECTION_METHOD_OLD => {
                let may_choose = match judge {
                    Judge::Description => true,
                    Judge::Command(command) => {
                        matches!(command, GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrModify)
                    }
                    Judge::Unknown => return Err(ErrorCode::GroupModBadCommand),
                };
                if kind.ok_or(ErrorCode::GroupModBadType)? != GroupKind::Select || !may_choose {
                    return Err(ErrorCode::PropertyBadValue);
                }
                selection = Some(Selection::decode(property, context)?);
            }
            _ => return Err(property.unknown()),
        }
    }
    Ok(selection)
}

impl GroupMod {
    pub(crate) fn decode(reader: &mut Reader<'_>, context: &Context) -> Result<Self, ErrorCode> {
        let with_ids = has_bucket_ids(context.version);
        let (raw_command, raw_kind) = (reader.u16()?, reader.u8()?);
        reader.skip(1)?;
        let group = reader.u32()?;
        let command = COMMANDS.iter().find(|(_, wire)| *wire == raw_command).map(|(command, _)| *command);
        let command = command
            .filter(|command| with_ids || !matches!(command, GroupCommand::InsertBucket | GroupCommand::RemoveBucket));
        let kind = KINDS.get(usize::from(raw_kind)).copied();
        let mut command_bucket = BUCKET_ALL;
        let mut selection = None;
        let buckets;
        if with_ids {
            let buckets_bytes = usize::from(reader.u16()?);
            reader.skip(2)?;
            command_bucket = reader.u32()?;
            let position = command_bucket <= BUCKET_MAX || matches!(command_bucket, BUCKET_FIRST | BUCKET_LAST);
            let all = command_bucket == BUCKET_ALL;
            let fits = match command {
                Some(GroupCommand::RemoveBucket) => all || position,
                Some(GroupCommand::InsertBucket) => position,
                _ => all,
            };
            if !fits {
                return Err(ErrorCode::GroupModBadBucket);
            }
            if buckets_bytes > reader.remaining() {
                return Err(ErrorCode::RequestBadLen);
            }
            buckets = decode_buckets(&mut reader.sub(buckets_bytes)?, kind, context)?;
            let command = command.map_or(Judge::Unknown, Judge::Command);
            selection = decode_properties(reader, kind, command, context)?;
        } else {
            buckets = decode_buckets(reader, kind, context)?;
            if command == Some(GroupCommand::Delete) && !buckets.is_empty() {
                return Err(ErrorCode::GroupModInvalidGroup);
            }
        }
        let kind = kind.ok_or(ErrorCode::GroupModBadType)?;
        let deletes = command == Some(GroupCommand::Delete);
        if kind == GroupKind::Indirect && !deletes && buckets.len() != 1 {
            return Err(ErrorCode::GroupModInvalidGroup);
        }
        let command = command.ok_or(ErrorCode::GroupModBadCommand)?;
        if command == GroupCommand::RemoveBucket && !buckets.is_empty() {
            return Err(ErrorCode::GroupModBadBucket);
        }
        for bucket in &buckets {
            let watches = bucket.watch_port != PortNo::NONE || bucket.watch_group != GROUP_ANY;
            // A bucket that is inserted is of the kind that the group is.
            if bucket.weight != 0 && kind != GroupKind::Select && command != GroupCommand::InsertBucket {
                return Err(ErrorCode::GroupModInvalidGroup);
            }
            match kind {
                GroupKind::All | GroupKind::Indirect if watches => return Err(ErrorCode::GroupModWatchUnsupported),
                GroupKind::FastFailover if !watches => return Err(ErrorCode::GroupModInvalidGroup),
                _ => {}
            }
        }
        if matches!(command, GroupCommand::Add | GroupCommand::AddOrModify) && group > GROUP_MAX {
            return Err(ErrorCode::GroupModInvalidGroup);
        }
        Ok(Self { command, kind, group, command_bucket, buckets, selection })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        let with_ids = has_bucket_ids(context.version);
        let command = COMMANDS.iter().find(|(command, _)| *command == self.command).map_or(0, |(_, wire)| *wire);
        out.u16(command);
        out.u8(self.kind as u8);
        out.zeros(1);
        out.u32(self.group);
        let place = out.len();
        if with_ids {
            out.zeros(4);
            out.u32(self.command_bucket);
        }
        let start = out.len();
        encode_buckets(&self.buckets, self.kind, out, context);
        if with_ids {
            let buckets_bytes = u16::try_from(out.len() - start).unwrap_or(u16::MAX);
            out.set(place, &buckets_bytes.to_be_bytes());
            if let Some(selection) = &self.selection {
                selection.encode(out, context);
            }
        }
    }
}

/// A group as OFPMP_GROUP_DESC tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDesc {
    pub group: u32,
    pub kind: GroupKind,
    pub buckets: Vec<Bucket>,
    pub selection: Option<Selection>,
}

impl GroupDesc {
    pub(crate) fn decode(reader: &mut Reader<'_>, context: &Context) -> Result<Self, ErrorCode> {
        let with_ids = has_bucket_ids(context.version);
        let mut header = Reader::new(reader.rest(), ErrorCode::RequestBadLen);
        let (length, kind) = (usize::from(header.u16()?), header.u8()?);
        header.skip(1)?;
        let group = header.u32()?;
        let mut content = length.checked_sub(8).ok_or(ErrorCode::RequestBadLen)?;
        reader.skip(length)?;
        let mut buckets_bytes = content;
        if with_ids {
            buckets_bytes = header.u16()?.into();
            header.skip(6)?;
            content = content.checked_sub(8).ok_or(ErrorCode::RequestBadLen)?;
        }
        let properties_bytes = content.checked_sub(buckets_bytes).ok_or(ErrorCode::RequestBadLen)?;
        let kind = *KINDS.get(usize::from(kind)).ok_or(ErrorCode::GroupModBadType)?;
        let buckets = decode_buckets(&mut header.sub(buckets_bytes)?, Some(kind), context)?;
        let selection = decode_properties(&mut header.sub(properties_bytes)?, Some(kind), Judge::Description, context)?;
        Ok(Self { group, kind, buckets, selection })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        let with_ids = has_bucket_ids(context.version);
        let start = out.len();
        out.u16(0);
        out.u8(self.kind as u8);
        out.zeros(1);
        out.u32(self.group);
        out.zeros(if with_ids { 8 } else { 0 });
        let buckets_start = out.len();
        encode_buckets(&self.buckets, self.kind, out, context);
        if with_ids {
            let buckets_bytes = u16::try_from(out.len() - buckets_start).unwrap_or(u16::MAX);
            out.set(start + 8, &buckets_bytes.to_be_bytes());
            if let Some(selection) = &self.selection {
                selection.encode(out, context);
            }
        }
        out.set_length(start, 0);
    }
}

/// A group's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStats {
    pub group: u32,
    /// Flows and groups that send packets here.
    pub references: u32,
    pub packets: u64,
    pub bytes: u64,
    pub duration_s: u32,
    pub duration_ns: u32,
    /// Packets and bytes of each bucket; all ones: not counted.
    pub buckets: Vec<(u64, u64)>,
}

impl GroupStats {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let mut header = Reader::new(reader.rest(), ErrorCode::RequestBadLen);
        let length = usize::from(header.u16()?);
        let mut buckets_bytes = length.checked_sub(40).ok_or(ErrorCode::RequestBadLen)?;
        header.skip(2)?;
        let (group, references) = (header.u32()?, header.u32()?);
        header.skip(4)?;
        let (packets, bytes, duration_s, duration_ns) = (header.u64()?, header.u64()?, header.u32()?, header.u32()?);
        reader.skip(length)?;
        let mut buckets = Vec::new();
        while buckets_bytes >= 16 {
            buckets.push((header.u64()?, header.u64()?));
            buckets_bytes -= 16;
        }
        Ok(Self { group, references, packets, bytes, duration_s, duration_ns, buckets })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.u32(0);
        out.u32(self.group);
        out.u32(self.references);
        out.zeros(4);
        out.u64(self.packets);
        out.u64(self.bytes);
        out.u32(self.duration_s);
        out.u32(self.duration_ns);
        for (packets, bytes) in &self.buckets {
            out.u64(*packets);
            out.u64(*bytes);
        }
        out.set_length(start, 0);
    }
}

/// What groups can do; each array by [`GroupKind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFeatures {
    /// A bit for each kind.
    pub kinds: u32,
    /// OFPGFC_*: 1 weights, 2 liveness, 4 chaining, 8 no loops.
    pub capabilities: u32,
    pub groups_max: [u32; 4],
    /// A bit for each kind of action, by its number.
    pub actions: [u32; 4],
}

impl GroupFeatures {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let mut this = Self { kinds: reader.u32()?, capabilities: reader.u32()?, ..Default::default() };
        for value in this.groups_max.iter_mut().chain(&mut this.actions) {
            *value = reader.u32()?;
        }
        Ok(this)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u32(self.kinds);
        out.u32(self.capabilities);
        self.groups_max.iter().chain(&self.actions).for_each(|value| out.u32(*value));
    }
}
