//! Addresses and ports of a packet replaced, with its checksums kept right.

use crate::connection::Translation;
use crate::packet::{Checksum, ICMP_HEADER, Packet, Quoted, pseudo_header};
use crate::tuple::Tuple;
use hive_flow::{FRAG_LATER, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP};
use hive_packet::checksum::{fold, sum, update};

/// Where an IP packet lies, and what its transport checksum is.
#[derive(Clone, Copy)]
struct Place {
    l3: usize,
    l4: usize,
    v6: bool,
    protocol: u8,
    partial: bool,
    /// A transport header is there.
    transport: bool,
}

impl Place {
    fn address_offsets(self) -> (usize, usize) {
        if self.v6 { (self.l3 + 8, self.l3 + 24) } else { (self.l3 + 12, self.l3 + 16) }
    }

    /// Of the transport checksum, if it covers addresses.
    fn checksum_offset(self) -> Option<usize> {
        match self.protocol {
            _ if !self.transport => None,
            PROTO_TCP => Some(self.l4 + 16),
            PROTO_UDP => Some(self.l4 + 6),
            PROTO_ICMPV6 if self.v6 => Some(self.l4 + 2),
            _ => None,
        }
    }

    /// Replaces bytes at an even offset of what a checksum covers. `pseudo`: of the pseudo-header, so covered by a partial one too.
    fn replace(self, frame: &mut [u8], at: usize, new: &[u8], pseudo: bool) -> Option<()> {
        let mut old = [0; 16];
        let old = old.get_mut(..new.len())?;
        let place = frame.get_mut(at..at + new.len())?;
        old.copy_from_slice(place);
        if old == new {
            return Some(());
        }
        place.copy_from_slice(new);
        if pseudo && !self.v6 {
            let check = frame.get_mut(self.l3 + 10..self.l3 + 12)?;
            let value = update(u16::from_be_bytes([check[0], check[1]]), old, new);
            check.copy_from_slice(&value.to_be_bytes());
        }
        let Some(at) = self.checksum_offset() else { return Some(()) };
        // Of a quoted packet it may be cut off.
        let Some(check) = frame.get_mut(at..at + 2) else { return Some(()) };
        let value = u16::from_be_bytes([check[0], check[1]]);
        let value = if self.partial {
            if !pseudo {
                return Some(());
            }
            !update(!value, old, new)
        } else if self.protocol == PROTO_UDP {
            if value == 0 && !self.v6 {
                return Some(());
            }
            match update(value, old, new) {
                0 => 0xffff,
                value => value,
            }
        } else {
            update(value, old, new)
        };
        check.copy_from_slice(&value.to_be_bytes());
        Some(())
    }

    fn address(self, frame: &mut [u8], at: usize, address: u128) -> Option<()> {
        let bytes = address.to_be_bytes();
        self.replace(frame, at, if self.v6 { &bytes } else { &bytes[12..] }, true)
    }

    fn source(self, frame: &mut [u8], to: &Tuple) -> Option<()> {
        self.address(frame, self.address_offsets().0, to.source())
    }

    fn destination(self, frame: &mut [u8], to: &Tuple) -> Option<()> {
        self.address(frame, self.address_offsets().1, to.destination())
    }

    fn ports(self, frame: &mut [u8], to: &Tuple) -> Option<()> {
        if !self.transport || !matches!(self.protocol, PROTO_TCP | PROTO_UDP) {
            return Some(());
        }
        self.replace(frame, self.l4, &to.source_port().to_be_bytes(), false)?;
        self.replace(frame, self.l4 + 2, &to.destination_port().to_be_bytes(), false)
    }
}

impl Packet<'_> {
    fn place(&self) -> Place {
        Place {
            l3: self.l3,
            l4: self.l4,
            v6: self.v6,
            protocol: self.protocol,
            partial: self.checksum == Checksum::Partial,
            transport: self.fragment & FRAG_LATER == 0,
        }
    }

    /// Gives the packet the addresses and ports of a tuple of its own direction; of an ICMP error, its own address as far as it is
    /// translated, and the quoted packet's, which is of the other direction, altogether.
    pub(crate) fn translate(&mut self, to: &Tuple, what: Translation, quoted: Option<&Quoted>) {
        let place = self.place();
        let frame = &mut *self.frame;
        let Some(quoted) = quoted else {
            let _ = place.source(frame, to);
            let _ = place.destination(frame, to);
            let _ = place.ports(frame, to);
            return;
        };
        let _ = match what {
            Translation::Source => place.source(frame, to),
            Translation::Destination => place.destination(frame, to),
            Translation::None => None,
        };
        let inner =
            Place { l3: quoted.l3, l4: quoted.l4, protocol: quoted.protocol, partial: false, transport: true, ..place };
        let back = to.reversed();
        let _ = inner.source(frame, &back);
        let _ = inner.destination(frame, &back);
        let _ = inner.ports(frame, &back);
        let _ = self.sum_up_icmp();
    }

    /// What an error quotes has changed, checksums and all.
    fn sum_up_icmp(&mut self) -> Option<()> {
        let of_v4 = self.protocol == PROTO_ICMP;
        let length = self.transport_bytes();
        let tail = self.tail_sum();
        let pseudo = if of_v4 { 0 } else { pseudo_header(self.frame.get(self.l3..)?, self.v6, self.protocol, length)? };
        let message = self.frame.get_mut(self.l4..).filter(|message| message.len() >= ICMP_HEADER)?;
        if self.checksum == Checksum::Partial {
            let value = if of_v4 { 0 } else { fold(pseudo) };
            message[2..4].copy_from_slice(&value.to_be_bytes());
            return Some(());
        }
        message[2..4].fill(0);
        let value = !fold(pseudo + sum(message) + tail);
        message[2..4].copy_from_slice(&value.to_be_bytes());
        Some(())
    }

    /// Shifts sequence numbers: `seq` and `ack` by so much.
    pub(crate) fn shift(&mut self, seq: i32, ack: i32) {
        let place = self.place();
        for (at, by) in [(self.l4 + 4, seq), (self.l4 + 8, ack)] {
            if let Some(value) = crate::packet::be32(self.frame, at).filter(|_| by != 0) {
                let _ = place.replace(self.frame, at, &value.wrapping_add_signed(by).to_be_bytes(), false);
            }
        }
    }
}
