//! What a PVH guest finds in RBX: `hvm_start_info` version 1 (Xen `public/arch-x86/hvm/start_info.h`).

use super::MapEntry;
use crate::error::{Error, Result};
use crate::layout;
use crate::memory::GuestRam;
use vm_memory::{Bytes, GuestAddress};

const MAGIC: u32 = 0x336e_c578;
const VERSION: u32 = 1;
const START_INFO_BYTES: u64 = 56;

/// Write start info, module list (the initrd) and memory map.
pub fn write(ram: &GuestRam, initrd: Option<(u64, u64)>, map: &[MapEntry], rsdp: u64) -> Result<()> {
    let modules = layout::PVH_START_INFO + START_INFO_BYTES;
    let mut info = Vec::with_capacity(START_INFO_BYTES as usize + 32);
    for word in [MAGIC, VERSION, 0, u32::from(initrd.is_some())] {
        info.extend(word.to_le_bytes());
    }
    let modules_address = if initrd.is_some() { modules } else { 0 };
    for address in [modules_address, layout::CMDLINE, rsdp, layout::PVH_MEMMAP] {
        info.extend(address.to_le_bytes());
    }
    for word in [map.len() as u32, 0] {
        info.extend(word.to_le_bytes());
    }
    if let Some((start, length)) = initrd {
        // hvm_modlist_entry: address, size, command line, reserved.
        for field in [start, length, 0, 0] {
            info.extend(field.to_le_bytes());
        }
    }
    let mut table = Vec::new();
    for entry in map {
        table.extend(entry.start.to_le_bytes());
        table.extend(entry.length.to_le_bytes());
        table.extend(entry.kind.to_le_bytes());
        table.extend(0u32.to_le_bytes());
    }
    ram.write_slice(&info, GuestAddress(layout::PVH_START_INFO))
        .map_err(Error::guest_memory("write PVH start info"))?;
    ram.write_slice(&table, GuestAddress(layout::PVH_MEMMAP)).map_err(Error::guest_memory("write the memory map"))
}
