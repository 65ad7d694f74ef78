//! The firmware's log: the first serial port, a 16550.

use core::fmt::{self, Write};

use crate::hardware::{in8, out8};

const PORT: u16 = 0x3F8;
const LINE_STATUS: u16 = PORT + 5;
const TRANSMITTER_EMPTY: u8 = 0x20;
/// Polls before a byte is sent regardless: a port that is absent, or never ready, must not stop the boot.
const POLLS_MAX: u32 = 100_000;

struct Port;

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            for _ in 0..POLLS_MAX {
                if in8(LINE_STATUS) & TRANSMITTER_EMPTY != 0 {
                    break;
                }
                core::hint::spin_loop();
            }
            out8(PORT, byte);
        }
        Ok(())
    }
}

/// 115200 baud, 8 data bits, no parity, no interrupts.
pub(crate) fn initialise() {
    const SETTINGS: [(u16, u8); 7] = [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 3)];
    for (register, value) in SETTINGS {
        out8(PORT + register, value);
    }
}

/// Writes one line that begins with the firmware's name.
pub(crate) fn write_line(arguments: fmt::Arguments<'_>) {
    // Writing to the port does not fail.
    let _ = write!(Port, "hive-firmware: {arguments}\r\n");
}

macro_rules! log {
    ($($arguments:tt)*) => { $crate::serial::write_line(format_args!($($arguments)*)) };
}
pub(crate) use log;
