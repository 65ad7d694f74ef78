//! What is said on a connection: agreeing on features, starting the queues, stopping them.

use super::Kind;
use super::connection::Connection;
use super::message::{
    self, FEATURE_PROTOCOL, InflightArea, PROTOCOL_CONFIG, PROTOCOL_INFLIGHT_SHMFD, PROTOCOL_MQ, PROTOCOL_REPLY_ACK,
    Request,
};
use crate::memory::{GuestRam, SharedRegion};
use crate::virtio::{Activation, ActiveQueue, VERSION_1};
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering;
use vm_memory::{Bytes, GuestAddress};

type Result<T> = std::result::Result<T, String>;

/// Protocol features the VMM uses where the backend has them.
const PROTOCOL_WANTED: u64 = PROTOCOL_MQ | PROTOCOL_REPLY_ACK | PROTOCOL_CONFIG | PROTOCOL_INFLIGHT_SHMFD;
/// Offset of the index in a used ring.
const USED_INDEX: u64 = 2;

/// What a backend said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Feature bits, the protocol's own removed.
    pub features: u64,
    /// Device configuration, if it keeps one.
    pub config: Vec<u8>,
}

/// The area of requests in flight, kept for the backend's successor.
#[derive(Debug)]
pub struct Inflight {
    area: InflightArea,
    file: File,
}

/// Agree on features with a backend that was just connected to, and check that it can serve the device.
pub fn negotiate(connection: &mut Connection, kind: &dyn Kind) -> Result<Offer> {
    connection.set(Request::SetOwner, &[], &[])?;
    let features = connection.get_u64(Request::GetFeatures)?;
    if features & FEATURE_PROTOCOL == 0 || features & VERSION_1 == 0 {
        return Err(format!("features {features:#x} lack the vhost-user protocol features or VIRTIO 1"));
    }
    for (feature, reason) in kind.required_features() {
        if features & feature == 0 {
            return Err((*reason).into());
        }
    }
    let protocol = connection.get_u64(Request::GetProtocolFeatures)?;
    let required = kind.required_protocol();
    if protocol & required != required {
        return Err(format!("protocol features {protocol:#x} lack some of the required {required:#x}"));
    }
    connection.set(Request::SetProtocolFeatures, &(protocol & PROTOCOL_WANTED).to_le_bytes(), &[])?;
    connection.set_protocol(protocol & PROTOCOL_WANTED);
    if connection.has(PROTOCOL_MQ) {
        let queues = connection.get_u64(Request::GetQueueNum)?;
        if queues < kind.counted_queues().into() {
            return Err(format!("it has {queues} queues or pairs, and {} are configured", kind.counted_queues()));
        }
    }
    let config_bytes = kind.backend_config_bytes();
    let mut config = Vec::new();
    if config_bytes > 0 {
        let reply = connection.get(Request::GetConfig, &message::config_request(config_bytes))?;
        config = message::config_reply(&reply, config_bytes).ok_or("its configuration has another size")?.to_vec();
    }
    Ok(Offer { features: features & !FEATURE_PROTOCOL, config })
}

/// Start the queues of an activated device on a negotiated connection, the first `enabled_queues` of them enabled.
/// `inflight` is what an earlier backend left, and is filled the first time.
#[expect(clippy::too_many_arguments, reason = "one call from one place")]
pub fn start(
    connection: &mut Connection,
    kind: &dyn Kind,
    offer: &Offer,
    activation: &Activation,
    ram: &GuestRam,
    regions: &[SharedRegion],
    inflight: &mut Option<Inflight>,
    enabled_queues: u16,
) -> Result<()> {
    let missing = activation.features & !kind.own_features() & !offer.features;
    if missing != 0 {
        return Err(format!("features {missing:#x}, which the guest uses, are gone"));
    }
    let features = activation.features & offer.features | FEATURE_PROTOCOL;
    connection.set(Request::SetFeatures, &features.to_le_bytes(), &[])?;
    let fds: Vec<RawFd> = regions.iter().map(|region| region.file.file().as_raw_fd()).collect();
    connection.set(Request::SetMemTable, &message::memory_table(regions), &fds)?;
    let queues = || activation.queues.iter().filter(|queue| queue.index < kind.backend_queues());
    for queue in queues() {
        connection.set(Request::SetVringNum, &message::vring_state(queue.index, queue.size.into()), &[])?;
    }
    if kind.keeps_inflight() && connection.has(PROTOCOL_INFLIGHT_SHMFD) {
        share_inflight(connection, kind, inflight)?;
    }
    for queue in queues() {
        start_queue(connection, queue, ram)?;
    }
    enable(connection, kind, activation, enabled_queues)?;
    for queue in queues() {
        // The guest may have notified, or a dead backend used buffers, without anyone having seen it. The events cannot be
        // full, and a needless signal is harmless.
        let _ = queue.kick.write(1);
        let _ = queue.call.write(1);
    }
    Ok(())
}

fn share_inflight(connection: &mut Connection, kind: &dyn Kind, inflight: &mut Option<Inflight>) -> Result<()> {
    if inflight.is_none() {
        let wanted =
            InflightArea { mmap_size: 0, mmap_offset: 0, queues: kind.backend_queues(), queue_size: kind.queue_size() };
        let (payload, file) = connection.get_file(Request::GetInflightFd, &wanted.encode())?;
        let area = InflightArea::decode(&payload).ok_or("its reply to GetInflightFd is short")?;
        *inflight = Some(Inflight { area, file });
    }
    match inflight {
        Some(kept) => connection.set(Request::SetInflightFd, &kept.area.encode(), &[kept.file.as_raw_fd()]),
        None => Ok(()),
    }
}

fn start_queue(connection: &mut Connection, queue: &ActiveQueue, ram: &GuestRam) -> Result<()> {
    // Where the guest has seen completions up to: 0 after activation, and where a dead backend's successor goes on. What was
    // taken but not completed is done again, from the inflight area if the backend keeps one.
    let base: u16 = ram
        .load(GuestAddress(queue.guest.used + USED_INDEX), Ordering::Acquire)
        .map_err(|e| format!("read used index of queue {}: {e}", queue.index))?;
    connection.set(Request::SetVringBase, &message::vring_state(queue.index, base.into()), &[])?;
    connection.set(Request::SetVringAddr, &message::vring_addr(queue), &[])?;
    let index = u64::from(queue.index).to_le_bytes();
    connection.set(Request::SetVringCall, &index, &[queue.call.as_raw_fd()])?;
    connection.set(Request::SetVringKick, &index, &[queue.kick.as_raw_fd()])
}

/// Enable the first `count` of the backend's queues and disable the others.
pub fn enable(connection: &mut Connection, kind: &dyn Kind, activation: &Activation, count: u16) -> Result<()> {
    for queue in activation.queues.iter().filter(|queue| queue.index < kind.backend_queues()) {
        let on = u32::from(queue.index < count);
        connection.set(Request::SetVringEnable, &message::vring_state(queue.index, on), &[])?;
    }
    Ok(())
}

/// Stop the queues: when this succeeds, the backend touches guest memory no more.
pub fn stop(connection: &mut Connection, kind: &dyn Kind, activation: &Activation) -> Result<()> {
    enable(connection, kind, activation, 0)?;
    for queue in activation.queues.iter().filter(|queue| queue.index < kind.backend_queues()) {
        connection.get(Request::GetVringBase, &message::vring_state(queue.index, 0))?;
    }
    Ok(())
}
