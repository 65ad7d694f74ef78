use super::*;
use crate::interrupt::{Message, MessageSink, Vector};
use proptest::prelude::*;
use vmm_sys_util::eventfd::EventFd;

/// Remembers what is connected where.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<(u32, Option<Message>)>>);

impl MessageSink for Recorder {
    fn connect(&self, gsi: u32, message: Message, _: &EventFd) -> Result<(), kvm_ioctls::Error> {
        lock(&self.0).push((gsi, Some(message)));
        Ok(())
    }
    fn disconnect(&self, gsi: u32, _: &EventFd) -> Result<(), kvm_ioctls::Error> {
        lock(&self.0).push((gsi, None));
        Ok(())
    }
}

fn table() -> (MsixTable, Arc<Recorder>) {
    let recorder = Arc::new(Recorder::default());
    let vectors = (24..27).map(|gsi| Vector::new(gsi, recorder.clone()).unwrap()).collect();
    (MsixTable::new(vectors), recorder)
}

const ENABLE: u16 = 1 << 15;
const FUNCTION_MASK: u16 = 1 << 14;

fn write_entry(table: &mut MsixTable, index: usize, message: Message, masked: u32) {
    let offset = index * VECTOR_BYTES;
    table.write(offset, &message.address.to_le_bytes());
    table.write(offset + 8, &message.data.to_le_bytes());
    table.write(offset + 12, &masked.to_le_bytes());
}

const MESSAGE: Message = Message { address: 0xfee0_1000, data: 0x4021 };

#[test]
fn a_vector_is_connected_only_while_nothing_masks_it() {
    let (mut table, recorder) = table();
    write_entry(&mut table, 1, MESSAGE, 0);
    table.set_control(ENABLE | FUNCTION_MASK);
    assert_eq!(*lock(&recorder.0), []);
    table.set_control(ENABLE);
    assert_eq!(*lock(&recorder.0), [(25, Some(MESSAGE))]);
    // The same again changes nothing; another message connects anew.
    table.set_control(ENABLE);
    table.write(VECTOR_BYTES + 8, &7u32.to_le_bytes());
    table.set_control(0);
    let moved = Message { data: 7, ..MESSAGE };
    assert_eq!(*lock(&recorder.0), [(25, Some(MESSAGE)), (25, None), (25, Some(moved)), (25, None)]);
}

#[test]
fn a_signal_while_masked_is_pending() {
    let (mut table, _) = table();
    let pending = |table: &MsixTable| {
        let mut bits = [0; 8];
        table.read_pending(0, &mut bits);
        u64::from_le_bytes(bits)
    };
    table.set_control(ENABLE);
    write_entry(&mut table, 2, MESSAGE, 1);
    assert_eq!(pending(&table), 0);
    table.event(2).unwrap().write(1).unwrap();
    assert_eq!(pending(&table), 1 << 2);
    // Connected, KVM takes it over.
    table.write(2 * VECTOR_BYTES + 12, &0u32.to_le_bytes());
    assert_eq!(pending(&table), 0);
    assert!(table.event(3).is_none());
}

/// A function with one register bank behind its BAR.
#[derive(Debug)]
struct Echo {
    config: Mutex<ConfigSpace>,
    window: BarWindow,
}

const IDENTITY: Identity =
    Identity { vendor: 0x1af4, device: 0x1042, revision: 1, class: 0x01_8000, subsystem: (1, 2) };

impl PciDevice for Echo {
    fn config_read(&self, offset: usize, data: &mut [u8]) {
        lock(&self.config).read(offset, data);
    }
    fn config_write(&self, offset: usize, data: &[u8]) {
        let mut config = lock(&self.config);
        config.write(offset, data);
        let bar = config.bar();
        self.window.set(if bar.enabled { bar.base } else { NOT_DECODED });
    }
    fn bar(&self) -> &BarWindow {
        &self.window
    }
    fn memory_read(&self, offset: u64, data: &mut [u8]) {
        data.fill(offset as u8);
    }
    fn memory_write(&self, _: u64, _: &[u8]) {}
}

fn bus() -> PciBus {
    let mut config = ConfigSpace::new(&IDENTITY);
    config.set_bar(0xc000_8000, 0x8000);
    let window = BarWindow::new(0x8000);
    window.set(config.bar().base);
    let mut bus = PciBus::default();
    bus.plug(0, Arc::new(HostBridge::default()));
    bus.plug(3, Arc::new(Echo { config: Mutex::new(config), window }));
    bus
}

fn ecam_read(bus: &PciBus, device: u64, register: u64) -> u32 {
    let mut data = [0xff; 4];
    bus.ecam_read(device << 15 | register, &mut data);
    u32::from_le_bytes(data)
}

#[test]
fn both_ways_into_configuration_space_agree() {
    let bus = bus();
    assert_eq!(ecam_read(&bus, 3, 0), 0x1042_1af4);
    assert_eq!(ecam_read(&bus, 3, 8), 0x0180_0001);
    assert_eq!(ecam_read(&bus, 4, 0), u32::MAX);
    assert_eq!(ecam_read(&bus, 3, 0x100), 0, "no extended capabilities");
    bus.address_write(0, &(1u32 << 31 | 3 << 11).to_le_bytes());
    let mut data = [0; 2];
    bus.data_read(2, &mut data);
    assert_eq!(u16::from_le_bytes(data), 0x1042);
    bus.address_write(0, &(3u32 << 11).to_le_bytes());
    bus.data_read(0, &mut data);
    assert_eq!(data, [0xff; 2], "without the enable bit");
}

#[test]
fn the_bar_can_be_sized_moved_and_closed() {
    let bus = bus();
    let bar = 3 << 15 | 0x10;
    let probe = |address: u64| {
        let mut data = [0xff; 1];
        bus.memory_read(address, &mut data);
        data[0]
    };
    assert_eq!(probe(0xc000_8012), 0x12);
    bus.ecam_write(bar, &u32::MAX.to_le_bytes());
    assert_eq!(ecam_read(&bus, 3, 0x10), 0xffff_8000);
    assert_eq!(probe(0xffff_8012), 0xff, "outside the bus's window");
    bus.ecam_write(bar, &0xc100_0000u32.to_le_bytes());
    assert_eq!((probe(0xc100_0034), probe(0xc000_8012)), (0x34, 0xff));
    bus.ecam_write(3 << 15 | 4, &0u16.to_le_bytes());
    assert_eq!(probe(0xc100_0034), 0xff);
}

#[test]
fn capabilities_are_linked_and_only_their_writable_bits_change() {
    let mut config = ConfigSpace::new(&IDENTITY);
    let first = config.add_capability(9, &[1, 2, 3], &[]);
    let second = config.add_capability(17, &[2, 0], &[(3, 0xc0)]);
    let mut bytes = [0; 256];
    config.read(0, &mut bytes);
    assert_eq!((usize::from(bytes[0x34]), usize::from(bytes[first + 1]), bytes[second + 1]), (first, second, 0));
    assert_eq!(bytes[6] & 0x10, 0x10);
    config.write(second, &[0xff; 4]);
    config.write(0, &[0xff; 4]);
    config.read(0, &mut bytes);
    assert_eq!(bytes[second..second + 4], [17, 0, 2, 0xc0]);
    assert_eq!(bytes[..2], IDENTITY.vendor.to_le_bytes());
}

proptest! {
    #[test]
    fn no_access_panics(
        accesses in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 1..9)), 0..100)
    ) {
        let bus = bus();
        let (mut table, _) = table();
        for (address, mut data) in accesses {
            bus.ecam_write(address % layout::ECAM_SIZE, &data);
            bus.ecam_read(address % layout::ECAM_SIZE, &mut data);
            bus.address_write((address % 4) as usize, &data);
            bus.data_write((address % 4) as usize, &data);
            bus.data_read((address % 4) as usize, &mut data);
            bus.memory_write(address, &data);
            bus.memory_read(address, &mut data);
            table.write((address % 100) as usize, &data);
            table.read((address % 100) as usize, &mut data);
            table.set_control(address as u16);
        }
    }
}
