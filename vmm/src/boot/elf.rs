//! ELF64 files with a PVH entry (Xen note type 18, Linux `arch/x86/platform/pvh`; ELF: System V gABI chapter 4).

use super::image::Image;
use super::{Entry, Kernel, check_target};
use crate::memory::GuestRam;

type Result<T> = std::result::Result<T, String>;

/// Most program headers read; Linux has five, firmware two or three.
const MAX_PROGRAM_HEADERS: u16 = 64;
/// Most bytes of notes searched for the entry; Linux has about 500.
const MAX_NOTES_BYTES: u64 = 64 << 10;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const MACHINE_X86_64: u16 = 62;
const PROGRAM_HEADER_BYTES: u16 = 56;
const HEADER_BYTES: usize = 64;
/// XEN_ELFNOTE_PHYS32_ENTRY.
const NOTE_PHYS32_ENTRY: u32 = 18;

#[derive(Clone, Copy, Debug)]
struct ProgramHeader {
    kind: u32,
    offset: u64,
    physical_address: u64,
    file_size: u64,
    memory_size: u64,
}

/// Does the image begin with the ELF magic?
pub fn is_elf(image: &impl Image) -> bool {
    let mut magic = [0; 4];
    image.read_at(0, &mut magic).is_ok() && magic == *b"\x7fELF"
}

/// Load every PT_LOAD segment to its physical address and find the PVH entry.
pub fn load_pvh(ram: &GuestRam, image: &impl Image) -> Result<Kernel> {
    let headers = program_headers(image)?;
    let address = pvh_entry(image, &headers)?.ok_or("the ELF file has no PVH entry note")?;
    let mut end = 0;
    let mut entry_is_loaded = false;
    for segment in headers.iter().filter(|header| header.kind == PT_LOAD && header.memory_size > 0) {
        if segment.file_size > segment.memory_size {
            return Err("a segment is larger in the file than in memory".into());
        }
        // RAM is zero until something is loaded, so what lies behind the file's part of a segment needs no clearing.
        let segment_end = check_target(ram, segment.physical_address, segment.memory_size)?;
        image.load(segment.offset, segment.file_size, ram, segment.physical_address)?;
        entry_is_loaded |= (segment.physical_address..segment_end).contains(&address);
        end = end.max(segment_end);
    }
    if !entry_is_loaded {
        return Err(format!("the PVH entry {address:#x} is in no segment"));
    }
    Ok(Kernel { entry: Entry::Pvh { address }, end, setup: None })
}

fn program_headers(image: &impl Image) -> Result<Vec<ProgramHeader>> {
    let mut header = [0; HEADER_BYTES];
    image.read_at(0, &mut header)?;
    // Class 64-bit, little endian.
    if header[4] != 2 || header[5] != 1 || u16_at(&header, 18) != MACHINE_X86_64 {
        return Err("not an x86-64 ELF file".into());
    }
    let (table, entry_size, count) = (u64_at(&header, 32), u16_at(&header, 54), u16_at(&header, 56));
    if entry_size != PROGRAM_HEADER_BYTES || count > MAX_PROGRAM_HEADERS {
        return Err(format!("{count} program headers of {entry_size} bytes"));
    }
    (0..u64::from(count))
        .map(|index| {
            let mut raw = [0; PROGRAM_HEADER_BYTES as usize];
            let offset = table.checked_add(index * u64::from(PROGRAM_HEADER_BYTES));
            image.read_at(offset.ok_or("the program header table is beyond the end")?, &mut raw)?;
            Ok(ProgramHeader {
                kind: u32_at(&raw, 0),
                offset: u64_at(&raw, 8),
                physical_address: u64_at(&raw, 24),
                file_size: u64_at(&raw, 32),
                memory_size: u64_at(&raw, 40),
            })
        })
        .collect()
}

fn pvh_entry(image: &impl Image, headers: &[ProgramHeader]) -> Result<Option<u64>> {
    for segment in headers.iter().filter(|header| header.kind == PT_NOTE) {
        if segment.file_size > MAX_NOTES_BYTES {
            return Err(format!("{} bytes of notes", segment.file_size));
        }
        let mut notes = vec![0; segment.file_size as usize];
        image.read_at(segment.offset, &mut notes)?;
        if let Some(entry) = find_entry(&notes) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Walk notes: name size, descriptor size, type, name and descriptor each padded to 4 bytes.
fn find_entry(mut notes: &[u8]) -> Option<u64> {
    while let (Some(header), Some(body)) = (notes.get(..12), notes.get(12..)) {
        let name_size = u32_at(header, 0) as usize;
        let descriptor_size = u32_at(header, 4) as usize;
        let descriptor_start = name_size.checked_next_multiple_of(4)?;
        let descriptor_end = descriptor_start.checked_add(descriptor_size)?;
        let name = body.get(..name_size)?;
        let descriptor = body.get(descriptor_start..descriptor_end)?;
        if name == b"Xen\0" && u32_at(header, 8) == NOTE_PHYS32_ENTRY {
            return match descriptor.len() {
                4 => Some(u32_at(descriptor, 0).into()),
                8 => Some(u64_at(descriptor, 0)).filter(|entry| u32::try_from(*entry).is_ok()),
                _ => None,
            };
        }
        notes = body.get(descriptor_end.checked_next_multiple_of(4)?..)?;
    }
    None
}

/// Little-endian fields of a header whose length the caller has checked.
fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from(u16_at(bytes, offset)) | u32::from(u16_at(bytes, offset + 2)) << 16
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from(u32_at(bytes, offset)) | u64::from(u32_at(bytes, offset + 4)) << 32
}
