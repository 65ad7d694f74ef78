//! Connections as `dpctl/dump-conntrack` prints them.

use crate::connection::{Connection, State};
use crate::tcp::{TcpState, overall};
use crate::tuple::Tuple;
use std::fmt::{self, Display, Formatter};

/// One connection, to be looked at and printed.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) now_ms: u64,
}

impl Entry<'_> {
    pub fn original(&self) -> &Tuple {
        &self.connection.original
    }

    /// Of the answers, as they come in.
    pub fn reply(&self) -> &Tuple {
        &self.connection.reply
    }

    pub fn mark(&self) -> u32 {
        self.connection.mark
    }

    pub fn label(&self) -> u128 {
        self.connection.label
    }

    pub fn expires_in_ms(&self) -> u64 {
        self.connection.expires_ms.saturating_sub(self.now_ms)
    }

    pub fn tcp_state(&self) -> Option<TcpState> {
        match &self.connection.state {
            State::Tcp(peers) => Some(overall(peers)),
            State::Plain(_) => None,
        }
    }
}

/// A protocol's name, as this dump has it.
struct Protocol(u8);

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "icmp",
            2 => "igmp",
            6 => "tcp",
            17 => "udp",
            33 => "dccp",
            58 => "icmpv6",
            132 => "sctp",
            136 => "udplite",
            other => return write!(f, "{other}"),
        })
    }
}

impl Display for Entry<'_> {
    /// `{:#}` adds the timeout, as `dump-conntrack -s` does.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Connection { original, reply, .. } = self.connection;
        write!(f, "{},orig=({original}),reply=({reply})", Protocol(original.protocol()))?;
        if original.zone() != 0 {
            write!(f, ",zone={}", original.zone())?;
        }
        if f.alternate() {
            write!(f, ",timeout={}", self.expires_in_ms() / 1000)?;
        }
        if self.mark() != 0 {
            write!(f, ",mark={}", self.mark())?;
        }
        if self.label() != 0 {
            write!(f, ",labels={:#x}", self.label())?;
        }
        if let Some(state) = self.tcp_state() {
            // Open vSwitch shows these two as the kernel's tracker would have them.
            let shown = match state {
                TcpState::FinWait2 => TcpState::TimeWait,
                TcpState::SynReceived => TcpState::Established,
                other => other,
            };
            write!(f, ",protoinfo=(state={})", shown.name())?;
        }
        if self.connection.is_ftp() {
            f.write_str(",helper=ftp")?;
        }
        Ok(())
    }
}
