//! What one data record says.

use std::net::IpAddr;

/// What makes two sampled packets those of one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// observationDomainId, of the message's header.
    pub domain: u32,
    /// observationPointId.
    pub point: u32,
    /// flowDirection: 0 in, 1 out.
    pub direction: u8,
    pub source_mac: [u8; 6],
    pub destination_mac: [u8; 6],
    pub ether_type: u16,
    /// The tag's number and priority as on the wire; `None` without a tag.
    pub vlan_tci: Option<u16>,
    pub ip: Option<Ip>,
    pub transport: Transport,
}

/// Of an IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub ttl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// IPv6.
    pub label: u32,
}

/// Of a transport header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// There is none, or a later fragment's.
    #[default]
    None,
    /// UDP, SCTP.
    Ports {
        source: u16,
        destination: u16,
    },
    /// TCP: with the flags' counts in [`Counts::tcp`].
    Tcp {
        source: u16,
        destination: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
}

impl Transport {
    /// Source and destination; 0 where there are none.
    pub fn ports(self) -> (u16, u16) {
        match self {
            Self::Ports { source, destination } | Self::Tcp { source, destination } => (source, destination),
            Self::None | Self::Icmp { .. } => (0, 0),
        }
    }
}

/// What of a flow is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Of the first and last packet, in microseconds of Unix time.
    pub start_us: u64,
    pub end_us: u64,
    pub packets: u64,
    /// Of the IP packets; 0 of others.
    pub octets: u64,
    /// Of the frames.
    pub layer2_octets: u64,
    pub tcp: TcpCounts,
}

/// Segments with each flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounts {
    pub syn: u64,
    pub fin: u64,
    pub rst: u64,
    pub psh: u64,
    pub ack: u64,
    pub urg: u64,
}

impl TcpCounts {
    /// As exporters write them: tcpSynTotalCount and those behind it.
    pub(crate) fn all(&self) -> [u64; 6] {
        [self.syn, self.fin, self.rst, self.psh, self.ack, self.urg]
    }

    /// Counts segments that had these flags (bits of the TCP header) among them. Of several at once it is only known which there were:
    /// an acknowledgement all of them have, since the others do not keep a connection's way; of the others there was one at least.
    pub fn add(&mut self, flags: u16, packets: u64) {
        let bit = |bit: u16| u64::from(flags >> bit & 1);
        let places =
            [(1, &mut self.syn), (0, &mut self.fin), (2, &mut self.rst), (3, &mut self.psh), (5, &mut self.urg)];
        for (flag, place) in places {
            *place = place.saturating_add(bit(flag).min(packets));
        }
        self.ack = self.ack.saturating_add(bit(4).saturating_mul(packets));
    }
}

impl Counts {
    /// Counts more of the same flow.
    pub fn add(&mut self, more: &Self) {
        self.start_us = if self.packets == 0 { more.start_us } else { self.start_us.min(more.start_us) };
        self.end_us = self.end_us.max(more.end_us);
        self.packets = self.packets.saturating_add(more.packets);
        self.octets = self.octets.saturating_add(more.octets);
        self.layer2_octets = self.layer2_octets.saturating_add(more.layer2_octets);
        let TcpCounts { syn, fin, rst, psh, ack, urg } = &mut self.tcp;
        for (sum, more) in [syn, fin, rst, psh, ack, urg].into_iter().zip(more.tcp.all()) {
            *sum = sum.saturating_add(more);
        }
    }
}

/// flowEndReason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EndReason {
    ActiveTimeout = 2,
    ForcedEnd = 4,
    LackOfResources = 5,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub key: FlowKey,
    pub counts: Counts,
    /// As the exporter wrote it; 0 if it did not.
    pub end_reason: u8,
}
