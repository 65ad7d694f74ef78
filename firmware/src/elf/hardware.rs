//! I/O ports and physical memory: the one place that touches them.

use core::arch::asm;
use core::ptr;

use hive_firmware::acpi::PhysicalMemory;

use crate::entry;

/// Writes a byte to an I/O port.
pub(crate) fn out8(port: u16, value: u8) {
    // SAFETY: no port of a virtual machine changes the firmware's own memory or registers.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

/// Writes a 16-bit word to an I/O port.
pub(crate) fn out16(port: u16, value: u16) {
    // SAFETY: as in `out8`.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) }
}

/// Writes a 32-bit word to an I/O port.
pub(crate) fn out32(port: u16, value: u32) {
    // SAFETY: as in `out8`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) }
}

/// Reads a byte from an I/O port.
pub(crate) fn in8(port: u16) -> u8 {
    let value;
    // SAFETY: as in `out8`.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Reads a 32-bit word from an I/O port.
pub(crate) fn in32(port: u16) -> u32 {
    let value;
    // SAFETY: as in `out8`.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// The time stamp counter.
pub(crate) fn cycles() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC, and nothing forbids it at this privilege.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Waits for ever.
pub(crate) fn halt() -> ! {
    loop {
        // SAFETY: interrupts are off, so this sleeps; it touches nothing.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}

/// Device registers at physical addresses that were checked to be mapped.
#[derive(Clone, Copy)]
pub(crate) struct Registers {
    address: u64,
    length_bytes: u64,
}

macro_rules! access {
    ($read:ident, $write:ident, $type:ty) => {
        #[doc = concat!("Reads a `", stringify!($type), "` at `offset`; all ones outside of the region.")]
        pub(crate) fn $read(self, offset: u64) -> $type {
            match self.pointer::<$type>(offset) {
                // SAFETY: `pointer` checked that it is aligned and inside a mapped device region, where no Rust object lives.
                Some(pointer) => unsafe { ptr::read_volatile(pointer) },
                None => <$type>::MAX,
            }
        }

        #[doc = concat!("Writes a `", stringify!($type), "` at `offset`; nothing happens outside of the region.")]
        pub(crate) fn $write(self, offset: u64, value: $type) {
            if let Some(pointer) = self.pointer::<$type>(offset) {
                // SAFETY: as in the read above; what devices do to memory is up to the code that programs them.
                unsafe { ptr::write_volatile(pointer, value) }
            }
        }
    };
}

impl Registers {
    /// `None` if a byte of the region is not mapped, or lies in the firmware's own memory.
    pub(crate) fn new(address: u64, length_bytes: u64) -> Option<Self> {
        /// Where the firmware is linked, and where its memory ends at the latest (link.ld).
        const OWN_MEMORY_END: u64 = 2 << 20;
        let end = address.checked_add(length_bytes)?;
        (address >= OWN_MEMORY_END && end <= entry::mapped_end()).then_some(Self { address, length_bytes })
    }

    fn pointer<T>(self, offset: u64) -> Option<*mut T> {
        let end = offset.checked_add(size_of::<T>() as u64)?;
        let address = self.address.checked_add(offset)?;
        (end <= self.length_bytes && address.is_multiple_of(align_of::<T>() as u64))
            .then(|| ptr::with_exposed_provenance_mut(address as usize))
    }

    access!(read8, write8, u8);
    access!(read16, write16, u16);
    access!(read32, write32, u32);
}

/// The guest's memory, for reading the tables that the VMM left in it.
pub(crate) struct Memory;

impl PhysicalMemory for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        /// Page zero holds no table, and a null pointer is not for reading.
        const FIRST: u64 = 4096;
        let end = address.checked_add(buffer.len() as u64)?;
        if address < FIRST || end > entry::mapped_end() {
            return None;
        }
        for (index, byte) in buffer.iter_mut().enumerate() {
            let source = ptr::with_exposed_provenance::<u8>(address as usize + index);
            // SAFETY: mapped, as checked; reading a byte of memory or of a device's tables has no effect, and volatile reads do not
            // assume that it stays the same.
            *byte = unsafe { ptr::read_volatile(source) };
        }
        Some(())
    }
}
