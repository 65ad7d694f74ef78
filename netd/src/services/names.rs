//! Who is called what: the names and addresses of ports, for segments that know each other's.

use super::model::{Elsewhere, Port, Segment};
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// What one set of segments knows.
#[derive(Debug, Default)]
struct Space {
    segments: Vec<Arc<Segment>>,
    domains: HashSet<String>,
    /// Full names in lower case: a port's host name, and `ip-10-0-0-5` for its address, in its segment's domain.
    addresses: HashMap<String, Ipv4Addr>,
    hosts: HashMap<Ipv4Addr, String>,
    /// Asked after those.
    elsewhere: Option<Arc<Elsewhere>>,
}

/// What is known of a name or an address that no port has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The name of a domain.
    Domain,
    /// In a domain or subnet of the segments.
    Nobody,
    Foreign,
}

/// The names of all segments, by [`Segment::names`].
#[derive(Debug, Default)]
pub struct Names(HashMap<String, Space>);

impl Names {
    pub fn new<'a>(
        segments: impl Iterator<Item = &'a Arc<Segment>>,
        ports: impl Iterator<Item = Arc<Port>>,
        elsewhere: impl Iterator<Item = &'a Arc<Elsewhere>>,
    ) -> Self {
        let mut spaces: HashMap<String, Space> = HashMap::new();
        for segment in segments {
            let space = spaces.entry(segment.names().to_owned()).or_default();
            space.domains.insert(segment.domain().to_owned());
            space.segments.push(segment.clone());
        }
        // Without a segment there is nobody to ask.
        for hosts in elsewhere {
            if let Some(space) = spaces.get_mut(&hosts.names) {
                space.domains.insert(hosts.domain.clone());
                space.elsewhere = Some(hosts.clone());
            }
        }
        let ports: Vec<_> = ports.collect();
        for port in &ports {
            let space = spaces.entry(port.segment.names().to_owned()).or_default();
            let name = port.full_name();
            space.addresses.insert(name.clone(), port.spec.ipv4);
            space.hosts.insert(port.spec.ipv4, name);
        }
        // Whatever others are called: such a name is of who has the address.
        for port in &ports {
            if let Some(space) = spaces.get_mut(port.segment.names()) {
                let [a, b, c, d] = port.spec.ipv4.octets();
                space.addresses.insert(format!("ip-{a}-{b}-{c}-{d}.{}", port.segment.domain()), port.spec.ipv4);
            }
        }
        Self(spaces)
    }

    /// The address of a full name in lower case.
    pub fn address_of(&self, segment: &Segment, name: &str) -> Result<Ipv4Addr, Unknown> {
        let space = self.0.get(segment.names()).ok_or(Unknown::Foreign)?;
        let elsewhere = || space.elsewhere.as_ref()?.addresses.get(name).filter(|at| !space.hosts.contains_key(at));
        if let Some(address) = space.addresses.get(name).or_else(elsewhere) {
            return Ok(*address);
        }
        if space.domains.contains(name) {
            return Err(Unknown::Domain);
        }
        let mut above = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        Err(if above.any(|domain| space.domains.contains(domain)) { Unknown::Nobody } else { Unknown::Foreign })
    }

    /// The full name of the port that has the address.
    pub fn name_of(&self, segment: &Segment, address: Ipv4Addr) -> Result<&str, Unknown> {
        let space = self.0.get(segment.names()).ok_or(Unknown::Foreign)?;
        let ours = || space.segments.iter().any(|segment| segment.contains(address));
        let elsewhere = || space.elsewhere.as_ref()?.hosts.get(&address);
        let name = space.hosts.get(&address).or_else(elsewhere).map(String::as_str);
        name.ok_or_else(|| if ours() { Unknown::Nobody } else { Unknown::Foreign })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::model::tests::{port, segment};
    use hive_netd_api as api;

    fn names() -> (Names, [Arc<Segment>; 3]) {
        let in_space = |id: &str, names: &str, third: u8, domain: &str| {
            let network = Ipv4Addr::new(10, 0, third, 0);
            let gateway = Ipv4Addr::new(10, 0, third, 1);
            let (segment_id, names, domain_name) = (id.to_owned(), names.to_owned(), domain.to_owned());
            let spec = api::Segment { segment_id, names, network, gateway, domain_name, ..segment() };
            Arc::new(Segment::parse(spec).unwrap())
        };
        let segments = [
            in_space("a", "vpc", 0, "ec2.internal"),
            in_space("b", "vpc", 1, "Example.com other.example"),
            in_space("c", "", 0, "ec2.internal"),
        ];
        let on = |segment: &Arc<Segment>, fourth: u8, hostname: &str| {
            let [a, b, c, _] = segment.spec.network.octets();
            let ipv4 = Ipv4Addr::new(a, b, c, fourth);
            let (segment_id, hostname) = (segment.spec.segment_id.clone(), hostname.to_owned());
            Arc::new(Port::parse(api::Port { segment_id, ipv4, hostname, ..port() }, segment.clone()).unwrap())
        };
        let ports = [
            on(&segments[0], 5, "ip-10-0-0-5"),
            on(&segments[1], 6, "Web"),
            on(&segments[2], 5, "lonely.ec2.internal"),
            on(&segments[0], 7, "ip-10-0-0-5"),
        ];
        let hosts = |names: &str, domain_name: &str, hosts: &[([u8; 4], &str)]| {
            let hosts = hosts.iter().map(|(address, name)| (Ipv4Addr::from(*address), (*name).to_owned())).collect();
            Arc::new(
                Elsewhere::parse(api::Hosts { names: names.into(), domain_name: domain_name.into(), hosts }).unwrap(),
            )
        };
        let elsewhere = [
            hosts(
                "vpc",
                "ec2.internal",
                &[([10, 0, 2, 9], "Far"), ([10, 0, 0, 5], "late"), ([10, 0, 2, 8], "ip-10-0-0-5")],
            ),
            hosts("other", "ec2.internal", &[([10, 0, 2, 9], "never")]),
        ];
        (Names::new(segments.iter(), ports.into_iter(), elsewhere.iter()), segments)
    }

    #[test]
    fn segments_of_the_same_names_know_each_other_and_no_others() {
        let (names, [a, b, c]) = names();
        let is = |fourth: [u8; 4]| Ok(Ipv4Addr::from(fourth));
        for segment in [&a, &b] {
            assert_eq!(names.address_of(segment, "ip-10-0-0-5.ec2.internal"), is([10, 0, 0, 5]), "who has it");
            assert_eq!(names.address_of(segment, "web.example.com"), is([10, 0, 1, 6]));
            assert_eq!(names.address_of(segment, "ip-10-0-1-6.example.com"), is([10, 0, 1, 6]));
            assert_eq!(
                names.address_of(segment, "ip-10-0-1-6.ec2.internal"),
                Err(Unknown::Nobody),
                "in its own domain only"
            );
            assert_eq!(names.address_of(segment, "lonely.ec2.internal"), Err(Unknown::Nobody));
            assert_eq!(names.name_of(segment, Ipv4Addr::new(10, 0, 1, 6)), Ok("web.example.com"));
            assert_eq!(names.name_of(segment, Ipv4Addr::new(10, 0, 1, 7)), Err(Unknown::Nobody));
        }
        assert_eq!(names.address_of(&c, "lonely.ec2.internal"), is([10, 0, 0, 5]));
        assert_eq!(names.address_of(&c, "web.example.com"), Err(Unknown::Foreign));
        assert_eq!(names.name_of(&c, Ipv4Addr::new(10, 0, 1, 6)), Err(Unknown::Foreign));
    }

    #[test]
    fn hosts_elsewhere_are_known_where_no_port_has_the_name_or_address() {
        let (names, [a, _, c]) = names();
        let far = Ipv4Addr::new(10, 0, 2, 9);
        assert_eq!(names.address_of(&a, "far.ec2.internal"), Ok(far));
        assert_eq!(names.name_of(&a, far), Ok("far.ec2.internal"));
        assert_eq!(names.address_of(&a, "late.ec2.internal"), Err(Unknown::Nobody), "the address is a port's");
        assert_eq!(names.address_of(&a, "ip-10-0-0-5.ec2.internal"), Ok(Ipv4Addr::new(10, 0, 0, 5)), "a port's name");
        assert_eq!(names.address_of(&c, "far.ec2.internal"), Err(Unknown::Nobody));
        assert_eq!(names.name_of(&c, far), Err(Unknown::Foreign));
    }

    #[test]
    fn domains_are_empty_names_and_what_ends_like_one_is_foreign() {
        let (names, [a, ..]) = names();
        assert_eq!(names.address_of(&a, "ec2.internal"), Err(Unknown::Domain));
        assert_eq!(names.address_of(&a, "example.com"), Err(Unknown::Domain), "the first of two");
        assert_eq!(names.address_of(&a, "other.example"), Err(Unknown::Foreign));
        for foreign in ["internal", "notec2.internal", "", ".", "com"] {
            assert_eq!(names.address_of(&a, foreign), Err(Unknown::Foreign), "{foreign}");
        }
        assert_eq!(names.address_of(&a, "a.b.ec2.internal"), Err(Unknown::Nobody));
    }
}
