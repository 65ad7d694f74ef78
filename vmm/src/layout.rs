//! The guest's physical address map: where RAM, tables and devices live. All sizes and addresses in bytes.

/// Size of one page of guest memory.
pub const PAGE_SIZE: u64 = 4096;
/// RAM below this; the rest of RAM continues at [`RAM_HIGH_START`]. The gap holds everything 32-bit devices need.
pub const RAM_LOW_END: u64 = 3 << 30;
/// Where RAM beyond the first 3 GiB continues.
pub const RAM_HIGH_START: u64 = 4 << 30;

/// Flat segments for the PVH and 64-bit entries.
pub const GDT: u64 = 0x500;
/// `hvm_start_info` of a PVH guest, followed by its module list.
pub const PVH_START_INFO: u64 = 0x6000;
/// Memory map of a PVH guest.
pub const PVH_MEMMAP: u64 = 0x7000;
/// `boot_params` of a guest entered by the Linux 64-bit protocol.
pub const ZERO_PAGE: u64 = 0x8000;
/// Identity page tables for the 64-bit entry: one PML4, one PDPT, four page directories.
pub const PAGE_TABLES: u64 = 0x9000;
/// Kernel command line, NUL-terminated.
pub const CMDLINE: u64 = 0x2_0000;
/// Longest command line with its NUL: x86 Linux's COMMAND_LINE_SIZE.
pub const CMDLINE_MAX: usize = 2048;
/// End of conventional memory; what follows up to 1 MiB is reserved for tables.
pub const LOW_RAM_END: u64 = 0xa_0000;
/// RSDP (on a 16-byte boundary of the legacy search area) and the ACPI tables behind it.
pub const ACPI_START: u64 = 0xe_0000;
/// End of the space for ACPI tables.
pub const ACPI_END: u64 = 0xf_0000;
/// SMBIOS entry points and table; the area that kernels search for `_SM3_`.
pub const SMBIOS_START: u64 = 0xf_0000;
/// End of the space for SMBIOS.
pub const SMBIOS_END: u64 = RESET_VECTOR;
/// Where a PC's processor begins after a reset, in real mode at ffff:0000; some ways of rebooting jump here.
pub const RESET_VECTOR: u64 = 0xf_fff0;
/// First byte a kernel image may occupy.
pub const KERNEL_MIN: u64 = 0x10_0000;

/// Window for 32-bit memory BARs.
pub const PCI_MMIO_START: u64 = RAM_LOW_END;
/// End of the BAR window.
pub const PCI_MMIO_END: u64 = 0xe800_0000;
/// PCI Express enhanced configuration space of bus 0, the only bus.
pub const ECAM_START: u64 = 0xe800_0000;
/// 32 devices x 8 functions x 4 KiB.
pub const ECAM_SIZE: u64 = 1 << 20;
/// I/O APIC.
pub const IOAPIC: u64 = 0xfec0_0000;
/// Local APICs.
pub const LAPIC: u64 = 0xfee0_0000;
/// One page KVM needs on Intel processors for real mode without unrestricted guest support.
pub const KVM_IDENTITY_MAP: u64 = 0xfffb_c000;
/// Three pages KVM needs on Intel processors, behind [`KVM_IDENTITY_MAP`].
pub const KVM_TSS: u64 = 0xfffb_d000;

/// PCI configuration mechanism 1: address port.
pub const PORT_PCI_ADDRESS: u16 = 0xcf8;
/// PCI configuration mechanism 1: data port, four bytes.
pub const PORT_PCI_DATA: u16 = 0xcfc;
/// First 16550 serial port, eight bytes.
pub const PORT_SERIAL: u16 = 0x3f8;
/// CMOS index and data.
pub const PORT_RTC: u16 = 0x70;
/// i8042 data (0x60) and command (0x64): only its reset pulse is there.
pub const PORT_I8042_COMMAND: u16 = 0x64;
/// POST codes; written by kernels as an I/O delay, too.
pub const PORT_POST: u16 = 0x80;
/// ACPI sleep control register (FADT).
pub const PORT_SLEEP_CONTROL: u16 = 0x600;
/// ACPI sleep status register (FADT).
pub const PORT_SLEEP_STATUS: u16 = 0x601;
/// ACPI reset register (FADT); [`RESET_VALUE`] resets.
pub const PORT_RESET: u16 = 0x602;
/// What the guest writes to [`PORT_RESET`].
pub const RESET_VALUE: u8 = 1;

/// Interrupt of the serial port.
pub const IRQ_SERIAL: u32 = 4;
/// Interrupt of the ACPI generic event device: the power button.
pub const IRQ_POWER_BUTTON: u32 = 5;
/// First global system interrupt beyond the I/O APIC's 24 pins; MSIs are routed from here.
pub const GSI_MSI_START: u32 = 24;
