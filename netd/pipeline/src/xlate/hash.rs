//! Hashes of a packet's fields (NX_HASH_FIELDS_*), and what is chosen by them: `multipath`, `bundle`.

use super::Translator;
use super::fields::{eth_type, is_ip, is_later_fragment};
use hive_flow::{ETH_TYPE_IPV4, ETH_TYPE_IPV6, Field, Inner, PROTO_SCTP, PROTO_TCP, PROTO_UDP, VLAN_PRESENT};
use hive_openflow::{Bundle, Multipath, PortNo, Subfield};
use std::hash::{BuildHasher, Hasher};

/// NX_HASH_FIELDS_*.
const ETH_SRC: u16 = 0;
pub(super) const SYMMETRIC_L4: u16 = 1;
const SYMMETRIC_L3L4: u16 = 2;
const SYMMETRIC_L3L4_UDP: u16 = 3;
const NW_SRC: u16 = 4;
const NW_DST: u16 = 5;
const SYMMETRIC_L3: u16 = 6;
/// NX_MP_ALG_*.
const MODULO: u16 = 0;
const HASH_THRESHOLD: u16 = 1;
const ITERATIVE: u16 = 3;
/// NX_BD_ALG_ACTIVE_BACKUP.
const ACTIVE_BACKUP: u16 = 0;
/// Numbers that `multipath`'s highest random weight tries each of; of more, the remainder is taken.
const HRW_LINKS_MAX: u32 = 256;

/// The same for the same parts, in this process and any other.
pub(super) fn of(parts: &[u128], basis: u32) -> u32 {
    let mut hasher = foldhash::fast::FixedState::with_seed(basis.into()).build_hasher();
    parts.iter().for_each(|part| hasher.write_u128(*part));
    let hash = hasher.finish();
    (hash >> 32) as u32 ^ hash as u32
}

impl Translator<'_> {
    fn get(&mut self, field: Field) -> u128 {
        self.mask.add_all(field);
        self.flow.get(field)
    }

    /// Two fields, the lesser first.
    fn pair(&mut self, one: Field, other: Field, out: &mut Vec<u128>) {
        let (one, other) = (self.get(one), self.get(other));
        out.extend([one.min(other), one.max(other)]);
    }

    fn addresses(&mut self, out: &mut Vec<u128>) {
        match eth_type(&self.flow) {
            ETH_TYPE_IPV4 => self.pair(Field::Ipv4Src, Field::Ipv4Dst, out),
            ETH_TYPE_IPV6 => self.pair(Field::Ipv6Src, Field::Ipv6Dst, out),
            _ => {}
        }
    }

    /// Protocol, and the ports of those among `with_ports`.
    fn transport(&mut self, with_ports: &[u8], out: &mut Vec<u128>) {
        if !is_ip(&self.flow) {
            return;
        }
        let protocol = self.get(Field::IpProto);
        out.push(protocol);
        if with_ports.contains(&(protocol as u8)) && !is_later_fragment(&self.flow) {
            self.pair(Field::TpSrc, Field::TpDst, out);
        }
    }

    /// The hash of what `fields` says, which is looked at.
    pub(super) fn hash_fields(&mut self, fields: u16, basis: u32) -> u32 {
        let mut parts = Vec::with_capacity(10);
        match fields {
            ETH_SRC => parts.push(self.get(Field::EthSrc)),
            SYMMETRIC_L4 => {
                self.pair(Field::EthSrc, Field::EthDst, &mut parts);
                let vid = u128::from(0xfff | VLAN_PRESENT);
                self.mask.add(Field::VlanTci, vid);
                parts.push(self.flow.get(Field::VlanTci) & vid);
                self.mask.add_inner_bits(Inner::Vlan1Tci, vid as u32);
                parts.push(u128::from(self.flow.inner(Inner::Vlan1Tci)) & vid);
                self.addresses(&mut parts);
                self.transport(&[PROTO_TCP, PROTO_SCTP], &mut parts);
            }
            SYMMETRIC_L3L4 => {
                self.addresses(&mut parts);
                self.transport(&[PROTO_TCP, PROTO_SCTP], &mut parts);
            }
            SYMMETRIC_L3L4_UDP => {
                self.addresses(&mut parts);
                self.transport(&[PROTO_TCP, PROTO_SCTP, PROTO_UDP], &mut parts);
            }
            SYMMETRIC_L3 => self.addresses(&mut parts),
            NW_SRC | NW_DST => {
                let field = match (eth_type(&self.flow), fields) {
                    (ETH_TYPE_IPV4, NW_SRC) => Some(Field::Ipv4Src),
                    (ETH_TYPE_IPV4, _) => Some(Field::Ipv4Dst),
                    (ETH_TYPE_IPV6, NW_SRC) => Some(Field::Ipv6Src),
                    (ETH_TYPE_IPV6, _) => Some(Field::Ipv6Dst),
                    _ => None,
                };
                parts.extend(field.map(|field| self.get(field)));
            }
            _ => {}
        }
        of(&parts, basis)
    }

    pub(super) fn multipath(&mut self, multipath: &Multipath) {
        let hash = self.hash_fields(multipath.fields, multipath.basis.into());
        let links = u32::from(multipath.max_link) + 1;
        let link = match multipath.algorithm {
            MODULO => hash % links,
            HASH_THRESHOLD if links > 1 => ((u64::from(hash) * u64::from(links)) >> 32) as u32,
            HASH_THRESHOLD => 0,
            ITERATIVE => iterate(hash, links, multipath.argument),
            _ if links <= HRW_LINKS_MAX => highest(hash, 0..links).unwrap_or(0),
            _ => hash % links,
        };
        self.write(multipath.destination, link.into(), u128::MAX);
    }

    #[inline(never)]
    pub(super) fn bundle(&mut self, bundle: &Bundle, last: bool, bucket: bool) {
        let members = &bundle.members;
        let is_live = |port: &PortNo| self.bridge.ports.get(port).is_some_and(|port| port.is_up());
        let port = if bundle.algorithm == ACTIVE_BACKUP {
            members.iter().copied().find(is_live)
        } else {
            let live = (0u32..).zip(members).filter(|(_, port)| is_live(port));
            let live: Vec<(u32, PortNo)> = live.map(|(at, port)| (at, *port)).collect();
            let hash = self.hash_fields(bundle.fields, bundle.basis.into());
            let best = highest(hash, live.iter().map(|(at, _)| *at));
            live.into_iter().find(|(at, _)| Some(*at) == best).map(|(_, port)| port)
        };
        let port = port.unwrap_or(PortNo::NONE);
        match bundle.destination {
            Some(destination) => self.write_port(destination, port),
            None => self.output(port, 0, last, bucket),
        }
    }

    fn write_port(&mut self, destination: Subfield, port: PortNo) {
        self.write(destination, port.0.into(), u128::MAX);
    }
}

/// Highest random weight (RFC 2992's kin): that a link goes or comes moves only its own share.
fn highest(hash: u32, links: impl Iterator<Item = u32>) -> Option<u32> {
    links.max_by_key(|link| of(&[(*link).into()], hash))
}

/// As the manual has it: hash again until the number is below `links`, or below `argument` at last.
fn iterate(hash: u32, links: u32, argument: u32) -> u32 {
    let modulo = if argument < links { (links - argument + 1).next_power_of_two() } else { 128 };
    (0..64).map(|round| of(&[round], hash) % modulo).find(|link| *link < links).unwrap_or(hash % links)
}
