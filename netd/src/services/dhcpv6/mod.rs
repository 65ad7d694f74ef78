//! DHCPv6 (RFC 8415): each port is leased its addresses, all in the first IA_NA that the client asks for. Nothing is kept: what is leased is
//! what the port has, so that nobody need be asked whether it is free.

mod message;
#[cfg(test)]
mod tests;

use super::dns::encode_name;
use super::model::Port;
use hive_packet::ipv6;
use message::{Association, HEADER_BYTES, Options, Writer, option};
use std::net::Ipv6Addr;

/// Of a DUID (RFC 8415, 11.1): its type and at most 128 bytes.
const DUID_BYTES: std::ops::RangeInclusive<usize> = 3..=130;
/// Associations of a message that are answered. Clients have one of a kind.
const MAX_ASSOCIATIONS: usize = 16;
/// A client that has such an advertisement waits for no other (18.2.1).
const HIGHEST_PREFERENCE: u8 = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Solicit,
    Request,
    Confirm,
    Renew,
    Rebind,
    Release,
    Decline,
    InformationRequest,
}

const ADVERTISE: u8 = 2;
const REPLY: u8 = 7;

impl Kind {
    fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Solicit,
            3 => Self::Request,
            4 => Self::Confirm,
            5 => Self::Renew,
            6 => Self::Rebind,
            8 => Self::Release,
            9 => Self::Decline,
            11 => Self::InformationRequest,
            _ => return None,
        })
    }

    /// Whether the client already has what it asks about.
    fn has_lease(self) -> bool {
        matches!(self, Self::Renew | Self::Rebind | Self::Release | Self::Decline)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Success = 0,
    NoAddressesAvailable = 2,
    NoBinding = 3,
    NotOnLink = 4,
    NoPrefixAvailable = 6,
}

impl Status {
    fn write(self, writer: &mut Writer) {
        writer.add(option::STATUS, &(self as u16).to_be_bytes());
    }
}

/// DUID-LL (11.4) of an Ethernet address.
fn server_id(port: &Port) -> Vec<u8> {
    [&[0, 3, 0, 1][..], &port.segment.gateway_mac.0].concat()
}

/// Answers a client's message on a port; None when there is nothing to say, or the message is to be discarded (16).
pub fn answer(port: &Port, message: &[u8]) -> Option<Vec<u8>> {
    let (head, rest) = message.split_first_chunk::<HEADER_BYTES>()?;
    let kind = Kind::of(head[0])?;
    let options = Options::parse(rest)?;
    let server = server_id(port);
    let named = options.first(option::SERVER_ID);
    let client = options.first(option::CLIENT_ID);
    if client.is_some_and(|client| !DUID_BYTES.contains(&client.len())) {
        return None;
    }
    let associations = options.iter().filter(|(code, _)| Association::CODES.contains(code)).take(MAX_ASSOCIATIONS);
    let associations = associations.map(|(code, value)| Association::parse(code, value));
    let associations = associations.collect::<Option<Vec<_>>>()?;
    let is_due = match kind {
        Kind::Solicit | Kind::Confirm | Kind::Rebind => client.is_some() && named.is_none(),
        Kind::Request | Kind::Renew | Kind::Release | Kind::Decline => client.is_some() && named == Some(&server),
        Kind::InformationRequest => named.is_none_or(|named| named == server) && associations.is_empty(),
    };
    if !is_due {
        return None;
    }
    let is_rapid = kind == Kind::Solicit && options.first(option::RAPID_COMMIT).is_some();
    let answers = if kind == Kind::Solicit && !is_rapid { ADVERTISE } else { REPLY };
    // What the link takes as one packet, beside the headers of IPv6 and UDP. No client is known to take less.
    let most = usize::from(port.segment.spec.mtu).saturating_sub(ipv6::HEADER_BYTES + super::UDP_HEADER_BYTES);
    let mut reply = Writer::new(vec![answers, head[1], head[2], head[3]], most);
    if let Some(client) = client {
        reply.add(option::CLIENT_ID, client);
    }
    reply.add(option::SERVER_ID, &server);
    match kind {
        Kind::Confirm => confirm(port, &associations)?.write(&mut reply),
        Kind::Release | Kind::Decline => Status::Success.write(&mut reply),
        _ => configure(port, &mut reply),
    }
    if is_rapid {
        reply.add(option::RAPID_COMMIT, &[]);
    } else if kind == Kind::Solicit {
        reply.add(option::PREFERENCE, &[HIGHEST_PREFERENCE]);
    }
    if kind != Kind::Confirm {
        let first = associations.iter().position(|association| association.code == option::IA_NA);
        for (at, association) in associations.iter().enumerate() {
            associate(port, kind, association, first == Some(at), &mut reply);
        }
    }
    Some(reply.finish())
}

/// Whether the client may go on with what it had before its link was away (18.3.3); None: it says nothing of that. What is another port's
/// is not of this link.
fn confirm(port: &Port, associations: &[Association]) -> Option<Status> {
    let mut addresses = associations.iter().flat_map(|association| &association.addresses).peekable();
    addresses.peek()?;
    let all_here = addresses.all(|address| port.leases_v6().any(|leased| leased == *address));
    Some(if all_here { Status::Success } else { Status::NotOnLink })
}

/// What is the same for all clients of the segment.
fn configure(port: &Port, reply: &mut Writer) {
    let segment = &port.segment.spec;
    let Some(subnet) = &segment.ipv6 else { return };
    let list = |servers: &[Ipv6Addr]| servers.iter().flat_map(Ipv6Addr::octets).collect::<Vec<u8>>();
    if !subnet.name_servers.is_empty() {
        reply.add(option::NAME_SERVERS, &list(&subnet.name_servers));
    }
    reply.add(option::DOMAINS, &segment.domain_name.split(' ').flat_map(encode_name).collect::<Vec<u8>>());
    if !subnet.ntp_servers.is_empty() {
        // Suboption 1: the address of a server (RFC 5908, 4.1).
        let suboptions = subnet.ntp_servers.iter().map(|server| [&[0, 1, 0, 16][..], &server.octets()].concat());
        reply.add(option::NTP_SERVER, &suboptions.collect::<Vec<_>>().concat());
        reply.add(option::SNTP_SERVERS, &list(&subnet.ntp_servers));
    }
}

/// What becomes of an association of the client's.
fn associate(port: &Port, kind: Kind, association: &Association, is_first: bool, reply: &mut Writer) {
    let is_off_link = |address: &Ipv6Addr| !port.segment.contains_v6(*address);
    let is_granting = matches!(kind, Kind::Solicit | Kind::Request | Kind::Renew | Kind::Rebind);
    let status = if is_first && kind == Kind::Request && association.addresses.iter().any(is_off_link) {
        Status::NotOnLink
    } else if is_first && !is_granting && port.leases_v6().next().is_some() {
        // What is given back, or refused, stays the port's.
        return;
    } else if is_first
        && is_granting
        && let Some(value) = lease(port, kind, association, reply.room())
    {
        reply.add(association.code, &value);
        return;
    } else if kind.has_lease() {
        Status::NoBinding
    } else if association.code == option::IA_PD {
        Status::NoPrefixAvailable
    } else {
        Status::NoAddressesAvailable
    };
    let mut value = association.id.to_be_bytes().to_vec();
    if association.code != option::IA_TA {
        // Of times the client is to think itself.
        value.extend_from_slice(&[0; 8]);
    }
    let mut value = Writer::new(value, reply.room());
    status.write(&mut value);
    reply.add(association.code, &value.finish());
}

/// The port's addresses, as many as there is room for, and the end of those that the client has and the port has not (any more). None
/// when there are neither.
fn lease(port: &Port, kind: Kind, association: &Association, room: usize) -> Option<Vec<u8>> {
    let lease_s = port.segment.spec.lease_s;
    let is_over = |address: &Ipv6Addr| kind.has_lease() && port.leases_v6().all(|leased| leased != *address);
    let ended = association.addresses.iter().copied().filter(is_over).map(|address| (address, 0));
    let mut addresses = port.leases_v6().map(|address| (address, lease_s)).chain(ended).peekable();
    addresses.peek()?;
    // Renewed at a half of the lifetime, from any server at four fifths (RFC 8415, 21.4).
    let times = [association.id, lease_s / 2, lease_s / 5 * 4];
    let mut value = Writer::new(times.into_iter().flat_map(u32::to_be_bytes).collect(), room);
    for (address, lifetime_s) in addresses {
        let lifetime = lifetime_s.to_be_bytes();
        value.add(option::IA_ADDRESS, &[&address.octets()[..], &lifetime, &lifetime].concat());
    }
    Some(value.finish())
}
