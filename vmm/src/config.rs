//! Reading and checking the configuration of a machine.

use crate::error::{Error, Result};
use crate::layout::CMDLINE_MAX;
use crate::smbios;
use crate::virtio::MAX_QUEUE_SIZE;
use hive_vmm_api::console_log::MAX_CAPACITY_BYTES;
use hive_vmm_api::{MAX_VCPUS, VmConfig};
use std::collections::BTreeSet;
use std::path::Path;

/// Largest configuration file; a machine with all devices takes a few KiB.
const MAX_CONFIG_BYTES: u64 = 64 << 10;
/// Network interfaces: PCI devices 2 to 7.
pub const MAX_NETS: usize = 6;
/// Disks: PCI devices 8 to 31.
pub const MAX_DISKS: usize = 24;
/// Least guest RAM that holds a kernel and its initrd.
const MIN_MEMORY_BYTES: u64 = 32 << 20;
/// Most guest RAM: far beyond any node, and within the 46 bits every processor addresses.
const MAX_MEMORY_BYTES: u64 = 16 << 40;
/// Unit of guest RAM: a huge page.
const MEMORY_UNIT_BYTES: u64 = 2 << 20;
/// Queues of one disk, and queue pairs of one interface: one a processor.
const MAX_QUEUES: u16 = MAX_VCPUS as u16;
/// Longest wait for a backend that start-up allows.
const MAX_BACKEND_TIMEOUT_MS: u64 = 600_000;
/// Longest path of a Unix socket (`sockaddr_un`, with its NUL).
const MAX_SOCKET_PATH_BYTES: usize = 107;
/// Longest name of a machine or device.
const MAX_NAME_BYTES: usize = 128;
/// Smallest console ring: one page.
const MIN_CONSOLE_BYTES: u32 = 4096;

/// Read and parse a configuration file. It is still to be checked: a file that parses names its exit report.
pub fn read(path: &Path) -> Result<VmConfig> {
    let bad = |reason: String| Error::ConfigFile { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?.len();
    if size > MAX_CONFIG_BYTES {
        return Err(bad(format!("{size} bytes are more than {MAX_CONFIG_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| bad(e.to_string()))
}

/// Check what the types do not say.
pub fn check(config: &VmConfig) -> Result<()> {
    let fail = |reason: String| Err(Error::Config(reason));
    check_name("vm_id", &config.vm_id)?;
    if !(1..=MAX_VCPUS).contains(&config.vcpus) {
        return fail(format!("vcpus is {}, not 1 to {MAX_VCPUS}", config.vcpus));
    }
    let memory = config.memory_size_bytes;
    if !(MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES).contains(&memory) || !memory.is_multiple_of(MEMORY_UNIT_BYTES) {
        return fail(format!(
            "memory_size_bytes is {memory}, not a multiple of 2 MiB from {MIN_MEMORY_BYTES} to {MAX_MEMORY_BYTES}"
        ));
    }
    if config.boot.cmdline.len() >= CMDLINE_MAX || config.boot.cmdline.contains(['\0', '\n']) {
        return fail(format!("boot.cmdline is longer than {} bytes or not one line", CMDLINE_MAX - 1));
    }
    if config.backend_timeout_ms > MAX_BACKEND_TIMEOUT_MS {
        return fail(format!("backend_timeout_ms is {}, not 0 to {MAX_BACKEND_TIMEOUT_MS}", config.backend_timeout_ms));
    }
    if !(MIN_CONSOLE_BYTES..=MAX_CAPACITY_BYTES).contains(&config.console.log_size_bytes) {
        let size = config.console.log_size_bytes;
        return fail(format!("console.log_size_bytes is {size}, not {MIN_CONSOLE_BYTES} to {MAX_CAPACITY_BYTES}"));
    }
    check_paths(config)?;
    check_devices(config)?;
    check_smbios(config)
}

fn check_paths(config: &VmConfig) -> Result<()> {
    let sockets = [("api_socket", &config.api_socket), ("console.socket", &config.console.socket)];
    let backends = config
        .disks
        .iter()
        .map(|disk| ("disk socket", &disk.socket))
        .chain(config.nets.iter().map(|net| ("net socket", &net.socket)));
    for (key, path) in sockets.into_iter().chain(backends) {
        check_absolute(key, path)?;
        if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
            return Err(Error::Config(format!(
                "{key} {} is longer than {MAX_SOCKET_PATH_BYTES} bytes",
                path.display()
            )));
        }
    }
    check_absolute("boot.kernel", &config.boot.kernel)?;
    config.boot.initrd.as_deref().map_or(Ok(()), |path| check_absolute("boot.initrd", path))?;
    check_absolute("console.log", &config.console.log)?;
    check_absolute("exit_report", &config.exit_report)
}

fn check_absolute(key: &str, path: &Path) -> Result<()> {
    if path.is_absolute() {
        return Ok(());
    }
    Err(Error::Config(format!("{key} {} is not an absolute path", path.display())))
}

fn check_devices(config: &VmConfig) -> Result<()> {
    let fail = |reason: String| Err(Error::Config(reason));
    if config.disks.len() > MAX_DISKS || config.nets.len() > MAX_NETS {
        return fail(format!("more than {MAX_DISKS} disks or {MAX_NETS} nets"));
    }
    let mut ids = BTreeSet::new();
    let disks = config.disks.iter().map(|disk| ("disk", &disk.id, disk.queues, disk.queue_size));
    let nets = config.nets.iter().map(|net| ("net", &net.id, net.queue_pairs, net.queue_size));
    for (what, id, queues, queue_size) in disks.chain(nets) {
        check_name(what, id)?;
        if !ids.insert(id) {
            return fail(format!("{what} {id}: the id is used twice"));
        }
        if !(1..=MAX_QUEUES).contains(&queues) {
            return fail(format!("{what} {id}: {queues} queues or pairs, not 1 to {MAX_QUEUES}"));
        }
        if !queue_size.is_power_of_two() || !(2..=MAX_QUEUE_SIZE).contains(&queue_size) {
            return fail(format!(
                "{what} {id}: queue_size is {queue_size}, not a power of two from 2 to {MAX_QUEUE_SIZE}"
            ));
        }
    }
    for net in &config.nets {
        parse_mac(&net.mac).ok_or_else(|| Error::Config(format!("net {}: {:?} is no unicast MAC", net.id, net.mac)))?;
        // The least MTU of IPv4.
        if net.mtu.is_some_and(|mtu| mtu < 68) {
            return fail(format!("net {}: mtu is below 68", net.id));
        }
    }
    Ok(())
}

fn check_smbios(config: &VmConfig) -> Result<()> {
    let smbios = &config.smbios;
    if smbios::parse_uuid(&smbios.uuid).is_none() {
        return Err(Error::Config(format!("smbios.uuid {:?} is no UUID", smbios.uuid)));
    }
    let strings = [&smbios.vendor, &smbios.product, &smbios.version, &smbios.serial, &smbios.asset_tag];
    for string in strings {
        if string.len() > smbios::MAX_STRING_BYTES || string.contains(|c: char| !(' '..='~').contains(&c)) {
            let limit = smbios::MAX_STRING_BYTES;
            return Err(Error::Config(format!(
                "smbios string {string:?} is not printable ASCII of at most {limit} bytes"
            )));
        }
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<()> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control) {
        return Ok(());
    }
    Err(Error::Config(format!("{what} {name:?} is not a name of 1 to {MAX_NAME_BYTES} bytes")))
}

/// Parse `02:00:00:aa:bb:cc`; multicast addresses are no interface's.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    (parts.next().is_none() && mac[0] & 1 == 0).then_some(mac)
}

#[cfg(test)]
mod tests;
