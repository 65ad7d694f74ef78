//! PCI configuration space: finding virtio devices and their registers (PCI 3.0, section 6; virtio 1.2, section 4.1).

use core::fmt;

/// virtio's vendor.
pub const VENDOR_VIRTIO: u16 = 0x1AF4;
/// A modern virtio-blk (0x1040 + device type 2).
pub const DEVICE_VIRTIO_BLOCK: u16 = 0x1042;

/// Offset of the command register.
pub const COMMAND: u16 = 0x04;
/// The function answers memory accesses, and may access memory itself.
pub const COMMAND_MEMORY_AND_BUS_MASTER: u32 = 0b110;

const STATUS_CAPABILITIES: u32 = 1 << (4 + 16);
const HEADER_TYPE: u16 = 0x0C;
const HEADER_MULTI_FUNCTION: u32 = 0x80 << 16;
const HEADER_LAYOUT: u32 = 0x7F << 16;
const HEADER_LAYOUT_BRIDGE: u32 = 1 << 16;
const BAR_0: u16 = 0x10;
const BAR_COUNT: u8 = 6;
const BRIDGE_BUSES: u16 = 0x18;
const CAPABILITIES: u16 = 0x34;
const CAPABILITY_VENDOR_SPECIFIC: u32 = 0x09;
/// 192 bytes behind the header hold at most this many capabilities of 4 bytes; a longer list goes in circles.
const CAPABILITIES_MAX: usize = 48;
/// The last place where the five words of a virtio capability fit.
const VIRTIO_CAPABILITY_LAST: u8 = 236;

const DEVICES_PER_BUS: u8 = 32;
const FUNCTIONS_PER_DEVICE: u8 = 8;

/// Bus, device and function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub bus: u8,
    /// 0 to 31.
    pub device: u8,
    /// 0 to 7.
    pub function: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus, self.device, self.function)
    }
}

/// Access to configuration space, in aligned 32-bit words.
pub trait ConfigSpace {
    /// The word at `offset`, a multiple of 4 below 256; all ones where nothing is.
    fn read(&self, address: Address, offset: u16) -> u32;
}

/// Calls `found` with every function whose vendor and device are `vendor_device`, on bus 0 and behind bridges, in order of
/// discovery, until it returns true.
pub fn find(space: &impl ConfigSpace, vendor_device: (u16, u16), mut found: impl FnMut(Address) -> bool) {
    // One bit a bus: a bridge that leads back to a bus already seen ends there.
    let mut seen = [0u64; 4];
    let mut waiting = [0u64; 4];
    set_bit(&mut waiting, 0);
    while let Some(bus) = take_lowest_bit(&mut waiting) {
        set_bit(&mut seen, bus);
        for device in 0..DEVICES_PER_BUS {
            for function in 0..FUNCTIONS_PER_DEVICE {
                let address = Address { bus, device, function };
                let identity = space.read(address, 0);
                if identity == u32::MAX {
                    if function == 0 {
                        break;
                    }
                    continue;
                }
                let [a, b, c, d] = identity.to_le_bytes();
                if (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])) == vendor_device && found(address) {
                    return;
                }
                let header = space.read(address, HEADER_TYPE);
                if header & HEADER_LAYOUT == HEADER_LAYOUT_BRIDGE {
                    let [_, secondary, ..] = space.read(address, BRIDGE_BUSES).to_le_bytes();
                    if !has_bit(&seen, secondary) {
                        set_bit(&mut waiting, secondary);
                    }
                }
                if function == 0 && header & HEADER_MULTI_FUNCTION == 0 {
                    break;
                }
            }
        }
    }
}

/// Word and mask of a bit among 256; the word is always there.
fn bit(set: &mut [u64; 4], index: u8) -> (Option<&mut u64>, u64) {
    (set.get_mut(usize::from(index >> 6)), 1 << (index & 63))
}

fn set_bit(set: &mut [u64; 4], index: u8) {
    if let (Some(word), mask) = bit(set, index) {
        *word |= mask;
    }
}

fn has_bit(set: &[u64; 4], index: u8) -> bool {
    let mut copy = *set;
    matches!(bit(&mut copy, index), (Some(word), mask) if *word & mask != 0)
}

fn take_lowest_bit(set: &mut [u64; 4]) -> Option<u8> {
    let index = (0..=u8::MAX).find(|index| has_bit(set, *index))?;
    if let (Some(word), mask) = bit(set, index) {
        *word &= !mask;
    }
    Some(index)
}

/// Physical address of a memory BAR; `None` for I/O BARs, empty ones and numbers beyond 5.
pub fn bar_address(space: &impl ConfigSpace, address: Address, bar: u8) -> Option<u64> {
    const IO: u32 = 1;
    const TYPE_64_BIT: u32 = 0b100;
    const FLAGS: u32 = 0xF;
    if bar >= BAR_COUNT {
        return None;
    }
    let offset = BAR_0.checked_add(u16::from(bar).checked_mul(4)?)?;
    let low = space.read(address, offset);
    if low & IO != 0 || low == u32::MAX {
        return None;
    }
    let mut base = u64::from(low & !FLAGS);
    if low & TYPE_64_BIT != 0 {
        if bar.checked_add(1)? >= BAR_COUNT {
            return None;
        }
        base |= u64::from(space.read(address, offset.checked_add(4)?)) << 32;
    }
    (base != 0).then_some(base)
}

/// A structure of a virtio device in its memory space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Physical address; address plus length does not overflow.
    pub address: u64,
    pub length_bytes: u32,
}

/// Where a modern virtio device has its registers (virtio 1.2, 4.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioRegions {
    pub common: Region,
    pub notify: Region,
    /// Bytes between the notification registers of two queues.
    pub notify_multiplier: u32,
    pub device: Region,
}

/// Least bytes of the common configuration: up to `queue_device`.
const COMMON_MIN_BYTES: u32 = 56;
const NOTIFY_MIN_BYTES: u32 = 2;

/// Walks the capabilities of `address`. The first of each kind counts, as the specification asks.
pub fn virtio_regions(space: &impl ConfigSpace, address: Address) -> Option<VirtioRegions> {
    const TYPE_COMMON: u8 = 1;
    const TYPE_NOTIFY: u8 = 2;
    const TYPE_DEVICE: u8 = 4;
    if space.read(address, COMMAND) & STATUS_CAPABILITIES == 0 {
        return None;
    }
    let (mut common, mut notify, mut device) = (None, None, None);
    let [mut at, ..] = space.read(address, CAPABILITIES).to_le_bytes();
    for _ in 0..CAPABILITIES_MAX {
        at &= !3;
        // Below 64 is the header itself: the end of the list.
        if at < 64 {
            break;
        }
        let word = |index: u16| space.read(address, u16::from(at).saturating_add(index.saturating_mul(4)));
        let head = word(0);
        let [_, next, _, kind] = head.to_le_bytes();
        if head & 0xFF == CAPABILITY_VENDOR_SPECIFIC && at <= VIRTIO_CAPABILITY_LAST {
            let region = || {
                let [bar, ..] = word(1).to_le_bytes();
                let start = bar_address(space, address, bar)?.checked_add(u64::from(word(2)))?;
                let length_bytes = word(3);
                start.checked_add(u64::from(length_bytes))?;
                Some(Region { address: start, length_bytes })
            };
            match kind {
                TYPE_COMMON if common.is_none() => common = region(),
                TYPE_NOTIFY if notify.is_none() => notify = region().map(|region| (region, word(4))),
                TYPE_DEVICE if device.is_none() => device = region(),
                _ => {}
            }
        }
        at = next;
    }
    let (common, (notify, notify_multiplier), device) = (common?, notify?, device?);
    (common.length_bytes >= COMMON_MIN_BYTES && notify.length_bytes >= NOTIFY_MIN_BYTES).then_some(VirtioRegions {
        common,
        notify,
        notify_multiplier,
        device,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Functions by address; each has 256 bytes.
    struct Functions(Vec<(Address, Vec<u8>)>);

    impl ConfigSpace for Functions {
        fn read(&self, address: Address, offset: u16) -> u32 {
            let function = self.0.iter().find(|(at, _)| *at == address);
            function.and_then(|(_, bytes)| crate::bytes::u32_at(bytes, usize::from(offset))).unwrap_or(u32::MAX)
        }
    }

    fn at(bus: u8, device: u8, function: u8) -> Address {
        Address { bus, device, function }
    }

    fn function(vendor: u16, device: u16) -> Vec<u8> {
        let mut bytes = vec![0; 256];
        bytes[0..2].copy_from_slice(&vendor.to_le_bytes());
        bytes[2..4].copy_from_slice(&device.to_le_bytes());
        bytes
    }

    fn all(space: &Functions) -> Vec<Address> {
        let mut all = Vec::new();
        find(space, (VENDOR_VIRTIO, DEVICE_VIRTIO_BLOCK), |address| {
            all.push(address);
            false
        });
        all
    }

    #[test]
    fn devices_are_found_behind_bridges_that_go_in_circles() {
        let block = || function(VENDOR_VIRTIO, DEVICE_VIRTIO_BLOCK);
        let mut bridge = function(0x8086, 1);
        bridge[0x0E] = 1;
        bridge[0x19] = 2;
        let mut back = function(0x8086, 2);
        back[0x0E] = 1;
        back[0x19] = 0;
        let mut multi = function(0x8086, 3);
        multi[0x0E] = 0x80;
        let space = Functions(vec![
            (at(0, 1, 0), bridge),
            (at(2, 0, 0), block()),
            (at(2, 1, 0), back),
            (at(0, 2, 0), multi),
            (at(0, 2, 5), block()),
            // Not reached: function 0 is absent, or not a multi-function device.
            (at(0, 3, 1), block()),
            (at(0, 4, 0), function(1, 1)),
            (at(0, 4, 1), block()),
        ]);
        assert_eq!(all(&space), [at(0, 2, 5), at(2, 0, 0)]);
    }

    fn capability(bytes: &mut [u8], at: u8, next: u8, kind: u8, bar: u8, offset: u32, length: u32) {
        let start = usize::from(at);
        bytes[start..start + 5].copy_from_slice(&[9, next, 20, kind, bar]);
        bytes[start + 8..start + 12].copy_from_slice(&offset.to_le_bytes());
        bytes[start + 12..start + 16].copy_from_slice(&length.to_le_bytes());
        bytes[start + 16..start + 20].copy_from_slice(&4u32.to_le_bytes());
    }

    #[test]
    fn virtio_registers_are_found() {
        let mut bytes = function(VENDOR_VIRTIO, DEVICE_VIRTIO_BLOCK);
        bytes[6] = 0x10;
        bytes[0x34] = 0x40;
        // BAR 4, 64 bits wide, at 0x1_8000_0000.
        bytes[0x20..0x28].copy_from_slice(&[0x0C, 0, 0, 0x80, 1, 0, 0, 0]);
        capability(&mut bytes, 0x40, 0x54, 1, 4, 0, 56);
        capability(&mut bytes, 0x54, 0x68, 2, 4, 0x1000, 0x100);
        capability(&mut bytes, 0x68, 0x7C, 4, 4, 0x2000, 0x40);
        capability(&mut bytes, 0x7C, 0x40, 1, 9, 0, 56);
        let space = Functions(vec![(at(0, 3, 0), bytes)]);
        let regions = virtio_regions(&space, at(0, 3, 0)).expect("complete");
        assert_eq!(regions.common, Region { address: 0x1_8000_0000, length_bytes: 56 });
        assert_eq!(regions.notify.address, 0x1_8000_1000);
        assert_eq!(regions.notify_multiplier, 4);
        assert_eq!(regions.device.address, 0x1_8000_2000);
    }

    proptest! {
        #[test]
        fn hostile_configuration_space_ends(bytes in prop::collection::vec(any::<u8>(), 256)) {
            let mut bytes = bytes;
            bytes[..4].copy_from_slice(&[0xF4, 0x1A, 0x42, 0x10]);
            bytes[6] |= 0x10;
            let space = Functions(vec![(at(0, 0, 0), bytes)]);
            prop_assert_eq!(all(&space), [at(0, 0, 0)]);
            if let Some(regions) = virtio_regions(&space, at(0, 0, 0)) {
                prop_assert!(regions.common.length_bytes >= COMMON_MIN_BYTES);
            }
        }
    }
}
