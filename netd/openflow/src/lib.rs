//! OpenFlow on the wire: versions 1.0, 1.3, 1.4 and 1.5 with Nicira's extensions, as a switch in the place of Open vSwitch needs them.
//!
//! No I/O and no policy: [`Framer`] cuts messages out of a byte stream, [`decode_request`] reads one into a [`Message`] that is the same
//! whatever the version, [`Message::encode`] writes one. What a message is refused with is an [`ErrorCode`], the one that Open
//! vSwitch 3.1 would send; [`ErrorMessage::refuse`] makes the answer of it.
//!
//! What a session has agreed on, the version first of all, is in a [`Context`]. Matches are [`hive_flow::Match`]es; what names
//! fields on the wire are [`OxmField`]s, views of them.
#![forbid(unsafe_code)]

mod action;
mod bundle;
mod context;
mod controller;
mod ct_flush;
mod error;
mod flow_mod;
mod flow_removed;
mod group;
mod header;
mod kind;
mod message;
mod meter;
mod monitor;
mod multipart;
mod oxm;
mod oxs;
mod packet_in;
mod packet_out;
mod port;
mod port_no;
mod property;
mod queue;
mod table;
mod tlv;
mod version;
mod wire;

pub use action::{
    Action, Bundle, CheckParameters, Conntrack, ConntrackZone, Controller, HeaderField, Learn, LearnDestination,
    LearnFlags, LearnSource, LearnSpec, Multipath, NESTING_MAX, Nat, NatFlags, NatRange, REASON_ACTION, Resubmit,
    Sample, SetForm, decode_flow_actions, encode_flow_actions, held_bytes, outputs_to_group, outputs_to_port,
};
pub use bundle::{BundleAdd, BundleControl, BundleControlKind, BundleFlags};
pub use context::Context;
pub use controller::{
    AsyncConfig, AsyncForm, AsyncKind, AsyncMask, Fragments, Role, RoleMessage, RoleStatus, SwitchConfig,
};
pub use ct_flush::{CtFlush, CtTuple};
pub use error::{ErrorCode, ErrorMessage, REQUEST_BYTES_RETURNED, UnknownError};
pub use flow_mod::{FlowCommand, FlowFlags, FlowMod, GROUP_ANY, NO_BUFFER, TABLE_ALL};
pub use flow_removed::{FlowRemoved, RemovedReason};
pub use group::{
    BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, BUCKET_MAX, Bucket, GROUP_ALL, GROUP_MAX, GroupCommand, GroupDesc,
    GroupFeatures, GroupKind, GroupMod, GroupStats, Selection, SelectionMethod,
};
pub use header::{FrameError, Framer, HEADER_BYTES, Header, MESSAGE_BYTES_MAX};
pub use message::{Decoded, EncodeError, Message, TableStatus, decode, decode_request};
pub use meter::{
    BandKind, METER_ALL, METER_CONTROLLER, METER_MAX, METER_SLOW_PATH, MeterBand, MeterCommand, MeterConfig,
    MeterFeatures, MeterFlags, MeterMod, MeterStats,
};
pub use monitor::{FlowEvent, FlowUpdate, FlowUpdateFull, MonitorCommand, MonitorFlags, MonitorRequest};
pub use multipart::{Desc, FlowRequest, FlowStats, FlowStatsWriter, IpfixStats, Reply, Request};
pub use oxm::{CookieMask, OxmField, Part, Subfield};
pub use oxs::{Aggregate, FlowCounters};
pub use packet_in::{PacketIn, PacketInFormat, PacketInReason};
pub use packet_out::PacketOut;
pub use port::{
    Capabilities, Features, PortConfig, PortCounters, PortDesc, PortFeatures, PortMod, PortReason, PortStats,
    PortStatus,
};
pub use port_no::PortNo;
pub use queue::{QUEUE_ALL, QueueConfig, QueueDesc, QueueSelector, QueueStats};
pub use table::{FieldHeader, TableConfig, TableFeatures, TableProperty, TableStats, Vacancy};
pub use tlv::{OPTION_BYTES_MAX, OPTION_SPACE_BYTES, TlvMapping, TlvOption, TlvTable, TlvTableMod, TlvTableReply};
pub use version::{Hello, Version};
