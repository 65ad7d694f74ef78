//! How long a connection is remembered without a packet.

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Timer {
    /// A SYN was seen.
    TcpFirst,
    /// The handshake is under way.
    TcpOpening,
    TcpEstablished,
    /// One side has closed.
    TcpClosing,
    /// Both have.
    TcpFinWait,
    /// Both have, and have acknowledged it; or one has reset.
    TcpClosed,
    /// One packet of UDP was seen.
    UdpFirst,
    /// Several, of one side.
    UdpSingle,
    /// Of both sides.
    UdpMultiple,
    IcmpFirst,
    IcmpReply,
    /// Any other protocol.
    Other,
}

const TIMERS: usize = 12;

/// Milliseconds for each timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutPolicy {
    milliseconds: [u64; TIMERS],
}

const SECOND: u64 = 1000;

impl Default for TimeoutPolicy {
    /// Open vSwitch's.
    fn default() -> Self {
        Self::OVS
    }
}

impl TimeoutPolicy {
    /// The defaults of Open vSwitch's userspace datapath.
    pub const OVS: Self = Self {
        milliseconds: [
            30 * SECOND,
            30 * SECOND,
            24 * 60 * 60 * SECOND,
            15 * 60 * SECOND,
            45 * SECOND,
            30 * SECOND,
            60 * SECOND,
            60 * SECOND,
            30 * SECOND,
            60 * SECOND,
            30 * SECOND,
            600 * SECOND,
        ],
    };

    /// EC2's defaults for a network interface: TCP 432000 s, UDP 30 s and answered 180 s, others 600 s.
    pub const AWS: Self = Self {
        milliseconds: [
            60 * SECOND,
            60 * SECOND,
            432_000 * SECOND,
            15 * 60 * SECOND,
            45 * SECOND,
            30 * SECOND,
            30 * SECOND,
            30 * SECOND,
            180 * SECOND,
            60 * SECOND,
            60 * SECOND,
            600 * SECOND,
        ],
    };

    pub fn get_ms(&self, timer: Timer) -> u64 {
        self.milliseconds.get(timer as usize).copied().unwrap_or(0)
    }

    #[must_use]
    pub fn with_ms(mut self, timer: Timer, milliseconds: u64) -> Self {
        if let Some(place) = self.milliseconds.get_mut(timer as usize) {
            *place = milliseconds;
        }
        self
    }
}
