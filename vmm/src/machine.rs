//! Building a machine from its configuration, and the main thread's event loop.

use crate::acpi;
use crate::api::ApiServer;
use crate::boot::{self, Entry};
use crate::bus::Bus;
use crate::config::parse_mac;
use crate::console::ConsoleServer;
use crate::cpu::{self, Exit, Vcpus};
use crate::devices::{RingLog, Rtc, SerialPort};
use crate::error::{Error, Result};
use crate::interrupt::Interrupts;
use crate::layout;
use crate::memory::{self, GuestRam};
use crate::metrics::Counters;
use crate::pci::{HostBridge, MAX_DEVICES, PciBus};
use crate::smbios;
use crate::sys;
use crate::vhost::{self, Block, DeviceThread, Endpoint, Kind, Net, VhostDevice};
use crate::virtio::{BAR_BYTES, DeviceState, Entropy, Transport, VirtioDevice, VirtioPci};
use base64::Engine as _;
use hive_vmm_api::{
    Description, DeviceDescription, ExitReason, MAX_CONSOLE_BYTES, Metrics, Reply, Request, State, VmConfig,
};
use kvm_ioctls::{Cap, Kvm};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::signal::{Error as SignalError, block_signal};

/// The only version of the KVM API there ever was.
const KVM_API_VERSION: i32 = 12;
/// PCI device numbers: fixed by kind, so that a disk more or less does not rename a network interface.
const SLOT_HOST_BRIDGE: usize = 0;
const SLOT_ENTROPY: usize = 1;
const SLOT_FIRST_NET: usize = 2;
const SLOT_FIRST_DISK: usize = SLOT_FIRST_NET + crate::config::MAX_NETS;
const _: () = assert!(SLOT_FIRST_DISK + crate::config::MAX_DISKS == MAX_DEVICES);
/// Events taken from epoll at once.
const EVENT_BATCH: usize = 16;

/// Epoll data: what is ready. Numbered ones have their number in the low half.
const TOKEN_SIGNAL: u64 = 0;
const TOKEN_EXIT: u64 = 1;
const TOKEN_API: u64 = 2;
const TOKEN_CONSOLE: u64 = 3;
const TOKEN_SERIAL_OUTPUT: u64 = 4;
const TOKEN_SERIAL_INPUT: u64 = 5;
const TOKEN_ENTROPY: u64 = 6;
const NUMBER_MASK: u64 = u32::MAX as u64;
const KIND_API_CLIENT: u64 = 1 << 32;
const KIND_CONSOLE_CLIENT: u64 = 2 << 32;
const KIND_NET_CONTROL: u64 = 3 << 32;

/// Where the machine's life begins: fresh, or after a reset of the guest.
#[derive(Clone, Debug)]
pub struct Begin {
    pub started: Instant,
    pub resets: u64,
    pub metrics: Metrics,
}

/// How the main loop ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest is to begin anew.
    Reset,
    /// The process is to end, for this reason.
    Report(ExitReason, String),
}

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    config: VmConfig,
    resets: u64,
    state: State,
    counters: Arc<Counters>,
    vcpus: Vcpus,
    serial: Arc<SerialPort>,
    power_button: EventFd,
    entropy: Arc<Entropy>,
    vhost_devices: Vec<Arc<VhostDevice>>,
    plugged: Vec<Plugged>,
    signals: OwnedFd,
    epoll: Epoll,
    api: Option<ApiServer>,
    console: ConsoleServer,
    /// Set by a request that ends the machine's run.
    end: Option<End>,
}

/// A device on the bus, for `describe`.
#[derive(Debug)]
struct Plugged {
    slot: usize,
    id: String,
    kind: &'static str,
    state: Arc<DeviceState>,
}

/// What is needed while devices are plugged in.
struct Plugging {
    bus: PciBus,
    transport: Transport,
    plugged: Vec<Plugged>,
}

impl Plugging {
    fn plug(&mut self, slot: usize, id: &str, kind: &'static str, device: Arc<dyn VirtioDevice>) -> Result<()> {
        self.plugged.push(Plugged { slot, id: id.to_owned(), kind, state: device.state().clone() });
        let bar_base = layout::PCI_MMIO_START as u32 + slot as u32 * BAR_BYTES;
        let function = VirtioPci::new(device, self.transport.clone(), bar_base)?;
        self.bus.plug(slot, Arc::new(function));
        Ok(())
    }
}

impl Machine {
    /// Build the machine; its processors do not run yet.
    pub fn build(config: &VmConfig, kvm_path: &Path, begin: &Begin) -> Result<Self> {
        let signals = block_signals()?;
        let api = ApiServer::new(&config.api_socket)?;
        let counters = Arc::new(Counters::new(begin.started, &begin.metrics));
        let log = Arc::new(RingLog::open(&config.console.log, config.console.log_size_bytes)?);
        let kvm = open_kvm(kvm_path)?;
        let vm = Arc::new(kvm.create_vm().map_err(Error::kvm("create a virtual machine"))?);
        let ram = memory::create(config.memory_size_bytes)?;
        memory::register(&vm, &ram)?;
        vm.set_identity_map_address(layout::KVM_IDENTITY_MAP).map_err(Error::kvm("place KVM's identity map"))?;
        vm.set_tss_address(layout::KVM_TSS as usize).map_err(Error::kvm("place KVM's task state"))?;
        vm.create_irq_chip().map_err(Error::kvm("create the interrupt controllers"))?;
        let interrupts = Arc::new(Interrupts::new(vm.clone()));

        // The kernel is unpacked while backends are waited for.
        let (entry, links) = std::thread::scope(|scope| {
            let kernel = scope.spawn(|| prepare_memory(&ram, config));
            let links = connect_backends(config, begin, &signals);
            (kernel.join().unwrap_or_else(|_| Err(Error::Config("loading the kernel failed".into()))), links)
        });
        let (entry, links) = (entry?, links?);

        let transport =
            Transport { vm: vm.clone(), ram: ram.clone(), interrupts: interrupts.clone(), counters: counters.clone() };
        let mut plugging = Plugging { bus: PciBus::default(), transport, plugged: Vec::new() };
        plugging.bus.plug(SLOT_HOST_BRIDGE, Arc::new(HostBridge::default()));
        let entropy = Arc::new(Entropy::new(ram.clone()).map_err(Error::io("create the entropy device"))?);
        plugging.plug(SLOT_ENTROPY, "rng", "virtio-rng", entropy.clone())?;
        let mut device_thread = DeviceThread::new(links.len())?;
        let mut vhost_devices = Vec::new();
        for link in links {
            let number = device_thread.next_number();
            let sender = device_thread.sender();
            let device = Arc::new(VhostDevice::new(link.endpoint, link.kind, &link.offer, &ram, number, sender)?);
            plugging.plug(link.slot, device.id(), device.kind_name(), device.clone())?;
            device_thread.add(device.clone(), link.connection, link.offer);
            vhost_devices.push(device);
        }
        device_thread.run(ram.clone(), counters.clone())?;

        let serial = SerialPort::new(interrupts.pin(layout::IRQ_SERIAL)?, log, counters.clone())
            .map(Arc::new)
            .map_err(Error::io("create the serial port"))?;
        let power_button = interrupts.pin(layout::IRQ_POWER_BUTTON)?;
        let console = ConsoleServer::new(&config.console.socket, serial.clone())?;
        let Plugging { bus: pci, plugged, .. } = plugging;
        let bus = Arc::new(Bus { serial: serial.clone(), rtc: Mutex::new(Rtc::default()), pci: Arc::new(pci) });
        let supported = cpu::supported_cpuid(&kvm)?;
        let vcpus = Vcpus::start(&vm, &supported, config.vcpus, &ram, entry, bus, counters.clone())?;
        let epoll = Epoll::new().map_err(Error::io("create the event loop"))?;
        let machine = Self {
            config: config.clone(),
            resets: begin.resets,
            state: State::Running,
            counters,
            vcpus,
            serial,
            power_button,
            entropy,
            vhost_devices,
            plugged,
            signals,
            epoll,
            api: Some(api),
            console,
            end: None,
        };
        machine.watch_all().map_err(Error::io("set up the event loop"))?;
        Ok(machine)
    }

    fn watch_all(&self) -> std::io::Result<()> {
        self.watch(self.signals.as_raw_fd(), TOKEN_SIGNAL)?;
        self.watch(self.vcpus.exit_event().as_raw_fd(), TOKEN_EXIT)?;
        self.api.iter().try_for_each(|api| self.watch(api.listener(), TOKEN_API))?;
        self.watch(self.console.listener(), TOKEN_CONSOLE)?;
        self.watch(self.serial.output_event().as_raw_fd(), TOKEN_SERIAL_OUTPUT)?;
        self.watch(self.serial.input_space_event().as_raw_fd(), TOKEN_SERIAL_INPUT)?;
        if let Some(kick) = self.entropy.kick(0) {
            self.watch(kick.as_raw_fd(), TOKEN_ENTROPY)?;
        }
        for (number, device) in (0..).zip(&self.vhost_devices) {
            if let Some(event) = device.control_event() {
                self.watch(event.as_raw_fd(), KIND_NET_CONTROL | number)?;
            }
        }
        Ok(())
    }

    fn watch(&self, fd: RawFd, token: u64) -> std::io::Result<()> {
        self.epoll.ctl(ControlOperation::Add, fd, EpollEvent::new(EventSet::IN, token))
    }

    /// Run until the machine ends or begins anew.
    pub fn run(&mut self) -> Result<End> {
        self.vcpus.resume();
        tracing::info!(vm_id = self.config.vm_id, resets = self.resets, "the machine runs");
        let mut events = [EpollEvent::default(); EVENT_BATCH];
        loop {
            let count = match self.epoll.wait(-1, &mut events) {
                Err(e) if e.kind() != std::io::ErrorKind::Interrupted => {
                    return Err(Error::io("wait for events")(e));
                }
                result => result.unwrap_or(0),
            };
            for event in &events[..count] {
                self.dispatch(event.data());
            }
            if let Some(end) = self.end.take() {
                return Ok(end);
            }
        }
    }

    fn dispatch(&mut self, token: u64) {
        let number = token & NUMBER_MASK;
        match token {
            TOKEN_SIGNAL => self.end = Some(End::Report(ExitReason::Stopped, "stopped by a signal".into())),
            TOKEN_EXIT => self.take_exit(),
            TOKEN_API => {
                if let Some((client, fd)) = self.api.as_mut().and_then(ApiServer::accept) {
                    // If this fails, the client sees no answer; the machine goes on.
                    let _ = self.watch(fd, KIND_API_CLIENT | client);
                }
            }
            TOKEN_CONSOLE => {
                if let Some((session, fd)) = self.console.accept() {
                    let _ = self.watch(fd, KIND_CONSOLE_CLIENT | session);
                }
            }
            TOKEN_SERIAL_OUTPUT => {
                // The count does not matter, only that it is read.
                let _ = self.serial.output_event().read();
                self.serve_console();
            }
            TOKEN_SERIAL_INPUT => {
                let _ = self.serial.input_space_event().read();
                self.serve_console();
            }
            TOKEN_ENTROPY => self.entropy.process(),
            _ => match token & !NUMBER_MASK {
                KIND_API_CLIENT => self.serve_api(number),
                KIND_CONSOLE_CLIENT => self.serve_session(number),
                KIND_NET_CONTROL => {
                    if let Some(device) = self.vhost_devices.get(number as usize) {
                        device.process_control();
                    }
                }
                _ => {}
            },
        }
    }

    fn take_exit(&mut self) {
        self.end = self.vcpus.take_exit().map(|exit| match exit {
            Exit::Reset => End::Reset,
            Exit::PowerOff => End::Report(ExitReason::GuestPowerOff, "the guest powered off".into()),
            Exit::Fault(message) => End::Report(ExitReason::GuestFault, message),
            Exit::Internal(message) => End::Report(ExitReason::Internal, message),
        });
    }

    fn serve_console(&mut self) {
        for number in self.console.numbers() {
            self.serve_session(number);
        }
    }

    fn serve_session(&mut self, number: u64) {
        if let Some((fd, events)) = self.console.ready(number) {
            self.rewatch(fd, KIND_CONSOLE_CLIENT | number, events);
        }
    }

    fn serve_api(&mut self, number: u64) {
        // Taken out for the time of the call, because requests act on the rest of the machine.
        let Some(mut api) = self.api.take() else { return };
        if let Some((fd, events)) = api.ready(number, |request| self.handle(&request)) {
            self.rewatch(fd, KIND_API_CLIENT | number, events);
        }
        self.api = Some(api);
    }

    fn rewatch(&self, fd: RawFd, token: u64, events: EventSet) {
        // Cannot fail: the descriptor is open and watched.
        let _ = self.epoll.ctl(ControlOperation::Modify, fd, EpollEvent::new(events, token));
    }

    fn handle(&mut self, request: &Request) -> Reply {
        match request {
            Request::Describe => Reply::Describe(self.describe()),
            Request::Console { max_bytes } => {
                let newest = self.serial.log().newest((*max_bytes).min(MAX_CONSOLE_BYTES));
                Reply::Console { output: base64::engine::general_purpose::STANDARD.encode(newest) }
            }
            Request::PowerButton => match self.power_button.write(1) {
                Ok(()) => Reply::Done,
                Err(e) => Reply::Error { message: format!("press the power button: {e}") },
            },
            Request::Reset => self.finish(End::Reset),
            Request::Pause => {
                if !self.vcpus.pause() {
                    return Reply::Error { message: "the processors do not stop".into() };
                }
                self.state = State::Paused;
                Reply::Done
            }
            Request::Resume => {
                self.vcpus.resume();
                self.state = State::Running;
                Reply::Done
            }
            Request::Stop => self.finish(End::Report(ExitReason::Stopped, "stopped by the API".into())),
            Request::Metrics => Reply::Metrics(self.metrics()),
        }
    }

    fn finish(&mut self, end: End) -> Reply {
        self.end = Some(end);
        Reply::Done
    }

    fn describe(&self) -> Description {
        Description {
            vm_id: self.config.vm_id.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            state: self.state,
            vcpus: self.config.vcpus,
            memory_size_bytes: self.config.memory_size_bytes,
            resets: self.resets,
            devices: self.plugged.iter().map(Plugged::describe).collect(),
        }
    }

    /// Counters since the process started.
    pub fn metrics(&self) -> Metrics {
        self.counters.snapshot()
    }

    /// Remove the sockets, so that nobody tries to reach a machine that is gone.
    pub fn remove_sockets(&self) {
        for path in [&self.config.api_socket, &self.config.console.socket] {
            // Someone else may have removed it already.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Plugged {
    fn describe(&self) -> DeviceDescription {
        DeviceDescription {
            id: self.id.clone(),
            kind: self.kind.into(),
            pci: format!("0000:00:{:02x}.0", self.slot),
            active: self.state.active.load(Ordering::Acquire),
            connected: self.state.connected.load(Ordering::Acquire),
            reconnects: self.state.reconnects.load(Ordering::Relaxed),
        }
    }
}

/// Route SIGTERM and SIGINT to a descriptor. Done before any other thread begins, since threads inherit the mask.
fn block_signals() -> Result<OwnedFd> {
    let signals = [libc::SIGTERM, libc::SIGINT];
    for signal in signals {
        match block_signal(signal) {
            // After a reset the mask is as it was.
            Ok(()) | Err(SignalError::SignalAlreadyBlocked(_)) => {}
            Err(e) => return Err(Error::io("block signals")(std::io::Error::other(format!("{e:?}")))),
        }
    }
    sys::signal_fd(&signals).map_err(Error::io("watch for signals"))
}

/// Open KVM, and check that it is what it must be.
fn open_kvm(path: &Path) -> Result<Kvm> {
    let no_kvm = |reason: String| Error::NoKvm { path: path.to_owned(), reason };
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| no_kvm("the path contains a NUL".into()))?;
    let kvm = Kvm::new_with_path(&name).map_err(|e| no_kvm(format!("open: {e}")))?;
    let version = kvm.get_api_version();
    if version != KVM_API_VERSION {
        return Err(no_kvm("this is not a KVM device".into()));
    }
    let needed = [
        Cap::Irqchip,
        Cap::Ioeventfd,
        Cap::IoeventfdNoLength,
        Cap::Irqfd,
        Cap::UserMemory,
        Cap::ImmediateExit,
        Cap::TscDeadlineTimer,
    ];
    match needed.into_iter().find(|capability| !kvm.check_extension(*capability)) {
        Some(missing) => Err(no_kvm(format!("this KVM lacks {missing:?}"))),
        None => Ok(kvm),
    }
}

/// Tables, kernel, initrd.
fn prepare_memory(ram: &GuestRam, config: &VmConfig) -> Result<Entry> {
    let rsdp = acpi::write(ram, config.vcpus)?;
    smbios::write(ram, &config.smbios, config.memory_size_bytes)?;
    boot::load(ram, &config.boot, rsdp)
}

/// A device whose backend is connected.
struct Link {
    slot: usize,
    endpoint: Endpoint,
    kind: Box<dyn Kind>,
    connection: vhost::Connection,
    offer: vhost::Offer,
}

/// Connect to every backend: within the configured time at first, for as long as it takes after a reset, when the machine
/// is known to be good.
fn connect_backends(config: &VmConfig, begin: &Begin, signals: &OwnedFd) -> Result<Vec<Link>> {
    let deadline = (begin.resets == 0).then(|| Instant::now() + Duration::from_millis(config.backend_timeout_ms));
    let stop_requested = |pause: Duration| sys::is_readable(signals, pause.as_millis() as i32);
    let mut links = Vec::new();
    let nets = (SLOT_FIRST_NET..).zip(&config.nets).map(|(slot, net)| {
        let mac = parse_mac(&net.mac).ok_or_else(|| Error::Config(format!("net {}: bad MAC", net.id)))?;
        Ok((slot, &net.id, &net.socket, Box::new(Net::new(net, mac)) as Box<dyn Kind>))
    });
    let disks = (SLOT_FIRST_DISK..)
        .zip(&config.disks)
        .map(|(slot, disk)| Ok((slot, &disk.id, &disk.socket, Box::new(Block::new(disk)) as Box<dyn Kind>)));
    for device in nets.chain(disks) {
        let (slot, id, socket, kind) = device?;
        let endpoint = Endpoint { device: id.clone(), socket: socket.clone() };
        let (connection, offer) = vhost::connect(&endpoint, &*kind, deadline, &stop_requested)?;
        links.push(Link { slot, endpoint, kind, connection, offer });
    }
    Ok(links)
}
