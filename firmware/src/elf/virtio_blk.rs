//! A polled driver for modern virtio-blk over PCI (virtio 1.2, sections 2.7, 4.1 and 5.2): one request at a time.

use core::cell::UnsafeCell;
use core::fmt;
use core::ptr;
use core::sync::atomic::{Ordering, fence};

use hive_firmware::block::{BlockDevice, ReadError, SECTOR_BYTES};
use hive_firmware::pci::{self, Address, ConfigSpace, VirtioRegions};

use crate::config_space::PciConfig;
use crate::hardware::{Registers, cycles};

// Common configuration (4.1.4.3).
const DEVICE_FEATURE_SELECT: u64 = 0;
const DEVICE_FEATURE: u64 = 4;
const DRIVER_FEATURE_SELECT: u64 = 8;
const DRIVER_FEATURE: u64 = 12;
const DEVICE_STATUS: u64 = 20;
const CONFIG_GENERATION: u64 = 21;
const QUEUE_SELECT: u64 = 22;
const QUEUE_SIZE: u64 = 24;
const QUEUE_ENABLE: u64 = 28;
const QUEUE_NOTIFY_OFFSET: u64 = 30;
const QUEUE_DESCRIPTORS: u64 = 32;
const QUEUE_DRIVER: u64 = 40;
const QUEUE_DEVICE: u64 = 48;

const STATUS_ACKNOWLEDGE: u8 = 1;
const STATUS_DRIVER: u8 = 2;
const STATUS_DRIVER_OK: u8 = 4;
const STATUS_FEATURES_OK: u8 = 8;

/// VIRTIO_F_VERSION_1, in the second word of the features.
const FEATURE_VERSION_1_HIGH: u32 = 1;

/// One request takes three descriptors; a queue's size is a power of two.
const QUEUE_ENTRIES: u16 = 4;
const DESCRIPTOR_NEXT: u16 = 1;
const DESCRIPTOR_WRITE: u16 = 2;
/// The device need not interrupt (2.7.7).
const AVAILABLE_NO_INTERRUPT: u16 = 1;

/// A request that is not answered after so many cycles has failed: some ten seconds of a 3 GHz processor, which a backend that is
/// being restarted may need.
const TIMEOUT_CYCLES: u64 = 30_000_000_000;
/// Reads of a field that is allowed to change meanwhile.
const RETRIES_MAX: u32 = 1000;

#[derive(Clone, Copy)]
#[repr(C)]
struct Descriptor {
    address: u64,
    length_bytes: u32,
    flags: u16,
    next: u16,
}

/// The driver's ring (2.7.6).
#[derive(Clone, Copy)]
#[repr(C, align(2))]
struct AvailableRing {
    flags: u16,
    index: u16,
    ring: [u16; QUEUE_ENTRIES as usize],
}

/// The device's ring (2.7.8).
#[derive(Clone, Copy)]
#[repr(C, align(4))]
struct UsedRing {
    flags: u16,
    index: u16,
    ring: [[u32; 2]; QUEUE_ENTRIES as usize],
}

/// Everything the device reads and writes, beside the caller's buffer.
#[repr(C, align(4096))]
struct Shared {
    descriptors: [Descriptor; QUEUE_ENTRIES as usize],
    available: AvailableRing,
    used: UsedRing,
    /// Type and first sector of the request (5.2.6).
    header: [u64; 2],
    status: u8,
}

/// Memory that a device may change at any time: reached by raw pointers only.
struct DeviceMemory(UnsafeCell<Shared>);

// SAFETY: the firmware has one thread, and the driver one instance at a time: `VirtioBlock::start` asks for it.
unsafe impl Sync for DeviceMemory {}

static SHARED: DeviceMemory = DeviceMemory(UnsafeCell::new(Shared {
    descriptors: [Descriptor { address: 0, length_bytes: 0, flags: 0, next: 0 }; QUEUE_ENTRIES as usize],
    available: AvailableRing { flags: 0, index: 0, ring: [0; QUEUE_ENTRIES as usize] },
    used: UsedRing { flags: 0, index: 0, ring: [[0; 2]; QUEUE_ENTRIES as usize] },
    header: [0; 2],
    status: 0,
}));

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StartError {
    Capabilities,
    NotMapped,
    Reset,
    Features,
    Queue,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capabilities => "its capabilities are incomplete",
            Self::NotMapped => "its registers are not in mapped memory",
            Self::Reset => "it does not come out of reset",
            Self::Features => "it is not a virtio 1 device",
            Self::Queue => "it has no usable queue",
        })
    }
}

/// A disk; dropping it resets the device, which ends its access to memory.
pub(crate) struct VirtioBlock {
    common: Registers,
    notify: Registers,
    notify_offset: u64,
    sector_count: u64,
    /// Requests made so far, as the rings count them.
    index: u16,
}

impl VirtioBlock {
    /// Resets and starts the device at `address`. The one before must have been dropped.
    pub(crate) fn start(config: &PciConfig, address: Address) -> Result<Self, StartError> {
        let regions = pci::virtio_regions(config, address).ok_or(StartError::Capabilities)?;
        let command = config.read(address, pci::COMMAND) & 0xFFFF;
        config.write(address, pci::COMMAND, command | pci::COMMAND_MEMORY_AND_BUS_MASTER);
        let VirtioRegions { common, notify, notify_multiplier, device } = regions;
        let map = |region: pci::Region| {
            Registers::new(region.address, u64::from(region.length_bytes)).ok_or(StartError::NotMapped)
        };
        let (common, notify, device) = (map(common)?, map(notify)?, map(device)?);

        let mut block = Self { common, notify, notify_offset: 0, sector_count: 0, index: 0 };
        block.reset()?;
        common.write8(DEVICE_STATUS, STATUS_ACKNOWLEDGE);
        common.write8(DEVICE_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
        common.write32(DEVICE_FEATURE_SELECT, 1);
        if common.read32(DEVICE_FEATURE) & FEATURE_VERSION_1_HIGH == 0 {
            return Err(StartError::Features);
        }
        for (select, features) in [(0, 0), (1, FEATURE_VERSION_1_HIGH)] {
            common.write32(DRIVER_FEATURE_SELECT, select);
            common.write32(DRIVER_FEATURE, features);
        }
        let status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
        common.write8(DEVICE_STATUS, status);
        if common.read8(DEVICE_STATUS) & STATUS_FEATURES_OK == 0 {
            return Err(StartError::Features);
        }

        common.write16(QUEUE_SELECT, 0);
        let size_max = common.read16(QUEUE_SIZE);
        if size_max < QUEUE_ENTRIES || size_max == u16::MAX {
            return Err(StartError::Queue);
        }
        common.write16(QUEUE_SIZE, QUEUE_ENTRIES);
        let shared = SHARED.0.get();
        // SAFETY: the device is reset, so nothing else uses the memory; the pointers stay inside the static.
        let (descriptors, available, used) = unsafe {
            shared.write_bytes(0, 1);
            (*shared).available.flags = AVAILABLE_NO_INTERRUPT;
            (&raw const (*shared).descriptors, &raw const (*shared).available, &raw const (*shared).used)
        };
        let rings = [
            (QUEUE_DESCRIPTORS, descriptors.expose_provenance()),
            (QUEUE_DRIVER, available.expose_provenance()),
            (QUEUE_DEVICE, used.expose_provenance()),
        ];
        for (register, ring) in rings {
            common.write32(register, ring as u32);
            common.write32(register + 4, (ring as u64 >> 32) as u32);
        }
        common.write16(QUEUE_ENABLE, 1);
        block.notify_offset = u64::from(common.read16(QUEUE_NOTIFY_OFFSET)) * u64::from(notify_multiplier);
        common.write8(DEVICE_STATUS, status | STATUS_DRIVER_OK);
        block.sector_count = capacity(common, device).ok_or(StartError::Capabilities)?;
        Ok(block)
    }

    fn reset(&mut self) -> Result<(), StartError> {
        self.common.write8(DEVICE_STATUS, 0);
        let start = cycles();
        while self.common.read8(DEVICE_STATUS) != 0 {
            if cycles().wrapping_sub(start) > TIMEOUT_CYCLES {
                return Err(StartError::Reset);
            }
            core::hint::spin_loop();
        }
        Ok(())
    }

    /// Has the device fill `buffer` from sector `first` on.
    fn request(&mut self, first: u64, buffer: &mut [u8], length_bytes: u32) -> Result<(), ReadError> {
        const TYPE_IN: u64 = 0;
        const STATUS_OK: u8 = 0;
        const STATUS_PENDING: u8 = 0xFF;
        let shared = SHARED.0.get();
        let address = |pointer: *const u8| pointer.expose_provenance() as u64;
        let slot = usize::from(self.index % QUEUE_ENTRIES);
        let next_index = self.index.wrapping_add(1);
        // SAFETY: all pointers are inside the static. The device owns no request now (each is awaited, or the driver is dropped), so
        // it does not write what is written here; volatile accesses and the fences order them against the device's.
        unsafe {
            let header = &raw mut (*shared).header;
            ptr::write_volatile(header, [TYPE_IN, first]);
            let status = &raw mut (*shared).status;
            ptr::write_volatile(status, STATUS_PENDING);
            let chain = [
                Descriptor { address: address(header.cast()), length_bytes: 16, flags: DESCRIPTOR_NEXT, next: 1 },
                Descriptor {
                    address: address(buffer.as_mut_ptr()),
                    length_bytes,
                    flags: DESCRIPTOR_NEXT | DESCRIPTOR_WRITE,
                    next: 2,
                },
                Descriptor { address: address(status), length_bytes: 1, flags: DESCRIPTOR_WRITE, next: 0 },
            ];
            for (index, descriptor) in chain.into_iter().enumerate() {
                ptr::write_volatile(&raw mut (*shared).descriptors[index], descriptor);
            }
            ptr::write_volatile(&raw mut (*shared).available.ring[slot], 0);
            fence(Ordering::SeqCst);
            ptr::write_volatile(&raw mut (*shared).available.index, next_index);
            fence(Ordering::SeqCst);
            self.notify.write16(self.notify_offset, 0);

            let start = cycles();
            while ptr::read_volatile(&raw const (*shared).used.index) != next_index {
                if cycles().wrapping_sub(start) > TIMEOUT_CYCLES {
                    // The request may still be answered into the buffer: take the memory away from the device.
                    let _ = self.reset();
                    self.sector_count = 0;
                    return Err(ReadError);
                }
                core::hint::spin_loop();
            }
            fence(Ordering::SeqCst);
            self.index = next_index;
            if ptr::read_volatile(status) == STATUS_OK { Ok(()) } else { Err(ReadError) }
        }
    }
}

/// The disk's size in sectors, read without a change in between (4.1.4.3.2).
fn capacity(common: Registers, device: Registers) -> Option<u64> {
    (0..RETRIES_MAX).find_map(|_| {
        let generation = common.read8(CONFIG_GENERATION);
        let capacity = u64::from(device.read32(0)) | u64::from(device.read32(4)) << 32;
        (common.read8(CONFIG_GENERATION) == generation).then_some(capacity)
    })
}

impl BlockDevice for VirtioBlock {
    fn sector_count(&self) -> u64 {
        self.sector_count
    }

    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let length_bytes = u32::try_from(buffer.len()).map_err(|_| ReadError)?;
        let sectors = (buffer.len() / SECTOR_BYTES) as u64;
        let end = first.checked_add(sectors).ok_or(ReadError)?;
        if sectors == 0 || !buffer.len().is_multiple_of(SECTOR_BYTES) || end > self.sector_count {
            return Err(ReadError);
        }
        self.request(first, buffer, length_bytes)
    }
}

impl Drop for VirtioBlock {
    fn drop(&mut self) {
        let _ = self.reset();
    }
}
