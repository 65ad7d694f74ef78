//! Guest RAM: one sealed memory file, mapped shared, so that vhost-user backends can map the same pages.

use crate::error::{Error, Result};
use crate::layout::{RAM_HIGH_START, RAM_LOW_END};
use crate::sys;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{
    FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap, GuestUsize,
};

/// Guest RAM as the VMM sees it.
pub type GuestRam = GuestMemoryMmap<()>;

/// A stretch of RAM as a vhost-user backend is told of it.
#[derive(Clone, Debug)]
pub struct SharedRegion {
    pub guest_address: u64,
    pub size_bytes: u64,
    /// Where the region lies in this process; ring addresses are given in these terms.
    pub host_address: u64,
    pub file: FileOffset,
}

/// Guest-physical ranges (start, length) of `size_bytes` of RAM.
pub fn ram_ranges(size_bytes: u64) -> Vec<(u64, u64)> {
    let low = size_bytes.min(RAM_LOW_END);
    let mut ranges = vec![(0, low)];
    if size_bytes > low {
        ranges.push((RAM_HIGH_START, size_bytes - low));
    }
    ranges
}

/// Create and map guest RAM. Nothing is touched: the host commits pages as the guest uses them.
pub fn create(size_bytes: u64) -> Result<GuestRam> {
    let file = std::sync::Arc::new(sys::sealed_memfd(c"guest-ram", size_bytes)?);
    let mut offset = 0;
    let mut ranges = Vec::new();
    for (start, length) in ram_ranges(size_bytes) {
        let length_usize = usize::try_from(length).map_err(|_| too_large(size_bytes))?;
        ranges.push((GuestAddress(start), length_usize, Some(FileOffset::from_arc(file.clone(), offset))));
        offset += length;
    }
    let ram = GuestRam::from_ranges_with_files(ranges)
        .map_err(|e| Error::io(format!("map {size_bytes} bytes of guest memory"))(std::io::Error::other(e)))?;
    ram.iter().for_each(|region| sys::advise_huge_pages(&region.get_mmap()));
    Ok(ram)
}

fn too_large(size_bytes: u64) -> Error {
    Error::Config(format!("memory_size_bytes {size_bytes} does not fit this machine's address space"))
}

/// Give RAM to the virtual machine, one KVM memory slot per region.
pub fn register(vm: &VmFd, ram: &GuestRam) -> Result<()> {
    for (slot, region) in ram.iter().enumerate() {
        let slot = kvm_userspace_memory_region {
            slot: slot as u32,
            flags: 0,
            guest_phys_addr: region.start_addr().0,
            memory_size: region.len(),
            userspace_addr: host_address(region),
        };
        // SAFETY: the range is one live mapping; the machine that owns `vm` keeps `ram` for as long.
        unsafe { vm.set_user_memory_region(slot) }.map_err(Error::kvm("give guest memory to KVM"))?;
    }
    Ok(())
}

/// What backends must be told to map all of guest RAM.
pub fn shared_regions(ram: &GuestRam) -> Vec<SharedRegion> {
    ram.iter()
        .filter_map(|region| {
            Some(SharedRegion {
                guest_address: region.start_addr().0,
                size_bytes: region.len(),
                host_address: host_address(region),
                file: region.file_offset()?.clone(),
            })
        })
        .collect()
}

/// The address in this process of a guest range that lies within one region, or None if it does not.
pub fn host_range(ram: &GuestRam, start: u64, length: GuestUsize) -> Option<u64> {
    let region = ram.find_region(GuestAddress(start))?;
    let offset = start.checked_sub(region.start_addr().0)?;
    let end = offset.checked_add(length)?;
    (end <= region.len()).then(|| host_address(region) + offset)
}

fn host_address(region: &GuestRegionMmap) -> u64 {
    region.get_mmap().as_ptr() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn ram_leaves_the_32_bit_gap_free() {
        assert_eq!(ram_ranges(64 << 20), [(0, 64 << 20)]);
        assert_eq!(ram_ranges(3 << 30), [(0, 3 << 30)]);
        assert_eq!(ram_ranges(5 << 30), [(0, 3 << 30), (4 << 30, 2 << 30)]);
    }

    #[test]
    fn ram_cannot_change_its_size() {
        let ram = create(2 << 20).unwrap();
        let regions = shared_regions(&ram);
        let file = regions[0].file.file();
        assert!(file.set_len(1 << 20).is_err());
        assert!(file.set_len(4 << 20).is_err());
        // SAFETY: F_GET_SEALS takes and returns integers.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        assert_eq!(seals, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL);
    }

    #[test]
    fn host_ranges_stay_inside_one_region() {
        let ram = create(2 << 20).unwrap();
        let start = host_range(&ram, 0, 1).unwrap();
        assert_eq!(host_range(&ram, 0x1000, 0x1000), Some(start + 0x1000));
        assert_eq!(host_range(&ram, (2 << 20) - 1, 1), Some(start + (2 << 20) - 1));
        assert_eq!(host_range(&ram, (2 << 20) - 1, 2), None);
        assert_eq!(host_range(&ram, 0, u64::MAX), None);
        assert_eq!(host_range(&ram, u64::MAX, 2), None);
    }
}
