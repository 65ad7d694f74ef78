//! Which message a header means, in which versions, and how long its body may be.

use crate::Version::{self, V1_0, V1_3, V1_4, V1_5};
use crate::error::{ErrorCode, NICIRA, ONF};
use crate::header::{HEADER_BYTES, Header};
use crate::wire::{Put, Reader};

const OFPT_VENDOR: u8 = 4;
const OFPST_VENDOR: u16 = 0xffff;

/// Types of multipart request and reply, which OpenFlow 1.1 renumbered.
fn multipart_types(version: Version) -> (u8, u8) {
    if version == V1_0 { (16, 17) } else { (18, 19) }
}

/// Where a message's number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// In the header.
    Standard,
    /// In a multipart request, reply.
    Request,
    Reply,
    /// Behind a vendor's id.
    Vendor(u32),
    /// Behind a vendor's id in a multipart request, reply.
    VendorRequest(u32),
    VendorReply(u32),
}
use Class::{Reply, Request, Standard};
const NX: Class = Class::Vendor(NICIRA);
const ONF_MESSAGE: Class = Class::Vendor(ONF);
const NX_REQUEST: Class = Class::VendorRequest(NICIRA);
const NX_REPLY: Class = Class::VendorReply(NICIRA);
const ONF_REQUEST: Class = Class::VendorRequest(ONF);
const ONF_REPLY: Class = Class::VendorReply(ONF);

macro_rules! kinds {
    ($($kind:ident: $(($class:expr, $number:literal, $from:ident..$to:ident, $min:literal, $unit:literal)),+;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($kind,)* }

        static FORMS: &[Form] = &[
            $($(Form { kind: Kind::$kind, class: $class, number: $number, from: $from, to: $to, min: $min, unit: $unit },)+)*
        ];
    };
}

/// One form of a message: its number in some versions.
#[derive(Debug)]
struct Form {
    kind: Kind,
    class: Class,
    number: u32,
    from: Version,
    to: Version,
    /// Least bytes of the body.
    min: usize,
    /// 0: exactly that many; else any multiple of this may follow.
    unit: usize,
}

// Class, number, versions, least body, unit of what follows: as `ofp-msgs.h` of Open vSwitch has them.
#[rustfmt::skip]
kinds! {
    FlowMod: (Standard, 14, V1_0..V1_0, 64, 8), (Standard, 14, V1_3..V1_5, 40, 8);
    NxFlowMod: (NX, 13, V1_0..V1_5, 32, 8);
    BundleAdd: (Standard, 34, V1_4..V1_5, 8, 1), (ONF_MESSAGE, 2301, V1_3..V1_3, 8, 1);
    Hello: (Standard, 0, V1_0..V1_5, 0, 1);
    Error: (Standard, 1, V1_0..V1_5, 4, 1);
    EchoRequest: (Standard, 2, V1_0..V1_5, 0, 1);
    EchoReply: (Standard, 3, V1_0..V1_5, 0, 1);
    FeaturesRequest: (Standard, 5, V1_0..V1_5, 0, 0);
    FeaturesReply: (Standard, 6, V1_0..V1_0, 24, 48), (Standard, 6, V1_3..V1_5, 24, 0);
    GetConfigRequest: (Standard, 7, V1_0..V1_5, 0, 0);
    GetConfigReply: (Standard, 8, V1_0..V1_5, 4, 0);
    SetConfig: (Standard, 9, V1_0..V1_5, 4, 0);
    PacketIn: (Standard, 10, V1_0..V1_0, 10, 1), (Standard, 10, V1_3..V1_5, 16, 1);
    NxPacketIn: (NX, 17, V1_0..V1_5, 24, 1);
    NxPacketIn2: (NX, 30, V1_0..V1_5, 0, 8);
    NxResume: (NX, 28, V1_0..V1_5, 0, 8);
    FlowRemoved: (Standard, 11, V1_0..V1_0, 80, 0), (Standard, 11, V1_3..V1_4, 40, 8), (Standard, 11, V1_5..V1_5, 16, 8);
    NxFlowRemoved: (NX, 14, V1_0..V1_5, 40, 8);
    PortStatus: (Standard, 12, V1_0..V1_0, 56, 0), (Standard, 12, V1_3..V1_3, 72, 0), (Standard, 12, V1_4..V1_5, 48, 8);
    PacketOut: (Standard, 13, V1_0..V1_0, 8, 1), (Standard, 13, V1_3..V1_4, 16, 1), (Standard, 13, V1_5..V1_5, 8, 1);
    GroupMod: (Standard, 15, V1_3..V1_4, 8, 8), (Standard, 15, V1_5..V1_5, 16, 8), (NX, 31, V1_0..V1_0, 16, 8);
    PortMod: (Standard, 15, V1_0..V1_0, 24, 0), (Standard, 16, V1_3..V1_3, 32, 0), (Standard, 16, V1_4..V1_5, 24, 8);
    TableMod: (Standard, 17, V1_3..V1_3, 8, 0), (Standard, 17, V1_4..V1_5, 8, 8);
    BarrierRequest: (Standard, 18, V1_0..V1_0, 0, 0), (Standard, 20, V1_3..V1_5, 0, 0);
    BarrierReply: (Standard, 19, V1_0..V1_0, 0, 0), (Standard, 21, V1_3..V1_5, 0, 0);
    QueueConfigRequest: (Standard, 20, V1_0..V1_0, 4, 0), (Standard, 22, V1_3..V1_3, 8, 0);
    QueueConfigReply: (Standard, 21, V1_0..V1_0, 8, 8), (Standard, 23, V1_3..V1_3, 8, 8);
    RoleRequest: (Standard, 24, V1_3..V1_5, 16, 0);
    RoleReply: (Standard, 25, V1_3..V1_5, 16, 0);
    NxRoleRequest: (NX, 10, V1_0..V1_5, 4, 0);
    NxRoleReply: (NX, 11, V1_0..V1_5, 4, 0);
    GetAsyncRequest: (Standard, 26, V1_3..V1_5, 0, 0);
    GetAsyncReply: (Standard, 27, V1_3..V1_3, 24, 0), (Standard, 27, V1_4..V1_5, 0, 8);
    SetAsync: (Standard, 28, V1_3..V1_3, 24, 0), (Standard, 28, V1_4..V1_5, 0, 8);
    NxSetAsync: (NX, 19, V1_0..V1_5, 24, 0);
    NxSetAsync2: (NX, 27, V1_0..V1_3, 0, 8);
    MeterMod: (Standard, 29, V1_3..V1_5, 8, 8);
    RoleStatus: (Standard, 30, V1_4..V1_5, 16, 8), (ONF_MESSAGE, 1911, V1_3..V1_3, 16, 8);
    TableStatus: (Standard, 31, V1_4..V1_5, 8, 8);
    RequestForward: (Standard, 32, V1_4..V1_5, 8, 8), (ONF_MESSAGE, 2350, V1_3..V1_3, 8, 8), (NX, 132, V1_0..V1_0, 8, 8);
    BundleControl: (Standard, 33, V1_4..V1_5, 8, 8), (ONF_MESSAGE, 2300, V1_3..V1_3, 8, 8);
    NxSetFlowFormat: (NX, 12, V1_0..V1_0, 4, 0);
    NxFlowModTableId: (NX, 15, V1_0..V1_5, 8, 0);
    NxSetPacketInFormat: (NX, 16, V1_0..V1_5, 4, 0);
    NxFlowAge: (NX, 18, V1_0..V1_5, 0, 0);
    NxSetControllerId: (NX, 20, V1_0..V1_5, 8, 0);
    NxFlowMonitorCancel: (NX, 21, V1_0..V1_0, 4, 0), (ONF_MESSAGE, 1870, V1_3..V1_3, 4, 0);
    NxFlowMonitorPaused: (NX, 22, V1_0..V1_0, 0, 0), (ONF_MESSAGE, 1871, V1_3..V1_3, 0, 0);
    NxFlowMonitorResumed: (NX, 23, V1_0..V1_0, 0, 0), (ONF_MESSAGE, 1872, V1_3..V1_3, 0, 0);
    NxTlvTableMod: (NX, 24, V1_0..V1_5, 8, 8);
    NxTlvTableRequest: (NX, 25, V1_0..V1_5, 0, 0);
    NxTlvTableReply: (NX, 26, V1_0..V1_5, 16, 8);
    NxCtFlushZone: (NX, 29, V1_0..V1_5, 8, 0);
    NxCtFlush: (NX, 32, V1_0..V1_5, 8, 8);
    DescRequest: (Request, 0, V1_0..V1_5, 0, 0);
    DescReply: (Reply, 0, V1_0..V1_5, 1056, 0);
    FlowRequest: (Request, 1, V1_0..V1_0, 44, 0), (Request, 1, V1_3..V1_5, 32, 8);
    FlowReply: (Reply, 1, V1_0..V1_5, 0, 1);
    NxFlowRequest: (NX_REQUEST, 0, V1_0..V1_0, 8, 8);
    NxFlowReply: (NX_REPLY, 0, V1_0..V1_0, 0, 1);
    AggregateRequest: (Request, 2, V1_0..V1_0, 44, 0), (Request, 2, V1_3..V1_5, 32, 8);
    AggregateReply: (Reply, 2, V1_0..V1_4, 24, 0), (Reply, 2, V1_5..V1_5, 0, 1);
    NxAggregateRequest: (NX_REQUEST, 1, V1_0..V1_0, 8, 8);
    NxAggregateReply: (NX_REPLY, 1, V1_0..V1_0, 24, 0);
    TableRequest: (Request, 3, V1_0..V1_5, 0, 0);
    TableReply: (Reply, 3, V1_0..V1_0, 0, 64), (Reply, 3, V1_3..V1_5, 0, 24);
    PortRequest: (Request, 4, V1_0..V1_5, 8, 0);
    PortReply: (Reply, 4, V1_0..V1_0, 0, 104), (Reply, 4, V1_3..V1_3, 0, 112), (Reply, 4, V1_4..V1_5, 0, 8);
    QueueRequest: (Request, 5, V1_0..V1_5, 8, 0);
    QueueReply: (Reply, 5, V1_0..V1_0, 0, 32), (Reply, 5, V1_3..V1_3, 0, 40), (Reply, 5, V1_4..V1_5, 0, 8);
    GroupRequest: (Request, 6, V1_3..V1_5, 8, 0), (NX_REQUEST, 7, V1_0..V1_0, 8, 0);
    GroupReply: (Reply, 6, V1_3..V1_5, 0, 8), (NX_REPLY, 7, V1_0..V1_0, 0, 8);
    GroupDescRequest: (Request, 7, V1_3..V1_4, 0, 0), (Request, 7, V1_5..V1_5, 8, 0), (NX_REQUEST, 8, V1_0..V1_0, 8, 0);
    GroupDescReply: (Reply, 7, V1_3..V1_5, 0, 8), (NX_REPLY, 8, V1_0..V1_0, 0, 8);
    GroupFeaturesRequest: (Request, 8, V1_3..V1_5, 0, 0), (NX_REQUEST, 9, V1_0..V1_0, 0, 0);
    GroupFeaturesReply: (Reply, 8, V1_3..V1_5, 40, 0), (NX_REPLY, 9, V1_0..V1_0, 40, 0);
    MeterRequest: (Request, 9, V1_3..V1_5, 8, 0);
    MeterReply: (Reply, 9, V1_3..V1_5, 0, 8);
    MeterConfigRequest: (Request, 10, V1_3..V1_5, 8, 0);
    MeterConfigReply: (Reply, 10, V1_3..V1_5, 0, 8);
    MeterFeaturesRequest: (Request, 11, V1_3..V1_5, 0, 0);
    MeterFeaturesReply: (Reply, 11, V1_3..V1_5, 16, 0);
    TableFeaturesRequest: (Request, 12, V1_3..V1_5, 0, 8);
    TableFeaturesReply: (Reply, 12, V1_3..V1_5, 64, 8);
    PortDescRequest: (Request, 13, V1_0..V1_4, 0, 0), (Request, 13, V1_5..V1_5, 8, 0);
    PortDescReply: (Reply, 13, V1_0..V1_0, 0, 48), (Reply, 13, V1_3..V1_3, 0, 64), (Reply, 13, V1_4..V1_5, 0, 8);
    TableDescRequest: (Request, 14, V1_4..V1_5, 0, 0);
    TableDescReply: (Reply, 14, V1_4..V1_5, 8, 8);
    QueueDescRequest: (Request, 15, V1_4..V1_5, 8, 0);
    QueueDescReply: (Reply, 15, V1_4..V1_5, 0, 8);
    FlowMonitorRequest: (Request, 16, V1_4..V1_5, 0, 8), (ONF_REQUEST, 1870, V1_3..V1_3, 0, 8), (NX_REQUEST, 2, V1_0..V1_0, 0, 8);
    FlowMonitorReply: (Reply, 16, V1_4..V1_5, 0, 8), (ONF_REPLY, 1870, V1_3..V1_3, 0, 8), (NX_REPLY, 2, V1_0..V1_0, 0, 8);
    IpfixBridgeRequest: (NX_REQUEST, 3, V1_0..V1_5, 0, 0);
    IpfixBridgeReply: (NX_REPLY, 3, V1_0..V1_5, 88, 0);
    IpfixFlowRequest: (NX_REQUEST, 4, V1_0..V1_5, 0, 0);
    IpfixFlowReply: (NX_REPLY, 4, V1_0..V1_5, 0, 88);
}

/// What stands before a message's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub kind: Kind,
    /// Of a multipart message: more parts follow.
    pub more: bool,
}

/// OFPSF_REPLY_MORE and its like in requests.
const MORE: u16 = 1;

impl Kind {
    /// Read all headers of a message whose version is known; the reader is left at the body, whose length is checked.
    pub(crate) fn decode(version: Version, header: &Header, reader: &mut Reader<'_>) -> Result<Front, ErrorCode> {
        let (request, reply) = multipart_types(version);
        let known_vendor = |vendor: u32, onf_too: bool| {
            if vendor == NICIRA || onf_too && vendor == ONF { Ok(vendor) } else { Err(ErrorCode::RequestBadVendor) }
        };
        let (class, number, unknown, flags) = if header.kind == OFPT_VENDOR {
            let (vendor, subtype) = (reader.u32()?, reader.u32()?);
            (Class::Vendor(known_vendor(vendor, true)?), subtype, ErrorCode::RequestBadSubtype, 0)
        } else if header.kind == request || header.kind == reply {
            let is_request = header.kind == request;
            let (kind, flags) = (reader.u16()?, reader.u16()?);
            if version > V1_0 {
                reader.skip(4)?;
            }
            if kind == OFPST_VENDOR {
                let vendor = known_vendor(reader.u32()?, version > V1_0)?;
                let subtype = reader.u32()?;
                if version == V1_0 {
                    reader.skip(4)?;
                }
                let class = if is_request { Class::VendorRequest(vendor) } else { Class::VendorReply(vendor) };
                (class, subtype, ErrorCode::RequestBadSubtype, flags)
            } else {
                (if is_request { Request } else { Reply }, kind.into(), ErrorCode::RequestBadStat, flags)
            }
        } else {
            (Standard, header.kind.into(), ErrorCode::RequestBadType, 0)
        };
        let meant =
            |form: &&Form| form.class == class && form.number == number && (form.from..=form.to).contains(&version);
        let form = FORMS.iter().find(meant).ok_or(unknown)?;
        let fits = match reader.remaining().checked_sub(form.min) {
            None => false,
            Some(excess) => {
                if form.unit == 0 {
                    excess == 0
                } else {
                    excess % form.unit == 0
                }
            }
        };
        if fits { Ok(Front { kind: form.kind, more: flags & MORE != 0 }) } else { Err(ErrorCode::RequestBadLen) }
    }

    /// Whether a controller sends it.
    pub(crate) fn is_for_switch(self) -> bool {
        let of_switch = matches!(
            self,
            Self::Error
                | Self::FeaturesReply
                | Self::GetConfigReply
                | Self::PacketIn
                | Self::NxPacketIn
                | Self::NxPacketIn2
                | Self::FlowRemoved
                | Self::NxFlowRemoved
                | Self::PortStatus
                | Self::BarrierReply
                | Self::QueueConfigReply
                | Self::RoleReply
                | Self::NxRoleReply
                | Self::GetAsyncReply
                | Self::RoleStatus
                | Self::TableStatus
                | Self::RequestForward
                | Self::NxFlowMonitorPaused
                | Self::NxFlowMonitorResumed
                | Self::NxTlvTableReply
        );
        let is_reply = |form: &Form| matches!(form.class, Reply | Class::VendorReply(_));
        !of_switch && !FORMS.iter().any(|form| form.kind == self && is_reply(form))
    }

    fn form(self, version: Version) -> Option<&'static Form> {
        FORMS.iter().find(|form| form.kind == self && (form.from..=form.to).contains(&version))
    }

    /// Write all headers; the length is set when the message ends. `None`: the version has no such message.
    pub(crate) fn encode(self, version: Version, xid: u32, out: &mut Vec<u8>) -> Option<()> {
        let form = self.form(version)?;
        let (request, reply) = multipart_types(version);
        let kind = match form.class {
            Standard => form.number as u8,
            Request | Class::VendorRequest(_) => request,
            Reply | Class::VendorReply(_) => reply,
            Class::Vendor(_) => OFPT_VENDOR,
        };
        Header { version: version.wire(), kind, length: HEADER_BYTES as u16, xid }.encode(out);
        let multipart = |out: &mut Vec<u8>, kind: u16| {
            out.u16(kind);
            out.u16(0);
            out.zeros(if version > V1_0 { 4 } else { 0 });
        };
        match form.class {
            Standard => {}
            Request | Reply => multipart(out, form.number as u16),
            Class::Vendor(vendor) => {
                out.u32(vendor);
                out.u32(form.number);
            }
            Class::VendorRequest(vendor) | Class::VendorReply(vendor) => {
                multipart(out, OFPST_VENDOR);
                out.u32(vendor);
                out.u32(form.number);
                out.zeros(if version == V1_0 { 4 } else { 0 });
            }
        }
        Some(())
    }
}

/// Say in a multipart message that more parts follow.
pub(crate) fn set_more(message: &mut Vec<u8>, start: usize) {
    message.set(start + HEADER_BYTES + 2, &MORE.to_be_bytes());
}
