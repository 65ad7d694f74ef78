//! PCI: one root bus, reached by memory-mapped configuration space (ECAM) and by ports 0xcf8/0xcfc.

mod config;
mod msix;

pub use config::{Bar, ConfigSpace, Identity};
pub use msix::{MsixTable, VECTOR_BYTES};

use crate::layout;
use crate::lock;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Devices of one bus.
pub const MAX_DEVICES: usize = 32;
/// Configuration space of one function in ECAM.
const ECAM_FUNCTION_BYTES: u64 = 4096;
/// Enable bit of the configuration address port.
const ADDRESS_ENABLE: u32 = 1 << 31;
/// A base address that is decoded nowhere.
pub const NOT_DECODED: u64 = u64::MAX;

/// A PCI function as the bus sees it. All take `&self`: each device guards its own state.
pub trait PciDevice: Debug + Send + Sync {
    /// Read configuration space; the access lies within 256 bytes.
    fn config_read(&self, offset: usize, data: &mut [u8]);
    /// Write configuration space; the access lies within 256 bytes.
    fn config_write(&self, offset: usize, data: &[u8]);
    /// Where the device's memory is decoded now.
    fn bar(&self) -> &BarWindow;
    /// Read device memory at an offset within its window.
    fn memory_read(&self, offset: u64, data: &mut [u8]);
    /// Write device memory at an offset within its window.
    fn memory_write(&self, offset: u64, data: &[u8]);
}

/// Where a device's one memory window lies, for the bus to look up without the device's lock.
#[derive(Debug)]
pub struct BarWindow {
    base: AtomicU64,
    size: u64,
}

impl BarWindow {
    /// A window of `size` bytes that is not decoded yet.
    pub fn new(size: u64) -> Self {
        Self { base: AtomicU64::new(NOT_DECODED), size }
    }

    /// Move the window; [`NOT_DECODED`] closes it. Addresses outside the bus's window are decoded nowhere.
    pub fn set(&self, base: u64) {
        let inside = base >= layout::PCI_MMIO_START && base <= layout::PCI_MMIO_END - self.size;
        self.base.store(if inside { base } else { NOT_DECODED }, Ordering::Release);
    }

    /// Where the window lies, [`NOT_DECODED`] if nowhere.
    pub fn base(&self) -> u64 {
        self.base.load(Ordering::Acquire)
    }

    /// The offset of an access that lies wholly inside.
    fn offset_of(&self, address: u64, length: usize) -> Option<u64> {
        let offset = address.checked_sub(self.base())?;
        let end = offset.checked_add(length as u64)?;
        (end <= self.size).then_some(offset)
    }
}

/// The bus and what is plugged into it.
#[derive(Debug, Default)]
pub struct PciBus {
    devices: [Option<Arc<dyn PciDevice>>; MAX_DEVICES],
    address: Mutex<u32>,
}

impl PciBus {
    /// Plug `device` in as number `slot`, function 0.
    pub fn plug(&mut self, slot: usize, device: Arc<dyn PciDevice>) {
        self.devices[slot] = Some(device);
    }

    /// Device by number, bus 0, function 0.
    fn device(&self, bus: u64, device: u64, function: u64) -> Option<&dyn PciDevice> {
        if bus != 0 || function != 0 {
            return None;
        }
        self.devices.get(usize::try_from(device).ok()?)?.as_deref()
    }

    /// Bus, device, function and offset of an ECAM access (PCIe 7.2.2).
    fn ecam_target(&self, offset: u64) -> (Option<&dyn PciDevice>, usize) {
        let device = self.device(offset >> 20, offset >> 15 & 0x1f, offset >> 12 & 7);
        (device, (offset % ECAM_FUNCTION_BYTES) as usize)
    }

    /// Read ECAM; `data` holds all ones already, as absent functions read.
    pub fn ecam_read(&self, offset: u64, data: &mut [u8]) {
        if let (Some(device), register) = self.ecam_target(offset) {
            config_read(device, register, data);
        }
    }

    /// Write ECAM.
    pub fn ecam_write(&self, offset: u64, data: &[u8]) {
        if let (Some(device), register) = self.ecam_target(offset) {
            config_write(device, register, data);
        }
    }

    /// Write the configuration address port. Only whole words set it.
    pub fn address_write(&self, offset: usize, data: &[u8]) {
        if let (0, Ok(bytes)) = (offset, <[u8; 4]>::try_from(data)) {
            *lock(&self.address) = u32::from_le_bytes(bytes);
        }
    }

    /// Read the configuration address port.
    pub fn address_read(&self, offset: usize, data: &mut [u8]) {
        copy_from(&lock(&self.address).to_le_bytes(), offset, data);
    }

    /// Function and register that the address port selects.
    fn selected(&self, offset: usize) -> Option<(&dyn PciDevice, usize)> {
        let address = *lock(&self.address);
        if address & ADDRESS_ENABLE == 0 {
            return None;
        }
        let address = u64::from(address);
        let device = self.device(address >> 16 & 0xff, address >> 11 & 0x1f, address >> 8 & 7)?;
        Some((device, (address & 0xfc) as usize + offset))
    }

    /// Read the configuration data port at byte `offset`.
    pub fn data_read(&self, offset: usize, data: &mut [u8]) {
        data.fill(0xff);
        if let Some((device, register)) = self.selected(offset) {
            config_read(device, register, data);
        }
    }

    /// Write the configuration data port at byte `offset`.
    pub fn data_write(&self, offset: usize, data: &[u8]) {
        if let Some((device, register)) = self.selected(offset) {
            config_write(device, register, data);
        }
    }

    fn memory_target(&self, address: u64, length: usize) -> Option<(&dyn PciDevice, u64)> {
        self.devices.iter().flatten().find_map(|device| {
            let offset = device.bar().offset_of(address, length)?;
            Some((device.as_ref(), offset))
        })
    }

    /// Read device memory; `data` holds all ones already.
    pub fn memory_read(&self, address: u64, data: &mut [u8]) {
        if let Some((device, offset)) = self.memory_target(address, data.len()) {
            device.memory_read(offset, data);
        }
    }

    /// Write device memory.
    pub fn memory_write(&self, address: u64, data: &[u8]) {
        if let Some((device, offset)) = self.memory_target(address, data.len()) {
            device.memory_write(offset, data);
        }
    }
}

/// Conventional functions have 256 bytes; what lies beyond reads as zero: no extended capabilities.
fn config_read(device: &dyn PciDevice, register: usize, data: &mut [u8]) {
    if register + data.len() <= config::CONFIG_BYTES {
        device.config_read(register, data);
    } else {
        data.fill(0);
    }
}

fn config_write(device: &dyn PciDevice, register: usize, data: &[u8]) {
    if register + data.len() <= config::CONFIG_BYTES {
        device.config_write(register, data);
    }
}

/// Fill `data` from `source` at `offset`; what lies beyond the source reads as zero.
pub fn copy_from(source: &[u8], offset: usize, data: &mut [u8]) {
    data.fill(0);
    let available = source.get(offset..).unwrap_or_default();
    data.iter_mut().zip(available).for_each(|(to, from)| *to = *from);
}

/// The host bridge, device 0: Linux expects one, and it does nothing.
#[derive(Debug)]
pub struct HostBridge {
    config: ConfigSpace,
    bar: BarWindow,
}

impl Default for HostBridge {
    fn default() -> Self {
        /// Red Hat's generic PCIe host bridge; class: bridge, host.
        const IDENTITY: Identity =
            Identity { vendor: 0x1b36, device: 0x0008, revision: 0, class: 0x06_0000, subsystem: (0x1af4, 0x1100) };
        Self { config: ConfigSpace::new(&IDENTITY), bar: BarWindow::new(0) }
    }
}

impl PciDevice for HostBridge {
    fn config_read(&self, offset: usize, data: &mut [u8]) {
        self.config.read(offset, data);
    }
    fn config_write(&self, _: usize, _: &[u8]) {}
    fn bar(&self) -> &BarWindow {
        &self.bar
    }
    fn memory_read(&self, _: u64, _: &mut [u8]) {}
    fn memory_write(&self, _: u64, _: &[u8]) {}
}

#[cfg(test)]
mod tests;
