//! What the firmware reads of a guest's disk: GPT, then FAT.
#![no_main]

use hive_firmware::block::{BlockDevice, ReadError, SECTOR_BYTES};
use hive_firmware::crc32::crc32;
use libfuzzer_sys::fuzz_target;

const SECTORS: u64 = 4096;
const ENTRIES_SECTOR: u64 = 2;
const PARTITION_SECTOR: u64 = 34;

/// The fuzzer's bytes from a sector of a disk on, with sound sectors before it.
struct Disk<'a> {
    head: Vec<u8>,
    bytes: &'a [u8],
}

impl BlockDevice for Disk<'_> {
    fn sector_count(&self) -> u64 {
        SECTORS
    }

    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let sectors = (buffer.len() / SECTOR_BYTES) as u64;
        if first.checked_add(sectors).is_none_or(|end| end > SECTORS) {
            return Err(ReadError);
        }
        let start = first as usize * SECTOR_BYTES;
        for (index, byte) in buffer.iter_mut().enumerate() {
            let at = start + index;
            let source = if at < self.head.len() { self.head.get(at) } else { self.bytes.get(at - self.head.len()) };
            *byte = source.copied().unwrap_or(0);
        }
        Ok(())
    }
}

/// A GPT with one EFI system partition (UEFI 2.10, 5.3), so that the fuzzer need not find its checksums.
fn table() -> Vec<u8> {
    let mut entry = vec![0; 128];
    entry[..16].copy_from_slice(&[0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B]);
    entry[16] = 1;
    entry[32..40].copy_from_slice(&PARTITION_SECTOR.to_le_bytes());
    entry[40..48].copy_from_slice(&(SECTORS - 35).to_le_bytes());
    let mut entries = vec![0; 128 * 128];
    entries[..128].copy_from_slice(&entry);
    let mut header = vec![0; SECTOR_BYTES];
    header[..8].copy_from_slice(b"EFI PART");
    header[8..12].copy_from_slice(&0x0001_0000_u32.to_le_bytes());
    header[12..16].copy_from_slice(&92_u32.to_le_bytes());
    header[24..32].copy_from_slice(&1_u64.to_le_bytes());
    header[32..40].copy_from_slice(&(SECTORS - 1).to_le_bytes());
    header[40..48].copy_from_slice(&PARTITION_SECTOR.to_le_bytes());
    header[48..56].copy_from_slice(&(SECTORS - 34).to_le_bytes());
    header[56] = 1;
    header[72..80].copy_from_slice(&ENTRIES_SECTOR.to_le_bytes());
    header[80..84].copy_from_slice(&128_u32.to_le_bytes());
    header[84..88].copy_from_slice(&128_u32.to_le_bytes());
    header[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
    let checksum = crc32(&header[..92]);
    header[16..20].copy_from_slice(&checksum.to_le_bytes());
    let mut head = vec![0; SECTOR_BYTES];
    head[510..].copy_from_slice(&[0x55, 0xAA]);
    head[450] = 0xEE;
    head[454..458].copy_from_slice(&1_u32.to_le_bytes());
    head.extend(header);
    head.extend(entries);
    head
}

fuzz_target!(|input: (bool, &[u8])| {
    let (sound_table, bytes) = input;
    let head = if sound_table { table() } else { Vec::new() };
    let mut buffer = [0; 8 * SECTOR_BYTES];
    let survey = hive_firmware::boot::survey(&mut Disk { head, bytes }, &mut buffer, |_| ());
    assert!(!sound_table || survey.is_ok(), "{survey:?}");
});
