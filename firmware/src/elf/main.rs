//! The firmware: started by the PVH protocol, it finds the virtio disks, and says on the serial port what it would boot from them.
//!
//! It does not start the loader yet: that needs UEFI's services.
#![no_std]
#![no_main]

mod config_space;
mod entry;
mod hardware;
mod serial;
mod virtio_blk;

use core::cell::UnsafeCell;
use core::panic::PanicInfo;

use hive_firmware::acpi::{self, PhysicalMemory, PowerOff};
use hive_firmware::block::BlockDevice;
use hive_firmware::boot::{self, Finding, Loader};
use hive_firmware::gpt::EFI_SYSTEM_PARTITION;
use hive_firmware::pci::{self, Address};

use config_space::PciConfig;
use hardware::{Memory, halt, out8, out16};
use serial::log;
use virtio_blk::VirtioBlock;

/// First word of `hvm_start_info`.
const START_INFO_MAGIC: u32 = 0x336E_C578;
const START_INFO_RSDP: u64 = 32;
/// Files are read in pieces of this size: few requests, and room below 2 MiB.
const BUFFER_BYTES: usize = 128 << 10;

/// Where files are read to, aligned for any device.
#[repr(align(4096))]
struct Buffer(UnsafeCell<[u8; BUFFER_BYTES]>);

// SAFETY: the firmware has one thread, and `firmware_main` alone takes the reference.
unsafe impl Sync for Buffer {}

static BUFFER: Buffer = Buffer(UnsafeCell::new([0; BUFFER_BYTES]));

/// The entry code calls this once, with the address of `hvm_start_info`.
#[unsafe(no_mangle)]
extern "C" fn firmware_main(start_info: u64) -> ! {
    serial::initialise();
    log!("version {}", env!("CARGO_PKG_VERSION"));
    let rsdp = rsdp(start_info);
    if rsdp.is_none() {
        log!("the start info names no ACPI tables");
    }
    let config = PciConfig::new(rsdp.and_then(|rsdp| acpi::ecam(&Memory, rsdp)));
    log!("PCI configuration by {}", config.name());

    // SAFETY: this function runs once, and nothing else refers to the buffer.
    let buffer = unsafe { &mut *BUFFER.0.get() };
    let mut choice = None;
    pci::find(&config, (pci::VENDOR_VIRTIO, pci::DEVICE_VIRTIO_BLOCK), |address| {
        choice = survey_disk(&config, address, buffer).map(|loader| (address, loader));
        choice.is_some()
    });
    match choice {
        Some((address, loader)) => log!(
            "would boot disk {address} partition {} {} ({} bytes)",
            loader.partition,
            loader.path,
            loader.size_bytes
        ),
        None => log!("nothing to boot"),
    }
    power_off(rsdp)
}

/// Address of the ACPI RSDP.
fn rsdp(start_info: u64) -> Option<u64> {
    let mut magic = [0; 4];
    Memory.read(start_info, &mut magic)?;
    let mut rsdp = [0; 8];
    Memory.read(start_info.checked_add(START_INFO_RSDP)?, &mut rsdp)?;
    let rsdp = u64::from_le_bytes(rsdp);
    (u32::from_le_bytes(magic) == START_INFO_MAGIC && rsdp != 0).then_some(rsdp)
}

fn survey_disk(config: &PciConfig, address: Address, buffer: &mut [u8]) -> Option<Loader> {
    let mut disk = match VirtioBlock::start(config, address) {
        Ok(disk) => disk,
        Err(error) => {
            log!("disk {address}: cannot be used: {error}");
            return None;
        }
    };
    log!("disk {address}: {} sectors", disk.sector_count());
    boot::survey(&mut disk, buffer, |finding| report(address, finding)).unwrap_or_else(|error| {
        log!("disk {address}: {error}");
        None
    })
}

fn report(disk: Address, finding: Finding<'_>) {
    match finding {
        Finding::Table { copy, partition_count } => {
            log!("disk {disk}: {copy:?} GPT, {partition_count} partitions");
        }
        Finding::Partition(partition) => {
            let kind = if partition.type_guid == EFI_SYSTEM_PARTITION { " (EFI system partition)" } else { "" };
            log!(
                "partition {}: sectors {} to {}, {}{kind}",
                partition.number,
                partition.first_lba,
                partition.last_lba,
                partition.guid
            );
        }
        Finding::FileSystem { partition, kind } => log!("partition {partition}: {kind:?}"),
        Finding::Loader(Loader { partition, path, size_bytes, crc32 }) => {
            log!("partition {partition}: loader {path} ({size_bytes} bytes, CRC-32 {crc32:08x})");
        }
        Finding::NotALoader { partition, path } => log!("partition {partition}: {path} is not an EFI program"),
        Finding::BadFileSystem { partition, error } => log!("partition {partition}: {error}"),
    }
}

fn power_off(rsdp: Option<u64>) -> ! {
    match rsdp.and_then(|rsdp| acpi::power_off(&Memory, rsdp)) {
        Some(PowerOff::SleepControl { port, value }) => out8(port, value),
        Some(PowerOff::Pm1a { port, value }) => out16(port, value),
        None => log!("ACPI offers no way to power off"),
    }
    halt()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    log!("{info}");
    halt()
}
