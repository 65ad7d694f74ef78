//! The device thread: all conversation with backends once the machine runs, and reconnection when one goes away.

use super::connection::{Connection, REPLY_TIMEOUT};
use super::device::VhostDevice;
use super::session::{self, Inflight, Offer};
use crate::error::{Error, Result};
use crate::memory::{self, GuestRam, SharedRegion};
use crate::metrics::Counters;
use crate::sys;
use crate::virtio::Activation;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;

/// First and longest pause between attempts to connect to a backend that is gone: the first is short because backends
/// restart within milliseconds, the longest bounds the cost of one that stays away.
pub(super) const FIRST_RETRY: Duration = Duration::from_millis(2);
pub(super) const LONGEST_RETRY: Duration = Duration::from_millis(100);
/// A connection that lasted this long was a good one: the next loss starts again from [`FIRST_RETRY`].
const GOOD_CONNECTION: Duration = Duration::from_secs(1);
/// Epoll datum of the wake-up event; the others are device numbers.
const WAKE: u64 = u64::MAX;
/// Events taken from epoll at once.
const EVENT_BATCH: usize = 16;

/// What the transport asks of the thread, by device number.
#[derive(Debug)]
pub enum Command {
    Activate(usize, Activation),
    Reset(usize),
}

/// The sending end of the thread's commands.
#[derive(Clone, Debug)]
pub struct CommandSender {
    queue: SyncSender<Command>,
    event: Arc<EventFd>,
}

impl CommandSender {
    /// Never blocks: the transport has at most one activation and one reset of a device under way.
    pub fn send(&self, command: Command) {
        if let Err(e) = self.queue.try_send(command) {
            tracing::error!(error = %e, "the device thread takes no commands");
        }
        self.wake();
    }

    /// Make the thread look at its devices.
    pub fn wake(&self) {
        // Cannot fail: a full counter is a pending wake-up.
        let _ = self.event.write(1);
    }
}

/// The thread before it runs: where its devices get their senders from.
#[derive(Debug)]
pub struct DeviceThread {
    sender: CommandSender,
    commands: Receiver<Command>,
    devices: Vec<Served>,
}

/// A device and its backend.
#[derive(Debug)]
struct Served {
    device: Arc<VhostDevice>,
    link: Link,
    offer: Offer,
    /// Set while a driver uses the device.
    activation: Option<Activation>,
    inflight: Option<Inflight>,
    /// How many queues the backend was told to enable.
    enabled_queues: u16,
    /// Pause before the next attempt to connect.
    retry_delay: Duration,
}

#[derive(Debug)]
enum Link {
    Up {
        connection: Connection,
        since: Instant,
    },
    /// The backend did not stop its queues when asked. Until it closes its end, it may touch guest memory.
    Finishing(Connection),
    Down {
        retry_at: Instant,
    },
}

impl DeviceThread {
    /// A thread for at most `max_devices` devices.
    pub fn new(max_devices: usize) -> Result<Self> {
        let event = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
            .map_err(Error::io("create the device thread's event"))?;
        let (queue, commands) = sync_channel(2 * max_devices + 1);
        Ok(Self { sender: CommandSender { queue, event: Arc::new(event) }, commands, devices: Vec::new() })
    }

    /// Where devices send their commands.
    pub fn sender(&self) -> CommandSender {
        self.sender.clone()
    }

    /// Number that the next device gets.
    pub fn next_number(&self) -> usize {
        self.devices.len()
    }

    /// Serve `device`, whose backend is connected and has made `offer`.
    pub fn add(&mut self, device: Arc<VhostDevice>, connection: Connection, offer: Offer) {
        self.devices.push(Served {
            enabled_queues: device.enabled_queues.load(Ordering::Acquire),
            device,
            link: Link::Up { connection, since: Instant::now() },
            offer,
            activation: None,
            inflight: None,
            retry_delay: FIRST_RETRY,
        });
    }

    /// Start the thread; it runs as long as the process.
    pub fn run(self, ram: GuestRam, counters: Arc<Counters>) -> Result<()> {
        let fail = || Error::io("start the device thread");
        let epoll = Epoll::new().map_err(fail())?;
        let wake = EpollEvent::new(EventSet::IN, WAKE);
        epoll.ctl(ControlOperation::Add, self.sender.event.as_raw_fd(), wake).map_err(fail())?;
        let regions = memory::shared_regions(&ram);
        let worker = Worker { epoll, ram, regions, counters };
        for (number, served) in self.devices.iter().enumerate() {
            if let Link::Up { connection, .. } = &served.link {
                worker.watch(number, connection).map_err(fail())?;
            }
        }
        std::thread::Builder::new()
            .name("devices".into())
            .spawn(move || worker.run(self.devices, &self.commands, &self.sender.event))
            .map(drop)
            .map_err(fail())
    }
}

/// What the thread works with.
#[derive(Debug)]
struct Worker {
    epoll: Epoll,
    ram: GuestRam,
    regions: Vec<SharedRegion>,
    counters: Arc<Counters>,
}

impl Worker {
    fn run(&self, mut devices: Vec<Served>, commands: &Receiver<Command>, wake: &EventFd) {
        let mut events = [EpollEvent::default(); EVENT_BATCH];
        loop {
            // An interrupted wait comes back without events.
            let count = self.epoll.wait(next_timeout_ms(&devices), &mut events).unwrap_or(0);
            for event in events.iter().take(count).filter(|event| event.data() != WAKE) {
                if let Some(served) = devices.get_mut(event.data() as usize) {
                    self.socket_event(served);
                }
            }
            // The count does not matter, only that it is read before the commands are.
            let _ = wake.read();
            while let Ok(command) = commands.try_recv() {
                match command {
                    Command::Activate(number, activation) => self.activate(&mut devices[number], activation),
                    Command::Reset(number) => self.reset(&mut devices[number]),
                }
            }
            for (number, served) in devices.iter_mut().enumerate() {
                self.adjust_queues(served);
                if matches!(served.link, Link::Down { retry_at } if retry_at <= Instant::now()) {
                    self.reconnect(number, served);
                }
            }
        }
    }

    fn watch(&self, number: usize, connection: &Connection) -> std::io::Result<()> {
        let event = EpollEvent::new(EventSet::IN | EventSet::READ_HANG_UP, number as u64);
        self.epoll.ctl(ControlOperation::Add, connection.as_raw_fd(), event)
    }

    /// Nothing is expected from a backend outside a request: it closed its end, or talks out of turn.
    fn socket_event(&self, served: &mut Served) {
        match &served.link {
            Link::Up { connection, .. } if sys::is_readable(connection, 0) => {
                served.lost("the backend closed the connection");
            }
            Link::Finishing(connection) if connection.is_closed() => {
                served.link = Link::Down { retry_at: Instant::now() };
                served.reset_done();
            }
            _ => {}
        }
    }

    fn activate(&self, served: &mut Served, activation: Activation) {
        served.activation = Some(activation);
        self.start(served);
    }

    /// Start the queues, if the device is active and the backend there.
    fn start(&self, served: &mut Served) {
        let (Link::Up { connection, .. }, Some(activation)) = (&mut served.link, &served.activation) else { return };
        let enabled_queues = served.device.enabled_queues.load(Ordering::Acquire);
        let kind = &*served.device.kind;
        let started = session::start(
            connection,
            kind,
            &served.offer,
            activation,
            &self.ram,
            &self.regions,
            &mut served.inflight,
            enabled_queues,
        );
        served.enabled_queues = enabled_queues;
        if let Err(reason) = started {
            served.lost(&reason);
        }
    }

    fn reset(&self, served: &mut Served) {
        served.inflight = None;
        if let (Link::Up { connection, .. }, Some(activation)) = (&mut served.link, &served.activation)
            && let Err(reason) = session::stop(connection, &*served.device.kind, activation)
        {
            tracing::warn!(device = served.device.id(), reason, "the backend did not stop; waiting for it to close");
            connection.finish();
            served.finish();
            served.activation = None;
            return;
        }
        served.activation = None;
        served.reset_done();
    }

    /// Follow the number of queues the driver wants.
    fn adjust_queues(&self, served: &mut Served) {
        let wanted = served.device.enabled_queues.load(Ordering::Acquire);
        let (Link::Up { connection, .. }, Some(activation)) = (&mut served.link, &served.activation) else { return };
        if wanted == served.enabled_queues {
            return;
        }
        served.enabled_queues = wanted;
        if let Err(reason) = session::enable(connection, &*served.device.kind, activation, wanted) {
            served.lost(&reason);
        }
    }

    fn reconnect(&self, number: usize, served: &mut Served) {
        let device = served.device.clone();
        let attempt = Connection::open(&device.endpoint.socket, REPLY_TIMEOUT)
            .map_err(|e| format!("connect: {e}"))
            .and_then(|mut connection| {
                let offer = session::negotiate(&mut connection, &*device.kind)?;
                self.watch(number, &connection).map_err(|e| format!("watch the connection: {e}"))?;
                Ok((connection, offer))
            });
        match attempt {
            Ok((connection, offer)) => {
                device.set_config(&offer.config);
                device.state.connected.store(true, Ordering::Release);
                device.state.reconnects.fetch_add(1, Ordering::Relaxed);
                self.counters.add(&self.counters.backend_reconnects);
                tracing::info!(device = device.id(), "the backend is back");
                served.offer = offer;
                served.link = Link::Up { connection, since: Instant::now() };
                self.start(served);
            }
            Err(reason) => {
                tracing::debug!(device = device.id(), reason, "the backend is not back yet");
                served.back_off();
            }
        }
    }
}

impl Served {
    /// The connection is of no more use.
    fn lost(&mut self, reason: &str) {
        tracing::warn!(device = self.device.id(), reason, "lost the backend; connecting again");
        if matches!(self.link, Link::Up { since, .. } if since.elapsed() >= GOOD_CONNECTION) {
            self.retry_delay = FIRST_RETRY;
        }
        self.back_off();
    }

    fn back_off(&mut self) {
        self.device.state.connected.store(false, Ordering::Release);
        self.link = Link::Down { retry_at: Instant::now() + self.retry_delay };
        self.retry_delay = (self.retry_delay * 2).min(LONGEST_RETRY);
    }

    /// Keep the connection only to see its end.
    fn finish(&mut self) {
        self.device.state.connected.store(false, Ordering::Release);
        let down = Link::Down { retry_at: Instant::now() };
        self.link = match std::mem::replace(&mut self.link, down) {
            Link::Up { connection, .. } => Link::Finishing(connection),
            other => other,
        };
    }

    fn reset_done(&self) {
        self.device.state.reset_pending.store(false, Ordering::Release);
    }
}

/// Until the next attempt to connect; -1 is for ever.
fn next_timeout_ms(devices: &[Served]) -> i32 {
    let next = devices.iter().filter_map(|served| match served.link {
        Link::Down { retry_at } => Some(retry_at),
        _ => None,
    });
    next.min().map_or(-1, |at| {
        // Rounded up, so that the wait is not cut into slices.
        let wait = at.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
        i32::try_from(wait).unwrap_or(i32::MAX)
    })
}
