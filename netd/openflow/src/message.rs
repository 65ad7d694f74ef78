//! Whole messages.

use crate::bundle::{BundleAdd, BundleControl};
use crate::controller::{AsyncConfig, AsyncForm, RoleMessage, RoleStatus, SwitchConfig};
use crate::ct_flush::CtFlush;
use crate::error::ErrorMessage;
use crate::flow_mod::FlowMod;
use crate::flow_removed::FlowRemoved;
use crate::group::GroupMod;
use crate::header::{HEADER_BYTES, Header, MESSAGE_BYTES_MAX};
use crate::kind::{Front, Kind};
use crate::meter::MeterMod;
use crate::multipart::{Reply, Request};
use crate::packet_in::{PacketIn, PacketInFormat};
use crate::packet_out::PacketOut;
use crate::port::{Features, PortMod, PortStatus};
use crate::queue::QueueConfig;
use crate::table::TableConfig;
use crate::tlv::{TlvTableMod, TlvTableReply};
use crate::version::Hello;
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, PortNo};

/// A message, whatever the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Hello(Hello),
    Error(ErrorMessage),
    EchoRequest(Vec<u8>),
    EchoReply(Vec<u8>),
    FeaturesRequest,
    FeaturesReply(Features),
    GetConfigRequest,
    GetConfigReply(SwitchConfig),
    SetConfig(SwitchConfig),
    PacketIn(Box<PacketIn>),
    /// NXT_RESUME: a packet that a controller action paused goes on.
    Resume(Box<PacketIn>),
    FlowRemoved(Box<FlowRemoved>),
    PortStatus(PortStatus),
    PacketOut(Box<PacketOut>),
    FlowMod(Box<FlowMod>),
    GroupMod(GroupMod),
    PortMod(PortMod),
    TableMod(TableConfig),
    BarrierRequest,
    BarrierReply,
    QueueConfigRequest(PortNo),
    QueueConfigReply(QueueConfig),
    RoleRequest(RoleMessage),
    RoleReply(RoleMessage),
    RoleStatus(RoleStatus),
    GetAsyncRequest,
    GetAsyncReply(AsyncConfig),
    SetAsync(AsyncConfig),
    MeterMod(MeterMod),
    TableStatus(TableStatus),
    /// OFPT_REQUESTFORWARD: another controller's message, whole.
    RequestForward(Vec<u8>),
    BundleControl(BundleControl),
    BundleAdd(BundleAdd),
    /// NXT_SET_FLOW_FORMAT: whether flows are told with Nicira's matches.
    SetFlowFormat {
        nicira: bool,
    },
    /// NXT_FLOW_MOD_TABLE_ID: see [`Context::table_ids`].
    FlowModTableId(bool),
    SetPacketInFormat(PacketInFormat),
    /// NXT_FLOW_AGE: ages of flows are wanted in NXST_FLOW.
    FlowAge,
    SetControllerId(u16),
    FlowMonitorCancel(u32),
    FlowMonitorPaused,
    FlowMonitorResumed,
    TlvTableMod(TlvTableMod),
    TlvTableRequest,
    TlvTableReply(TlvTableReply),
    CtFlushZone(u16),
    CtFlush(CtFlush),
    /// `more`: parts follow.
    Request {
        request: Request,
        more: bool,
    },
    Reply {
        reply: Reply,
        more: bool,
    },
}

/// OFPT_TABLE_STATUS: a table's free space has passed a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableStatus {
    /// OFPTR_*: 3 less is free than the lower limit, 4 more than the upper.
    pub reason: u8,
    pub table: TableConfig,
}

/// A message and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    pub header: Header,
    pub message: Message,
}

/// A message that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("the version has no such message")]
    NotInVersion,
    #[error("more than a message can hold")]
    TooLong,
}

/// Read a whole message, as [`crate::Framer`] cuts it out. Only a hello may be of a version other than the session's.
///
/// # Errors
/// What OFPT_ERROR must say: [`ErrorMessage::refuse`].
pub fn decode(bytes: &[u8], context: &Context) -> Result<Decoded, ErrorCode> {
    decode_meant_for(bytes, context, |_| true)
}

/// Read a message that a controller sends to a switch: whatever only a switch sends is refused as unknown, as Open vSwitch does.
///
/// # Errors
/// As [`decode`].
pub fn decode_request(bytes: &[u8], context: &Context) -> Result<Decoded, ErrorCode> {
    decode_meant_for(bytes, context, Kind::is_for_switch)
}

fn decode_meant_for(bytes: &[u8], context: &Context, meant: impl FnOnce(Kind) -> bool) -> Result<Decoded, ErrorCode> {
    let header = Header::decode(bytes)?;
    if usize::from(header.length) != bytes.len() || bytes.len() < HEADER_BYTES {
        return Err(ErrorCode::RequestBadLen);
    }
    let mut reader = Reader::new(bytes, ErrorCode::RequestBadLen);
    reader.skip(HEADER_BYTES)?;
    if header.kind == 0 {
        let hello = Hello::decode(header.version, reader.take_all());
        return Ok(Decoded { header, message: Message::Hello(hello) });
    }
    if header.version != context.version.wire() {
        return Err(ErrorCode::RequestBadVersion);
    }
    let front = Kind::decode(context.version, &header, &mut reader)?;
    if !meant(front.kind) {
        return Err(ErrorCode::RequestBadType);
    }
    let message = decode_body(front, &header, &mut reader, context)?;
    Ok(Decoded { header, message })
}

fn decode_body(
    front: Front,
    header: &Header,
    reader: &mut Reader<'_>,
    context: &Context,
) -> Result<Message, ErrorCode> {
    let version = context.version;
    let Front { kind, more } = front;
    let packet_in = |reader: &mut Reader<'_>, format| PacketIn::decode(reader, format, context).map(Box::new);
    Ok(match kind {
        Kind::Hello => Message::Hello(Hello::decode(header.version, reader.take_all())),
        Kind::Error => Message::Error(ErrorMessage::decode(version, reader.take_all())?),
        Kind::EchoRequest => Message::EchoRequest(reader.take_all().to_vec()),
        Kind::EchoReply => Message::EchoReply(reader.take_all().to_vec()),
        Kind::FeaturesRequest => Message::FeaturesRequest,
        Kind::FeaturesReply => Message::FeaturesReply(Features::decode(reader, version)?),
        Kind::GetConfigRequest => Message::GetConfigRequest,
        Kind::GetConfigReply => Message::GetConfigReply(SwitchConfig::decode(reader, false, version)?),
        Kind::SetConfig => Message::SetConfig(SwitchConfig::decode(reader, true, version)?),
        Kind::PacketIn => Message::PacketIn(packet_in(reader, PacketInFormat::Standard)?),
        Kind::NxPacketIn => Message::PacketIn(packet_in(reader, PacketInFormat::Nicira)?),
        Kind::NxPacketIn2 => Message::PacketIn(packet_in(reader, PacketInFormat::Nicira2)?),
        Kind::NxResume => Message::Resume(packet_in(reader, PacketInFormat::Nicira2)?),
        Kind::FlowRemoved => Message::FlowRemoved(Box::new(FlowRemoved::decode(reader, false, context)?)),
        Kind::NxFlowRemoved => Message::FlowRemoved(Box::new(FlowRemoved::decode(reader, true, context)?)),
        Kind::PortStatus => Message::PortStatus(PortStatus::decode(reader, version)?),
        Kind::PacketOut => Message::PacketOut(Box::new(PacketOut::decode(reader, context)?)),
        Kind::FlowMod => Message::FlowMod(Box::new(FlowMod::decode(reader, false, context)?)),
        Kind::NxFlowMod => Message::FlowMod(Box::new(FlowMod::decode(reader, true, context)?)),
        Kind::GroupMod => Message::GroupMod(GroupMod::decode(reader, context)?),
        Kind::PortMod => Message::PortMod(PortMod::decode(reader, version)?),
        Kind::TableMod => Message::TableMod(TableConfig::decode_mod(reader, version)?),
        Kind::BarrierRequest => Message::BarrierRequest,
        Kind::BarrierReply => Message::BarrierReply,
        Kind::QueueConfigRequest => Message::QueueConfigRequest(QueueConfig::decode_port(reader, version)?),
        Kind::QueueConfigReply => Message::QueueConfigReply(QueueConfig::decode(reader, version)?),
        Kind::RoleRequest => Message::RoleRequest(RoleMessage::decode(reader, false)?),
        Kind::NxRoleRequest => Message::RoleRequest(RoleMessage::decode(reader, true)?),
        Kind::RoleReply => Message::RoleReply(RoleMessage::decode(reader, false)?),
        Kind::NxRoleReply => Message::RoleReply(RoleMessage::decode(reader, true)?),
        Kind::RoleStatus => Message::RoleStatus(RoleStatus::decode(reader)?),
        Kind::GetAsyncRequest => Message::GetAsyncRequest,
        Kind::GetAsyncReply => {
            Message::GetAsyncReply(AsyncConfig::decode(reader, AsyncForm::Standard, false, version)?)
        }
        Kind::SetAsync => Message::SetAsync(AsyncConfig::decode(reader, AsyncForm::Standard, true, version)?),
        Kind::NxSetAsync => Message::SetAsync(AsyncConfig::decode(reader, AsyncForm::Nicira, true, version)?),
        Kind::NxSetAsync2 => Message::SetAsync(AsyncConfig::decode(reader, AsyncForm::Nicira2, true, version)?),
        Kind::MeterMod => Message::MeterMod(MeterMod::decode(reader)?),
        Kind::TableStatus => {
            let reason = reader.u8()?;
            reader.skip(7)?;
            Message::TableStatus(TableStatus { reason, table: TableConfig::decode_desc(reader, version)? })
        }
        Kind::RequestForward => {
            let inner = Header::decode(reader.rest())?;
            let length = usize::from(inner.length);
            if length < HEADER_BYTES || length > reader.remaining() {
                return Err(ErrorCode::BundleMsgBadLen);
            }
            Message::RequestForward(reader.take(length)?.to_vec())
        }
        Kind::BundleControl => Message::BundleControl(BundleControl::decode(reader)?),
        Kind::BundleAdd => Message::BundleAdd(BundleAdd::decode(reader, header, context)?),
        Kind::NxSetFlowFormat => match reader.u32()? {
            0 => Message::SetFlowFormat { nicira: false },
            2 => Message::SetFlowFormat { nicira: true },
            _ => return Err(ErrorCode::RequestEperm),
        },
        Kind::NxFlowModTableId => {
            let set = reader.u8()?;
            Message::FlowModTableId(set != 0)
        }
        Kind::NxSetPacketInFormat => {
            let format = PacketInFormat::from_wire(reader.u32()?).ok_or(ErrorCode::RequestEperm)?;
            Message::SetPacketInFormat(format)
        }
        Kind::NxFlowAge => Message::FlowAge,
        Kind::NxSetControllerId => {
            reader.zeros(6, ErrorCode::NxRequestMustBeZero)?;
            Message::SetControllerId(reader.u16()?)
        }
        Kind::NxFlowMonitorCancel => Message::FlowMonitorCancel(reader.u32()?),
        Kind::NxFlowMonitorPaused => Message::FlowMonitorPaused,
        Kind::NxFlowMonitorResumed => Message::FlowMonitorResumed,
        Kind::NxTlvTableMod => Message::TlvTableMod(TlvTableMod::decode(reader)?),
        Kind::NxTlvTableRequest => Message::TlvTableRequest,
        Kind::NxTlvTableReply => Message::TlvTableReply(TlvTableReply::decode(reader)?),
        Kind::NxCtFlushZone => {
            reader.zeros(6, ErrorCode::NxRequestMustBeZero)?;
            Message::CtFlushZone(reader.u16()?)
        }
        Kind::NxCtFlush => Message::CtFlush(CtFlush::decode(reader)?),
        kind => {
            if let Some(request) = Request::decode(kind, reader, context)? {
                Message::Request { request, more }
            } else if let Some(reply) = Reply::decode(kind, reader, context)? {
                Message::Reply { reply, more }
            } else {
                return Err(ErrorCode::RequestBadType);
            }
        }
    })
}

impl Message {
    /// Whether a whole message may stand in a bundle.
    ///
    /// # Errors
    /// It is no message that is known here.
    pub fn is_bundlable(bytes: &[u8], context: &Context) -> Result<bool, ErrorCode> {
        let header = Header::decode(bytes)?;
        let mut reader = Reader::new(bytes, ErrorCode::RequestBadLen);
        reader.skip(HEADER_BYTES)?;
        let front = Kind::decode(context.version, &header, &mut reader)?;
        Ok(matches!(front.kind, Kind::FlowMod | Kind::NxFlowMod | Kind::PortMod | Kind::GroupMod | Kind::PacketOut))
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Hello(_) => Kind::Hello,
            Self::Error(_) => Kind::Error,
            Self::EchoRequest(_) => Kind::EchoRequest,
            Self::EchoReply(_) => Kind::EchoReply,
            Self::FeaturesRequest => Kind::FeaturesRequest,
            Self::FeaturesReply(_) => Kind::FeaturesReply,
            Self::GetConfigRequest => Kind::GetConfigRequest,
            Self::GetConfigReply(_) => Kind::GetConfigReply,
            Self::SetConfig(_) => Kind::SetConfig,
            Self::PacketIn(packet_in) => match packet_in.format {
                PacketInFormat::Standard => Kind::PacketIn,
                PacketInFormat::Nicira => Kind::NxPacketIn,
                PacketInFormat::Nicira2 => Kind::NxPacketIn2,
            },
            Self::Resume(_) => Kind::NxResume,
            Self::FlowRemoved(removed) if removed.nicira => Kind::NxFlowRemoved,
            Self::FlowRemoved(_) => Kind::FlowRemoved,
            Self::PortStatus(_) => Kind::PortStatus,
            Self::PacketOut(_) => Kind::PacketOut,
            Self::FlowMod(flow_mod) if flow_mod.nicira => Kind::NxFlowMod,
            Self::FlowMod(_) => Kind::FlowMod,
            Self::GroupMod(_) => Kind::GroupMod,
            Self::PortMod(_) => Kind::PortMod,
            Self::TableMod(_) => Kind::TableMod,
            Self::BarrierRequest => Kind::BarrierRequest,
            Self::BarrierReply => Kind::BarrierReply,
            Self::QueueConfigRequest(_) => Kind::QueueConfigRequest,
            Self::QueueConfigReply(_) => Kind::QueueConfigReply,
            Self::RoleRequest(RoleMessage { generation: None, .. }) => Kind::NxRoleRequest,
            Self::RoleRequest(_) => Kind::RoleRequest,
            Self::RoleReply(RoleMessage { generation: None, .. }) => Kind::NxRoleReply,
            Self::RoleReply(_) => Kind::RoleReply,
            Self::RoleStatus(_) => Kind::RoleStatus,
            Self::GetAsyncRequest => Kind::GetAsyncRequest,
            Self::GetAsyncReply(_) => Kind::GetAsyncReply,
            Self::SetAsync(config) => match config.form {
                AsyncForm::Standard => Kind::SetAsync,
                AsyncForm::Nicira => Kind::NxSetAsync,
                AsyncForm::Nicira2 => Kind::NxSetAsync2,
            },
            Self::MeterMod(_) => Kind::MeterMod,
            Self::TableStatus(_) => Kind::TableStatus,
            Self::RequestForward(_) => Kind::RequestForward,
            Self::BundleControl(_) => Kind::BundleControl,
            Self::BundleAdd(_) => Kind::BundleAdd,
            Self::SetFlowFormat { .. } => Kind::NxSetFlowFormat,
            Self::FlowModTableId(_) => Kind::NxFlowModTableId,
            Self::SetPacketInFormat(_) => Kind::NxSetPacketInFormat,
            Self::FlowAge => Kind::NxFlowAge,
            Self::SetControllerId(_) => Kind::NxSetControllerId,
            Self::FlowMonitorCancel(_) => Kind::NxFlowMonitorCancel,
            Self::FlowMonitorPaused => Kind::NxFlowMonitorPaused,
            Self::FlowMonitorResumed => Kind::NxFlowMonitorResumed,
            Self::TlvTableMod(_) => Kind::NxTlvTableMod,
            Self::TlvTableRequest => Kind::NxTlvTableRequest,
            Self::TlvTableReply(_) => Kind::NxTlvTableReply,
            Self::CtFlushZone(_) => Kind::NxCtFlushZone,
            Self::CtFlush(_) => Kind::NxCtFlush,
            // These write their own headers.
            Self::Request { .. } | Self::Reply { .. } => Kind::Error,
        }
    }

    /// Append the message to `out`; a long multipart message as several.
    ///
    /// # Errors
    /// The version has no such message, or it is too long; then nothing whole was written, and `out` is as before.
    pub fn encode(&self, xid: u32, context: &Context, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let result = self.encode_at(start, xid, context, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn encode_at(&self, start: usize, xid: u32, context: &Context, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Request { request, .. } => return request.encode(xid, context, out),
            Self::Reply { reply, .. } => return reply.encode(xid, context, out),
            Self::Hello(hello) => {
                Header { version: hello.header_version(), kind: 0, length: 0, xid }.encode(out);
            }
            _ => self.kind().encode(context.version, xid, out).ok_or(EncodeError::NotInVersion)?,
        }
        self.encode_body(context, out);
        if out.len() - start > MESSAGE_BYTES_MAX {
            return Err(EncodeError::TooLong);
        }
        out.set_length(start, 2);
        Ok(())
    }

    fn encode_body(&self, context: &Context, out: &mut Vec<u8>) {
        let version = context.version;
        match self {
            Self::Hello(hello) => hello.encode(out),
            Self::Error(error) => error.encode(version, out),
            Self::EchoRequest(data) | Self::EchoReply(data) | Self::RequestForward(data) => out.put(data),
            Self::FeaturesReply(features) => features.encode(out, version),
            Self::GetConfigReply(config) | Self::SetConfig(config) => config.encode(out),
            Self::PacketIn(packet_in) | Self::Resume(packet_in) => packet_in.encode(out, context),
            Self::FlowRemoved(removed) => removed.encode(out, context),
            Self::PortStatus(status) => status.encode(out, version),
            Self::PacketOut(packet_out) => packet_out.encode(out, context),
            Self::FlowMod(flow_mod) => flow_mod.encode(out, context),
            Self::GroupMod(group_mod) => group_mod.encode(out, context),
            Self::PortMod(port_mod) => port_mod.encode(out, version),
            Self::TableMod(config) => config.encode_mod(out, version),
            Self::QueueConfigRequest(port) => QueueConfig::encode_port(*port, out, version),
            Self::QueueConfigReply(config) => config.encode(out, version),
            Self::RoleRequest(role) | Self::RoleReply(role) => role.encode(out),
            Self::RoleStatus(status) => status.encode(out),
            Self::GetAsyncReply(config) | Self::SetAsync(config) => config.encode(out, version),
            Self::MeterMod(meter_mod) => meter_mod.encode(out),
            Self::TableStatus(status) => {
                out.u8(status.reason);
                out.zeros(7);
                status.table.encode_desc(out, version);
            }
            Self::BundleControl(control) => control.encode(out),
            Self::BundleAdd(add) => add.encode(out),
            Self::SetFlowFormat { nicira } => out.u32(if *nicira { 2 } else { 0 }),
            Self::FlowModTableId(set) => {
                out.u8((*set).into());
                out.zeros(7);
            }
            Self::SetPacketInFormat(format) => out.u32(format.wire()),
            Self::SetControllerId(id) | Self::CtFlushZone(id) => {
                out.zeros(6);
                out.u16(*id);
            }
            Self::FlowMonitorCancel(monitor) => out.u32(*monitor),
            Self::TlvTableMod(change) => change.encode(out),
            Self::TlvTableReply(reply) => reply.encode(out),
            Self::CtFlush(flush) => flush.encode(out),
            Self::FeaturesRequest
            | Self::GetConfigRequest
            | Self::BarrierRequest
            | Self::BarrierReply
            | Self::GetAsyncRequest
            | Self::FlowAge
            | Self::FlowMonitorPaused
            | Self::FlowMonitorResumed
            | Self::TlvTableRequest
            | Self::Request { .. }
            | Self::Reply { .. } => {}
        }
    }
}
