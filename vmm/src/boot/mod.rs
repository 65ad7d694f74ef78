//! Loading what the first vCPU runs: kernel, initrd and command line, and the structure that tells the kernel of them.
//!
//! A bzImage whose payload is LZ4 and holds a PVH entry is unpacked here, on all host CPUs and at native speed, and entered
//! by PVH; any other bzImage is entered by the Linux 64-bit boot protocol and unpacks itself. An ELF file is entered by PVH.

mod bzimage;
mod elf;
mod image;
mod pvh;
mod zero_page;

use crate::error::{Error, Result};
use crate::layout::{self, PAGE_SIZE};
use crate::memory::GuestRam;
use hive_vmm_api::BootSource;
use image::{FileImage, Image};
use std::path::Path;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

/// How the first vCPU enters the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// 32-bit protected mode without paging, `hvm_start_info` in RBX.
    Pvh { address: u64 },
    /// 64-bit mode on identity page tables, `boot_params` in RSI.
    Linux64 { address: u64 },
}

/// A kernel in guest memory.
#[derive(Clone, Copy, Debug)]
struct Kernel {
    entry: Entry,
    /// First byte behind it that may hold the initrd.
    end: u64,
    /// The setup header of a bzImage that is entered by the Linux protocol.
    setup: Option<bzimage::SetupHeader>,
}

/// One range of the memory map handed to the kernel; types as in E820, which PVH shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MapEntry {
    start: u64,
    length: u64,
    kind: u32,
}

const MAP_RAM: u32 = 1;
const MAP_RESERVED: u32 = 2;

/// Real-mode code at the reset vector: write the reset register. Linux on a hardware-reduced machine without EFI reboots by
/// jumping there.
///
/// `mov al, RESET_VALUE; mov dx, PORT_RESET; out dx, al; hlt; jmp` back to the `hlt`.
const RESET_CODE: [u8; 9] = {
    let [low, high] = layout::PORT_RESET.to_le_bytes();
    [0xb0, layout::RESET_VALUE, 0xba, low, high, 0xee, 0xf4, 0xeb, 0xfd]
};

/// Load the guest's kernel, initrd and command line. `rsdp` is the address of the ACPI root pointer.
pub fn load(ram: &GuestRam, source: &BootSource, rsdp: u64) -> Result<Entry> {
    let kernel = load_kernel(ram, &source.kernel)?;
    let initrd = source.initrd.as_deref().map(|path| load_initrd(ram, path, &kernel)).transpose()?;
    let mut cmdline = source.cmdline.clone().into_bytes();
    cmdline.push(0);
    ram.write_slice(&cmdline, GuestAddress(layout::CMDLINE)).map_err(Error::guest_memory("write the command line"))?;
    ram.write_slice(&RESET_CODE, GuestAddress(layout::RESET_VECTOR))
        .map_err(Error::guest_memory("write reset code"))?;
    let map = memory_map(ram);
    match (&kernel.setup, kernel.entry) {
        (Some(setup), Entry::Linux64 { .. }) => zero_page::write(ram, setup, cmdline.len() - 1, initrd, &map, rsdp)?,
        _ => pvh::write(ram, initrd, &map, rsdp)?,
    }
    Ok(kernel.entry)
}

fn load_kernel(ram: &GuestRam, path: &Path) -> Result<Kernel> {
    let file = FileImage::open(path)?;
    let bad = |reason: String| Error::BootImage { path: path.to_owned(), reason };
    if elf::is_elf(&file) {
        return elf::load_pvh(ram, &file).map_err(bad);
    }
    let setup = bzimage::SetupHeader::read(&file)
        .map_err(|reason| bad(format!("neither an ELF file nor a bzImage: {reason}")))?;
    match bzimage::unpack(&file, &setup) {
        Ok(vmlinux) => match elf::load_pvh(ram, &vmlinux) {
            Ok(kernel) => return Ok(kernel),
            Err(reason) => tracing::info!(reason, "the unpacked kernel cannot be entered by PVH; it unpacks itself"),
        },
        Err(reason) => tracing::info!(reason, "the kernel is not unpacked by the VMM; it unpacks itself"),
    }
    bzimage::load(ram, &file, setup).map_err(bad)
}

/// Load the initrd as high as low RAM allows; the kernel may still grow behind its image.
fn load_initrd(ram: &GuestRam, path: &Path, kernel: &Kernel) -> Result<(u64, u64)> {
    let file = FileImage::open(path)?;
    let bad = |reason: String| Error::BootImage { path: path.to_owned(), reason };
    let limit = kernel.setup.map_or(u64::from(u32::MAX), |setup| setup.initrd_address_max());
    let end = low_ram_end(ram).min(limit.saturating_add(1));
    let start = end
        .checked_sub(file.len())
        .map(|start| start & !(PAGE_SIZE - 1))
        .filter(|start| *start >= kernel.end)
        .ok_or_else(|| bad(format!("{} bytes do not fit guest RAM beside the kernel", file.len())))?;
    file.load(0, file.len(), ram, start).map_err(bad)?;
    Ok((start, file.len()))
}

fn low_ram_end(ram: &GuestRam) -> u64 {
    ram.last_addr().0.saturating_add(1).min(layout::RAM_LOW_END)
}

fn memory_map(ram: &GuestRam) -> Vec<MapEntry> {
    let mut map = vec![
        MapEntry { start: 0, length: layout::LOW_RAM_END, kind: MAP_RAM },
        MapEntry { start: layout::LOW_RAM_END, length: layout::KERNEL_MIN - layout::LOW_RAM_END, kind: MAP_RESERVED },
        MapEntry { start: layout::KERNEL_MIN, length: low_ram_end(ram) - layout::KERNEL_MIN, kind: MAP_RAM },
        MapEntry { start: layout::ECAM_START, length: layout::ECAM_SIZE, kind: MAP_RESERVED },
    ];
    let end = ram.last_addr().0.saturating_add(1);
    if end > layout::RAM_HIGH_START {
        map.push(MapEntry { start: layout::RAM_HIGH_START, length: end - layout::RAM_HIGH_START, kind: MAP_RAM });
    }
    map
}

/// Check that an image's part may go to guest memory at `start`: inside RAM and above the tables of the first MiB.
fn check_target(ram: &GuestRam, start: u64, length: u64) -> std::result::Result<u64, String> {
    let describe = || format!("a part of {length:#x} bytes at {start:#x} does not fit guest RAM");
    let end = start.checked_add(length).ok_or_else(describe)?;
    let length = usize::try_from(length).map_err(|_| describe())?;
    if start < layout::KERNEL_MIN || !ram.check_range(GuestAddress(start), length) {
        return Err(describe());
    }
    Ok(end)
}

#[cfg(test)]
mod tests;
