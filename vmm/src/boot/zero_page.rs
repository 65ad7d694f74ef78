//! `boot_params`, the "zero page" (Documentation/arch/x86/zero-page.rst), and the page tables of the 64-bit entry.

use super::MapEntry;
use super::bzimage::{SETUP_HEADER_OFFSET, SetupHeader};
use crate::error::{Error, Result};
use crate::layout;
use crate::memory::GuestRam;
use vm_memory::{Bytes, GuestAddress};

const ZERO_PAGE_BYTES: usize = 4096;
const ACPI_RSDP_ADDRESS: usize = 0x070;
const E820_ENTRIES: usize = 0x1e8;
const TYPE_OF_LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const CMD_LINE_PTR: usize = 0x228;
const E820_TABLE: usize = 0x2d0;
const E820_ENTRY_BYTES: usize = 20;
/// "Other" boot loader without an assigned number.
const LOADER_UNDEFINED: u8 = 0xff;
/// The protected-mode code is at or above 1 MiB.
const LOADED_HIGH: u8 = 1;

/// Write `boot_params` and the identity page tables.
pub fn write(
    ram: &GuestRam,
    setup: &SetupHeader,
    cmdline_length: usize,
    initrd: Option<(u64, u64)>,
    map: &[MapEntry],
    rsdp: u64,
) -> Result<()> {
    if cmdline_length > setup.cmdline_size() as usize {
        return Err(Error::Config(format!(
            "this kernel takes a command line of {} bytes at most",
            setup.cmdline_size()
        )));
    }
    let mut page = [0; ZERO_PAGE_BYTES];
    let header = setup.boot_params_part();
    page[SETUP_HEADER_OFFSET..][..header.len()].copy_from_slice(header);
    page[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    page[LOADFLAGS] |= LOADED_HIGH;
    page[ACPI_RSDP_ADDRESS..][..8].copy_from_slice(&rsdp.to_le_bytes());
    page[CMD_LINE_PTR..][..4].copy_from_slice(&(layout::CMDLINE as u32).to_le_bytes());
    if let Some((start, length)) = initrd {
        // Both are below 4 GiB: the initrd lies in low RAM.
        page[RAMDISK_IMAGE..][..4].copy_from_slice(&(start as u32).to_le_bytes());
        page[RAMDISK_SIZE..][..4].copy_from_slice(&(length as u32).to_le_bytes());
    }
    page[E820_ENTRIES] = map.len() as u8;
    for (index, entry) in map.iter().enumerate() {
        let slot = &mut page[E820_TABLE + index * E820_ENTRY_BYTES..][..E820_ENTRY_BYTES];
        slot[..8].copy_from_slice(&entry.start.to_le_bytes());
        slot[8..16].copy_from_slice(&entry.length.to_le_bytes());
        slot[16..].copy_from_slice(&entry.kind.to_le_bytes());
    }
    ram.write_slice(&page, GuestAddress(layout::ZERO_PAGE)).map_err(Error::guest_memory("write boot parameters"))?;
    write_page_tables(ram)
}

/// Map the first 4 GiB to themselves in 2 MiB pages.
fn write_page_tables(ram: &GuestRam) -> Result<()> {
    const PRESENT_WRITABLE: u64 = 0x3;
    const PAGE_2M: u64 = 0x80;
    let pdpt = layout::PAGE_TABLES + layout::PAGE_SIZE;
    let directories = pdpt + layout::PAGE_SIZE;
    let put = |address: u64, entry: u64| {
        ram.write_obj(entry, GuestAddress(address)).map_err(Error::guest_memory("write page tables"))
    };
    put(layout::PAGE_TABLES, pdpt | PRESENT_WRITABLE)?;
    for gigabyte in 0..4 {
        put(pdpt + gigabyte * 8, (directories + gigabyte * layout::PAGE_SIZE) | PRESENT_WRITABLE)?;
    }
    for index in 0..4 * 512 {
        put(directories + index * 8, (index << 21) | PRESENT_WRITABLE | PAGE_2M)?;
    }
    Ok(())
}
