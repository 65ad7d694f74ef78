//! SMBIOS structures (DMTF DSP0134 3.3): the strings by which guests tell where they run.

use crate::error::{Error, Result};
use crate::layout;
use crate::memory::GuestRam;
use hive_vmm_api::Smbios;
use vm_memory::{Bytes, GuestAddress};

/// Longest string of the configuration; what SMBIOS 2 allowed, and far more than an instance id has.
pub const MAX_STRING_BYTES: usize = 64;
/// Where the structures begin, behind both entry points.
const TABLE_OFFSET: u64 = 0x40;
/// The 64-bit entry point is first, the 32-bit one behind it on the next 16-byte boundary.
const ENTRY_32_OFFSET: usize = 0x20;

/// Write both entry points and the structures at [`layout::SMBIOS_START`].
pub fn write(ram: &GuestRam, config: &Smbios, memory_size_bytes: u64) -> Result<()> {
    let bytes = build(config, memory_size_bytes)?;
    ram.write_slice(&bytes, GuestAddress(layout::SMBIOS_START)).map_err(Error::guest_memory("write SMBIOS"))
}

/// Parse the RFC 4122 text form into SMBIOS byte order: the first three fields little-endian (7.2.1).
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths_fit = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
    if !lengths_fit || !groups.iter().all(|group| group.bytes().all(|b| b.is_ascii_hexdigit())) {
        return None;
    }
    let mut uuid = u128::from_str_radix(&groups.concat(), 16).ok()?.to_be_bytes();
    uuid[0..4].reverse();
    uuid[4..6].reverse();
    uuid[6..8].reverse();
    Some(uuid)
}

/// One structure: type, formatted area behind the 4-byte header, strings (numbered from 1).
struct Structure<'a> {
    kind: u8,
    formatted: Vec<u8>,
    strings: Vec<&'a str>,
}

impl Structure<'_> {
    fn append_to(&self, table: &mut Vec<u8>, handle: u16) {
        table.extend([self.kind, self.formatted.len() as u8 + 4]);
        table.extend(handle.to_le_bytes());
        table.extend(&self.formatted);
        for string in &self.strings {
            // An empty string would end the set; a blank says as little.
            table.extend(if string.is_empty() { b" " } else { string.as_bytes() });
            table.push(0);
        }
        // The set ends with a NUL; an empty set is two of them.
        table.extend(if self.strings.is_empty() { &[0, 0][..] } else { &[0][..] });
    }
}

fn build(config: &Smbios, memory_size_bytes: u64) -> Result<Vec<u8>> {
    let uuid = parse_uuid(&config.uuid).ok_or_else(|| Error::Config(format!("{:?} is no UUID", config.uuid)))?;
    let structures = structures(config, uuid, memory_size_bytes);
    let mut table = Vec::new();
    let mut largest = 0;
    for (handle, structure) in (0..).zip(&structures) {
        let start = table.len();
        structure.append_to(&mut table, handle);
        largest = largest.max(table.len() - start);
    }
    let address = layout::SMBIOS_START + TABLE_OFFSET;
    let mut bytes = vec![0; TABLE_OFFSET as usize];
    bytes[..24].copy_from_slice(&entry_64(address, table.len()));
    bytes[ENTRY_32_OFFSET..][..31].copy_from_slice(&entry_32(address, table.len(), structures.len(), largest));
    bytes.extend(table);
    Ok(bytes)
}

fn structures(config: &Smbios, uuid: [u8; 16], memory_size_bytes: u64) -> Vec<Structure<'_>> {
    // Type 0, BIOS: vendor 1, version 2, start segment, date 3, ROM size, characteristics ("not supported"),
    // extension (ACPI; virtual machine), releases.
    let mut bios = vec![1, 2, 0x00, 0xe8, 3, 0];
    bios.extend(8u64.to_le_bytes());
    bios.extend([0x01, 0x10, 1, 0, 0xff, 0xff]);
    // Type 1, system: manufacturer 1, product 2, version 3, serial 4, UUID, wake-up "power switch", no SKU, no family.
    let mut system = vec![1, 2, 3, 4];
    system.extend(uuid);
    system.extend([6, 0, 0]);
    // Type 2, board: manufacturer 1, no product, version or serial, asset tag 2, hosting board, chassis handle 3, motherboard.
    let board = vec![1, 0, 0, 0, 2, 1, 0, 3, 0, 0x0a, 0];
    // Type 3, chassis: manufacturer 1, type "other", no version or serial, asset tag 2, states safe, no contents.
    let chassis = vec![1, 1, 0, 0, 2, 3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Type 16, memory array: system board, system memory, no correction, size in KiB or the extended field, one device.
    let mut array = vec![3, 3, 3];
    array.extend(0x8000_0000u32.to_le_bytes());
    array.extend([0xfe, 0xff, 1, 0]);
    array.extend(memory_size_bytes.to_le_bytes());
    // Type 19, mapped address: in bytes, by the extended fields.
    let mut mapped = vec![0xff; 8];
    mapped.extend([4, 0, 1]);
    mapped.extend(0u64.to_le_bytes());
    mapped.extend((memory_size_bytes - 1).to_le_bytes());
    vec![
        Structure { kind: 0, formatted: bios, strings: vec![&config.vendor, "1.0", "01/01/2026"] },
        Structure {
            kind: 1,
            formatted: system,
            strings: vec![&config.vendor, &config.product, &config.version, &config.serial],
        },
        Structure { kind: 2, formatted: board, strings: vec![&config.vendor, &config.asset_tag] },
        Structure { kind: 3, formatted: chassis, strings: vec![&config.vendor, &config.asset_tag] },
        Structure { kind: 16, formatted: array, strings: vec![] },
        Structure { kind: 19, formatted: mapped, strings: vec![] },
        // Type 32, boot status: no errors.
        Structure { kind: 32, formatted: vec![0; 7], strings: vec![] },
        Structure { kind: 127, formatted: vec![], strings: vec![] },
    ]
}

/// SMBIOS 3.0 entry point (5.2.2).
fn entry_64(address: u64, length: usize) -> [u8; 24] {
    let mut entry = [0; 24];
    entry[..5].copy_from_slice(b"_SM3_");
    // Length, version 3.3.0, entry point revision 1.
    entry[6..11].copy_from_slice(&[24, 3, 3, 0, 1]);
    entry[12..16].copy_from_slice(&(length as u32).to_le_bytes());
    entry[16..].copy_from_slice(&address.to_le_bytes());
    entry[5] = checksum(&entry);
    entry
}

/// SMBIOS 2.1 entry point (5.2.1), for guests that know no other.
fn entry_32(address: u64, length: usize, structures: usize, largest: usize) -> [u8; 31] {
    let mut entry = [0; 31];
    entry[..4].copy_from_slice(b"_SM_");
    // Length, version 2.8.
    entry[5..8].copy_from_slice(&[31, 2, 8]);
    entry[8..10].copy_from_slice(&(largest as u16).to_le_bytes());
    entry[16..21].copy_from_slice(b"_DMI_");
    entry[22..24].copy_from_slice(&(length as u16).to_le_bytes());
    entry[24..28].copy_from_slice(&(address as u32).to_le_bytes());
    entry[28..30].copy_from_slice(&(structures as u16).to_le_bytes());
    entry[30] = 0x28;
    entry[21] = checksum(&entry[16..]);
    entry[4] = checksum(&entry);
    entry
}

/// The byte that makes `bytes` (with a zero in its place) sum to zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Smbios {
        Smbios {
            uuid: "ec2e1916-9099-7caf-fd21-012345abcdef".into(),
            vendor: "Amazon EC2".into(),
            product: "t3.micro".into(),
            version: String::new(),
            serial: "ec2e1916".into(),
            asset_tag: "i-0123456789abcdef0".into(),
        }
    }

    /// (kind, formatted area with header, strings) of each structure.
    fn parse(mut table: &[u8]) -> Vec<(u8, Vec<u8>, Vec<String>)> {
        let mut found = Vec::new();
        while !table.is_empty() {
            let (formatted, rest) = table.split_at(usize::from(table[1]));
            let end = rest.windows(2).position(|pair| pair == [0, 0]).unwrap();
            let strings = rest[..end].split(|b| *b == 0).filter(|s| !s.is_empty());
            found.push((
                formatted[0],
                formatted.to_vec(),
                strings.map(|s| String::from_utf8(s.to_vec()).unwrap()).collect(),
            ));
            table = &rest[end + 2..];
        }
        found
    }

    #[test]
    fn uuid_is_in_smbios_byte_order() {
        let uuid = parse_uuid("ec2e1916-9099-7caf-fd21-012345abcdef").unwrap();
        let expected = [0x16, 0x19, 0x2e, 0xec, 0x99, 0x90, 0xaf, 0x7c, 0xfd, 0x21, 0x01, 0x23, 0x45, 0xab, 0xcd, 0xef];
        assert_eq!(uuid, expected);
        for bad in ["", "ec2e1916", "ec2e19169099-7caf-fd21-012345abcdef-", "ec2e1916-9099-7caf-fd21-012345abcdeg"] {
            assert_eq!(parse_uuid(bad), None, "{bad}");
        }
    }

    #[test]
    fn structures_carry_the_configured_strings() {
        let bytes = build(&config(), 512 << 20).unwrap();
        let found = parse(&bytes[TABLE_OFFSET as usize..]);
        let kinds: Vec<_> = found.iter().map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, [0, 1, 2, 3, 16, 19, 32, 127]);
        assert_eq!(found[1].2, ["Amazon EC2", "t3.micro", " ", "ec2e1916"]);
        assert_eq!(found[1].1[8..24], parse_uuid(&config().uuid).unwrap());
        assert_eq!(found[3].2[1], "i-0123456789abcdef0");
        // Lengths of SMBIOS 2.7 and later: BIOS, system, board, chassis, array, mapping, boot.
        let lengths: Vec<_> = found.iter().map(|(_, formatted, _)| formatted.len()).collect();
        assert_eq!(lengths, [24, 27, 15, 22, 23, 31, 11, 4]);
    }

    #[test]
    fn entry_points_sum_to_zero_and_point_at_the_table() {
        let bytes = build(&config(), 512 << 20).unwrap();
        let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        assert_eq!(sum(&bytes[..24]), 0);
        assert!(bytes.len() as u64 <= layout::SMBIOS_END - layout::SMBIOS_START);
        assert_eq!((sum(&bytes[0x20..0x3f]), sum(&bytes[0x30..0x3f])), (0, 0));
        let length = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
        assert_eq!(length, bytes.len() - TABLE_OFFSET as usize);
        assert_eq!(bytes[16..24], (layout::SMBIOS_START + TABLE_OFFSET).to_le_bytes());
    }
}
