//! What a guest may send: frames that are well-formed and carry its own addresses.

use crate::counters::DropReason;
use crate::port::queue::Inbound;
use hive_packet::{ETHERNET_HEADER_BYTES, Frame, FrameError, MacAddr, Network, be16, protocol};
use std::net::Ipv4Addr;

/// UDP port of DHCP servers.
pub const DHCP_SERVER_PORT: u16 = 67;

/// The addresses of a port.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub mac: MacAddr,
    pub ipv4: Ipv4Addr,
}

/// Whether this is a guest asking a DHCP server, which is when it may send before it has an address.
#[inline]
pub fn is_dhcp_request(frame: &Frame, head: &[u8]) -> bool {
    match frame.network {
        Network::Ipv4(ip) if ip.protocol == protocol::UDP && ip.whole => {
            be16(head, ETHERNET_HEADER_BYTES + ip.header_bytes + 2) == Some(DHCP_SERVER_PORT)
        }
        _ => false,
    }
}

/// Checks a frame from a guest; returns its parsed headers.
#[inline]
pub fn admit(identity: &Identity, mtu: u16, inbound: &Inbound<'_, '_>) -> Result<Frame, DropReason> {
    let head = inbound.head();
    let frame = Frame::parse(head, inbound.frame_bytes).map_err(|error| match error {
        FrameError::Tagged => DropReason::VlanTagged,
        FrameError::Short | FrameError::Malformed => DropReason::Malformed,
    })?;
    inbound.header.check(head, inbound.frame_bytes).map_err(|_| DropReason::BadOffload)?;
    if !inbound.header.is_gso() && inbound.frame_bytes > usize::from(mtu) + ETHERNET_HEADER_BYTES {
        return Err(DropReason::Oversized);
    }
    if frame.src != identity.mac {
        return Err(DropReason::SpoofedMac);
    }
    if frame.dst.is_bridge_reserved() {
        return Err(DropReason::ReservedGroup);
    }
    match frame.network {
        Network::Ipv4(ip) if ip.src != identity.ipv4 && !(ip.src.is_unspecified() && is_dhcp_request(&frame, head)) => {
            Err(DropReason::SpoofedIpv4)
        }
        // A sender of 0.0.0.0 probes whether its address is free (RFC 5227).
        Network::Arp(arp)
            if arp.sender_mac != identity.mac
                || (arp.sender_ip != identity.ipv4 && !arp.sender_ip.is_unspecified()) =>
        {
            Err(DropReason::SpoofedArp)
        }
        _ => Ok(frame),
    }
}
