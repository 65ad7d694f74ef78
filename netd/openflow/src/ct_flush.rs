//! NXT_CT_FLUSH: forget connections.

use crate::ErrorCode;
use crate::property::{self, Property};
use crate::wire::{Put, Reader};
use std::net::{IpAddr, Ipv6Addr};

/// NXT_CT_*.
const ORIGINAL: u64 = 0;
const REPLY: u64 = 1;
const ZONE: u64 = 2;
/// NXT_CT_TUPLE_*.
const SOURCE: u64 = 0;
const DESTINATION: u64 = 1;
const SOURCE_PORT: u64 = 2;
const DESTINATION_PORT: u64 = 3;
const ICMP_ID: u64 = 4;
const ICMP_TYPE: u64 = 5;
const ICMP_CODE: u64 = 6;

/// What is asked for of one direction; absent: anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtTuple {
    pub source: Option<IpAddr>,
    pub destination: Option<IpAddr>,
    /// Not 0.
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
    pub icmp_id: Option<u16>,
    pub icmp_type: Option<u8>,
    pub icmp_code: Option<u8>,
}

/// Which connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtFlush {
    /// 0: any.
    pub ip_proto: u8,
    pub original: CtTuple,
    pub reply: CtTuple,
    pub zone: Option<u16>,
}

impl CtTuple {
    fn decode(reader: &mut Reader<'_>, is_v6: &mut Option<bool>) -> Result<Self, ErrorCode> {
        let mut this = Self::default();
        while !reader.is_empty() {
            let property = Property::decode(reader)?;
            let mut address = || {
                let mut content = Reader::new(property.content, ErrorCode::PropertyBadLen);
                let address = Ipv6Addr::from_bits(content.u128()?);
                if address.is_unspecified() {
                    return Ok(None);
                }
                let canonical = address.to_canonical();
                if is_v6.is_some_and(|is_v6| is_v6 != canonical.is_ipv6()) {
                    return Err(ErrorCode::PropertyBadValue);
                }
                *is_v6 = Some(canonical.is_ipv6());
                Ok(Some(canonical))
            };
            match property.kind {
                SOURCE => this.source = address()?,
                DESTINATION => this.destination = address()?,
                SOURCE_PORT => this.source_port = Some(property.u16()?).filter(|port| *port != 0),
                DESTINATION_PORT => this.destination_port = Some(property.u16()?).filter(|port| *port != 0),
                ICMP_ID => this.icmp_id = Some(property.u16()?),
                ICMP_TYPE => this.icmp_type = Some(property.u8()?),
                ICMP_CODE => this.icmp_code = Some(property.u8()?),
                _ => return Err(property.unknown()),
            }
        }
        Ok(this)
    }

    fn encode(&self, kind: u64, out: &mut Vec<u8>) {
        let mut nested = Vec::new();
        for (kind, address) in [(SOURCE, self.source), (DESTINATION, self.destination)] {
            let address = match address {
                None => continue,
                Some(IpAddr::V4(address)) => address.to_ipv6_mapped(),
                Some(IpAddr::V6(address)) => address,
            };
            property::put(&mut nested, kind, |out| out.number(address.to_bits(), 16));
        }
        for (kind, port) in
            [(SOURCE_PORT, self.source_port), (DESTINATION_PORT, self.destination_port), (ICMP_ID, self.icmp_id)]
        {
            if let Some(port) = port {
                property::put_u16(&mut nested, kind, port);
            }
        }
        for (kind, number) in [(ICMP_TYPE, self.icmp_type), (ICMP_CODE, self.icmp_code)] {
            if let Some(number) = number {
                property::put_u8(&mut nested, kind, number);
            }
        }
        if !nested.is_empty() {
            property::put_nested(out, kind, |out| out.put(&nested));
        }
    }
}

impl CtFlush {
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        let ip_proto = reader.u8()?;
        reader.zeros(7, ErrorCode::NxRequestMustBeZero)?;
        let mut this = Self { ip_proto, ..Default::default() };
        let mut is_v6 = None;
        while !reader.is_empty() {
            let property = Property::decode(reader)?;
            match property.kind {
                ORIGINAL => this.original = CtTuple::decode(&mut property.nested()?, &mut is_v6)?,
                REPLY => this.reply = CtTuple::decode(&mut property.nested()?, &mut is_v6)?,
                ZONE => this.zone = Some(property.u16()?),
                _ => return Err(property.unknown()),
            }
        }
        Ok(this)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.u8(self.ip_proto);
        out.zeros(7);
        self.original.encode(ORIGINAL, out);
        self.reply.encode(REPLY, out);
        if let Some(zone) = self.zone {
            property::put_u16(out, ZONE, zone);
        }
    }
}
