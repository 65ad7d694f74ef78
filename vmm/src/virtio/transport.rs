//! Virtio over PCI (VIRTIO 1.2, 4.1): capabilities, the one memory BAR with all structures, notifications, interrupts.

use super::common::{Action, COMMON_BYTES, CommonConfig, NO_VECTOR, STATUS_NEEDS_RESET};
use super::{Activation, ActiveQueue, VirtioDevice};
use crate::error::{Error, Result};
use crate::interrupt::Interrupts;
use crate::lock;
use crate::memory::GuestRam;
use crate::metrics::Counters;
use crate::pci::{BarWindow, ConfigSpace, Identity, MsixTable, NOT_DECODED, PciDevice, VECTOR_BYTES};
use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use vmm_sys_util::eventfd::EventFd;

const VENDOR_VIRTIO: u16 = 0x1af4;
/// Modern devices have this plus their type.
const DEVICE_ID_BASE: u16 = 0x1040;
const CAPABILITY_VENDOR: u8 = 0x09;
const CAPABILITY_MSIX: u8 = 0x11;

/// The BAR: a page each for what the guest may map apart.
pub const BAR_BYTES: u32 = 0x8000;
const COMMON_OFFSET: u64 = 0x0000;
const ISR_OFFSET: u64 = 0x1000;
const DEVICE_OFFSET: u64 = 0x2000;
const NOTIFY_OFFSET: u64 = 0x3000;
const MSIX_TABLE_OFFSET: u64 = 0x4000;
const MSIX_PENDING_OFFSET: u64 = 0x5000;
const STRUCTURE_BYTES: u64 = 0x1000;
/// Distance between the notification addresses of two queues.
const NOTIFY_MULTIPLIER: u32 = 4;

/// Capability types.
const CFG_COMMON: u8 = 1;
const CFG_NOTIFY: u8 = 2;
const CFG_ISR: u8 = 3;
const CFG_DEVICE: u8 = 4;
const CFG_PCI: u8 = 5;
/// Offsets within a virtio capability: BAR number, offset, length, and the data window of the PCI access capability.
const CAP_BAR: usize = 4;
const CAP_OFFSET: usize = 8;
const CAP_LENGTH: usize = 12;
const CAP_DATA: usize = 16;
/// Offset of message control within the MSI-X capability.
const MSIX_CONTROL: usize = 2;

/// What every transport needs of the machine.
#[derive(Clone, Debug)]
pub struct Transport {
    pub vm: Arc<VmFd>,
    pub ram: GuestRam,
    pub interrupts: Arc<Interrupts>,
    pub counters: Arc<Counters>,
}

/// A virtio device on the PCI bus.
#[derive(Debug)]
pub struct VirtioPci {
    device: Arc<dyn VirtioDevice>,
    machine: Transport,
    window: BarWindow,
    msix_capability: usize,
    pci_access_capability: usize,
    /// Given to backends as the interrupt of queues without a vector; nobody listens.
    no_interrupt: Arc<EventFd>,
    registers: Mutex<Registers>,
}

/// Where KVM watches for notifications: the BAR's base, and the queues with their events.
type Watched = (u64, Vec<(u16, Arc<EventFd>)>);

#[derive(Debug)]
struct Registers {
    config: ConfigSpace,
    msix: MsixTable,
    common: CommonConfig,
    /// Status shown while a reset is under way.
    status_before_reset: u8,
    watched: Option<Watched>,
}

impl VirtioPci {
    /// Put `device` behind a transport whose BAR begins at `bar_base`.
    pub fn new(device: Arc<dyn VirtioDevice>, machine: Transport, bar_base: u32) -> Result<Self> {
        let sizes = device.queue_sizes();
        // One vector a queue and one for configuration changes.
        let vectors = (0..=sizes.len()).map(|_| machine.interrupts.vector()).collect::<Result<Vec<_>>>()?;
        let vector_count = vectors.len() as u16;
        let kind = device.device_type();
        let mut config = ConfigSpace::new(&Identity {
            vendor: VENDOR_VIRTIO,
            device: DEVICE_ID_BASE + kind,
            revision: 1,
            class: device.pci_class(),
            subsystem: (VENDOR_VIRTIO, DEVICE_ID_BASE + kind),
        });
        config.set_bar(bar_base, BAR_BYTES);
        for (kind, offset, length) in [
            (CFG_COMMON, COMMON_OFFSET, COMMON_BYTES as u64),
            (CFG_ISR, ISR_OFFSET, 1),
            (CFG_DEVICE, DEVICE_OFFSET, STRUCTURE_BYTES),
        ] {
            config.add_capability(CAPABILITY_VENDOR, &capability(kind, offset, length, &[]), &[]);
        }
        let notify_bytes = sizes.len() as u64 * u64::from(NOTIFY_MULTIPLIER);
        let notify = capability(CFG_NOTIFY, NOTIFY_OFFSET, notify_bytes, &NOTIFY_MULTIPLIER.to_le_bytes());
        config.add_capability(CAPABILITY_VENDOR, &notify, &[]);
        let mut msix = (vector_count - 1).to_le_bytes().to_vec();
        msix.extend((MSIX_TABLE_OFFSET as u32).to_le_bytes());
        msix.extend((MSIX_PENDING_OFFSET as u32).to_le_bytes());
        // The guest may set function mask and enable.
        let msix_capability = config.add_capability(CAPABILITY_MSIX, &msix, &[(MSIX_CONTROL + 1, 0xc0)]);
        let writable: Vec<(usize, u8)> =
            std::iter::once(CAP_BAR).chain(CAP_OFFSET..CAP_DATA).map(|position| (position, 0xff)).collect();
        let access = capability(CFG_PCI, 0, 0, &[0; 4]);
        let pci_access_capability = config.add_capability(CAPABILITY_VENDOR, &access, &writable);
        let no_interrupt =
            EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC).map_err(Error::io("create an event")).map(Arc::new)?;
        let registers = Registers {
            config,
            msix: MsixTable::new(vectors),
            common: CommonConfig::new(device.features(), &sizes, vector_count),
            status_before_reset: 0,
            watched: None,
        };
        let function = Self {
            device,
            machine,
            window: BarWindow::new(BAR_BYTES.into()),
            msix_capability,
            pci_access_capability,
            no_interrupt,
            registers: Mutex::new(registers),
        };
        function.follow_config(&mut lock(&function.registers));
        Ok(function)
    }

    /// The driver's writes took effect: let the window, the watched notifications and the vectors follow.
    fn follow_config(&self, registers: &mut Registers) {
        let bar = registers.config.bar();
        self.window.set(if bar.enabled { bar.base } else { NOT_DECODED });
        registers.msix.set_control(registers.config.word(self.msix_capability + MSIX_CONTROL));
        if let Some((base, events)) = registers.watched.take() {
            if base == self.window.base() {
                registers.watched = Some((base, events));
            } else {
                self.unwatch(base, &events);
                self.watch(registers, events);
            }
        }
    }

    /// Let KVM signal the queues' events by itself when the guest notifies them.
    fn watch(&self, registers: &mut Registers, events: Vec<(u16, Arc<EventFd>)>) {
        let base = self.window.base();
        if base != NOT_DECODED {
            for (index, event) in &events {
                // If this fails, notifications still arrive, through the VMM.
                if let Err(e) = self.machine.vm.register_ioevent(event, &notify_address(base, *index), NoDatamatch) {
                    tracing::debug!(error = %e, "cannot watch a queue's notifications");
                }
            }
        }
        registers.watched = Some((base, events));
    }

    fn unwatch(&self, base: u64, events: &[(u16, Arc<EventFd>)]) {
        if base == NOT_DECODED {
            return;
        }
        for (index, event) in events {
            if let Err(e) = self.machine.vm.unregister_ioevent(event, &notify_address(base, *index), NoDatamatch) {
                tracing::debug!(error = %e, "cannot stop watching a queue's notifications");
            }
        }
    }

    fn common_write(&self, registers: &mut Registers, offset: usize, data: &[u8]) {
        let state = self.device.state();
        if state.reset_pending.load(Ordering::Acquire) {
            // The driver must wait until the status reads 0.
            return;
        }
        let status_before = registers.common.status;
        match registers.common.write(offset, data) {
            Action::None => {}
            Action::Reset => {
                registers.status_before_reset = status_before;
                if let Some((base, events)) = registers.watched.take() {
                    self.unwatch(base, &events);
                }
                *lock(&state.config_event) = None;
                state.needs_reset.store(false, Ordering::Release);
                if state.active.swap(false, Ordering::AcqRel) {
                    state.reset_pending.store(true, Ordering::Release);
                    self.device.reset();
                }
            }
            Action::Activate => self.activate(registers),
        }
    }

    fn activate(&self, registers: &mut Registers) {
        let state = self.device.state();
        *lock(&state.config_event) = registers.msix.event(registers.common.config_vector).cloned();
        let enabled = (0..).zip(&registers.common.queues).filter(|(_, queue)| queue.enabled);
        let queues: Option<Vec<ActiveQueue>> = enabled
            .map(|(index, queue)| {
                let call = match queue.vector {
                    NO_VECTOR => &self.no_interrupt,
                    vector => registers.msix.event(vector)?,
                };
                Some(ActiveQueue {
                    index,
                    size: queue.size,
                    guest: queue.addresses,
                    host: queue.addresses.to_host(&self.machine.ram, queue.size)?,
                    call: call.clone(),
                    kick: self.device.kick(index.into())?.clone(),
                })
            })
            .collect();
        let Some(queues) = queues else {
            tracing::warn!(device = ?self.device.device_type(), "the driver's rings are not in RAM; the device is stopped");
            state.fail();
            return;
        };
        self.watch(registers, queues.iter().map(|queue| (queue.index, queue.kick.clone())).collect());
        state.active.store(true, Ordering::Release);
        self.device.activate(Activation { features: registers.common.driver_features, queues });
    }

    fn status(&self, registers: &Registers) -> u8 {
        let state = self.device.state();
        if state.reset_pending.load(Ordering::Acquire) {
            return registers.status_before_reset;
        }
        let failed = state.needs_reset.load(Ordering::Acquire);
        registers.common.status | if failed { STATUS_NEEDS_RESET } else { 0 }
    }

    fn bar_read(&self, registers: &mut Registers, offset: u64, data: &mut [u8]) {
        let within = (offset % STRUCTURE_BYTES) as usize;
        match offset - offset % STRUCTURE_BYTES {
            COMMON_OFFSET => {
                let generation = self.device.state().config_generation.load(Ordering::Acquire);
                registers.common.read(within, data, self.status(registers), generation);
            }
            ISR_OFFSET => {
                data.fill(0);
                if let (0, Some(first)) = (within, data.first_mut()) {
                    *first = self.device.state().isr.swap(0, Ordering::AcqRel);
                }
            }
            DEVICE_OFFSET => self.device.read_config(within, data),
            MSIX_TABLE_OFFSET => registers.msix.read(within, data),
            MSIX_PENDING_OFFSET => registers.msix.read_pending(within, data),
            _ => data.fill(0),
        }
    }

    fn bar_write(&self, registers: &mut Registers, offset: u64, data: &[u8]) {
        let within = (offset % STRUCTURE_BYTES) as usize;
        match offset - offset % STRUCTURE_BYTES {
            COMMON_OFFSET => self.common_write(registers, within, data),
            NOTIFY_OFFSET => self.notify(within / NOTIFY_MULTIPLIER as usize),
            MSIX_TABLE_OFFSET => registers.msix.write(within, data),
            // The specification makes device configuration writable by the driver only where features say so; none of ours do.
            _ => {}
        }
    }

    /// A notification that KVM did not take: the device is not active yet, or its BAR moved.
    fn notify(&self, queue: usize) {
        if let Some(event) = self.device.kick(queue) {
            self.machine.counters.add(&self.machine.counters.vmm_kicks);
            // Cannot fail: a full counter is a pending notification.
            let _ = event.write(1);
        }
    }

    /// The access that the PCI access capability describes: an offset in the BAR, for 1, 2 or 4 bytes.
    fn pci_access(&self, registers: &Registers, register: usize, length: usize) -> Option<u64> {
        let base = self.pci_access_capability;
        let bar = registers.config.long(base + CAP_BAR) & 0xff;
        let offset = registers.config.long(base + CAP_OFFSET);
        let wanted = registers.config.long(base + CAP_LENGTH) as usize;
        let fits = register == base + CAP_DATA && bar == 0 && matches!(length, 1 | 2 | 4) && wanted == length;
        let inside = u64::from(offset) + length as u64 <= u64::from(BAR_BYTES);
        (fits && inside && (offset as usize).is_multiple_of(length)).then_some(offset.into())
    }
}

impl PciDevice for VirtioPci {
    fn config_read(&self, offset: usize, data: &mut [u8]) {
        let mut registers = lock(&self.registers);
        match self.pci_access(&registers, offset, data.len()) {
            Some(target) => self.bar_read(&mut registers, target, data),
            None => registers.config.read(offset, data),
        }
    }

    fn config_write(&self, offset: usize, data: &[u8]) {
        let mut registers = lock(&self.registers);
        if let Some(target) = self.pci_access(&registers, offset, data.len()) {
            self.bar_write(&mut registers, target, data);
        } else {
            registers.config.write(offset, data);
            self.follow_config(&mut registers);
        }
    }

    fn bar(&self) -> &BarWindow {
        &self.window
    }

    fn memory_read(&self, offset: u64, data: &mut [u8]) {
        self.bar_read(&mut lock(&self.registers), offset, data);
    }

    fn memory_write(&self, offset: u64, data: &[u8]) {
        self.bar_write(&mut lock(&self.registers), offset, data);
    }
}

/// What follows the link of a virtio capability: its length, type, BAR 0, offset and length in the BAR, and an own part.
fn capability(kind: u8, offset: u64, length: u64, own: &[u8]) -> Vec<u8> {
    const COMMON_PART: u8 = 16;
    let mut body = vec![COMMON_PART + own.len() as u8, kind, 0, 0, 0, 0];
    body.extend((offset as u32).to_le_bytes());
    body.extend((length as u32).to_le_bytes());
    body.extend(own);
    body
}

fn notify_address(base: u64, queue: u16) -> IoEventAddress {
    IoEventAddress::Mmio(base + NOTIFY_OFFSET + u64::from(queue) * u64::from(NOTIFY_MULTIPLIER))
}

/// Vectors fit their page of the BAR for every queue count the configuration allows.
const _: () = assert!(STRUCTURE_BYTES as usize / VECTOR_BYTES > 2 * 64);
