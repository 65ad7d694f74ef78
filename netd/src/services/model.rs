//! Segments and ports as the services use them: the control plane's descriptions, checked and parsed once.

pub mod ipv6;

use crate::error::RequestError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_netd_api as api;
use hive_packet::MacAddr;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The instance metadata service's address.
pub const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The resolver's second address, the same in every segment.
pub const RESOLVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// Most leaves of one metadata tree: EC2 has about a hundred; public keys and tags add one each.
const MAX_METADATA_LEAVES: usize = 1024;
/// Shortest lease: guests renew at half of it.
const MIN_LEASE_S: u32 = 60;
const MTU_RANGE: std::ops::RangeInclusive<u16> = 576..=9216;

#[derive(Clone, Debug)]
pub struct Segment {
    pub spec: api::Segment,
    pub gateway_mac: MacAddr,
    domain: String,
}

#[derive(Clone, Debug)]
pub struct Port {
    pub spec: api::Port,
    pub mac: MacAddr,
    pub segment: Arc<Segment>,
    /// Decoded user data.
    pub user_data: Option<Vec<u8>>,
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}

/// Hosts that are no ports here, by their names.
#[derive(Debug)]
pub struct Elsewhere {
    pub names: String,
    /// In lower case.
    pub domain: String,
    pub spec: api::Hosts,
    /// Full names in lower case.
    pub addresses: HashMap<String, Ipv4Addr>,
    pub hosts: HashMap<Ipv4Addr, String>,
}

impl Elsewhere {
    pub fn parse(spec: api::Hosts) -> Result<Self, RequestError> {
        let refuse = |why: String| RequestError::Invalid { object: format!("hosts of {:?}", spec.names), why };
        if !is_id(&spec.names) {
            return Err(refuse("names must be 1 to 64 of [a-z0-9-]".into()));
        }
        if !api::is_domain_list(&spec.domain_name) {
            return Err(refuse("domain_name is not a domain name, or several with single spaces between".into()));
        }
        if spec.hosts.len() > api::MAX_HOSTS {
            return Err(RequestError::TooMany { what: "hosts", limit: api::MAX_HOSTS });
        }
        let bad = spec.hosts.iter().find(|(address, name)| !api::is_unicast(**address) || !api::is_host_name(name));
        if let Some((address, name)) = bad {
            return Err(refuse(format!("{address} {name:?} must be a unicast address and a host name")));
        }
        let domain = spec.domain_name.split(' ').next().unwrap_or_default().to_ascii_lowercase();
        let full = |(address, name): (&Ipv4Addr, &String)| (*address, full_name(name, &domain));
        let hosts: HashMap<Ipv4Addr, String> = spec.hosts.iter().map(full).collect();
        let addresses = hosts.iter().map(|(address, name)| (name.clone(), *address)).collect();
        Ok(Self { names: spec.names.clone(), domain, spec, addresses, hosts })
    }
}

/// A host name with its domain, in lower case.
fn full_name(name: &str, domain: &str) -> String {
    let name = name.to_ascii_lowercase();
    let has_domain = name.strip_suffix(domain).is_some_and(|label| label.ends_with('.'));
    if has_domain { name } else { format!("{name}.{domain}") }
}

impl Segment {
    pub fn parse(spec: api::Segment) -> Result<Self, RequestError> {
        let refuse = |why: String| RequestError::Invalid { object: format!("segment {:?}", spec.segment_id), why };
        if !is_id(&spec.segment_id) {
            return Err(refuse("segment_id must be 1 to 64 of [a-z0-9-]".into()));
        }
        if !spec.names.is_empty() && !is_id(&spec.names) {
            return Err(refuse("names must be empty, or 1 to 64 of [a-z0-9-]".into()));
        }
        let gateway_mac: MacAddr = spec.gateway_mac.parse().map_err(|error| refuse(format!("gateway_mac: {error}")))?;
        if !gateway_mac.is_station() {
            return Err(refuse("gateway_mac must be a unicast address".into()));
        }
        if !(8..=30).contains(&spec.prefix_len) {
            return Err(refuse("prefix_len must be 8 to 30".into()));
        }
        if !MTU_RANGE.contains(&spec.mtu) {
            return Err(refuse(format!("mtu must be {} to {}", MTU_RANGE.start(), MTU_RANGE.end())));
        }
        if !api::is_domain_list(&spec.domain_name) {
            return Err(refuse("domain_name is not a domain name, or several with single spaces between".into()));
        }
        let lists = [
            ("name_servers", &spec.name_servers),
            ("ntp_servers", &spec.ntp_servers),
            ("netbios_name_servers", &spec.netbios_name_servers),
        ];
        for (list, servers) in lists {
            if servers.len() > api::MAX_DHCP_SERVERS || !servers.iter().copied().all(api::is_unicast) {
                return Err(refuse(format!("{list} must be at most {} unicast addresses", api::MAX_DHCP_SERVERS)));
            }
        }
        if !matches!(spec.netbios_node_type, None | Some(1 | 2 | 4 | 8)) {
            return Err(refuse("netbios_node_type must be 1, 2, 4 or 8".into()));
        }
        if spec.lease_s < MIN_LEASE_S {
            return Err(refuse(format!("lease_s must be at least {MIN_LEASE_S}")));
        }
        if let Some(subnet) = &spec.ipv6 {
            ipv6::check_segment(subnet, spec.mtu).map_err(refuse)?;
        }
        let domain = spec.domain_name.split(' ').next().unwrap_or_default().to_ascii_lowercase();
        let segment = Self { gateway_mac, domain, spec: spec.clone() };
        if spec.network != segment.network() {
            return Err(refuse("network has bits set below prefix_len".into()));
        }
        if !segment.is_host(spec.gateway) {
            return Err(refuse("gateway must be a host address of the subnet".into()));
        }
        if !api::is_unicast(spec.dns) || (segment.contains(spec.dns) && !segment.is_host(spec.dns)) {
            return Err(refuse("dns must be a unicast address".into()));
        }
        Ok(segment)
    }

    /// Segments of which this is the same know each other's names.
    pub fn names(&self) -> &str {
        if self.spec.names.is_empty() { &self.spec.segment_id } else { &self.spec.names }
    }

    /// In which its ports have names, in lower case.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    pub fn mask(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::MAX << (32 - u32::from(self.spec.prefix_len)))
    }

    fn network(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.spec.network.to_bits() & self.mask().to_bits())
    }

    pub fn broadcast(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.spec.network.to_bits() | !self.mask().to_bits())
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask().to_bits() == self.network().to_bits()
    }

    fn is_host(&self, address: Ipv4Addr) -> bool {
        self.contains(address) && address != self.network() && address != self.broadcast()
    }

    /// Whether the local services answer for the address.
    pub fn is_local(&self, address: Ipv4Addr) -> bool {
        address == self.spec.gateway
            || address == self.spec.dns
            || address == METADATA_ADDRESS
            || address == RESOLVER_ADDRESS
    }
}

impl Port {
    pub fn parse(spec: api::Port, segment: Arc<Segment>) -> Result<Self, RequestError> {
        let refuse = |why: String| RequestError::Invalid { object: format!("port {:?}", spec.port_id), why };
        if !is_id(&spec.port_id) {
            return Err(refuse("port_id must be 1 to 64 of [a-z0-9-]".into()));
        }
        let mac: MacAddr = spec.mac.parse().map_err(|error| refuse(format!("mac: {error}")))?;
        if !mac.is_station() || mac == segment.gateway_mac {
            return Err(refuse("mac must be a unicast address other than the gateway's".into()));
        }
        if !segment.is_host(spec.ipv4) || segment.is_local(spec.ipv4) {
            return Err(refuse("ipv4 must be a free host address of the segment's subnet".into()));
        }
        ipv6::check_addresses(&spec.ipv6, &segment).map_err(refuse)?;
        if spec.number == 0 {
            return Err(refuse("number must not be 0".into()));
        }
        if !api::is_host_name(&spec.hostname) {
            return Err(refuse("hostname is not a host name".into()));
        }
        if !(1..=64).contains(&spec.metadata.hop_limit) {
            return Err(refuse("metadata.hop_limit must be 1 to 64".into()));
        }
        if spec.metadata.tree.len() > MAX_METADATA_LEAVES {
            return Err(RequestError::TooMany { what: "metadata leaves", limit: MAX_METADATA_LEAVES });
        }
        if let Some(path) = spec.metadata.tree.keys().find(|path| path.split('/').any(str::is_empty)) {
            return Err(refuse(format!("metadata path {path:?} has an empty part")));
        }
        let user_data = match &spec.metadata.user_data {
            None => None,
            Some(text) => Some(STANDARD.decode(text).map_err(|_| refuse("user_data is not base64".into()))?),
        };
        if user_data.as_ref().is_some_and(|data| data.len() > api::MAX_USER_DATA_BYTES) {
            return Err(refuse(format!("user_data is longer than {} bytes", api::MAX_USER_DATA_BYTES)));
        }
        Ok(Self { mac, segment, user_data, spec })
    }

    /// The host name with the segment's domain, in lower case.
    pub fn full_name(&self) -> String {
        full_name(&self.spec.hostname, self.segment.domain())
    }

    /// Whether a frame's source can be a guest here, which may have more addresses than the one that it is leased.
    pub fn may_send_from(&self, address: Ipv4Addr) -> bool {
        api::is_unicast(address) && !self.segment.is_local(address)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn segment() -> api::Segment {
        api::Segment {
            segment_id: "subnet-1".into(),
            names: String::new(),
            network: Ipv4Addr::new(10, 0, 0, 0),
            prefix_len: 24,
            gateway: Ipv4Addr::new(10, 0, 0, 1),
            dns: Ipv4Addr::new(10, 0, 0, 2),
            gateway_mac: "02:00:00:00:00:01".into(),
            mtu: 9001,
            domain_name: "ec2.internal".into(),
            name_servers: vec![Ipv4Addr::new(10, 0, 0, 2)],
            ntp_servers: Vec::new(),
            netbios_name_servers: Vec::new(),
            netbios_node_type: None,
            lease_s: api::DEFAULT_LEASE_S,
            ipv6: None,
        }
    }

    pub fn port() -> api::Port {
        api::Port {
            port_id: "eni-1".into(),
            segment_id: "subnet-1".into(),
            mac: "02:00:00:00:00:05".into(),
            ipv4: Ipv4Addr::new(10, 0, 0, 5),
            ipv6: Vec::new(),
            hostname: "ip-10-0-0-5".into(),
            metadata: api::MetadataService {
                enabled: true,
                token_required: false,
                hop_limit: 1,
                ipv6: false,
                tree: Default::default(),
                user_data: None,
            },
            number: 5,
        }
    }

    #[test]
    fn bad_segments_and_ports_are_refused_with_the_reason() {
        let good = Arc::new(Segment::parse(segment()).unwrap());
        assert!(Port::parse(port(), good.clone()).is_ok());
        let elsewhere = api::Segment { dns: Ipv4Addr::new(10, 9, 0, 2), names: "vpc-1".into(), ..segment() };
        assert!(Segment::parse(elsewhere).is_ok(), "a resolver off the subnet");
        let refused = |change: fn(&mut api::Segment)| {
            let mut spec = segment();
            change(&mut spec);
            Segment::parse(spec).unwrap_err().to_string()
        };
        assert!(refused(|s| s.segment_id = "../x".into()).contains("segment_id"));
        assert!(refused(|s| s.network = Ipv4Addr::new(10, 0, 0, 1)).contains("network"));
        assert!(refused(|s| s.gateway = Ipv4Addr::new(10, 0, 1, 1)).contains("gateway"));
        assert!(refused(|s| s.mtu = 65000).contains("mtu"));
        assert!(refused(|s| s.prefix_len = 33).contains("prefix_len"));
        assert!(refused(|s| s.names = "a b".into()).contains("names"));
        assert!(refused(|s| s.dns = Ipv4Addr::BROADCAST).contains("dns"));
        assert!(refused(|s| s.dns = Ipv4Addr::new(10, 0, 0, 255)).contains("dns"));
        assert!(refused(|s| s.domain_name = "a  b".into()).contains("domain_name"));
        assert!(refused(|s| s.domain_name = String::new()).contains("domain_name"));
        assert!(refused(|s| s.domain_name = ["a"; 128].join(" ")).contains("domain_name"));
        assert!(refused(|s| s.name_servers = vec![Ipv4Addr::new(10, 0, 0, 2); 5]).contains("name_servers"));
        assert!(refused(|s| s.ntp_servers = vec![Ipv4Addr::UNSPECIFIED]).contains("ntp_servers"));
        assert!(
            refused(|s| s.netbios_name_servers = vec![Ipv4Addr::new(224, 0, 0, 1)]).contains("netbios_name_servers")
        );
        assert!(refused(|s| s.netbios_node_type = Some(3)).contains("netbios_node_type"));
        assert!(refused(|s| s.lease_s = 59).contains("lease_s"));
        let refused = |change: fn(&mut api::Port)| {
            let mut spec = port();
            change(&mut spec);
            Port::parse(spec, good.clone()).unwrap_err().to_string()
        };
        assert!(refused(|p| p.mac = "01:00:00:00:00:01".into()).contains("mac"));
        assert!(refused(|p| p.mac = "02:00:00:00:00:01".into()).contains("gateway"));
        assert!(refused(|p| p.ipv4 = Ipv4Addr::new(10, 0, 0, 2)).contains("ipv4"));
        assert!(refused(|p| p.number = 0).contains("number"));
        assert!(refused(|p| p.metadata.user_data = Some("*".into())).contains("base64"));
        assert!(refused(|p| drop(p.metadata.tree.insert("/abs".into(), String::new()))).contains("empty part"));
    }
}
