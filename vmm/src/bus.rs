//! Dispatch of the guest's accesses to I/O ports and device memory.

use crate::acpi;
use crate::cpu::Exit;
use crate::devices::{Rtc, SerialPort};
use crate::layout;
use crate::lock;
use crate::pci::PciBus;
use std::sync::{Arc, Mutex};

/// Command byte of the i8042 that pulses the reset line.
const I8042_RESET: u8 = 0xfe;
/// What reads of absent hardware return.
const FLOATING: u8 = 0xff;

const SERIAL_FIRST: u16 = layout::PORT_SERIAL;
const SERIAL_LAST: u16 = layout::PORT_SERIAL + 7;
const RTC_INDEX: u16 = layout::PORT_RTC;
const RTC_DATA: u16 = layout::PORT_RTC + 1;
const PCI_DATA_LAST: u16 = layout::PORT_PCI_DATA + 3;
const PCI_ADDRESS_LAST: u16 = layout::PORT_PCI_ADDRESS + 3;

/// Everything the processors reach outside RAM.
#[derive(Debug)]
pub struct Bus {
    pub serial: Arc<SerialPort>,
    pub rtc: Mutex<Rtc>,
    pub pci: Arc<PciBus>,
}

impl Bus {
    /// A port was written; says so if that ends the machine's run. Repeated string accesses arrive as one slice.
    pub fn port_write(&self, port: u16, data: &[u8]) -> Option<Exit> {
        let first = *data.first()?;
        match port {
            SERIAL_FIRST..=SERIAL_LAST => self.serial.write((port - SERIAL_FIRST) as u8, data),
            RTC_INDEX => lock(&self.rtc).select(first),
            RTC_DATA => lock(&self.rtc).write(first),
            layout::PORT_PCI_ADDRESS..=PCI_ADDRESS_LAST => {
                self.pci.address_write(usize::from(port - layout::PORT_PCI_ADDRESS), data);
            }
            layout::PORT_PCI_DATA..=PCI_DATA_LAST => {
                self.pci.data_write(usize::from(port - layout::PORT_PCI_DATA), data);
            }
            layout::PORT_I8042_COMMAND if first == I8042_RESET => return Some(Exit::Reset),
            layout::PORT_RESET if first == layout::RESET_VALUE => return Some(Exit::Reset),
            layout::PORT_SLEEP_CONTROL if first == acpi::SLEEP_CONTROL_S5 => return Some(Exit::PowerOff),
            // POST codes and ports without a device.
            _ => {}
        }
        None
    }

    /// A port is read.
    pub fn port_read(&self, port: u16, data: &mut [u8]) {
        match port {
            SERIAL_FIRST..=SERIAL_LAST => self.serial.read((port - SERIAL_FIRST) as u8, data),
            RTC_DATA => data.fill(lock(&self.rtc).read()),
            layout::PORT_PCI_ADDRESS..=PCI_ADDRESS_LAST => {
                self.pci.address_read(usize::from(port - layout::PORT_PCI_ADDRESS), data);
            }
            layout::PORT_PCI_DATA..=PCI_DATA_LAST => {
                self.pci.data_read(usize::from(port - layout::PORT_PCI_DATA), data);
            }
            // The i8042's buffers are empty, and no sleep has been woken from.
            layout::PORT_I8042_COMMAND | layout::PORT_SLEEP_CONTROL | layout::PORT_SLEEP_STATUS => data.fill(0),
            _ => data.fill(FLOATING),
        }
    }

    /// Device memory is written.
    pub fn memory_write(&self, address: u64, data: &[u8]) {
        match address.checked_sub(layout::ECAM_START).filter(|offset| *offset < layout::ECAM_SIZE) {
            Some(offset) => self.pci.ecam_write(offset, data),
            None => self.pci.memory_write(address, data),
        }
    }

    /// Device memory is read.
    pub fn memory_read(&self, address: u64, data: &mut [u8]) {
        data.fill(FLOATING);
        match address.checked_sub(layout::ECAM_START).filter(|offset| *offset < layout::ECAM_SIZE) {
            Some(offset) => self.pci.ecam_read(offset, data),
            None => self.pci.memory_read(address, data),
        }
    }
}
