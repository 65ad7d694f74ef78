//! ACPI tables (ACPI 6.4) of a hardware-reduced machine: no PIC, PIT or fixed event hardware; reset and sleep registers in
//! I/O space, the power button through a generic event device.

use crate::error::{Error, Result};
use crate::layout;
use crate::memory::GuestRam;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, aml};
use vm_memory::{Bytes, GuestAddress};

const OEM_ID: [u8; 6] = *b"HIVE  ";
const OEM_TABLE_ID: [u8; 8] = *b"HIVEVMM ";
const OEM_REVISION: u32 = 1;
/// Sleep type of S5 in the sleep control register.
const SLEEP_TYPE_S5: u8 = 5;
/// SLP_EN of the sleep control register (4.8.3.7).
const SLEEP_ENABLE: u8 = 1 << 5;
/// What the guest writes to [`layout::PORT_SLEEP_CONTROL`] to power off.
pub const SLEEP_CONTROL_S5: u8 = SLEEP_TYPE_S5 << 2 | SLEEP_ENABLE;

/// Length of a table header.
const HEADER_BYTES: u32 = 36;

/// Write all tables for a machine with `vcpus` processors; returns the address of the RSDP.
pub fn write(ram: &GuestRam, vcpus: u8) -> Result<u64> {
    let (bytes, rsdp) = build(vcpus);
    ram.write_slice(&bytes, GuestAddress(layout::ACPI_START)).map_err(Error::guest_memory("write ACPI tables"))?;
    Ok(rsdp)
}

/// All tables as they lie in memory from [`layout::ACPI_START`], and the address of the RSDP, which comes first.
fn build(vcpus: u8) -> (Vec<u8>, u64) {
    // The RSDP is 36 bytes; its place is filled when the address of the XSDT is known.
    let mut bytes = vec![0; 64];
    let mut place = |table: &Sdt| -> u64 {
        let address = layout::ACPI_START + bytes.len() as u64;
        bytes.extend(table.as_slice());
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        address
    };
    let dsdt = place(&dsdt());
    let tables = [place(&fadt(dsdt)), place(&madt(vcpus)), place(&mcfg())];
    let mut xsdt = Sdt::new(*b"XSDT", HEADER_BYTES, 1, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    tables.iter().for_each(|address| xsdt.append(*address));
    let xsdt = place(&xsdt);
    let mut rsdp = Vec::new();
    Rsdp::new(OEM_ID, xsdt).to_aml_bytes(&mut rsdp);
    bytes[..rsdp.len()].copy_from_slice(&rsdp);
    (bytes, layout::ACPI_START)
}

/// Fixed ACPI description table, revision 6 (5.2.9).
fn fadt(dsdt: u64) -> Sdt {
    const LENGTH: u32 = 276;
    const PM_PROFILE: usize = 45;
    const BOOT_ARCHITECTURE: usize = 109;
    const FLAGS: usize = 112;
    const RESET_REGISTER: usize = 116;
    const RESET_VALUE: usize = 128;
    const MINOR_REVISION: usize = 131;
    const X_DSDT: usize = 140;
    const SLEEP_CONTROL: usize = 244;
    const SLEEP_STATUS: usize = 256;
    const HYPERVISOR_VENDOR: usize = 268;
    const PROFILE_ENTERPRISE_SERVER: u8 = 4;
    /// No VGA; no PS/2 controller either, as its bit is clear.
    const BOOT_NO_VGA: u16 = 1 << 2;
    const FLAG_WBINVD: u32 = 1 << 0;
    const FLAG_C1: u32 = 1 << 2;
    /// The power button is a control method device.
    const FLAG_POWER_BUTTON: u32 = 1 << 4;
    const FLAG_NO_SLEEP_BUTTON: u32 = 1 << 5;
    const FLAG_RESET_REGISTER: u32 = 1 << 10;
    const FLAG_HARDWARE_REDUCED: u32 = 1 << 20;

    let mut table = Sdt::new(*b"FACP", LENGTH, 6, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    table.write_u8(PM_PROFILE, PROFILE_ENTERPRISE_SERVER);
    table.write_u16(BOOT_ARCHITECTURE, BOOT_NO_VGA);
    let flags =
        FLAG_WBINVD | FLAG_C1 | FLAG_POWER_BUTTON | FLAG_NO_SLEEP_BUTTON | FLAG_RESET_REGISTER | FLAG_HARDWARE_REDUCED;
    table.write_u32(FLAGS, flags);
    write_port(&mut table, RESET_REGISTER, layout::PORT_RESET);
    table.write_u8(RESET_VALUE, layout::RESET_VALUE);
    table.write_u8(MINOR_REVISION, 4);
    table.write_u64(X_DSDT, dsdt);
    write_port(&mut table, SLEEP_CONTROL, layout::PORT_SLEEP_CONTROL);
    write_port(&mut table, SLEEP_STATUS, layout::PORT_SLEEP_STATUS);
    table.write_bytes(HYPERVISOR_VENDOR, b"KVMKVMKV");
    table
}

/// A generic address structure for a one-byte I/O port (5.2.3.2).
fn write_port(table: &mut Sdt, offset: usize, port: u16) {
    // Space 1 (I/O), 8 bits wide, offset 0, byte access.
    table.write_bytes(offset, &[1, 8, 0, 1]);
    table.write_u64(offset + 4, port.into());
}

/// Multiple APIC description table (5.2.12).
fn madt(vcpus: u8) -> Sdt {
    const ENABLED: u32 = 1;
    let mut table = Sdt::new(*b"APIC", HEADER_BYTES, 5, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    table.append(layout::LAPIC as u32);
    // Flags: no 8259s.
    table.append(0u32);
    for id in 0..vcpus {
        // Local APIC: type 0, processor uid and APIC id.
        table.append_slice(&[0, 8, id, id]);
        table.append(ENABLED);
    }
    // I/O APIC: type 1, id 0.
    table.append_slice(&[1, 12, 0, 0]);
    table.append(layout::IOAPIC as u32);
    table.append(0u32);
    // Local APIC NMI: type 4, all processors, flags as the bus has it, LINT1.
    table.append_slice(&[4, 6, 0xff, 0, 0, 1]);
    table
}

/// Memory mapped configuration space of bus 0 (PCI Firmware Specification 4.1.2).
fn mcfg() -> Sdt {
    let mut table = Sdt::new(*b"MCFG", HEADER_BYTES, 1, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    table.append(0u64);
    table.append(layout::ECAM_START);
    // Segment 0, buses 0 to 0.
    table.append(0u16);
    table.append_slice(&[0, 0]);
    table.append(0u32);
    table
}

/// Differentiated system description table: PCI root, serial port, clock, power button, S5.
fn dsdt() -> Sdt {
    /// Notification value "power button pressed" (5.6.6, device class PNP0C0C).
    const NOTIFY_POWER_BUTTON: u8 = 0x80;
    let name = |path: &str, value: &dyn Aml| aml::Name::new(path.into(), value);
    let eisa = aml::EISAName::new;
    let edge_interrupt = |irq: u32| aml::Interrupt::new(true, true, false, false, irq);
    let ports = |first: u16, count: u8| aml::IO::new(first, first, 1, count);

    let mut body = Vec::new();
    aml::Device::new(
        "_SB_.PCI0".into(),
        vec![
            &name("_HID", &eisa("PNP0A08")),
            &name("_CID", &eisa("PNP0A03")),
            &name("_SEG", &aml::ZERO),
            &name("_BBN", &aml::ZERO),
            &name("_UID", &aml::ZERO),
            &name(
                "_CRS",
                &aml::ResourceTemplate::new(vec![
                    &aml::AddressSpace::new_bus_number(0u16, 0u16),
                    &ports(layout::PORT_PCI_ADDRESS, 8),
                    &aml::AddressSpace::new_memory(
                        aml::AddressSpaceCacheable::NotCacheable,
                        true,
                        layout::PCI_MMIO_START as u32,
                        (layout::PCI_MMIO_END - 1) as u32,
                        None,
                    ),
                ]),
            ),
        ],
    )
    .to_aml_bytes(&mut body);
    aml::Device::new(
        "_SB_.COM1".into(),
        vec![
            &name("_HID", &eisa("PNP0501")),
            &name("_UID", &aml::ZERO),
            &name(
                "_CRS",
                &aml::ResourceTemplate::new(vec![&ports(layout::PORT_SERIAL, 8), &edge_interrupt(layout::IRQ_SERIAL)]),
            ),
        ],
    )
    .to_aml_bytes(&mut body);
    aml::Device::new(
        "_SB_.RTC0".into(),
        vec![
            &name("_HID", &eisa("PNP0B00")),
            &name("_CRS", &aml::ResourceTemplate::new(vec![&ports(layout::PORT_RTC, 2)])),
        ],
    )
    .to_aml_bytes(&mut body);
    aml::Device::new("_SB_.PWRB".into(), vec![&name("_HID", &eisa("PNP0C0C")), &name("_UID", &aml::ZERO)])
        .to_aml_bytes(&mut body);
    // The generic event device has one interrupt, so _EVT need not look at its argument.
    aml::Device::new(
        "_SB_.GED0".into(),
        vec![
            &name("_HID", &"ACPI0013"),
            &name("_UID", &aml::ZERO),
            &name("_CRS", &aml::ResourceTemplate::new(vec![&edge_interrupt(layout::IRQ_POWER_BUTTON)])),
            &aml::Method::new(
                "_EVT".into(),
                1,
                true,
                vec![&aml::Notify::new(&aml::Path::new("\\_SB_.PWRB"), &NOTIFY_POWER_BUTTON)],
            ),
        ],
    )
    .to_aml_bytes(&mut body);
    name("_S5_", &aml::Package::new(vec![&SLEEP_TYPE_S5])).to_aml_bytes(&mut body);

    let mut table = Sdt::new(*b"DSDT", HEADER_BYTES, 6, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    table.append_slice(&body);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    fn u32_at(bytes: &[u8], offset: usize) -> usize {
        u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap()) as usize
    }

    fn u64_at(bytes: &[u8], offset: usize) -> u64 {
        u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
    }

    /// The table at a guest address, checked for its length and checksum.
    fn table(bytes: &[u8], address: u64) -> &[u8] {
        let start = (address - layout::ACPI_START) as usize;
        let table = &bytes[start..start + u32_at(bytes, start + 4)];
        assert_eq!(sum(table), 0, "{:?}", &table[..4]);
        table
    }

    #[test]
    fn every_table_is_reached_from_the_rsdp_and_sums_to_zero() {
        for vcpus in [1, 16] {
            let (bytes, rsdp) = build(vcpus);
            assert!(bytes.len() as u64 <= layout::ACPI_END - layout::ACPI_START);
            assert_eq!(rsdp, layout::ACPI_START);
            assert_eq!(&bytes[..8], b"RSD PTR ");
            assert_eq!((sum(&bytes[..20]), sum(&bytes[..36])), (0, 0));
            let xsdt = table(&bytes, u64_at(&bytes, 24));
            assert_eq!(&xsdt[..4], b"XSDT");
            let found: Vec<_> = xsdt[36..].chunks(8).map(|address| table(&bytes, u64_at(address, 0))).collect();
            let signatures: Vec<_> = found.iter().map(|table| &table[..4]).collect();
            assert_eq!(signatures, [b"FACP", b"APIC", b"MCFG"]);
            assert_eq!(&table(&bytes, u64_at(found[0], 140))[..4], b"DSDT");
        }
    }

    #[test]
    fn fadt_names_the_reset_and_sleep_registers() {
        let fadt = fadt(0x1234);
        let fadt = fadt.as_slice();
        assert_eq!(fadt.len(), 276);
        assert_eq!(fadt[116..129], [1, 8, 0, 1, 0x02, 0x06, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(fadt[244..256], [1, 8, 0, 1, 0x00, 0x06, 0, 0, 0, 0, 0, 0]);
        assert_eq!(fadt[256..268], [1, 8, 0, 1, 0x01, 0x06, 0, 0, 0, 0, 0, 0]);
        assert_eq!(u32_at(fadt, 112) >> 20 & 1, 1, "hardware reduced");
        assert_eq!(SLEEP_CONTROL_S5, 0x34);
    }

    #[test]
    fn madt_lists_every_processor() {
        let madt = madt(3);
        let mut entries = &madt.as_slice()[44..];
        let mut kinds = Vec::new();
        while let [kind, length, ..] = *entries {
            kinds.push((kind, entries[3]));
            entries = &entries[usize::from(length)..];
        }
        assert_eq!(kinds, [(0, 0), (0, 1), (0, 2), (1, 0), (4, 0)]);
    }

    #[test]
    fn mcfg_covers_bus_0_alone() {
        let mcfg = mcfg();
        assert_eq!(u64_at(mcfg.as_slice(), 44), layout::ECAM_START);
        assert_eq!(mcfg.as_slice()[52..], [0; 8]);
    }
}
