//! One controller's session with the bridge.

use crate::bundle::Bundles;
use hive_openflow::{
    AsyncConfig, AsyncForm, AsyncKind, AsyncMask, Context, ErrorMessage, Hello, Message, MonitorRequest,
    PacketInFormat, Role, Version, decode,
};
use std::collections::BTreeMap;

/// Bytes that may wait for a controller to take them, beyond the answer to one request. Who is told of events and lets more
/// wait is cut off: it could not know what it missed.
pub(crate) const BACKLOG_BYTES_MAX: usize = 64 << 20;
/// The same for packets, which may be lost: they are counted instead.
pub(crate) const PACKET_BACKLOG_BYTES_MAX: usize = 1 << 20;
/// As a controller is told of packets that missed, unless it says otherwise (OFP_DEFAULT_MISS_SEND_LEN).
const MISS_SEND_BYTES: u16 = 128;

/// A connection's name as long as the bridge lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// The bridge's controller: told of events from the start.
    Controller,
    /// Came to `<bridge>.mgmt`: told of events once it asks for bytes of packets that missed.
    Service,
}

/// The connection must be closed, once what was written for it has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session is at its end")]
pub struct Closed;

#[derive(Debug)]
pub(crate) struct Connection {
    pub kind: ConnectionKind,
    pub context: Context,
    pub greeted: bool,
    /// What waits to be sent.
    pub output: Vec<u8>,
    pub role: Role,
    pub masks: BTreeMap<(AsyncKind, bool), u32>,
    pub packet_in_format: PacketInFormat,
    pub controller_id: u16,
    /// OpenFlow 1.0: flows are told in Nicira's form.
    pub nicira_flows: bool,
    pub miss_send_bytes: u16,
    pub bundles: Bundles,
    pub monitors: BTreeMap<u32, MonitorRequest>,
    /// It could not keep up.
    pub doomed: bool,
    pub packets_dropped: u64,
}

fn default_masks(version: Version) -> BTreeMap<(AsyncKind, bool), u32> {
    let later = version >= Version::V1_4;
    let primary = [
        (AsyncKind::PacketIn, if later { 0x3b } else { 0x3 }),
        (AsyncKind::PortStatus, 0x7),
        (AsyncKind::FlowRemoved, if later { 0x3f } else { 0xf }),
        (AsyncKind::RoleStatus, 0),
        (AsyncKind::TableStatus, 0),
        (AsyncKind::RequestForward, 0),
    ];
    let secondary = primary.map(|(kind, _)| ((kind, true), if kind == AsyncKind::PortStatus { 0x7 } else { 0 }));
    primary.map(|(kind, reasons)| ((kind, false), reasons)).into_iter().chain(secondary).collect()
}

impl Connection {
    pub fn new(kind: ConnectionKind, tlvs: hive_openflow::TlvTable) -> Self {
        let mut context = Context::new(Version::V1_5);
        context.tlvs = tlvs;
        let mut this = Self {
            kind,
            context,
            greeted: false,
            output: Vec::new(),
            role: Role::Equal,
            masks: BTreeMap::new(),
            packet_in_format: PacketInFormat::Standard,
            controller_id: 0,
            nicira_flows: false,
            miss_send_bytes: if kind == ConnectionKind::Controller { MISS_SEND_BYTES } else { 0 },
            bundles: Bundles::default(),
            monitors: BTreeMap::new(),
            doomed: false,
            packets_dropped: 0,
        };
        this.send(1, &Message::Hello(Hello::of(&Version::ALL)));
        this
    }

    /// Appends a message to what waits. One that the version cannot say is left out: there is nobody to whom it would mean something.
    pub fn send(&mut self, xid: u32, message: &Message) {
        if let Err(error) = message.encode(xid, &self.context, &mut self.output) {
            tracing::debug!(%error, "message left out");
        }
    }

    /// The peer's first message.
    pub fn greet(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        let Ok(Message::Hello(theirs)) = decode(bytes, &self.context).map(|decoded| decoded.message) else {
            return Err(Closed);
        };
        let Some(version) = Hello::of(&Version::ALL).agree(&theirs) else {
            let text = "We support versions 0x01, 0x04, 0x05, 0x06, you none of them.";
            self.send(1, &Message::Error(ErrorMessage::incompatible(text)));
            return Err(Closed);
        };
        self.context.version = version;
        self.masks = default_masks(version);
        self.greeted = true;
        Ok(())
    }

    pub fn is_secondary(&self) -> bool {
        self.role == Role::Secondary
    }

    /// Whether it wants to be told; `reason`: the bit's number.
    pub fn wants(&self, kind: AsyncKind, reason: u8) -> bool {
        if !self.greeted || self.kind == ConnectionKind::Service && self.miss_send_bytes == 0 {
            return false;
        }
        let mask = self.masks.get(&(kind, self.is_secondary())).copied().unwrap_or(0);
        mask.checked_shr(reason.into()).unwrap_or(0) & 1 != 0
    }

    /// Tells of an event, unless too much waits already.
    pub fn tell(&mut self, message: &Message) {
        if self.output.len() > BACKLOG_BYTES_MAX {
            self.doomed = true;
        } else if !self.doomed {
            self.send(0, message);
        }
    }

    pub fn set_async(&mut self, config: AsyncConfig) {
        for AsyncMask { kind, secondary, reasons } in config.masks {
            self.masks.insert((kind, secondary), reasons);
        }
    }

    pub fn async_config(&self) -> AsyncConfig {
        let masks = self.masks.iter().map(|(&(kind, secondary), &reasons)| AsyncMask { kind, secondary, reasons });
        let mut masks: Vec<_> = masks.collect();
        // Each kind's mask of secondary controllers comes first, as Open vSwitch has it.
        masks.sort_by_key(|mask| (mask.kind, !mask.secondary));
        AsyncConfig { form: AsyncForm::Standard, masks }
    }
}
