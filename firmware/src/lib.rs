//! What the firmware knows of disks, file systems and tables, apart from the machine it runs on.
//!
//! Everything here reads bytes that a guest's disk or a configuration space supplies, so it is hostile: sizes and positions are
//! checked, loops are bounded, nothing panics and nothing allocates. The firmware proper is the binary `hive-firmware`
//! (`src/elf/`), which `cargo xtask firmware` builds; this library also builds and is tested on the host.
#![no_std]
#![forbid(unsafe_code)]
// Tests may panic: that is how they fail.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used, clippy::expect_used)
)]

#[cfg(test)]
extern crate std;

pub mod acpi;
pub mod block;
pub mod boot;
mod bytes;
pub mod crc32;
pub mod fat;
pub mod gpt;
pub mod pci;
