//! Multipart messages, which OpenFlow 1.0 calls statistics.

mod flow;
mod parts;

pub use flow::{FlowRequest, FlowStats};
pub use parts::FlowStatsWriter;
pub(crate) use parts::Parts;

use crate::group::{GroupDesc, GroupFeatures, GroupStats};
use crate::kind::Kind;
use crate::meter::{MeterConfig, MeterFeatures, MeterStats};
use crate::monitor::{FlowUpdate, MonitorRequest};
use crate::oxs::Aggregate;
use crate::port::{PortDesc, PortStats};
use crate::queue::{QueueDesc, QueueSelector, QueueStats};
use crate::table::{TableConfig, TableFeatures, TableStats};
use crate::wire::{Put, Reader};
use crate::{Context, EncodeError, ErrorCode, PortNo, Version};

/// Bytes of OFPST_DESC's texts.
const DESC_BYTES: usize = 256;
const SERIAL_BYTES: usize = 32;

/// OFPMP_*: what is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Desc,
    Flow(FlowRequest),
    Aggregate(FlowRequest),
    Table,
    /// [`PortNo::NONE`]: all.
    Port(PortNo),
    Queue(QueueSelector),
    /// [`crate::GROUP_ALL`]: all.
    Group(u32),
    /// Before OpenFlow 1.5 always all.
    GroupDesc(u32),
    GroupFeatures,
    /// [`crate::METER_ALL`]: all.
    Meter(u32),
    MeterConfig(u32),
    MeterFeatures,
    /// With entries: change the tables.
    TableFeatures(Vec<TableFeatures>),
    /// Before OpenFlow 1.5 always all: [`PortNo::NONE`].
    PortDesc(PortNo),
    TableDesc,
    QueueDesc(QueueSelector),
    FlowMonitor(Vec<MonitorRequest>),
    IpfixBridge,
    IpfixFlow,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Desc(Desc),
    /// `nicira`: NXST_FLOW.
    Flow {
        flows: Vec<FlowStats>,
        nicira: bool,
    },
    Aggregate {
        aggregate: Aggregate,
        nicira: bool,
    },
    Table(Vec<TableStats>),
    Port(Vec<PortStats>),
    Queue(Vec<QueueStats>),
    Group(Vec<GroupStats>),
    GroupDesc(Vec<GroupDesc>),
    GroupFeatures(GroupFeatures),
    Meter(Vec<MeterStats>),
    MeterConfig(Vec<MeterConfig>),
    MeterFeatures(MeterFeatures),
    TableFeatures(Vec<TableFeatures>),
    PortDesc(Vec<PortDesc>),
    TableDesc(Vec<TableConfig>),
    QueueDesc(Vec<QueueDesc>),
    FlowMonitor(Vec<FlowUpdate>),
    IpfixBridge(IpfixStats),
    IpfixFlow(Vec<IpfixStats>),
}

/// Who made the switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desc {
    pub manufacturer: String,
    pub hardware: String,
    pub software: String,
    pub serial_number: String,
    pub datapath: String,
}

impl Desc {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        Ok(Self {
            manufacturer: reader.text(DESC_BYTES)?,
            hardware: reader.text(DESC_BYTES)?,
            software: reader.text(DESC_BYTES)?,
            serial_number: reader.text(SERIAL_BYTES)?,
            datapath: reader.text(DESC_BYTES)?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.text(&self.manufacturer, DESC_BYTES);
        out.text(&self.hardware, DESC_BYTES);
        out.text(&self.software, DESC_BYTES);
        out.text(&self.serial_number, SERIAL_BYTES);
        out.text(&self.datapath, DESC_BYTES);
    }
}

/// NXST_IPFIX_*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpfixStats {
    /// Total and current flows; packets, of IPv4 and of IPv6; errors, of IPv4 and of IPv6; errors and packets sent.
    pub counters: [u64; 10],
    pub collector_set_id: u32,
}

impl IpfixStats {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let mut counters = [0; 10];
        for counter in &mut counters {
            *counter = reader.u64()?;
        }
        let collector_set_id = reader.u32()?;
        reader.skip(4)?;
        Ok(Self { counters, collector_set_id })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.counters.iter().for_each(|counter| out.u64(*counter));
        out.u32(self.collector_set_id);
        out.zeros(4);
    }
}

fn decode_all<'a, T>(
    reader: &mut Reader<'a>,
    mut decode: impl FnMut(&mut Reader<'a>) -> Result<T, ErrorCode>,
) -> Result<Vec<T>, ErrorCode> {
    let mut all = Vec::new();
    while !reader.is_empty() {
        all.push(decode(reader)?);
    }
    Ok(all)
}

/// A group or meter, and padding.
fn decode_id(reader: &mut Reader<'_>) -> Result<u32, ErrorCode> {
    let id = reader.u32()?;
    reader.skip(4)?;
    Ok(id)
}

fn decode_port(reader: &mut Reader<'_>, version: Version) -> Result<PortNo, ErrorCode> {
    let port = PortNo::decode(reader, version)?;
    reader.skip(if version == Version::V1_0 { 6 } else { 4 })?;
    Ok(port)
}

impl Request {
    pub(crate) fn decode(kind: Kind, reader: &mut Reader<'_>, context: &Context) -> Result<Option<Self>, ErrorCode> {
        let version = context.version;
        Ok(Some(match kind {
            Kind::DescRequest => Self::Desc,
            Kind::FlowRequest => Self::Flow(FlowRequest::decode(reader, false, context)?),
            Kind::NxFlowRequest => Self::Flow(FlowRequest::decode(reader, true, context)?),
            Kind::AggregateRequest => Self::Aggregate(FlowRequest::decode(reader, false, context)?),
            Kind::NxAggregateRequest => Self::Aggregate(FlowRequest::decode(reader, true, context)?),
            Kind::TableRequest => Self::Table,
            Kind::PortRequest => Self::Port(decode_port(reader, version)?),
            Kind::QueueRequest => Self::Queue(QueueSelector::decode(reader, version)?),
            Kind::GroupRequest => Self::Group(decode_id(reader)?),
            Kind::GroupDescRequest if reader.is_empty() => Self::GroupDesc(crate::GROUP_ALL),
            Kind::GroupDescRequest => Self::GroupDesc(decode_id(reader)?),
            Kind::GroupFeaturesRequest => Self::GroupFeatures,
            Kind::MeterRequest => Self::Meter(decode_id(reader)?),
            Kind::MeterConfigRequest => Self::MeterConfig(decode_id(reader)?),
            Kind::MeterFeaturesRequest => Self::MeterFeatures,
            Kind::TableFeaturesRequest => Self::TableFeatures(decode_all(reader, TableFeatures::decode)?),
            Kind::PortDescRequest if reader.is_empty() => Self::PortDesc(PortNo::NONE),
            Kind::PortDescRequest => Self::PortDesc(decode_port(reader, version)?),
            Kind::TableDescRequest => Self::TableDesc,
            Kind::QueueDescRequest => Self::QueueDesc(QueueSelector::decode(reader, version)?),
            Kind::FlowMonitorRequest => {
                Self::FlowMonitor(decode_all(reader, |reader| MonitorRequest::decode(reader, context))?)
            }
            Kind::IpfixBridgeRequest => Self::IpfixBridge,
            Kind::IpfixFlowRequest => Self::IpfixFlow,
            _ => return Ok(None),
        }))
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Desc => Kind::DescRequest,
            Self::Flow(request) if request.nicira => Kind::NxFlowRequest,
            Self::Flow(_) => Kind::FlowRequest,
            Self::Aggregate(request) if request.nicira => Kind::NxAggregateRequest,
            Self::Aggregate(_) => Kind::AggregateRequest,
            Self::Table => Kind::TableRequest,
            Self::Port(_) => Kind::PortRequest,
            Self::Queue(_) => Kind::QueueRequest,
            Self::Group(_) => Kind::GroupRequest,
            Self::GroupDesc(_) => Kind::GroupDescRequest,
            Self::GroupFeatures => Kind::GroupFeaturesRequest,
            Self::Meter(_) => Kind::MeterRequest,
            Self::MeterConfig(_) => Kind::MeterConfigRequest,
            Self::MeterFeatures => Kind::MeterFeaturesRequest,
            Self::TableFeatures(_) => Kind::TableFeaturesRequest,
            Self::PortDesc(_) => Kind::PortDescRequest,
            Self::TableDesc => Kind::TableDescRequest,
            Self::QueueDesc(_) => Kind::QueueDescRequest,
            Self::FlowMonitor(_) => Kind::FlowMonitorRequest,
            Self::IpfixBridge => Kind::IpfixBridgeRequest,
            Self::IpfixFlow => Kind::IpfixFlowRequest,
        }
    }

    pub(crate) fn encode(&self, xid: u32, context: &Context, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let version = context.version;
        let mut parts = Parts::new(self.kind(), xid, context, out)?;
        match self {
            Self::Flow(request) | Self::Aggregate(request) => {
                parts.push(|out, context| request.encode(out, context))?;
            }
            Self::Port(port) => parts.push(|out, _| {
                port.encode(version, out);
                out.zeros(if version == Version::V1_0 { 6 } else { 4 });
            })?,
            Self::PortDesc(port) if version == Version::V1_5 => parts.push(|out, _| {
                port.encode(version, out);
                out.zeros(4);
            })?,
            Self::Queue(selector) | Self::QueueDesc(selector) => {
                parts.push(|out, _| selector.encode(out, version))?;
            }
            Self::GroupDesc(_) if matches!(version, Version::V1_3 | Version::V1_4) => {}
            Self::Group(id) | Self::GroupDesc(id) | Self::Meter(id) | Self::MeterConfig(id) => {
                parts.push(|out, _| {
                    out.u32(*id);
                    out.zeros(4);
                })?
            }
            Self::TableFeatures(tables) => {
                for table in tables {
                    parts.push(|out, _| table.encode(out))?;
                }
            }
            Self::FlowMonitor(monitors) => {
                for monitor in monitors {
                    parts.push(|out, context| monitor.encode(out, context))?;
                }
            }
            _ => {}
        }
        parts.finish();
        Ok(())
    }
}

impl Reply {
    pub(crate) fn decode(kind: Kind, reader: &mut Reader<'_>, context: &Context) -> Result<Option<Self>, ErrorCode> {
        let version = context.version;
        let flows = |reader: &mut Reader<'_>, nicira: bool| {
            let flows = decode_all(reader, |reader| FlowStats::decode(reader, nicira, context))?;
            Ok(Self::Flow { flows, nicira })
        };
        let aggregate = |reader: &mut Reader<'_>, nicira: bool| {
            let aggregate = if version == Version::V1_5 {
                Aggregate::decode_oxs(reader)?
            } else {
                Aggregate { packets: reader.u64()?, bytes: reader.u64()?, flows: reader.u32()? }
            };
            Ok(Self::Aggregate { aggregate, nicira })
        };
        Ok(Some(match kind {
            Kind::DescReply => Self::Desc(Desc::decode(reader)?),
            Kind::FlowReply => flows(reader, false)?,
            Kind::NxFlowReply => flows(reader, true)?,
            Kind::AggregateReply => aggregate(reader, false)?,
            Kind::NxAggregateReply => aggregate(reader, true)?,
            Kind::TableReply => Self::Table(decode_all(reader, |reader| TableStats::decode(reader, version))?),
            Kind::PortReply => Self::Port(decode_all(reader, |reader| PortStats::decode(reader, version))?),
            Kind::QueueReply => Self::Queue(decode_all(reader, |reader| QueueStats::decode(reader, version))?),
            Kind::GroupReply => Self::Group(decode_all(reader, GroupStats::decode)?),
            Kind::GroupDescReply => Self::GroupDesc(decode_all(reader, |reader| GroupDesc::decode(reader, context))?),
            Kind::GroupFeaturesReply => Self::GroupFeatures(GroupFeatures::decode(reader)?),
            Kind::MeterReply => Self::Meter(decode_all(reader, MeterStats::decode)?),
            Kind::MeterConfigReply => Self::MeterConfig(decode_all(reader, MeterConfig::decode)?),
            Kind::MeterFeaturesReply => Self::MeterFeatures(MeterFeatures::decode(reader)?),
            Kind::TableFeaturesReply => Self::TableFeatures(decode_all(reader, TableFeatures::decode)?),
            Kind::PortDescReply => Self::PortDesc(decode_all(reader, |reader| PortDesc::decode(reader, version))?),
            Kind::TableDescReply => {
                Self::TableDesc(decode_all(reader, |reader| TableConfig::decode_desc(reader, version))?)
            }
            Kind::QueueDescReply => {
                Self::QueueDesc(decode_all(reader, |reader| QueueDesc::decode(reader, PortNo::NONE, version))?)
            }
            Kind::FlowMonitorReply => {
                Self::FlowMonitor(decode_all(reader, |reader| FlowUpdate::decode(reader, context))?)
            }
            Kind::IpfixBridgeReply => Self::IpfixBridge(IpfixStats::decode(reader)?),
            Kind::IpfixFlowReply => Self::IpfixFlow(decode_all(reader, IpfixStats::decode)?),
            _ => return Ok(None),
        }))
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Desc(_) => Kind::DescReply,
            Self::Flow { nicira: true, .. } => Kind::NxFlowReply,
            Self::Flow { .. } => Kind::FlowReply,
            Self::Aggregate { nicira: true, .. } => Kind::NxAggregateReply,
            Self::Aggregate { .. } => Kind::AggregateReply,
            Self::Table(_) => Kind::TableReply,
            Self::Port(_) => Kind::PortReply,
            Self::Queue(_) => Kind::QueueReply,
            Self::Group(_) => Kind::GroupReply,
            Self::GroupDesc(_) => Kind::GroupDescReply,
            Self::GroupFeatures(_) => Kind::GroupFeaturesReply,
            Self::Meter(_) => Kind::MeterReply,
            Self::MeterConfig(_) => Kind::MeterConfigReply,
            Self::MeterFeatures(_) => Kind::MeterFeaturesReply,
            Self::TableFeatures(_) => Kind::TableFeaturesReply,
            Self::PortDesc(_) => Kind::PortDescReply,
            Self::TableDesc(_) => Kind::TableDescReply,
            Self::QueueDesc(_) => Kind::QueueDescReply,
            Self::FlowMonitor(_) => Kind::FlowMonitorReply,
            Self::IpfixBridge(_) => Kind::IpfixBridgeReply,
            Self::IpfixFlow(_) => Kind::IpfixFlowReply,
        }
    }

    pub(crate) fn encode(&self, xid: u32, context: &Context, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let version = context.version;
        let mut parts = Parts::new(self.kind(), xid, context, out)?;
        fn all<T>(
            parts: &mut Parts<'_>,
            entries: &[T],
            encode: impl Fn(&T, &mut Vec<u8>, &Context),
        ) -> Result<(), EncodeError> {
            entries.iter().try_for_each(|entry| parts.push(|out, context| encode(entry, out, context)))
        }
        match self {
            Self::Desc(desc) => parts.push(|out, _| desc.encode(out))?,
            Self::Flow { flows, nicira } => {
                all(&mut parts, flows, |flow, out, context| flow.encode(out, *nicira, context))?;
            }
            Self::Aggregate { aggregate, .. } if version == Version::V1_5 => {
                parts.push(|out, _| aggregate.encode_oxs(out))?;
            }
            Self::Aggregate { aggregate: Aggregate { packets, bytes, flows }, nicira } => parts.push(|out, _| {
                let known =
                    |count: u64| if count == u64::MAX && version == Version::V1_0 && !nicira { 0 } else { count };
                out.u64(known(*packets));
                out.u64(known(*bytes));
                out.u32(*flows);
                out.zeros(4);
            })?,
            Self::Table(tables) => all(&mut parts, tables, |table, out, _| table.encode(out, version))?,
            Self::Port(ports) => all(&mut parts, ports, |port, out, _| port.encode(out, version))?,
            Self::Queue(queues) => all(&mut parts, queues, |queue, out, _| queue.encode(out, version))?,
            Self::Group(groups) => all(&mut parts, groups, |group, out, _| group.encode(out))?,
            Self::GroupDesc(groups) => all(&mut parts, groups, |group, out, context| group.encode(out, context))?,
            Self::GroupFeatures(features) => parts.push(|out, _| features.encode(out))?,
            Self::Meter(meters) => all(&mut parts, meters, |meter, out, _| meter.encode(out))?,
            Self::MeterConfig(meters) => all(&mut parts, meters, |meter, out, _| meter.encode(out))?,
            Self::MeterFeatures(features) => parts.push(|out, _| features.encode(out))?,
            Self::TableFeatures(tables) => all(&mut parts, tables, |table, out, _| table.encode(out))?,
            Self::PortDesc(ports) => all(&mut parts, ports, |port, out, _| port.encode(out, version))?,
            Self::TableDesc(tables) => all(&mut parts, tables, |table, out, _| table.encode_desc(out, version))?,
            Self::QueueDesc(queues) => all(&mut parts, queues, |queue, out, _| queue.encode(out, version))?,
            Self::FlowMonitor(updates) => all(&mut parts, updates, |update, out, context| update.encode(out, context))?,
            Self::IpfixBridge(stats) => parts.push(|out, _| stats.encode(out))?,
            Self::IpfixFlow(stats) => all(&mut parts, stats, |stats, out, _| stats.encode(out))?,
        }
        parts.finish();
        Ok(())
    }
}
