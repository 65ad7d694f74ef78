//! What may be asked of one virtual machine: the configuration `hive-vmm` is started with, and the requests its API socket answers.
//!
//! The API socket is a Unix stream socket. Each request is one JSON object on one line, at most [`MAX_LINE_BYTES`] long, and is
//! answered by one JSON line; requests on one connection are answered in order. Try it by hand:
//! `echo '{"method":"describe"}' | socat - UNIX:api.sock`.

#![forbid(unsafe_code)]

pub mod console_log;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest request or reply line. The largest reply is the console, [`MAX_CONSOLE_BYTES`] base64-encoded.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// Most console bytes one request returns: what EC2's GetConsoleOutput keeps (64 KiB).
pub const MAX_CONSOLE_BYTES: usize = 64 << 10;
/// Most virtual CPUs of one machine.
pub const MAX_VCPUS: u8 = 16;
/// Exit status of a VMM whose guest could not be started (bad configuration, no KVM, backend absent).
pub const EXIT_START_FAILED: i32 = 2;

/// Everything `hive-vmm --config FILE` needs. Paths are absolute; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmConfig {
    /// Name of the machine in logs and in `describe`.
    pub vm_id: String,
    /// 1 to [`MAX_VCPUS`].
    pub vcpus: u8,
    /// Guest RAM; a multiple of 2 MiB.
    pub memory_size_bytes: u64,
    pub boot: BootSource,
    #[serde(default)]
    pub disks: Vec<DiskConfig>,
    #[serde(default)]
    pub nets: Vec<NetConfig>,
    pub smbios: Smbios,
    pub console: ConsoleConfig,
    /// Where the API socket listens.
    pub api_socket: PathBuf,
    /// Where the reason of the end is written ([`ExitReport`], atomically) before the process exits.
    pub exit_report: PathBuf,
    /// How long start-up waits for each backend's socket before it fails.
    #[serde(default = "default_backend_timeout_ms")]
    pub backend_timeout_ms: u64,
}

fn default_backend_timeout_ms() -> u64 {
    10_000
}

/// What the first vCPU runs. A bzImage and an ELF with a PVH note are told apart by content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootSource {
    pub kernel: PathBuf,
    #[serde(default)]
    pub initrd: Option<PathBuf>,
    #[serde(default)]
    pub cmdline: String,
}

/// A vhost-user-blk device. The backend listens on `socket`; the VMM connects and reconnects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskConfig {
    /// Name in logs and metrics, a volume id.
    pub id: String,
    pub socket: PathBuf,
    #[serde(default = "one")]
    pub queues: u16,
    #[serde(default = "default_queue_size")]
    pub queue_size: u16,
    #[serde(default)]
    pub read_only: bool,
}

/// A vhost-user-net device. The backend listens on `socket`; the VMM connects and reconnects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetConfig {
    pub id: String,
    pub socket: PathBuf,
    /// `02:00:00:aa:bb:cc`
    pub mac: String,
    #[serde(default = "one")]
    pub queue_pairs: u16,
    #[serde(default = "default_queue_size")]
    pub queue_size: u16,
    /// Offered to the guest by VIRTIO_NET_F_MTU.
    #[serde(default)]
    pub mtu: Option<u16>,
}

fn one() -> u16 {
    1
}

fn default_queue_size() -> u16 {
    256
}

/// SMBIOS strings; cloud-init's EC2 detection reads `vendor`, `uuid` and `serial`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smbios {
    /// RFC 4122 text form; begins with `ec2` for instances.
    pub uuid: String,
    pub vendor: String,
    pub product: String,
    pub version: String,
    pub serial: String,
    /// Chassis asset tag; EC2 puts the instance id here.
    pub asset_tag: String,
}

/// The serial console: a bounded ring file that keeps the newest bytes, and a socket for a live two-way session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleConfig {
    pub log: PathBuf,
    #[serde(default = "default_console_size")]
    pub log_size_bytes: u32,
    pub socket: PathBuf,
}

fn default_console_size() -> u32 {
    256 << 10
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Request {
    /// State, devices, process.
    Describe,
    /// The newest `max_bytes` of serial output (at most [`MAX_CONSOLE_BYTES`]).
    Console {
        max_bytes: usize,
    },
    /// ACPI power button: the guest is asked to shut down.
    PowerButton,
    /// The machine is reset as by its reset register; disks and network stay.
    Reset,
    Pause,
    Resume,
    /// End the machine now; the reply comes before the process exits.
    Stop,
    Metrics,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Describe(Description),
    /// Standard base64 of raw serial output.
    Console {
        output: String,
    },
    Done,
    Metrics(Metrics),
    Error {
        message: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Running,
    Paused,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    pub vm_id: String,
    pub version: String,
    pub pid: u32,
    pub state: State,
    pub vcpus: u8,
    pub memory_size_bytes: u64,
    /// Guest resets since the process started.
    pub resets: u64,
    pub devices: Vec<DeviceDescription>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceDescription {
    pub id: String,
    /// `vhost-user-blk`, `vhost-user-net`, `virtio-rng`
    pub kind: String,
    /// PCI address, `0000:00:03.0`.
    pub pci: String,
    /// A guest driver has set DRIVER_OK.
    pub active: bool,
    /// The backend is connected (true for devices without one).
    pub connected: bool,
    pub reconnects: u64,
}

/// Counters since the process started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Monotonic microseconds from process start to the first vCPU's first entry.
    pub start_to_entry_us: u64,
    pub vcpu_exits: u64,
    pub vcpu_exits_pio: u64,
    pub vcpu_exits_mmio: u64,
    pub serial_bytes: u64,
    pub backend_reconnects: u64,
    /// Kicks that had to pass through the VMM; 0 in a steady data path.
    pub vmm_kicks: u64,
}

/// Why a VMM process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    pub vm_id: String,
    pub reason: ExitReason,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitReason {
    /// The guest powered itself off (S5).
    GuestPowerOff,
    /// `stop` on the API socket, or SIGTERM.
    Stopped,
    /// The guest reached a state KVM cannot run (triple fault is a reset, not this).
    GuestFault,
    /// The machine never ran.
    StartFailed,
    /// A fault of the VMM or of KVM.
    Internal,
}
