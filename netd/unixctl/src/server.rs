//! The socket and its clients, on one thread that waits for none of them.

use crate::commands::{Address, Answer, Commands, Outbox, Reply};
use hive_jsonrpc::{Channel, ChannelError, Limits, Message, Received};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A request is a command and its arguments: the largest is a packet in hexadecimal, or a file of flows.
const LIMITS: Limits = Limits { message_bytes: 4 << 20, values: 4096, objects: 16 };
/// The text of one answer: some hundred thousand lines of flows.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Answers, encoded, that wait for their clients to take them. One more is then an error instead.
const MAX_UNSENT_BYTES: usize = 256 << 20;
/// Clients at a time. For one more, the one that was idle longest goes.
const MAX_CLIENTS: usize = 64;
/// A client that neither takes its answer nor ends its request for this long is left.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// For clients to take the last answers of a server that stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// After the listener failed, as it does when the process has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{path}: another process answers here")]
    InUse { path: PathBuf },
    #[error("{path}: there is a file that is no socket")]
    NoSocket { path: PathBuf },
    #[error("{path}: cannot {action}: {source}")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
}

/// A socket that listens, and is removed when it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Binds the socket, in the place of one that nobody listens on any more.
    pub fn bind(path: &Path) -> Result<Self, ServerError> {
        let failed = |action| move |source| ServerError::Io { path: path.to_owned(), action, source };
        match std::fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(ServerError::NoSocket { path: path.to_owned() });
            }
            Ok(_) => match connect(path) {
                Err(Errno::CONNREFUSED) => std::fs::remove_file(path).map_err(failed("remove"))?,
                // One that listens but does not accept is there too.
                Ok(()) | Err(Errno::AGAIN) => return Err(ServerError::InUse { path: path.to_owned() }),
                Err(error) => return Err(failed("look at")(error.into())),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at")(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed("listen"))?;
        listener.set_nonblocking(true).map_err(failed("listen"))?;
        // Commands may end the daemon: they are its owner's.
        std::fs::set_permissions(path, Permissions::from_mode(0o750)).map_err(failed("protect"))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Starts to answer, on a thread of its own.
    pub fn serve(self, mut commands: Commands) -> Result<Running, ServerError> {
        let failed = |source: io::Error| ServerError::Io { path: self.path.clone(), action: "serve", source };
        let outbox = Arc::new(Outbox::new().map_err(|error| failed(error.into()))?);
        let stop = Arc::new(AtomicBool::new(false));
        commands.finish();
        let path = self.path.clone();
        let worker = Worker {
            server: self,
            commands,
            outbox: outbox.clone(),
            stop: stop.clone(),
            clients: BTreeMap::new(),
            next_client: 0,
            accept_after: None,
        };
        let thread = std::thread::Builder::new()
            .name("unixctl".to_owned())
            .spawn(move || worker.run())
            .map_err(|source| ServerError::Io { path, action: "serve", source })?;
        Ok(Running { outbox, stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether somebody listens; without waiting for it.
fn connect(path: &Path) -> Result<(), Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

/// A server at work. Dropped, it stops, once the answers that are there were taken.
#[derive(Debug)]
pub struct Running {
    outbox: Arc<Outbox>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.outbox.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Client {
    channel: Channel<UnixStream>,
    /// Its command is not answered yet. It is not read from until then, nor until it has taken the answer.
    waiting: bool,
    /// It will send no more.
    ended: bool,
    active: Instant,
}

struct Worker {
    server: Server,
    commands: Commands,
    outbox: Arc<Outbox>,
    stop: Arc<AtomicBool>,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    accept_after: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        let mut stopping: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if self.stop.load(Ordering::SeqCst) {
                let until = *stopping.get_or_insert(now + STOP_TIMEOUT);
                self.answer();
                self.clients.retain(|_, client| client.channel.flush().is_ok() && client.channel.unsent() > 0);
                if self.clients.is_empty() || now >= until {
                    return;
                }
            }
            if let Err(error) = self.turn(stopping) {
                tracing::error!(%error, "control socket is given up");
                return;
            }
        }
    }

    /// Waits for something to happen, and follows it.
    fn turn(&mut self, stopping: Option<Instant>) -> rustix::io::Result<()> {
        let ready = self.wait(stopping)?;
        self.answer();
        let now = Instant::now();
        for (id, events) in ready.clients {
            self.attend(id, events, now);
        }
        if stopping.is_none() && ready.listener {
            self.accept(now);
        }
        self.clients.retain(|_, client| !client.stalls() || now < client.active + STALL_TIMEOUT);
        if let Some(coverage) = &self.commands.coverage {
            coverage.lock().unwrap_or_else(PoisonError::into_inner).sample(now);
        }
        Ok(())
    }

    fn wait(&mut self, stopping: Option<Instant>) -> rustix::io::Result<Ready> {
        let now = Instant::now();
        if self.accept_after.is_some_and(|after| now >= after) {
            self.accept_after = None;
        }
        let stall = self.clients.values().filter(|client| client.stalls()).map(|client| client.active + STALL_TIMEOUT);
        let sample = self.commands.coverage.as_ref();
        let sample = sample.map(|coverage| coverage.lock().unwrap_or_else(PoisonError::into_inner).next_sample());
        let until = stall.chain(sample).chain(self.accept_after).chain(stopping).min();
        let timeout =
            until.map(|until| until.saturating_duration_since(now)).and_then(|rest| Timespec::try_from(rest).ok());

        let listen = if self.accept_after.is_none() { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = vec![PollFd::new(&self.outbox.bell, PollFlags::IN), PollFd::new(&self.server.listener, listen)];
        for client in self.clients.values() {
            fds.push(PollFd::from_borrowed_fd(client.channel.stream().as_fd(), client.interest()));
        }
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Ready::default()),
            Err(error) => return Err(error),
        }
        let mut events = fds.iter().skip(1).map(PollFd::revents);
        let listener = events.next().is_some_and(|events| !events.is_empty());
        let clients = self.clients.keys().copied().zip(events).filter(|(_, events)| !events.is_empty()).collect();
        Ok(Ready { listener, clients })
    }

    fn accept(&mut self, now: Instant) {
        let stream = match self.server.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client of the control socket");
                self.accept_after = Some(now + ACCEPT_PAUSE);
                return;
            }
        };
        if self.clients.len() >= MAX_CLIENTS {
            let idle =
                self.clients.iter().filter(|(_, client)| !client.waiting).min_by_key(|(_, client)| client.active);
            let Some(id) = idle.map(|(id, _)| *id) else { return };
            self.clients.remove(&id);
        }
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        // An answer's text grows by at most six when it is encoded.
        let channel = Channel::new(stream, LIMITS, 6 * MAX_ANSWER_BYTES + 1024);
        self.next_client += 1;
        self.clients.insert(self.next_client, Client { channel, waiting: false, ended: false, active: now });
    }

    /// Does what a client's socket is ready for; a client that is broken, or done, goes.
    fn attend(&mut self, id: u64, events: PollFlags, now: Instant) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        // Both directions are closed: nobody is left to take an answer.
        let gone = events.intersects(PollFlags::HUP | PollFlags::ERR) && !events.contains(PollFlags::IN);
        let kept = !gone
            && match client.exchange(events, now) {
                Ok(()) => self.calls(id),
                Err(error) => {
                    tracing::debug!(%error, "client of the control socket left");
                    false
                }
            };
        if !kept {
            self.clients.remove(&id);
        }
    }

    /// Calls the next command of a client that has had its answers; says whether to keep it.
    fn calls(&mut self, id: u64) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        if client.waiting || client.channel.unsent() > 0 {
            return true;
        }
        match client.channel.take() {
            Ok(Some(Message::Request { id: request, method, params })) => {
                client.waiting = true;
                let address = Address { client: id, id: request };
                self.commands.call(&method, params, Reply { outbox: self.outbox.clone(), address });
                true
            }
            Ok(Some(_)) => {
                tracing::debug!("client of the control socket sent something other than a request");
                false
            }
            Ok(None) => !client.ended,
            Err(error) => {
                tracing::debug!(%error, "client of the control socket left");
                false
            }
        }
    }

    /// Sends the answers that are there. A client may have sent its next command already.
    fn answer(&mut self) {
        for (address, answer) in self.outbox.take() {
            let unsent: usize = self.clients.values().map(|client| client.channel.unsent()).sum();
            let id = address.client;
            let Some(client) = self.clients.get_mut(&id) else { continue };
            let answer =
                if unsent > MAX_UNSENT_BYTES { Err("too many answers wait to be taken".to_owned()) } else { answer };
            let now = Instant::now();
            client.waiting = false;
            client.active = now;
            let sent = client.channel.send(&encode(address.id, answer)).and_then(|()| client.channel.flush());
            if sent.is_err() || !self.calls(id) {
                self.clients.remove(&id);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Ready {
    listener: bool,
    clients: Vec<(u64, PollFlags)>,
}

impl Client {
    fn interest(&self) -> PollFlags {
        if self.channel.unsent() > 0 {
            PollFlags::OUT
        } else if self.waiting || self.ended {
            PollFlags::empty()
        } else {
            PollFlags::IN
        }
    }

    /// It is the client that holds things up.
    fn stalls(&self) -> bool {
        self.channel.unsent() > 0 || (!self.waiting && self.channel.is_inside_message())
    }

    fn exchange(&mut self, events: PollFlags, now: Instant) -> Result<(), ChannelError> {
        if events.contains(PollFlags::OUT) && self.channel.flush()? {
            self.active = now;
        }
        if events.contains(PollFlags::IN) && !self.ended {
            match self.channel.receive()? {
                Received::Bytes(_) => {
                    // A request that trickles in byte by byte is no more alive than one that stopped.
                    if !self.channel.is_inside_message() {
                        self.active = now;
                    }
                }
                Received::Nothing => {}
                Received::End => self.ended = true,
            }
        }
        Ok(())
    }
}

/// ovs-appctl prints the text as it is: it ends with a line.
fn encode(id: Value, answer: Answer) -> Message {
    let line = |mut text: String| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Value::String(text)
    };
    let result = match answer {
        Ok(text) if text.len() > MAX_ANSWER_BYTES => {
            Err(line(format!("the answer is longer than {MAX_ANSWER_BYTES} bytes")))
        }
        Ok(text) => Ok(line(text)),
        Err(text) => Err(line(text.chars().take(MAX_ANSWER_BYTES).collect())),
    };
    Message::Reply { id, result }
}
