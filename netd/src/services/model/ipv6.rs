//! What segments and ports have of IPv6.

use super::{Port, Segment};
use hive_netd_api as api;
use std::net::Ipv6Addr;

/// As the addresses of IPv4, the same in every segment.
pub const METADATA_ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
pub const RESOLVER_ADDRESS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253);

/// A subnet has hosts, and is no more than anybody is given.
const PREFIX_LENGTHS: std::ops::RangeInclusive<u8> = 16..=126;
/// Every link takes packets of this length (RFC 8200, 5).
pub const MIN_MTU: u16 = 1280;

fn contains(subnet: &api::Ipv6Segment, address: Ipv6Addr) -> bool {
    // Checked to be at least 16.
    let mask = u128::MAX.checked_shl(128 - u32::from(subnet.prefix_len)).unwrap_or_default();
    (address.to_bits() ^ subnet.network.to_bits()) & mask == 0
}

/// Why a segment cannot have it.
pub(super) fn check_segment(subnet: &api::Ipv6Segment, mtu: u16) -> Result<(), String> {
    let (first, last) = (PREFIX_LENGTHS.start(), PREFIX_LENGTHS.end());
    if !PREFIX_LENGTHS.contains(&subnet.prefix_len) {
        return Err(format!("ipv6.prefix_len must be {first} to {last}"));
    }
    let below = u128::MAX >> subnet.prefix_len;
    let network = subnet.network;
    if network.to_bits() & below != 0 || !api::is_unicast_v6(network) || network.is_unicast_link_local() {
        return Err("ipv6.network must be a unicast prefix without bits set below prefix_len".into());
    }
    if mtu < MIN_MTU {
        return Err(format!("mtu must be at least {MIN_MTU} for IPv6"));
    }
    for (list, servers) in [("name_servers", &subnet.name_servers), ("ntp_servers", &subnet.ntp_servers)] {
        if servers.len() > api::MAX_DHCP_SERVERS || !servers.iter().copied().all(api::is_unicast_v6) {
            return Err(format!("ipv6.{list} must be at most {} unicast addresses", api::MAX_DHCP_SERVERS));
        }
    }
    Ok(())
}

/// Why a port cannot have these addresses.
pub(super) fn check_addresses(addresses: &[Ipv6Addr], segment: &Segment) -> Result<(), String> {
    if addresses.len() > api::MAX_IPV6_ADDRESSES {
        return Err(format!("ipv6 must be at most {} addresses", api::MAX_IPV6_ADDRESSES));
    }
    let is_bad = |address: Ipv6Addr| {
        !api::is_unicast_v6(address) || address.is_unicast_link_local() || segment.is_local_v6(address)
    };
    for (at, address) in addresses.iter().enumerate() {
        if is_bad(*address) || addresses[..at].contains(address) {
            return Err(format!("ipv6: {address} must be a free unicast address, and there once"));
        }
    }
    Ok(())
}

impl Segment {
    /// Of the router, which is the DHCP server too.
    pub fn router_v6(&self) -> Ipv6Addr {
        self.gateway_mac.link_local()
    }

    pub fn contains_v6(&self, address: Ipv6Addr) -> bool {
        self.spec.ipv6.as_ref().is_some_and(|subnet| contains(subnet, address))
    }

    /// Whether the local services answer for the address.
    pub fn is_local_v6(&self, address: Ipv6Addr) -> bool {
        address == self.router_v6() || address == METADATA_ADDRESS_V6 || address == RESOLVER_ADDRESS_V6
    }
}

impl Port {
    /// What DHCPv6 leases, the primary address first.
    pub fn leases_v6(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.spec.ipv6.iter().copied().filter(|address| self.segment.contains_v6(*address))
    }

    /// As [`Self::may_send_from`].
    pub fn may_send_from_v6(&self, address: Ipv6Addr) -> bool {
        api::is_unicast_v6(address) && !self.segment.is_local_v6(address)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::{port, segment};
    use super::*;
    use std::sync::Arc;

    pub fn address(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    /// Of IPv6 too: 2001:db8:0:5::/64.
    pub fn segment_v6() -> api::Segment {
        let ipv6 = api::Ipv6Segment {
            network: address("2001:db8:0:5::"),
            prefix_len: 64,
            name_servers: vec![RESOLVER_ADDRESS_V6],
            ntp_servers: Vec::new(),
        };
        api::Segment { ipv6: Some(ipv6), ..segment() }
    }

    pub fn port_v6() -> api::Port {
        let mut port = api::Port { ipv6: vec![address("2001:db8:0:5::55"), address("2001:db8:0:5::56")], ..port() };
        port.metadata.ipv6 = true;
        port
    }

    pub fn parsed() -> Port {
        Port::parse(port_v6(), Arc::new(Segment::parse(segment_v6()).unwrap())).unwrap()
    }

    #[test]
    fn bad_subnets_and_addresses_are_refused_with_the_reason() {
        let good = Arc::new(Segment::parse(segment_v6()).unwrap());
        assert!(Port::parse(port_v6(), good.clone()).is_ok());
        let refused = |change: fn(&mut api::Ipv6Segment)| {
            let mut spec = segment_v6();
            change(spec.ipv6.as_mut().unwrap());
            Segment::parse(spec).unwrap_err().to_string()
        };
        assert!(refused(|s| s.prefix_len = 127).contains("ipv6.prefix_len"));
        assert!(refused(|s| s.prefix_len = 15).contains("ipv6.prefix_len"));
        assert!(refused(|s| s.network = address("2001:db8:0:5::1")).contains("ipv6.network"));
        assert!(refused(|s| s.network = address("fe80::")).contains("ipv6.network"));
        assert!(refused(|s| s.network = address("ff00::")).contains("ipv6.network"));
        assert!(refused(|s| s.name_servers = vec![address("fd00::1"); 5]).contains("ipv6.name_servers"));
        assert!(refused(|s| s.ntp_servers = vec![address("ff05::101")]).contains("ipv6.ntp_servers"));
        let short = Segment::parse(api::Segment { mtu: 1279, ..segment_v6() });
        assert!(short.unwrap_err().to_string().contains("mtu"));
        let refused = |ipv6: Vec<Ipv6Addr>| Port::parse(api::Port { ipv6, ..port() }, good.clone()).is_err();
        for bad in ["::", "::1", "ff02::1", "fe80::5", "fe80::ff:fe00:1", "fd00:ec2::254", "fd00:ec2::253"] {
            assert!(refused(vec![address(bad)]), "{bad}");
        }
        assert!(refused(vec![address("2001:db8:0:5::55"); 2]), "twice");
        let many = |count: u128| (0..count).map(|at| Ipv6Addr::from(0x2001_0db8 << 96 | 5 << 64 | at)).collect();
        assert!(refused(many(65)) && !refused(many(64)));
    }

    #[test]
    fn of_the_addresses_those_of_the_subnet_are_leased() {
        let spec = api::Port { ipv6: ["2001:db8:0:6::1", "2001:db8:0:5::1"].map(address).into(), ..port() };
        let leases = |segment| -> Vec<_> {
            let segment = Arc::new(Segment::parse(segment).unwrap());
            Port::parse(spec.clone(), segment).unwrap().leases_v6().collect()
        };
        assert_eq!(leases(segment_v6()), [address("2001:db8:0:5::1")]);
        assert!(leases(segment()).is_empty());
    }
}
