//! Configuration space of a conventional function (PCI Local Bus 3.0, chapter 6): identity, one memory BAR, capabilities.

use super::copy_from;

/// Configuration space of a conventional function.
pub const CONFIG_BYTES: usize = 256;

const VENDOR: usize = 0x00;
const DEVICE: usize = 0x02;
pub(super) const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const REVISION: usize = 0x08;
const CLASS: usize = 0x09;
pub(super) const BAR0: usize = 0x10;
const SUBSYSTEM_VENDOR: usize = 0x2c;
const SUBSYSTEM: usize = 0x2e;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_LINE: usize = 0x3c;
const FIRST_CAPABILITY: usize = 0x40;

const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_BUS_MASTER: u16 = 1 << 2;
const COMMAND_INTX_DISABLE: u16 = 1 << 10;
const STATUS_CAPABILITIES: u16 = 1 << 4;

/// What a function is.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    pub vendor: u16,
    pub device: u16,
    pub revision: u8,
    /// Base class, subclass and programming interface, most significant first.
    pub class: u32,
    /// Subsystem vendor and id.
    pub subsystem: (u16, u16),
}

/// The memory BAR, as its registers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    pub base: u64,
    /// The command register lets the function decode memory.
    pub enabled: bool,
}

/// The bytes of configuration space, and which of their bits the guest may change.
#[derive(Clone, Debug)]
pub struct ConfigSpace {
    bytes: [u8; CONFIG_BYTES],
    writable: [u8; CONFIG_BYTES],
    /// Where the next capability goes, and the pointer that will lead to it.
    next_capability: usize,
    last_pointer: usize,
}

impl ConfigSpace {
    /// A function without BAR and capabilities.
    pub fn new(identity: &Identity) -> Self {
        let mut space = Self {
            bytes: [0; CONFIG_BYTES],
            writable: [0; CONFIG_BYTES],
            next_capability: FIRST_CAPABILITY,
            last_pointer: CAPABILITIES,
        };
        space.put(VENDOR, &identity.vendor.to_le_bytes());
        space.put(DEVICE, &identity.device.to_le_bytes());
        space.put(REVISION, &[identity.revision]);
        space.put(CLASS, &identity.class.to_le_bytes()[..3]);
        space.put(SUBSYSTEM_VENDOR, &identity.subsystem.0.to_le_bytes());
        space.put(SUBSYSTEM, &identity.subsystem.1.to_le_bytes());
        let command = COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE;
        space.allow(COMMAND, &command.to_le_bytes());
        space.allow(INTERRUPT_LINE, &[0xff]);
        space
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn allow(&mut self, offset: usize, mask: &[u8]) {
        self.writable[offset..offset + mask.len()].copy_from_slice(mask);
    }

    /// Give the function BAR 0: 32-bit memory of `size` bytes (a power of two) at `base`, decoded already, as a PC's firmware
    /// would leave it.
    pub fn set_bar(&mut self, base: u32, size: u32) {
        self.put(COMMAND, &COMMAND_MEMORY.to_le_bytes());
        self.put(BAR0, &base.to_le_bytes());
        self.allow(BAR0, &(!(size - 1)).to_le_bytes());
    }

    /// Append a capability whose bytes behind the link are `body`, of which the guest may change the bits of `writable`; returns
    /// its offset. Capabilities are few and fixed, so they always fit.
    pub fn add_capability(&mut self, id: u8, body: &[u8], writable: &[(usize, u8)]) -> usize {
        let offset = self.next_capability;
        self.bytes[self.last_pointer] = offset as u8;
        self.put(offset, &[id, 0]);
        self.put(offset + 2, body);
        for (position, mask) in writable {
            self.writable[offset + position] = *mask;
        }
        self.put(STATUS, &STATUS_CAPABILITIES.to_le_bytes());
        self.last_pointer = offset + 1;
        self.next_capability = (offset + 2 + body.len()).next_multiple_of(4);
        offset
    }

    /// Read; what lies beyond the end reads as zero.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        copy_from(&self.bytes, offset, data);
    }

    /// Change the bits the guest may change.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        for (index, value) in (offset..CONFIG_BYTES).zip(data) {
            let mask = self.writable[index];
            self.bytes[index] = (self.bytes[index] & !mask) | (value & mask);
        }
    }

    /// 16 bits at an offset within configuration space.
    pub fn word(&self, offset: usize) -> u16 {
        u16::from_le_bytes([self.bytes[offset], self.bytes[offset + 1]])
    }

    /// 32 bits at an offset within configuration space.
    pub fn long(&self, offset: usize) -> u32 {
        u32::from(self.word(offset)) | u32::from(self.word(offset + 2)) << 16
    }

    /// Where BAR 0 is decoded.
    pub fn bar(&self) -> Bar {
        // The low four bits say what kind of BAR it is.
        Bar { base: u64::from(self.long(BAR0) & !0xf), enabled: self.word(COMMAND) & COMMAND_MEMORY != 0 }
    }
}
