//! Configuration space of PCI, by memory (ECAM) where ACPI tells of it, else by the I/O ports 0xCF8 and 0xCFC.

use hive_firmware::acpi::Ecam;
use hive_firmware::pci::{Address, ConfigSpace};

use crate::hardware::{Registers, in32, out32};

const ADDRESS_PORT: u16 = 0xCF8;
const DATA_PORT: u16 = 0xCFC;
const BUS_BYTES: u64 = 1 << 20;

pub(crate) enum PciConfig {
    Memory { registers: Registers, first_bus: u8, last_bus: u8 },
    Ports,
}

impl PciConfig {
    /// Uses `ecam` if it is there and can be reached.
    pub(crate) fn new(ecam: Option<Ecam>) -> Self {
        ecam.and_then(Self::memory).unwrap_or(Self::Ports)
    }

    fn memory(Ecam { address, first_bus, last_bus }: Ecam) -> Option<Self> {
        let first = address.checked_add(u64::from(first_bus) * BUS_BYTES)?;
        let buses = u64::from(last_bus.checked_sub(first_bus)?) + 1;
        Some(Self::Memory { registers: Registers::new(first, buses * BUS_BYTES)?, first_bus, last_bus })
    }

    /// How it is reached, for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Memory { .. } => "ECAM",
            Self::Ports => "I/O ports",
        }
    }

    /// Writes an aligned 32-bit word.
    pub(crate) fn write(&self, address: Address, offset: u16, value: u32) {
        match self {
            Self::Memory { registers, .. } => {
                if let Some(place) = self.place(address, offset) {
                    registers.write32(place, value);
                }
            }
            Self::Ports => {
                out32(ADDRESS_PORT, port_address(address, offset));
                out32(DATA_PORT, value);
            }
        }
    }

    /// Offset of a word in the memory window.
    fn place(&self, address: Address, offset: u16) -> Option<u64> {
        let Self::Memory { first_bus, last_bus, .. } = self else { return None };
        (*first_bus..=*last_bus).contains(&address.bus).then(|| {
            u64::from(address.bus - first_bus) << 20
                | u64::from(address.device) << 15
                | u64::from(address.function) << 12
                | u64::from(offset & 0xFFC)
        })
    }
}

fn port_address(address: Address, offset: u16) -> u32 {
    1 << 31
        | u32::from(address.bus) << 16
        | u32::from(address.device) << 11
        | u32::from(address.function) << 8
        | u32::from(offset & 0xFC)
}

impl ConfigSpace for PciConfig {
    fn read(&self, address: Address, offset: u16) -> u32 {
        match self {
            Self::Memory { registers, .. } => {
                self.place(address, offset).map_or(u32::MAX, |place| registers.read32(place))
            }
            Self::Ports => {
                out32(ADDRESS_PORT, port_address(address, offset));
                in32(DATA_PORT)
            }
        }
    }
}
