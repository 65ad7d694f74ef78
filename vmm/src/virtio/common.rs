//! The common configuration structure of the PCI transport (VIRTIO 1.2, 4.1.4.3) as a state machine without side effects.

use super::{RingAddresses, VERSION_1};
use crate::pci::copy_from;

/// No vector: neither for configuration changes nor for a queue.
pub const NO_VECTOR: u16 = 0xffff;
/// Bytes of the structure, up to and including `queue_device`.
pub const COMMON_BYTES: usize = 56;

pub const STATUS_DRIVER_OK: u8 = 4;
pub const STATUS_FEATURES_OK: u8 = 8;
pub const STATUS_NEEDS_RESET: u8 = 0x40;
/// Bits a driver sets: ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED.
const STATUS_DRIVER_BITS: u8 = 0x8f;

const DEVICE_FEATURE_SELECT: usize = 0;
const DEVICE_FEATURE: usize = 4;
const DRIVER_FEATURE_SELECT: usize = 8;
const DRIVER_FEATURE: usize = 12;
const CONFIG_VECTOR: usize = 16;
const NUM_QUEUES: usize = 18;
const STATUS: usize = 20;
const CONFIG_GENERATION: usize = 21;
const QUEUE_SELECT: usize = 22;
const QUEUE_SIZE: usize = 24;
const QUEUE_VECTOR: usize = 26;
const QUEUE_ENABLE: usize = 28;
const QUEUE_NOTIFY_OFFSET: usize = 30;
const QUEUE_DESCRIPTORS: usize = 32;
const QUEUE_AVAILABLE: usize = 40;
const QUEUE_USED: usize = 48;

/// What a write asks the device to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    None,
    /// The driver wrote 0 to the status. The structure has its initial values already.
    Reset,
    /// The driver set DRIVER_OK.
    Activate,
}

/// One queue as the driver sets it up.
#[derive(Clone, Copy, Debug)]
pub struct QueueSetup {
    max_size: u16,
    pub size: u16,
    pub vector: u16,
    pub enabled: bool,
    pub addresses: RingAddresses,
}

impl QueueSetup {
    fn new(max_size: u16) -> Self {
        Self { max_size, size: max_size, vector: NO_VECTOR, enabled: false, addresses: RingAddresses::default() }
    }
}

/// The registers.
#[derive(Clone, Debug)]
pub struct CommonConfig {
    device_features: u64,
    vectors: u16,
    device_feature_select: u32,
    driver_feature_select: u32,
    pub driver_features: u64,
    pub config_vector: u16,
    pub status: u8,
    queue_select: u16,
    pub queues: Vec<QueueSetup>,
}

impl CommonConfig {
    /// Initial values for a device with these features, queues and interrupt vectors.
    pub fn new(device_features: u64, queue_sizes: &[u16], vectors: u16) -> Self {
        Self {
            device_features,
            vectors,
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: 0,
            config_vector: NO_VECTOR,
            status: 0,
            queue_select: 0,
            queues: queue_sizes.iter().map(|size| QueueSetup::new(*size)).collect(),
        }
    }

    /// Read at `offset`; `status` and `generation` are the device's view of those fields.
    pub fn read(&self, offset: usize, data: &mut [u8], status: u8, generation: u8) {
        let mut bytes = [0; COMMON_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(DEVICE_FEATURE_SELECT, &self.device_feature_select.to_le_bytes());
        put(DEVICE_FEATURE, &half(self.device_features, self.device_feature_select).to_le_bytes());
        put(DRIVER_FEATURE_SELECT, &self.driver_feature_select.to_le_bytes());
        put(DRIVER_FEATURE, &half(self.driver_features, self.driver_feature_select).to_le_bytes());
        put(CONFIG_VECTOR, &self.config_vector.to_le_bytes());
        put(NUM_QUEUES, &(self.queues.len() as u16).to_le_bytes());
        put(STATUS, &[status]);
        put(CONFIG_GENERATION, &[generation]);
        put(QUEUE_SELECT, &self.queue_select.to_le_bytes());
        // An absent queue reads as size 0.
        if let Some(queue) = self.queues.get(usize::from(self.queue_select)) {
            put(QUEUE_SIZE, &queue.size.to_le_bytes());
            put(QUEUE_VECTOR, &queue.vector.to_le_bytes());
            put(QUEUE_ENABLE, &u16::from(queue.enabled).to_le_bytes());
            put(QUEUE_NOTIFY_OFFSET, &self.queue_select.to_le_bytes());
            put(QUEUE_DESCRIPTORS, &queue.addresses.descriptors.to_le_bytes());
            put(QUEUE_AVAILABLE, &queue.addresses.available.to_le_bytes());
            put(QUEUE_USED, &queue.addresses.used.to_le_bytes());
        }
        copy_from(&bytes, offset, data);
    }

    /// Write at `offset`. Only whole fields count (4.1.3.1), and the halves of 64-bit ones.
    pub fn write(&mut self, offset: usize, data: &[u8]) -> Action {
        match *data {
            [value] if offset == STATUS => return self.write_status(value),
            [a, b] => self.write_u16(offset, u16::from_le_bytes([a, b])),
            [a, b, c, d] => self.write_u32(offset, u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => {
                self.write_address(offset, u32::from_le_bytes([a, b, c, d]));
                self.write_address(offset + 4, u32::from_le_bytes([e, f, g, h]));
            }
            _ => {}
        }
        Action::None
    }

    fn write_status(&mut self, value: u8) -> Action {
        if value == 0 {
            let sizes: Vec<u16> = self.queues.iter().map(|queue| queue.max_size).collect();
            *self = Self::new(self.device_features, &sizes, self.vectors);
            return Action::Reset;
        }
        // A driver only ever adds bits.
        let mut new = (self.status | value) & STATUS_DRIVER_BITS;
        let fits = self.driver_features & !self.device_features == 0 && self.driver_features & VERSION_1 != 0;
        if new & !self.status & STATUS_FEATURES_OK != 0 && !fits {
            new &= !STATUS_FEATURES_OK;
        }
        if new & STATUS_FEATURES_OK == 0 {
            new &= !STATUS_DRIVER_OK;
        }
        let activate = new & !self.status & STATUS_DRIVER_OK != 0;
        self.status = new;
        if activate { Action::Activate } else { Action::None }
    }

    fn write_u16(&mut self, offset: usize, value: u16) {
        let vector = if value < self.vectors { value } else { NO_VECTOR };
        match offset {
            CONFIG_VECTOR => self.config_vector = vector,
            QUEUE_SELECT => self.queue_select = value,
            QUEUE_SIZE => {
                if let Some(queue) = self.selected()
                    && value.is_power_of_two()
                    && value <= queue.max_size
                {
                    queue.size = value;
                }
            }
            QUEUE_VECTOR => {
                if let Some(queue) = self.selected() {
                    queue.vector = vector;
                }
            }
            QUEUE_ENABLE if value == 1 => {
                if let Some(queue) = self.selected() {
                    queue.enabled = true;
                }
            }
            _ => {}
        }
    }

    fn write_u32(&mut self, offset: usize, value: u32) {
        match offset {
            DEVICE_FEATURE_SELECT => self.device_feature_select = value,
            DRIVER_FEATURE_SELECT => self.driver_feature_select = value,
            // Features are settled once the device has accepted them.
            DRIVER_FEATURE if self.status & STATUS_FEATURES_OK == 0 && self.driver_feature_select < 2 => {
                let shift = self.driver_feature_select * 32;
                let kept = self.driver_features & !(u64::from(u32::MAX) << shift);
                self.driver_features = kept | u64::from(value) << shift;
            }
            _ => self.write_address(offset, value),
        }
    }

    /// Half of a ring address of the selected queue.
    fn write_address(&mut self, offset: usize, value: u32) {
        let Some(queue) = self.selected() else { return };
        let addresses = &mut queue.addresses;
        let field = match offset & !7 {
            QUEUE_DESCRIPTORS => &mut addresses.descriptors,
            QUEUE_AVAILABLE => &mut addresses.available,
            QUEUE_USED => &mut addresses.used,
            _ => return,
        };
        match offset % 8 {
            0 => *field = *field & !u64::from(u32::MAX) | u64::from(value),
            4 => *field = *field & u64::from(u32::MAX) | u64::from(value) << 32,
            _ => {}
        }
    }

    /// The selected queue, while it may still be changed: not once it is enabled.
    fn selected(&mut self) -> Option<&mut QueueSetup> {
        self.queues.get_mut(usize::from(self.queue_select)).filter(|queue| !queue.enabled)
    }
}

fn half(features: u64, select: u32) -> u32 {
    match select {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FEATURES: u64 = VERSION_1 | 1 << 9;

    fn config() -> CommonConfig {
        CommonConfig::new(FEATURES, &[256, 64], 3)
    }

    fn read16(config: &CommonConfig, offset: usize) -> u16 {
        let mut data = [0; 2];
        config.read(offset, &mut data, config.status, 0);
        u16::from_le_bytes(data)
    }

    fn accept(config: &mut CommonConfig, features: u64) -> bool {
        config.write(STATUS, &[1]);
        config.write(STATUS, &[3]);
        for select in [0u32, 1] {
            config.write(DRIVER_FEATURE_SELECT, &select.to_le_bytes());
            config.write(DRIVER_FEATURE, &half(features, select).to_le_bytes());
        }
        config.write(STATUS, &[0xb]);
        config.status & STATUS_FEATURES_OK != 0
    }

    #[test]
    fn a_driver_that_follows_the_steps_activates_the_device() {
        let mut config = config();
        assert!(accept(&mut config, FEATURES));
        config.write(QUEUE_SELECT, &1u16.to_le_bytes());
        assert_eq!(read16(&config, QUEUE_SIZE), 64);
        config.write(QUEUE_SIZE, &32u16.to_le_bytes());
        config.write(QUEUE_VECTOR, &2u16.to_le_bytes());
        config.write(QUEUE_DESCRIPTORS, &0x1000u32.to_le_bytes());
        config.write(QUEUE_DESCRIPTORS + 4, &1u32.to_le_bytes());
        config.write(QUEUE_USED, &0x1_0000_3000u64.to_le_bytes());
        config.write(QUEUE_ENABLE, &1u16.to_le_bytes());
        assert_eq!(config.write(STATUS, &[0xf]), Action::Activate);
        let queue = config.queues[1];
        assert_eq!((queue.size, queue.vector, queue.enabled), (32, 2, true));
        assert_eq!((queue.addresses.descriptors, queue.addresses.used), (0x1_0000_1000, 0x1_0000_3000));
        // An enabled queue is settled.
        config.write(QUEUE_SIZE, &16u16.to_le_bytes());
        assert_eq!(config.queues[1].size, 32);
        // DRIVER_OK again does nothing.
        assert_eq!(config.write(STATUS, &[0xf]), Action::None);
        assert_eq!(config.write(STATUS, &[0]), Action::Reset);
        assert_eq!((config.status, config.queues[1].size, config.queues[1].enabled), (0, 64, false));
        assert_eq!(config.queues[1].vector, NO_VECTOR);
        assert!(accept(&mut config, FEATURES), "and it can be set up again");
    }

    #[test]
    fn features_that_were_not_offered_are_refused() {
        assert!(!accept(&mut config(), FEATURES | 1 << 10));
        assert!(!accept(&mut config(), 1 << 9), "the legacy interface");
        let mut refused = config();
        accept(&mut refused, 0);
        assert_eq!(refused.write(STATUS, &[0xf]), Action::None, "DRIVER_OK without FEATURES_OK");
    }

    #[test]
    fn bad_values_leave_registers_as_they_were() {
        let mut config = config();
        for size in [0u16, 3, 512] {
            config.write(QUEUE_SIZE, &size.to_le_bytes());
            assert_eq!(read16(&config, QUEUE_SIZE), 256);
        }
        config.write(CONFIG_VECTOR, &3u16.to_le_bytes());
        assert_eq!(read16(&config, CONFIG_VECTOR), NO_VECTOR);
        config.write(QUEUE_SELECT, &2u16.to_le_bytes());
        assert_eq!(read16(&config, QUEUE_SIZE), 0);
    }

    proptest! {
        #[test]
        fn no_sequence_of_accesses_panics_or_breaks_an_invariant(
            accesses in prop::collection::vec((0usize..70, prop::collection::vec(any::<u8>(), 0..9)), 0..200)
        ) {
            let mut config = config();
            for (offset, data) in accesses {
                let action = config.write(offset, &data);
                if action == Action::Activate {
                    prop_assert!(config.driver_features & !FEATURES == 0);
                }
                let mut read = data;
                config.read(offset, &mut read, config.status, 0);
                for queue in &config.queues {
                    prop_assert!(queue.size.is_power_of_two() && queue.size <= queue.max_size);
                    prop_assert!(queue.vector < 3 || queue.vector == NO_VECTOR);
                }
            }
        }
    }
}
