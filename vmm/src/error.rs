//! The one error type of the VMM: what was attempted, on which object, and why it failed.

use hive_vmm_api::ExitReason;
use std::io;
use std::path::PathBuf;

/// Why the machine could not be started or kept running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file cannot be read or does not parse.
    #[error("configuration {path}: {reason}")]
    ConfigFile { path: PathBuf, reason: String },
    /// The configuration parses, but describes no machine that can be built.
    #[error("configuration: {0}")]
    Config(String),
    /// A host resource: file, socket, descriptor.
    #[error("{action}: {source}")]
    Io { action: String, source: io::Error },
    /// The host has no usable KVM.
    #[error("{path}: {reason} (hive-vmm needs a host with hardware virtualisation and access to KVM)")]
    NoKvm { path: PathBuf, reason: String },
    /// A KVM operation.
    #[error("{action}: {source}")]
    Kvm { action: String, source: kvm_ioctls::Error },
    /// The kernel or initrd is not what it must be.
    #[error("{path}: {reason}")]
    BootImage { path: PathBuf, reason: String },
    /// A read or write of guest memory by the VMM.
    #[error("{action}: {source}")]
    GuestMemory { action: &'static str, source: vm_memory::GuestMemoryError },
    /// A vhost-user backend.
    #[error("backend of {device} at {socket}: {reason}")]
    Backend { device: String, socket: PathBuf, reason: String },
    /// SIGTERM arrived before the machine ran.
    #[error("stopped by a signal while starting")]
    Interrupted,
}

/// Shorthand for the VMM's results.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Adapter for `map_err` on host I/O: says what was attempted.
    pub fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }

    /// Adapter for `map_err` on KVM operations: says what was attempted.
    pub fn kvm(action: impl Into<String>) -> impl FnOnce(kvm_ioctls::Error) -> Self {
        let action = action.into();
        move |source| Self::Kvm { action, source }
    }

    /// Adapter for `map_err` on accesses to guest memory.
    pub fn guest_memory(action: &'static str) -> impl FnOnce(vm_memory::GuestMemoryError) -> Self {
        move |source| Self::GuestMemory { action, source }
    }

    /// How the exit report classifies this error when it ends the start-up.
    pub fn start_reason(&self) -> ExitReason {
        match self {
            Self::Interrupted => ExitReason::Stopped,
            _ => ExitReason::StartFailed,
        }
    }
}
