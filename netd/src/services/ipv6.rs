//! What is asked in IPv6: by which way it comes to whom, and echo.
//!
//! Only what is directly behind the header is looked at. Who needs extension headers asks nothing that is answered here.

use super::interface::Client;
use super::model::Port;
use super::model::ipv6::{METADATA_ADDRESS_V6, RESOLVER_ADDRESS_V6};
use super::neighbour::{self, NEIGHBOUR_SOLICITATION, ROUTER_SOLICITATION};
use super::traffic::DropReason;
use super::{DNS_PORT, Datagram, MAX_ECHO_BYTES, Services, dhcpv6, dns};
use hive_packet::build::v6;
use hive_packet::ipv6::{Ipv6Header, transport_checksum_holds};
use hive_packet::protocol;
use std::net::Ipv6Addr;

const DHCP_CLIENT_PORT: u16 = 546;
const DHCP_SERVER_PORT: u16 = 547;
/// All_DHCP_Relay_Agents_and_Servers (RFC 8415, 7.1). What comes to the server alone is discarded, as nobody is allowed that (16).
const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

impl Services {
    pub(super) fn answer_ipv6(
        &mut self,
        client: &Client,
        port: &Port,
        packet: &[u8],
        header: &Ipv6Header,
    ) -> Result<(), DropReason> {
        if port.segment.spec.ipv6.is_none() {
            return Err(DropReason::NotServed);
        }
        if !transport_checksum_holds(packet, header) {
            return Err(DropReason::BadChecksum);
        }
        let message = header.payload(packet).ok_or(DropReason::Malformed)?;
        // Before it has an address a guest asks for its router, and whether the address is free.
        let kind = (header.next_header == protocol::ICMPV6).then(|| message.first().copied()).flatten();
        if let Some(ROUTER_SOLICITATION | NEIGHBOUR_SOLICITATION) = kind {
            client.send(&neighbour::answer(port, header, message)?);
            return Ok(());
        }
        if !port.may_send_from_v6(header.src) {
            return Err(DropReason::SpoofedIpv6);
        }
        let is_local = port.segment.is_local_v6(header.dst);
        match header.next_header {
            protocol::UDP => {
                let datagram = Datagram::parse(message)?;
                match (header.dst, datagram.dst_port) {
                    (ALL_DHCP_SERVERS, DHCP_SERVER_PORT) => lease(client, port, header, datagram.body),
                    (RESOLVER_ADDRESS_V6, DNS_PORT) => {
                        let way = dns::Way::V6 { resolver: header.dst, address: header.src };
                        self.resolve(&dns::Query { client, way, port: datagram.src_port }, datagram.body)
                    }
                    _ if is_local => Err(DropReason::NotServed),
                    _ => Err(DropReason::NotLocal),
                }
            }
            _ if !is_local => Err(DropReason::NotLocal),
            protocol::ICMPV6 => {
                client.send(&echo_reply(header, message).ok_or(DropReason::NotServed)?);
                Ok(())
            }
            protocol::TCP if header.dst == METADATA_ADDRESS_V6 => {
                let metadata = &port.spec.metadata;
                if metadata.enabled && metadata.ipv6 {
                    self.serve_metadata(client, packet)
                } else {
                    Err(DropReason::NotServed)
                }
            }
            protocol::IPV6_FRAGMENT => Err(DropReason::Fragment),
            _ => Err(DropReason::NotServed),
        }
    }
}

fn lease(client: &Client, port: &Port, header: &Ipv6Header, message: &[u8]) -> Result<(), DropReason> {
    // A client asks from its link-local address (RFC 8415, 13.1).
    let reply = if header.src.is_unicast_link_local() { dhcpv6::answer(port, message) } else { None };
    let reply = reply.ok_or(DropReason::NotServed)?;
    client.send(&v6::udp(port.segment.router_v6(), header.src, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, &reply));
    Ok(())
}

/// The reply to an ICMPv6 echo request (RFC 4443, 4.2).
fn echo_reply(header: &Ipv6Header, message: &[u8]) -> Option<Vec<u8>> {
    const ECHO_REQUEST: u8 = 128;
    const ECHO_REPLY: u8 = 129;
    if message.len() > MAX_ECHO_BYTES {
        return None;
    }
    let (fixed, body) = message.split_first_chunk::<8>()?;
    (fixed[..2] == [ECHO_REQUEST, 0]).then(|| {
        let rest = [fixed[4], fixed[5], fixed[6], fixed[7]];
        v6::icmp(header.dst, header.src, ECHO_REPLY, 0, rest, body)
    })
}
