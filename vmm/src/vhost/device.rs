//! The guest's side of a vhost-user device: what the transport asks, and what it passes to the device thread.

use super::connection::{Connection, REPLY_TIMEOUT};
use super::message::FEATURE_PROTOCOL;
use super::session::{self, Offer};
use super::thread::{Command, CommandSender, FIRST_RETRY, LONGEST_RETRY};
use super::{Endpoint, Kind};
use crate::error::{Error, Result};
use crate::lock;
use crate::memory::GuestRam;
use crate::pci::copy_from;
use crate::virtio::{Activation, DeviceState, NetControl, VirtioDevice};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;

/// A device served by a backend.
#[derive(Debug)]
pub struct VhostDevice {
    pub(super) endpoint: Endpoint,
    pub(super) kind: Box<dyn Kind>,
    pub(super) state: Arc<DeviceState>,
    /// How many of the backend's queues the driver wants enabled.
    pub(super) enabled_queues: AtomicU16,
    /// Number of this device on the device thread.
    number: usize,
    features: u64,
    config: Mutex<Vec<u8>>,
    kicks: Vec<Arc<EventFd>>,
    control: Option<NetControl>,
    commands: CommandSender,
}

/// Least time that start-up gives a backend for a reply, even past the deadline: the error then tells what is wrong with the
/// backend, not that time was short.
const MIN_START_REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// Wait for a backend, connect, and agree on features. Tried again until `deadline` (None: for ever); `stop_requested` waits
/// as long as it is told and says whether to give up.
pub fn connect(
    endpoint: &Endpoint,
    kind: &dyn Kind,
    deadline: Option<Instant>,
    stop_requested: &dyn Fn(Duration) -> bool,
) -> Result<(Connection, Offer)> {
    let mut retry_delay = FIRST_RETRY;
    loop {
        let remaining = deadline.map_or(REPLY_TIMEOUT, |deadline| deadline.saturating_duration_since(Instant::now()));
        let reply_timeout = remaining.clamp(MIN_START_REPLY_TIMEOUT, REPLY_TIMEOUT);
        let attempt = Connection::open(&endpoint.socket, reply_timeout)
            .map_err(|e| format!("connect: {e}"))
            .and_then(|mut connection| session::negotiate(&mut connection, kind).map(|offer| (connection, offer)));
        let reason = match attempt {
            Ok((mut connection, offer)) => {
                connection.set_reply_timeout(REPLY_TIMEOUT);
                return Ok((connection, offer));
            }
            Err(reason) => reason,
        };
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::Backend { device: endpoint.device.clone(), socket: endpoint.socket.clone(), reason });
        }
        tracing::debug!(device = endpoint.device, reason, "the backend is not ready yet");
        if stop_requested(retry_delay) {
            return Err(Error::Interrupted);
        }
        retry_delay = (retry_delay * 2).min(LONGEST_RETRY);
    }
}

impl VhostDevice {
    /// The device whose backend made this `offer`; `number` and `commands` lead to its place on the device thread.
    pub fn new(
        endpoint: Endpoint,
        kind: Box<dyn Kind>,
        offer: &Offer,
        ram: &GuestRam,
        number: usize,
        commands: CommandSender,
    ) -> Result<Self> {
        let event = || EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC).map(Arc::new);
        let mut kicks = (0..kind.backend_queues())
            .map(|_| event())
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(Error::io("create queue events"))?;
        // A device with more than one pair has a control queue behind them.
        let pairs = kind.backend_queues() / 2;
        let multi_pair = kind.queues_at_start() < kind.backend_queues();
        let control = multi_pair
            .then(|| NetControl::new(ram.clone(), pairs))
            .transpose()
            .map_err(Error::io("create the control queue"))?;
        kicks.extend(control.iter().map(|control| control.kick().clone()));
        let features = (kind.passed_features() & offer.features & !FEATURE_PROTOCOL) | kind.own_features();
        let state = DeviceState::default();
        state.connected.store(true, Ordering::Release);
        Ok(Self {
            enabled_queues: AtomicU16::new(kind.queues_at_start()),
            config: Mutex::new(kind.config(&offer.config)),
            state: Arc::new(state),
            endpoint,
            kind,
            number,
            features,
            kicks,
            control,
            commands,
        })
    }

    /// Name of the device in the API.
    pub fn id(&self) -> &str {
        &self.endpoint.device
    }

    /// Kind of the device in the API.
    pub fn kind_name(&self) -> &'static str {
        self.kind.name()
    }

    /// The event of the control queue, if the device has one; [`VhostDevice::process_control`] serves it.
    pub fn control_event(&self) -> Option<&Arc<EventFd>> {
        self.control.as_ref().map(NetControl::kick)
    }

    /// Serve the control queue.
    pub fn process_control(&self) {
        if let Some(control) = &self.control {
            control.process(|pairs| {
                self.enabled_queues.store(pairs * 2, Ordering::Release);
                self.commands.wake();
            });
        }
    }

    /// A backend connected anew: if it has another configuration, the driver is told.
    pub(super) fn set_config(&self, from_backend: &[u8]) {
        let config = self.kind.config(from_backend);
        let changed = {
            let mut current = lock(&self.config);
            let changed = *current != config;
            *current = config;
            changed
        };
        if changed {
            self.state.config_changed();
        }
    }
}

impl VirtioDevice for VhostDevice {
    fn device_type(&self) -> u16 {
        self.kind.device_type()
    }
    fn pci_class(&self) -> u32 {
        self.kind.pci_class()
    }
    fn features(&self) -> u64 {
        self.features
    }
    fn queue_sizes(&self) -> Vec<u16> {
        vec![self.kind.queue_size(); self.kicks.len()]
    }
    fn kick(&self, index: usize) -> Option<&Arc<EventFd>> {
        self.kicks.get(index)
    }
    fn read_config(&self, offset: usize, data: &mut [u8]) {
        copy_from(&lock(&self.config), offset, data);
    }
    fn activate(&self, activation: Activation) {
        self.enabled_queues.store(self.kind.queues_at_start(), Ordering::Release);
        let control_queue = activation.queues.iter().find(|queue| queue.index >= self.kind.backend_queues());
        if let (Some(control), Some(queue)) = (&self.control, control_queue)
            && !control.start(queue)
        {
            self.state.fail();
        }
        self.commands.send(Command::Activate(self.number, activation));
    }
    fn reset(&self) {
        if let Some(control) = &self.control {
            control.stop();
        }
        self.commands.send(Command::Reset(self.number));
    }
    fn state(&self) -> &Arc<DeviceState> {
        &self.state
    }
}
