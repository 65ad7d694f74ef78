//! The thread that speaks with the database: connects and connects again, hands out configurations, writes status.

use crate::remote::{Remote, Stream};
use crate::session::{Event, Known, Session};
use crate::snapshot::{Configuration, Snapshot, Version, ofports};
use crate::status::Status;
use crate::talk::{Ended, Talk, timespec};
use crate::transaction::Outcome;
use crate::writer::Writer;
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// For the last transaction of a switch that ends.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// How the client treats its server.
#[derive(Debug, Clone)]
pub struct Options {
    pub remote: Remote,
    /// A server that was silent for this long is probed, and left after as long again.
    pub probe_interval: Duration,
    /// Between attempts to connect: from the first, doubled each time, to the second.
    pub min_backoff: Duration,
    pub max_backoff: Duration,
}

impl Options {
    /// With the intervals of Open vSwitch, but a quicker first attempt: the database is usually on the same node.
    pub fn new(remote: Remote) -> Self {
        Self {
            remote,
            probe_interval: Duration::from_secs(5),
            min_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(8),
        }
    }
}

/// How things stand with the database. A switch goes on with what it has, whatever this says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    Connecting,
    /// The next attempt follows.
    Disconnected {
        reason: String,
    },
    /// Another switch is at work on this database: nothing is handed out until it is gone.
    WaitingForLock,
    Active,
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot start the database's thread: {0}")]
    Start(#[source] std::io::Error),
}

#[derive(Debug)]
struct Desk {
    /// The newest configuration, until it is taken: an older one that nobody took is of no use to anybody.
    snapshot: Option<Snapshot>,
    /// The newest report, until it is written.
    status: Option<Status>,
    connection: Connection,
    stop: bool,
}

struct Shared {
    desk: Mutex<Desk>,
    handed: Condvar,
    /// Wakes the client's thread.
    bell: OwnedFd,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // Non-blocking; a counter that is full has already woken the thread.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

/// A client of the database, on a thread of its own.
pub struct Client {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connection", &self.connection()).finish_non_exhaustive()
    }
}

impl Client {
    /// Starts to connect. `wake` is called on the client's thread whenever there is a configuration to take, or the connection
    /// changed; it must not block.
    pub fn start(options: Options, wake: impl Fn() + Send + 'static) -> Result<Self, ClientError> {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| ClientError::Start(error.into()))?;
        let desk = Desk { snapshot: None, status: None, connection: Connection::Connecting, stop: false };
        let shared = Arc::new(Shared { desk: Mutex::new(desk), handed: Condvar::new(), bell });
        let worker = Worker {
            options,
            shared: shared.clone(),
            wake: Box::new(wake),
            writer: Writer::default(),
            delivered: None,
            generation: 0,
            refusal: None,
        };
        let thread = std::thread::Builder::new()
            .name("ovsdb".to_owned())
            .spawn(move || worker.run())
            .map_err(ClientError::Start)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The newest configuration, if it was not taken yet.
    pub fn take(&self) -> Option<Snapshot> {
        self.shared.desk().snapshot.take()
    }

    /// The same, waiting for one for up to `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<Snapshot> {
        let waiting = |desk: &mut Desk| desk.snapshot.is_none();
        let waited = self.shared.handed.wait_timeout_while(self.shared.desk(), timeout, waiting);
        waited.unwrap_or_else(PoisonError::into_inner).0.snapshot.take()
    }

    pub fn connection(&self) -> Connection {
        self.shared.desk().connection.clone()
    }

    /// Hands over what the switch has to say. It is written as soon as it may be; a newer report replaces one that was not yet.
    pub fn report(&self, status: Status) {
        self.shared.desk().status = Some(status);
        self.shared.ring();
    }

    /// Writes what was reported last, takes the datapaths back, and ends. Dropping the client does the same.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.desk().stop = true;
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}

struct Worker {
    options: Options,
    shared: Arc<Shared>,
    wake: Box<dyn Fn() + Send>,
    writer: Writer,
    delivered: Option<Arc<Configuration>>,
    generation: u64,
    /// Why the database last refused a transaction.
    refusal: Option<String>,
}

impl Worker {
    fn run(mut self) {
        let mut known = Known::default();
        let mut backoff = self.options.min_backoff;
        loop {
            let reason = match self.options.remote.connect() {
                Ok(stream) => {
                    let mut session = Session::new(known);
                    let ended = self.converse(stream, &mut session);
                    if session.is_synchronised() {
                        backoff = self.options.min_backoff;
                    }
                    known = session.into_known();
                    match ended {
                        Ended::Stopped => return,
                        other => other.to_string(),
                    }
                }
                Err(error) => format!("cannot connect: {error}"),
            };
            self.connection(Connection::Disconnected { reason });
            if self.pause(backoff) {
                return;
            }
            backoff = (backoff * 2).min(self.options.max_backoff);
        }
    }

    fn connection(&self, connection: Connection) {
        let mut desk = self.shared.desk();
        if desk.connection == connection {
            return;
        }
        let remote = &self.options.remote;
        match &connection {
            Connection::Connecting => {}
            Connection::Disconnected { reason } => tracing::warn!(%remote, %reason, "database connection lost"),
            Connection::WaitingForLock => {
                tracing::warn!(%remote, "another switch serves this database; waiting until it is gone");
            }
            Connection::Active => tracing::info!(%remote, "serving the database"),
        }
        desk.connection = connection;
        drop(desk);
        (self.wake)();
    }

    /// Waits; says whether the client is to stop.
    fn pause(&self, duration: Duration) -> bool {
        let until = Instant::now() + duration;
        loop {
            if self.shared.desk().stop {
                return true;
            }
            let now = Instant::now();
            if now >= until {
                return false;
            }
            let mut bell = [PollFd::new(&self.shared.bell, PollFlags::IN)];
            if rustix::event::poll(&mut bell, Some(&timespec(until - now))).is_err() {
                continue;
            }
            self.silence();
        }
    }

    fn silence(&self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.shared.bell, &mut count);
    }

    fn converse(&mut self, stream: Stream, session: &mut Session) -> Ended {
        let mut talk = Talk::new(stream, session, Instant::now());
        loop {
            if let Err(ended) = self.turn(&mut talk) {
                return ended;
            }
        }
    }

    /// Sends what there is, waits for something to happen, and follows it.
    fn turn(&mut self, talk: &mut Talk<'_>) -> Result<(), Ended> {
        talk.send()?;
        let bell = talk.wait(&self.shared.bell, self.wake_at(talk))?;
        if bell {
            self.silence();
        }
        for event in talk.receive()? {
            self.follow(talk, &event);
        }
        let (status, stop) = {
            let mut desk = self.shared.desk();
            (desk.status.take(), desk.stop)
        };
        if let Some(status) = status {
            self.writer.report(status);
        }
        self.hand_out(talk);
        if stop { self.take_leave(talk) } else { self.write(talk) }
    }

    /// When the next timer of this connection runs out.
    fn wake_at(&self, talk: &Talk<'_>) -> Instant {
        let now = Instant::now();
        let due = talk.may_write().then(|| self.writer.due(talk.session.replica(), now)).flatten();
        [Some(talk.next_probe(self.options.probe_interval)), due, talk.deadline(), talk.farewell]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now)
    }

    fn follow(&mut self, talk: &mut Talk<'_>, event: &Event) {
        match event {
            Event::Configuration => talk.changed = true,
            Event::Lock => {
                talk.changed = true;
                if talk.session.lock() != Some(true) {
                    // Another switch serves the database now: whatever we had comes anew.
                    self.delivered = None;
                }
            }
            Event::Transaction(outcome) => {
                talk.transacting = None;
                match outcome {
                    Outcome::Committed => {}
                    // Tried again every second: the same reason is told once.
                    Outcome::Failed(error) if self.refusal.as_ref() != Some(error) => {
                        tracing::warn!(%error, "the database refuses a status");
                        self.refusal = Some(error.clone());
                    }
                    Outcome::Failed(_) => {}
                    Outcome::Conflict | Outcome::NotOwner => tracing::debug!(?outcome, "status not written"),
                }
                self.writer.finished(outcome, Instant::now());
            }
        }
        match (talk.session.is_synchronised(), talk.session.lock()) {
            (_, Some(false)) => self.connection(Connection::WaitingForLock),
            (true, Some(true)) => self.connection(Connection::Active),
            _ => {}
        }
    }

    /// Hands out the configuration, if it is another.
    fn hand_out(&mut self, talk: &mut Talk<'_>) {
        if !talk.changed || !talk.is_active() {
            return;
        }
        talk.changed = false;
        let replica = talk.session.replica();
        let configuration = Configuration::read(replica);
        let fresh = std::mem::take(&mut talk.fresh);
        if self.delivered.as_deref() == Some(&configuration) {
            // A database that came back has lost what it does not keep on disk.
            self.writer.touch();
            return;
        }
        self.warn_of_new_problems(&configuration);
        self.generation += 1;
        let configuration = Arc::new(configuration);
        self.writer.configured(&configuration, self.generation, fresh);
        self.delivered = Some(configuration.clone());
        let version = Version { generation: self.generation, next_cfg: configuration.open_vswitch.next_cfg };
        self.shared.desk().snapshot = Some(Snapshot { version, configuration, ofports: ofports(replica) });
        self.shared.handed.notify_all();
        (self.wake)();
    }

    fn warn_of_new_problems(&self, configuration: &Configuration) {
        let before = self.delivered.as_deref().map_or(&[][..], |before| &before.problems);
        for problem in configuration.problems.iter().filter(|problem| !before.contains(problem)) {
            let (table, name) = (problem.table.name(), &problem.name);
            tracing::warn!(table, name, refused = problem.refused, "{}", problem.message);
        }
    }

    fn write(&mut self, talk: &mut Talk<'_>) -> Result<(), Ended> {
        let now = Instant::now();
        if talk.may_write() && self.writer.due(talk.session.replica(), now).is_some_and(|due| due <= now) {
            let operations = self.writer.plan(talk.session.replica(), talk.session.schema(), now);
            talk.transact(&operations, now);
        }
        talk.check_timers(now, self.options.probe_interval)
    }

    /// The last words: what was reported and not written, then the datapaths. The server's updates come before its answer, so what is
    /// still there to take back after a transaction was not taken back by it.
    fn take_leave(&mut self, talk: &mut Talk<'_>) -> Result<(), Ended> {
        let now = Instant::now();
        let until = *talk.farewell.get_or_insert(now + FAREWELL_TIMEOUT);
        if !talk.is_active() || now >= until {
            return Err(Ended::Stopped);
        }
        if talk.transacting.is_some() {
            return Ok(());
        }
        let (replica, schema) = (talk.session.replica(), talk.session.schema());
        let mut operations = Vec::new();
        if !talk.last_written {
            talk.last_written = true;
            operations = self.writer.plan(replica, schema, now);
        }
        if operations.is_empty() {
            operations = self.writer.farewell(replica);
        }
        if operations.is_empty() {
            return Err(Ended::Stopped);
        }
        talk.transact(&operations, now);
        Ok(())
    }
}
