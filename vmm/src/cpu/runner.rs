//! The threads that run the virtual processors, and how the machine holds and releases them.

use super::{cpuid, registers};
use crate::boot::Entry;
use crate::bus::Bus;
use crate::error::{Error, Result};
use crate::lock;
use crate::memory::GuestRam;
use crate::metrics::Counters;
use kvm_bindings::CpuId;
use kvm_ioctls::{VcpuExit, VcpuFd, VmFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// How often a processor that has not yet stopped is signalled again; the first signal may come just before it enters the guest.
const STOP_SIGNAL_INTERVAL: Duration = Duration::from_millis(1);
/// Longest wait for processors to stop. They leave the guest within microseconds; this only bounds a broken host.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the machine ends or begins anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest, or its triple fault, asked for a reset.
    Reset,
    /// The guest entered S5.
    PowerOff,
    /// KVM cannot run the guest's state.
    Fault(String),
    /// KVM or the VMM failed.
    Internal(String),
}

/// The virtual processors of one machine.
#[derive(Debug)]
pub struct Vcpus {
    threads: Vec<JoinHandle<()>>,
    control: Arc<Control>,
}

#[derive(Debug)]
struct Control {
    /// Processors are to stay outside the guest. Read before every entry.
    hold: AtomicBool,
    parked: Mutex<usize>,
    changed: Condvar,
    exit: Mutex<Option<Exit>>,
    exit_event: EventFd,
    counters: Arc<Counters>,
}

impl Vcpus {
    /// Create `count` processors and their threads. They stay out of the guest until [`Vcpus::resume`].
    pub fn start(
        vm: &VmFd,
        supported: &CpuId,
        count: u8,
        ram: &GuestRam,
        entry: Entry,
        bus: Arc<Bus>,
        counters: Arc<Counters>,
    ) -> Result<Self> {
        extern "C" fn interrupt_run(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}
        // The handler does nothing: the signal's arrival alone ends KVM_RUN with EINTR.
        register_signal_handler(SIGRTMIN(), interrupt_run)
            .map_err(|e| Error::io("register the processors' signal")(e.into()))?;
        let control = Arc::new(Control {
            hold: AtomicBool::new(true),
            parked: Mutex::new(0),
            changed: Condvar::new(),
            exit: Mutex::new(None),
            exit_event: EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
                .map_err(Error::io("create an event for exits"))?,
            counters,
        });
        let mut threads = Vec::new();
        for id in 0..count {
            let vcpu = vm.create_vcpu(id.into()).map_err(Error::kvm(format!("create processor {id}")))?;
            vcpu.set_cpuid2(&cpuid::for_vcpu(supported, id, count)?)
                .map_err(Error::kvm(format!("set CPUID of processor {id}")))?;
            registers::set_msrs(&vcpu)?;
            if id == 0 {
                registers::set_entry(&vcpu, ram, entry)?;
            }
            let (control, bus) = (control.clone(), bus.clone());
            let thread = std::thread::Builder::new()
                .name(format!("vcpu{id}"))
                .spawn(move || control.run(vcpu, &bus))
                .map_err(Error::io(format!("start the thread of processor {id}")))?;
            threads.push(thread);
        }
        Ok(Self { threads, control })
    }

    /// Becomes readable when [`Vcpus::take_exit`] has something to tell.
    pub fn exit_event(&self) -> &EventFd {
        &self.control.exit_event
    }

    /// Why a processor stopped for good, once.
    pub fn take_exit(&self) -> Option<Exit> {
        // The count does not matter, only that it is read.
        let _ = self.control.exit_event.read();
        lock(&self.control.exit).take()
    }

    /// Let all processors into the guest.
    pub fn resume(&self) {
        let _parked = lock(&self.control.parked);
        self.control.hold.store(false, Ordering::Release);
        self.control.changed.notify_all();
    }

    /// Bring all processors out of the guest; when this returns true, none runs.
    pub fn pause(&self) -> bool {
        self.control.hold.store(true, Ordering::Release);
        let deadline = Instant::now() + STOP_TIMEOUT;
        let mut parked = lock(&self.control.parked);
        while *parked < self.threads.len() && Instant::now() < deadline {
            for thread in &self.threads {
                // A thread that is gone needs no signal.
                let _ = thread.kill(SIGRTMIN());
            }
            parked = match self.control.changed.wait_timeout(parked, STOP_SIGNAL_INTERVAL) {
                Ok((parked, _)) => parked,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        *parked == self.threads.len()
    }
}

impl Control {
    fn run(&self, mut vcpu: VcpuFd, bus: &Bus) {
        self.park();
        self.counters.mark_entry();
        loop {
            if self.hold.load(Ordering::Acquire) {
                self.park();
                // Tells the guest's clock that it was stopped, so that no watchdog barks; guests without it need nothing.
                let _ = vcpu.kvmclock_ctrl();
            }
            if let Some(exit) = self.run_once(&mut vcpu, bus) {
                lock(&self.exit).get_or_insert(exit);
                self.hold.store(true, Ordering::Release);
                // Cannot fail: the counter is far from its limit.
                let _ = self.exit_event.write(1);
            }
        }
    }

    fn run_once(&self, vcpu: &mut VcpuFd, bus: &Bus) -> Option<Exit> {
        let exit = vcpu.run();
        self.counters.add(&self.counters.vcpu_exits);
        match exit {
            Ok(VcpuExit::IoOut(port, data)) => {
                self.counters.add(&self.counters.vcpu_exits_pio);
                return bus.port_write(port, data);
            }
            Ok(VcpuExit::IoIn(port, data)) => {
                self.counters.add(&self.counters.vcpu_exits_pio);
                bus.port_read(port, data);
            }
            Ok(VcpuExit::MmioWrite(address, data)) => {
                self.counters.add(&self.counters.vcpu_exits_mmio);
                bus.memory_write(address, data);
            }
            Ok(VcpuExit::MmioRead(address, data)) => {
                self.counters.add(&self.counters.vcpu_exits_mmio);
                bus.memory_read(address, data);
            }
            Ok(VcpuExit::Shutdown) => return Some(Exit::Reset),
            Ok(VcpuExit::Intr | VcpuExit::Hlt | VcpuExit::IrqWindowOpen) => {}
            Ok(other) => return Some(Exit::Fault(format!("KVM cannot run the guest: {other:?}"))),
            Err(e) if matches!(e.errno(), libc::EINTR | libc::EAGAIN) => {}
            Err(e) => return Some(Exit::Internal(format!("run a processor: {e}"))),
        }
        None
    }

    fn park(&self) {
        let mut parked = lock(&self.parked);
        *parked += 1;
        self.changed.notify_all();
        while self.hold.load(Ordering::Acquire) {
            parked = self.changed.wait(parked).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *parked -= 1;
    }
}
