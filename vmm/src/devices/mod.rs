//! Legacy devices of a PC that guests still expect: serial port and real-time clock.

mod ring_log;
mod rtc;
mod serial;

pub use ring_log::RingLog;
pub use rtc::Rtc;
pub use serial::SerialPort;
