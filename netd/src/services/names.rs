//! Who is called what: the names and addresses of each segment's ports.

use crate::model::Port;
use std::collections::HashMap;
use std::net::Ipv4Addr;

#[derive(Debug, Default)]
pub struct Names {
    segments: HashMap<String, HashMap<Ipv4Addr, String>>,
}

impl Names {
    /// Adds a port, or renames it.
    pub fn put(&mut self, port: &Port) {
        let names = self.segments.entry(port.spec.segment_id.clone()).or_default();
        names.insert(port.spec.ipv4, port.spec.hostname.to_ascii_lowercase());
    }

    pub fn remove(&mut self, port: &Port) {
        if let Some(names) = self.segments.get_mut(&port.spec.segment_id) {
            names.remove(&port.spec.ipv4);
            if names.is_empty() {
                self.segments.remove(&port.spec.segment_id);
            }
        }
    }

    /// The address of a lower-case name inside the segment's domain: a port's host name, or `ip-10-0-0-5` for a port's address.
    pub fn address_of(&self, segment_id: &str, label: &str, full_name: &str) -> Option<Ipv4Addr> {
        let names = self.segments.get(segment_id)?;
        let by_address = label
            .strip_prefix("ip-")
            .and_then(|digits| digits.replace('-', ".").parse().ok())
            .filter(|address| names.contains_key(address));
        by_address.or_else(|| {
            names.iter().find(|(_, name)| *name == label || *name == full_name).map(|(address, _)| *address)
        })
    }

    /// The host name of the port that has the address.
    pub fn name_of(&self, segment_id: &str, address: Ipv4Addr) -> Option<&str> {
        self.segments.get(segment_id)?.get(&address).map(String::as_str)
    }
}
