//! `hive-vmm`: one process is one virtual machine on KVM.
//!
//! The processors run the guest; the disks and network interfaces are served by other processes over vhost-user, on rings in
//! guest memory. Eventfds that KVM signals and listens to (ioeventfd, irqfd) join the two, so this process sleeps while
//! blocks and packets move. A reset of the guest is a fresh start of this program in the same process (`execve`).
//!
//! # Map
//! | module | what it is |
//! |---|---|
//! | [`config`] | reading and checking [`hive_vmm_api::VmConfig`] |
//! | [`machine`] | building a machine, and the event loop of the main thread |
//! | [`lifecycle`] | from configuration to exit report; reset |
//! | [`layout`], [`memory`] | the guest's address map; RAM as one sealed memory file |
//! | [`boot`] | kernels: PVH ELF, bzImage; initrd, command line, memory map |
//! | [`acpi`], [`smbios`] | tables |
//! | [`cpu`] | CPUID, start registers, processor threads |
//! | [`bus`], [`devices`] | I/O ports; serial console, real-time clock |
//! | [`pci`], [`interrupt`] | configuration space, MSI-X; irqfd and routes |
//! | [`virtio`] | PCI transport, entropy device, queues the VMM serves itself |
//! | [`vhost`] | vhost-user frontends and the device thread |
//! | [`api`], [`console`] | the two sockets |
//! | [`metrics`], [`error`] | counters; the error type |
//! | [`sys`] | system calls without a safe wrapper |
//!
//! # Threads
//! Main: signals, API and console sockets, entropy, control queues. `devices`: all conversation with backends, which may
//! wait for them. `vcpuN`: one a processor; none of them ever waits for another process.
//!
//! # Invariants
//! - No value from the guest or a backend panics, allocates without bound, or blocks a processor.
//! - `unsafe` is in [`sys`], and in [`memory`] where RAM is given to KVM.
//! - Nothing but the console log and the exit report outlives the process.

pub mod acpi;
pub mod api;
pub mod boot;
pub mod bus;
pub mod config;
pub mod console;
pub mod cpu;
pub mod devices;
pub mod error;
pub mod interrupt;
pub mod layout;
pub mod lifecycle;
pub mod machine;
pub mod memory;
pub mod metrics;
pub mod pci;
pub mod smbios;
pub mod sys;
pub mod vhost;
pub mod virtio;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lock a mutex. Poisoning is of no interest: a panic ends the process.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
