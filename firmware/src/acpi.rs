//! The few ACPI tables the firmware needs (ACPI 6.4, section 5.2): where configuration space is, and how to turn the machine off.

use crate::bytes::{u16_at, u32_at, u64_at};

/// Read access to guest memory by physical address.
pub trait PhysicalMemory {
    /// Fills `buffer` from `address`; `None` if that is not memory.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()>;
}

/// Most tables in a root table; QEMU and hive-vmm have fewer than ten.
const TABLES_MAX: u32 = 64;
/// Header that every table but RSDP and FACS begins with.
const HEADER_BYTES: usize = 36;
/// Largest table that is searched, a bound against a hostile length; QEMU's DSDT has about 8 KiB.
const TABLE_MAX_BYTES: u32 = 1 << 20;

/// A table in memory; address plus length does not overflow.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    address: u64,
    length_bytes: u32,
}

/// Memory-mapped configuration space of PCI segment 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecam {
    /// Where bus 0 is, or would be.
    pub address: u64,
    pub first_bus: u8,
    pub last_bus: u8,
}

/// What to write, and to which I/O port, to enter S5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerOff {
    /// A byte to the sleep control register of hardware-reduced ACPI.
    SleepControl { port: u16, value: u8 },
    /// A 16-bit word to PM1a control.
    Pm1a { port: u16, value: u16 },
}

fn array<const N: usize>(memory: &impl PhysicalMemory, address: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    memory.read(address, &mut bytes)?;
    Some(bytes)
}

impl Table {
    /// The table at `address`, if it has `signature` and its checksum is right.
    fn at(memory: &impl PhysicalMemory, address: u64, signature: &[u8; 4]) -> Option<Self> {
        let header: [u8; HEADER_BYTES] = array(memory, address)?;
        let table = Self { address, length_bytes: u32_at(&header, 4)? };
        let plausible = (HEADER_BYTES as u32..=TABLE_MAX_BYTES).contains(&table.length_bytes)
            && address.checked_add(u64::from(table.length_bytes)).is_some();
        (header.starts_with(signature) && plausible && table.sum(memory)? == 0).then_some(table)
    }

    fn sum(&self, memory: &impl PhysicalMemory) -> Option<u8> {
        let mut sum = 0u8;
        for offset in 0..self.length_bytes {
            let [byte] = self.read(memory, offset)?;
            sum = sum.wrapping_add(byte);
        }
        Some(sum)
    }

    /// `N` bytes at `offset`, if the table is that long.
    fn read<const N: usize>(&self, memory: &impl PhysicalMemory, offset: u32) -> Option<[u8; N]> {
        let end = offset.checked_add(u32::try_from(N).ok()?)?;
        (end <= self.length_bytes).then_some(())?;
        array(memory, self.address.checked_add(u64::from(offset))?)
    }
}

/// Finds a table by its signature, starting from the RSDP at `rsdp`.
pub fn find_table(memory: &impl PhysicalMemory, rsdp: u64, signature: &[u8; 4]) -> Option<Table> {
    let pointer: [u8; 36] = array(memory, rsdp)?;
    let (version_1, _) = pointer.split_at_checked(20)?;
    let sum = version_1.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    if !pointer.starts_with(b"RSD PTR ") || sum != 0 {
        return None;
    }
    let [.., revision, _, _, _, _] = version_1 else { return None };
    let xsdt = u64_at(&pointer, 24).filter(|address| *revision >= 2 && *address != 0);
    let (root, entry_bytes) = match xsdt {
        Some(address) => (Table::at(memory, address, b"XSDT")?, 8),
        None => (Table::at(memory, u64::from(u32_at(&pointer, 16)?), b"RSDT")?, 4),
    };
    (0..TABLES_MAX).find_map(|index| {
        let offset = index.checked_mul(entry_bytes)?.checked_add(HEADER_BYTES as u32)?;
        let address = if entry_bytes == 8 {
            u64::from_le_bytes(root.read(memory, offset)?)
        } else {
            u64::from(u32::from_le_bytes(root.read(memory, offset)?))
        };
        Table::at(memory, address, signature)
    })
}

/// Configuration space of segment 0, from the MCFG (PCI firmware specification 3.2, 4.1.2).
pub fn ecam(memory: &impl PhysicalMemory, rsdp: u64) -> Option<Ecam> {
    const FIRST_ENTRY: u32 = 44;
    let entry: [u8; 16] = find_table(memory, rsdp, b"MCFG")?.read(memory, FIRST_ENTRY)?;
    let [.., first_bus, last_bus, _, _, _, _] = entry;
    let valid = u16_at(&entry, 8)? == 0 && first_bus <= last_bus;
    valid.then_some(Ecam { address: u64_at(&entry, 0)?, first_bus, last_bus })
}

/// How to enter S5, from the FADT and the `_S5_` package of the DSDT.
pub fn power_off(memory: &impl PhysicalMemory, rsdp: u64) -> Option<PowerOff> {
    const DSDT: u32 = 40;
    const PM1A_CONTROL: u32 = 64;
    const FLAGS: u32 = 112;
    const X_DSDT: u32 = 140;
    const SLEEP_CONTROL: u32 = 244;
    const FLAG_HARDWARE_REDUCED: u32 = 1 << 20;
    const ADDRESS_SPACE_IO: u8 = 1;
    let fadt = find_table(memory, rsdp, b"FACP")?;
    let dsdt_address = match fadt.read(memory, X_DSDT).map(u64::from_le_bytes) {
        Some(address) if address != 0 => address,
        _ => u64::from(u32::from_le_bytes(fadt.read(memory, DSDT)?)),
    };
    let sleep_type = s5_sleep_type(memory, &Table::at(memory, dsdt_address, b"DSDT")?)?;
    if u32::from_le_bytes(fadt.read(memory, FLAGS)?) & FLAG_HARDWARE_REDUCED != 0 {
        const ENABLE: u8 = 1 << 5;
        let register: [u8; 12] = fadt.read(memory, SLEEP_CONTROL)?;
        (register.first() == Some(&ADDRESS_SPACE_IO)).then_some(())?;
        let port = u16::try_from(u64_at(&register, 4)?).ok()?;
        return Some(PowerOff::SleepControl { port, value: sleep_type << 2 | ENABLE });
    }
    const ENABLE: u16 = 1 << 13;
    let port = u16::try_from(u32::from_le_bytes(fadt.read(memory, PM1A_CONTROL)?)).ok()?;
    (port != 0).then_some(PowerOff::Pm1a { port, value: u16::from(sleep_type) << 10 | ENABLE })
}

/// The first element of `Name (_S5_, Package () {...})`: found by its bytes, since AML is not interpreted here.
fn s5_sleep_type(memory: &impl PhysicalMemory, dsdt: &Table) -> Option<u8> {
    const PACKAGE_OP: u8 = 0x12;
    const BYTE_PREFIX: u8 = 0x0A;
    /// Three bits in both registers.
    const SLEEP_TYPE_MAX: u8 = 7;
    // _S5_, PackageOp, length (1 byte: the package is short), element count, first element.
    (0..dsdt.length_bytes).find_map(|offset| {
        let [b'_', b'S', b'5', b'_', PACKAGE_OP, _, _, first, second] = dsdt.read(memory, offset)? else { return None };
        let value = if first == BYTE_PREFIX { second } else { first };
        (value <= SLEEP_TYPE_MAX).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    struct Memory(Vec<u8>);

    impl PhysicalMemory for Memory {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
            let start = usize::try_from(address).ok()?;
            buffer.copy_from_slice(self.0.get(start..start.checked_add(buffer.len())?)?);
            Some(())
        }
    }

    fn balance(bytes: &mut [u8], checksum: usize) {
        bytes[checksum] = 0;
        let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        bytes[checksum] = 0u8.wrapping_sub(sum);
    }

    fn put(memory: &mut [u8], at: usize, signature: &[u8], body: &[u8]) {
        let mut table = vec![0; HEADER_BYTES];
        table[..4].copy_from_slice(signature);
        table.extend_from_slice(body);
        let length = u32::try_from(table.len()).expect("small");
        table[4..8].copy_from_slice(&length.to_le_bytes());
        balance(&mut table, 9);
        memory[at..at + table.len()].copy_from_slice(&table);
    }

    fn machine(hardware_reduced: bool) -> Memory {
        let mut memory = vec![0; 4096];
        memory[16..24].copy_from_slice(b"RSD PTR ");
        memory[31] = 2;
        memory[40..48].copy_from_slice(&256u64.to_le_bytes());
        balance(&mut memory[16..36], 8);
        let root: Vec<u8> = [512u64, 1024].iter().flat_map(|address| address.to_le_bytes()).collect();
        put(&mut memory, 256, b"XSDT", &root);
        let mut mcfg = vec![0; 8];
        mcfg.extend_from_slice(&0xE800_0000u64.to_le_bytes());
        mcfg.extend_from_slice(&[0, 0, 0, 255, 0, 0, 0, 0]);
        put(&mut memory, 512, b"MCFG", &mcfg);
        let mut fadt = vec![0; 276 - HEADER_BYTES];
        fadt[64 - HEADER_BYTES..][..2].copy_from_slice(&0x604u16.to_le_bytes());
        fadt[140 - HEADER_BYTES..][..8].copy_from_slice(&2048u64.to_le_bytes());
        fadt[244 - HEADER_BYTES] = 1;
        fadt[248 - HEADER_BYTES..][..2].copy_from_slice(&0x600u16.to_le_bytes());
        if hardware_reduced {
            fadt[114 - HEADER_BYTES] = 0x10;
        }
        put(&mut memory, 1024, b"FACP", &fadt);
        put(&mut memory, 2048, b"DSDT", &[0x08, b'_', b'S', b'5', b'_', 0x12, 0x06, 0x04, 0x0A, 0x05, 0x0A, 0x05]);
        Memory(memory)
    }

    #[test]
    fn tables_are_found() {
        let memory = machine(false);
        assert_eq!(ecam(&memory, 16), Some(Ecam { address: 0xE800_0000, first_bus: 0, last_bus: 255 }));
        assert_eq!(power_off(&memory, 16), Some(PowerOff::Pm1a { port: 0x604, value: 0x3400 }));
        assert_eq!(power_off(&machine(true), 16), Some(PowerOff::SleepControl { port: 0x600, value: 0x34 }));
    }

    #[test]
    fn a_wrong_checksum_hides_a_table() {
        let mut memory = machine(false);
        memory.0[512 + 20] ^= 1;
        assert_eq!(ecam(&memory, 16), None);
        memory.0[16 + 8] ^= 1;
        assert_eq!(power_off(&memory, 16), None);
    }

    proptest! {
        #[test]
        fn hostile_tables_are_survived(changes in prop::collection::vec((0usize..4096, any::<u8>()), 1..40)) {
            let mut memory = machine(true);
            for (at, byte) in changes {
                memory.0[at] = byte;
            }
            let _ = (ecam(&memory, 16), power_off(&memory, 16));
        }
    }
}
