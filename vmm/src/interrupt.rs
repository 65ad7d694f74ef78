//! Interrupts of devices: the I/O APIC's pins and message-signalled interrupts, all raised by eventfds (irqfd), so that a
//! backend in another process interrupts the guest without waking the VMM.

use crate::error::{Error, Result};
use crate::layout::GSI_MSI_START;
use crate::lock;
use crate::sys;
use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KvmIrqRouting, kvm_irq_routing_entry,
    kvm_irq_routing_irqchip, kvm_irq_routing_msi,
};
use kvm_ioctls::VmFd;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use vmm_sys_util::eventfd::EventFd;

/// Pins of KVM's I/O APIC.
const IOAPIC_PINS: u32 = 24;

/// Address and data of a message-signalled interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub address: u64,
    pub data: u32,
}

/// What delivers interrupts. The one that matters is KVM; the tables of PCI devices are tested against another.
pub trait MessageSink: std::fmt::Debug + Send + Sync {
    /// Send `message` into the guest whenever `event` is signalled, also for signals that came before. `gsi` names the route.
    fn connect(&self, gsi: u32, message: Message, event: &EventFd) -> std::result::Result<(), kvm_ioctls::Error>;
    /// Leave signals of `event` pending in it.
    fn disconnect(&self, gsi: u32, event: &EventFd) -> std::result::Result<(), kvm_ioctls::Error>;
}

/// The machine's interrupt routes.
#[derive(Debug)]
pub struct Interrupts {
    vm: Arc<VmFd>,
    messages: Mutex<BTreeMap<u32, Message>>,
    next_gsi: Mutex<u32>,
}

impl Interrupts {
    /// Interrupts of `vm`, which has its in-kernel interrupt controllers.
    pub fn new(vm: Arc<VmFd>) -> Self {
        Self { vm, messages: Mutex::new(BTreeMap::new()), next_gsi: Mutex::new(GSI_MSI_START) }
    }

    /// An event that raises pin `irq` of the I/O APIC, edge-triggered.
    pub fn pin(&self, irq: u32) -> Result<EventFd> {
        let event = new_event()?;
        self.vm.register_irqfd(&event, irq).map_err(Error::kvm(format!("connect interrupt {irq}")))?;
        Ok(event)
    }

    /// A vector that sends messages through `self`.
    pub fn vector(self: &Arc<Self>) -> Result<Vector> {
        let mut next = lock(&self.next_gsi);
        let gsi = *next;
        *next += 1;
        Vector::new(gsi, self.clone())
    }
}

impl MessageSink for Interrupts {
    fn connect(&self, gsi: u32, message: Message, event: &EventFd) -> std::result::Result<(), kvm_ioctls::Error> {
        let mut messages = lock(&self.messages);
        if messages.insert(gsi, message) != Some(message) {
            set_routes(&self.vm, &messages)?;
        }
        self.vm.register_irqfd(event, gsi)
    }

    fn disconnect(&self, gsi: u32, event: &EventFd) -> std::result::Result<(), kvm_ioctls::Error> {
        self.vm.unregister_irqfd(event, gsi)
    }
}

fn set_routes(vm: &VmFd, messages: &BTreeMap<u32, Message>) -> std::result::Result<(), kvm_ioctls::Error> {
    // KVM replaces the whole table, its own entries for the I/O APIC included. There is no PIC behind them.
    let pins = (0..IOAPIC_PINS).map(|pin| {
        let mut entry = kvm_irq_routing_entry { gsi: pin, type_: KVM_IRQ_ROUTING_IRQCHIP, ..Default::default() };
        entry.u.irqchip = kvm_irq_routing_irqchip { irqchip: KVM_IRQCHIP_IOAPIC, pin };
        entry
    });
    let routes = messages.iter().map(|(gsi, message)| {
        let mut entry = kvm_irq_routing_entry { gsi: *gsi, type_: KVM_IRQ_ROUTING_MSI, ..Default::default() };
        entry.u.msi = kvm_irq_routing_msi {
            address_lo: message.address as u32,
            address_hi: (message.address >> 32) as u32,
            data: message.data,
            ..Default::default()
        };
        entry
    });
    let entries: Vec<_> = pins.chain(routes).collect();
    // Fails beyond 4096 routes, which the number of devices rules out.
    let table = KvmIrqRouting::from_entries(&entries).map_err(|_| kvm_ioctls::Error::new(libc::E2BIG))?;
    vm.set_gsi_routing(&table)
}

/// One message-signalled interrupt. Its event is what devices signal, masked or not: while masked, the signal stays in the
/// event and KVM delivers it on connection, which is just what the pending bit of MSI-X asks for.
#[derive(Debug)]
pub struct Vector {
    gsi: u32,
    event: Arc<EventFd>,
    connected: Option<Message>,
    sink: Arc<dyn MessageSink>,
}

impl Vector {
    /// A vector that is not yet connected.
    pub fn new(gsi: u32, sink: Arc<dyn MessageSink>) -> Result<Self> {
        Ok(Self { gsi, event: Arc::new(new_event()?), connected: None, sink })
    }

    /// What a device signals.
    pub fn event(&self) -> &Arc<EventFd> {
        &self.event
    }

    /// Is a signal waiting for the vector to be unmasked?
    pub fn is_pending(&self) -> bool {
        self.connected.is_none() && sys::is_readable(&*self.event, 0)
    }

    /// Deliver as `message`, or not at all (None). What KVM refuses is the guest's mistake and leaves the vector masked.
    pub fn set(&mut self, message: Option<Message>) {
        if self.connected == message {
            return;
        }
        if self.connected.take().is_some()
            && let Err(e) = self.sink.disconnect(self.gsi, &self.event)
        {
            tracing::debug!(gsi = self.gsi, error = %e, "cannot disconnect an interrupt");
        }
        let Some(message) = message else { return };
        match self.sink.connect(self.gsi, message, &self.event) {
            Ok(()) => self.connected = Some(message),
            Err(e) => tracing::debug!(gsi = self.gsi, ?message, error = %e, "cannot connect an interrupt"),
        }
    }
}

fn new_event() -> Result<EventFd> {
    EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC).map_err(Error::io("create an interrupt event"))
}
