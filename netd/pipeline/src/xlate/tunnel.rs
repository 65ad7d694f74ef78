//! What a packet's tunnel is: as its port says, or as the flows say.

use super::Translator;
use super::fields::is_ip;
use hive_flow::{Field, KEY_TUNNEL_OPTIONS, Key};
use hive_ovsdb::snapshot::{self, Endpoint, Tos, Ttl};
use hive_program::{Op, Tunnel};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Congestion experienced (RFC 3168).
const ECN_CE: u8 = 3;
const ECN_ECT_0: u8 = 2;
const DSCP: u8 = 0xfc;
/// Bytes of all Geneve options (RFC 8926).
const OPTIONS_BYTES_MAX: usize = 252;

/// The address that a pair of fields holds; none if both are 0.
fn address(key: &Key, v4: Field, v6: Field) -> Option<IpAddr> {
    match (key.get(v4) as u32, key.get(v6)) {
        (0, 0) => None,
        (0, v6) => Some(IpAddr::V6(Ipv6Addr::from(v6))),
        (v4, _) => Some(IpAddr::V4(Ipv4Addr::from(v4))),
    }
}

/// Whether a packet that came with these `tun_` fields is this port's.
pub(crate) fn fits(tunnel: &snapshot::Tunnel, key: &Key) -> bool {
    let is = |endpoint: Endpoint, address: Option<IpAddr>| match endpoint {
        Endpoint::Flow => true,
        Endpoint::Address(own) => Some(own) == address,
    };
    let id = match tunnel.in_key {
        snapshot::Key::Flow => true,
        snapshot::Key::Id(id) => u128::from(id) == key.get(Field::TunId),
    };
    id && is(tunnel.remote_ip, address(key, Field::TunSrc, Field::TunIpv6Src))
        && tunnel.local_ip.is_none_or(|local| is(local, address(key, Field::TunDst, Field::TunIpv6Dst)))
}

/// How much a port says about its packets: of two that fit, the greater one has them.
pub(crate) fn weight(tunnel: &snapshot::Tunnel) -> (bool, bool, bool) {
    let fixed = |endpoint: Endpoint| matches!(endpoint, Endpoint::Address(_));
    let id = matches!(tunnel.in_key, snapshot::Key::Id(_));
    (id, tunnel.local_ip.is_some_and(fixed), fixed(tunnel.remote_ip))
}

impl Translator<'_> {
    fn read_address(&mut self, v4: Field, v6: Field) -> Option<IpAddr> {
        self.mask.add_all(v4);
        self.mask.add_all(v6);
        address(&self.flow, v4, v6)
    }

    /// For the output to a tunnel port; false: it cannot leave by it.
    pub(super) fn set_tunnel(&mut self, port: &snapshot::Tunnel) -> bool {
        let remote = match port.remote_ip {
            Endpoint::Address(address) => Some(address),
            Endpoint::Flow => self.read_address(Field::TunDst, Field::TunIpv6Dst),
        };
        let local = match port.local_ip {
            Some(Endpoint::Address(address)) => Some(address),
            Some(Endpoint::Flow) => self.read_address(Field::TunSrc, Field::TunIpv6Src),
            None => None,
        };
        let Some(remote) = remote else {
            self.note(|| "tunneling decided against output".to_owned());
            return false;
        };
        // Back to where it came out of its tunnel.
        let arrived = address(self.original, Field::TunDst, Field::TunIpv6Dst);
        if let Some(arrived) = arrived {
            self.mask.add_all(if arrived.is_ipv4() { Field::TunDst } else { Field::TunIpv6Dst });
        }
        if arrived == Some(remote) {
            self.note(|| "not tunneling to our own address".to_owned());
            return false;
        }
        let id = match port.out_key {
            snapshot::Key::Id(id) => u64::from(id),
            snapshot::Key::Flow => {
                self.mask.add_all(Field::TunId);
                self.flow.get_u64(Field::TunId)
            }
        };
        let ip = is_ip(&self.flow);
        let ttl = match port.ttl {
            Ttl::Inherit if ip => {
                self.mask.add_all(Field::IpTtl);
                self.flow.get_u64(Field::IpTtl) as u8
            }
            Ttl::Inherit => 0,
            Ttl::Value(ttl) => ttl,
        };
        let mut tos = match port.tos {
            Tos::Inherit if ip => {
                self.mask.add_all(Field::IpDscp);
                (self.flow.get_u64(Field::IpDscp) as u8) << 2
            }
            Tos::Inherit => 0,
            Tos::Value(tos) => tos & DSCP,
        };
        if ip {
            self.mask.add_all(Field::IpEcn);
            let ecn = self.flow.get_u64(Field::IpEcn) as u8;
            tos |= if ecn == ECN_CE { ECN_ECT_0 } else { ecn };
        }
        if port.egress_pkt_mark != 0 {
            self.set(Field::PktMark, port.egress_pkt_mark.into());
        }
        let options = self.tunnel_options();
        self.put_tunnel(Tunnel { id, remote, local, tos, ttl, df: port.df_default, options });
        true
    }

    /// The local services learn who asks by the tunnel's number, and in whose name they are to answer by its source.
    pub(super) fn set_services_tunnel(&mut self) {
        self.mask.add_all(Field::TunId);
        let local = self.read_address(Field::TunSrc, Field::TunIpv6Src);
        self.put_tunnel(Tunnel {
            id: self.flow.get_u64(Field::TunId),
            remote: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            local,
            tos: 0,
            ttl: 0,
            df: false,
            options: Arc::new([]),
        });
    }

    fn put_tunnel(&mut self, tunnel: Tunnel) {
        if self.last_tunnel.as_deref() != Some(&tunnel) {
            let tunnel = Arc::new(tunnel);
            self.last_tunnel = Some(tunnel.clone());
            self.ops.push(Op::SetTunnel(tunnel));
        }
    }

    /// The mapped options that are not 0, as Geneve has them on the wire (RFC 8926, 3.5).
    fn tunnel_options(&mut self) -> Arc<[u8]> {
        let mut options = Vec::new();
        let table = self.bridge.state.tlvs.load();
        for index in 0..KEY_TUNNEL_OPTIONS {
            let (field, Some(option)) = (Field::TunMetadata(index), table.option(index)) else { continue };
            self.mask.add_all(field);
            let value = self.flow.get(field);
            let bytes = usize::from(option.length_bytes).min(16);
            if value == 0 || options.len() + 4 + bytes > OPTIONS_BYTES_MAX {
                continue;
            }
            options.extend_from_slice(&option.class.to_be_bytes());
            options.extend_from_slice(&[option.kind, option.length_bytes / 4]);
            options.extend_from_slice(value.to_be_bytes().get(16 - bytes..).unwrap_or_default());
        }
        options.into()
    }
}
