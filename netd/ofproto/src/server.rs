//! The sockets of a bridge, on one thread that waits for none of its clients: `<bridge>.mgmt`, and `<bridge>.snoop`, where all that
//! passes can be listened to.

use crate::bridge::{Bridge, Command};
use crate::connection::{ConnectionId, ConnectionKind};
use crate::session::{Session, SessionState, Stream};
use hive_openflow::{Framer, Hello, MESSAGE_BYTES_MAX, Message, Version};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::Permissions;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Clients of one socket at a time; one more is turned away.
const CLIENTS_MAX: usize = 64;
/// Clients and controllers together.
const ADOPTED_MAX: usize = 2 * CLIENTS_MAX;
/// A client that has so much to take is not read from until it has taken some: its next answer may be as large again.
const UNSENT_BYTES_MAX: usize = 1 << 20;
/// What a listener on the snoop socket may be behind; beyond, messages are left out for it.
const SNOOP_BYTES_MAX: usize = 4 << 20;
/// Reads of one client in one turn, so that none holds up the others.
const READS_PER_TURN: usize = 4;
/// After the listener failed, as it does when the process has no descriptors left; and between two looks for flows that expired.
const PAUSE: Duration = Duration::from_millis(100);
/// Time between two looks for flows that have outlived a timeout: those are in whole seconds.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(500);

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
struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Binds the socket, in the place of one that nobody listens on any more.
    fn bind(path: PathBuf) -> Result<Self, ServerError> {
        let failed = |action| {
            let path = path.clone();
            move |source| ServerError::Io { path, action, source }
        };
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.file_type().is_socket() => return Err(ServerError::NoSocket { path }),
            Ok(_) => match connect(&path) {
                Err(Errno::CONNREFUSED) => std::fs::remove_file(&path).map_err(failed("remove"))?,
                // One that listens but does not accept is there too.
                Ok(()) | Err(Errno::AGAIN) => return Err(ServerError::InUse { path }),
                Err(error) => return Err(failed("look at")(error.into())),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look at")(error)),
        }
        let socket = UnixListener::bind(&path).map_err(failed("listen"))?;
        socket.set_nonblocking(true).map_err(failed("listen"))?;
        // Whoever may program the switch is its owner.
        std::fs::set_permissions(&path, Permissions::from_mode(0o750)).map_err(failed("protect"))?;
        Ok(Self { socket, path })
    }

    fn accept(&self) -> io::Result<Option<UnixStream>> {
        match self.socket.accept() {
            Ok((stream, _)) => stream.set_nonblocking(true).map(|()| Some(stream)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Listener {
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

/// The sockets of a bridge, bound.
#[derive(Debug)]
pub struct Server {
    management: Listener,
    snoop: Listener,
}

impl Server {
    /// Binds `<rundir>/<bridge>.mgmt` and `.snoop`.
    pub fn bind(rundir: &Path, bridge: &str) -> Result<Self, ServerError> {
        let listener = |kind: &str| Listener::bind(rundir.join(format!("{bridge}.{kind}")));
        Ok(Self { management: listener("mgmt")?, snoop: listener("snoop")? })
    }

    /// Starts to answer, on a thread of its own. `now_ms` is the bridge's clock; `act` gets what the bridge wants done, in order,
    /// while the bridge is locked: it must not wait, nor lock it.
    pub fn serve(
        self,
        bridge: Arc<Mutex<Bridge>>,
        now_ms: impl Fn() -> u64 + Send + 'static,
        act: impl FnMut(Command) + Send + 'static,
    ) -> Result<Running, ServerError> {
        let path = self.management.path.clone();
        let failed = |source| ServerError::Io { path: path.clone(), action: "serve", source };
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let bell = Arc::new(bell.map_err(|error| failed(error.into()))?);
        let stop = Arc::new(AtomicBool::new(false));
        let adopted = Arc::new(Mutex::new(Some(Vec::new())));
        let mut worker = Worker {
            server: self,
            bridge,
            now_ms: Box::new(now_ms),
            act: Box::new(act),
            bell: bell.clone(),
            stop: stop.clone(),
            adopted: adopted.clone(),
            clients: Vec::new(),
            listeners: Vec::new(),
            expired: Instant::now(),
            accept_after: None,
        };
        let thread = std::thread::Builder::new().name("ofproto".to_owned()).spawn(move || worker.run());
        Ok(Running { bell, stop, adopted, thread: Some(thread.map_err(failed)?) })
    }
}

/// Sessions that wait to be carried on; none when the server has stopped.
type Adopted = Arc<Mutex<Option<Vec<(Session, Arc<SessionState>)>>>>;

/// Hands sessions to a server, from any thread.
#[derive(Clone, Debug)]
pub struct Adopter {
    bell: Arc<OwnedFd>,
    adopted: Adopted,
}

impl Adopter {
    /// Carries the session on from here. If the server has stopped, it ends.
    pub fn adopt(&self, session: Session) -> Arc<SessionState> {
        let state = Arc::new(SessionState::default());
        match self.adopted.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(waiting) => waiting.push((session, state.clone())),
            None => state.end(),
        }
        self.ring();
        state
    }

    /// A session is to be closed.
    pub fn ring(&self) {
        // Non-blocking; a counter that is full has already woken the thread.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

/// A server at work. Dropped, it stops.
#[derive(Debug)]
pub struct Running {
    bell: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    adopted: Adopted,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn adopter(&self) -> Adopter {
        Adopter { bell: self.bell.clone(), adopted: self.adopted.clone() }
    }

    /// The bridge has something to say, or to have done, that did not come from a client.
    pub fn ring(&self) {
        // Non-blocking; a counter that is full has already woken the thread.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A controller, at the management socket or elsewhere.
struct Client {
    stream: Stream,
    probe: Option<Duration>,
    heard: Instant,
    probed: bool,
    state: Option<Arc<SessionState>>,
    framer: Framer,
    /// There may be whole messages in the framer that were not followed, because of how much there was to send.
    held: bool,
    id: ConnectionId,
    /// Bytes taken over from the bridge, and how many of them are sent.
    unsent: Vec<u8>,
    sent: usize,
    /// It will send no more, or must not: it goes once it has its answers.
    ended: bool,
    gone: bool,
}

/// Somebody at the snoop socket.
struct Snooper {
    stream: UnixStream,
    unsent: Vec<u8>,
    gone: bool,
}

struct Worker {
    server: Server,
    bridge: Arc<Mutex<Bridge>>,
    now_ms: Box<dyn Fn() -> u64 + Send>,
    act: Box<dyn FnMut(Command) + Send>,
    bell: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    adopted: Adopted,
    clients: Vec<Client>,
    listeners: Vec<Snooper>,
    expired: Instant,
    accept_after: Option<Instant>,
}

impl Worker {
    fn run(&mut self) {
        while !self.stop.load(Ordering::SeqCst) {
            if let Err(error) = self.turn() {
                tracing::error!(%error, "management socket is given up");
                break;
            }
        }
        let waiting = self.adopted.lock().unwrap_or_else(PoisonError::into_inner).take();
        let adopted = waiting.into_iter().flatten().map(|(_, state)| state);
        adopted.chain(self.clients.drain(..).filter_map(|client| client.state)).for_each(|state| state.end());
    }

    /// Takes over sessions that others have set up.
    fn adopt(&mut self, bridge: &mut Bridge) {
        let adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(std::mem::take);
        for (session, state) in adopted.into_iter().flatten() {
            if self.clients.len() >= ADOPTED_MAX || session.stream.set_nonblocking().is_err() {
                state.end();
                continue;
            }
            let id = bridge.connect(session.kind);
            let client = Client::new(session.stream, id);
            self.clients.push(Client { probe: session.probe, state: Some(state), ..client });
        }
    }

    /// Waits for something to happen, and follows it.
    fn turn(&mut self) -> rustix::io::Result<()> {
        let ready = self.wait()?;
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
        let bridge = self.bridge.clone();
        // A panic elsewhere leaves the bridge between two messages at worst.
        let mut bridge = bridge.lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = (self.now_ms)();
        let mut heard = Vec::new();
        for (client, events) in self.clients.iter_mut().zip(&ready.clients) {
            // Both directions are closed: nobody is left to take an answer.
            client.gone |= events.intersects(PollFlags::HUP | PollFlags::ERR) && !events.contains(PollFlags::IN);
            client.read(events.contains(PollFlags::IN), &mut bridge, now_ms, &mut heard);
        }
        if self.expired.elapsed() >= EXPIRY_INTERVAL {
            self.expired = Instant::now();
            bridge.expire(now_ms);
        }
        if ready.management {
            self.accept_client(&mut bridge);
        }
        self.adopt(&mut bridge);
        for client in &mut self.clients {
            client.look_after(&mut bridge);
            client.write(&mut bridge, &mut heard);
            if client.gone {
                bridge.disconnect(client.id);
                client.state.iter().for_each(|state| state.end());
            }
        }
        self.clients.retain(|client| !client.gone);
        bridge.take_commands().into_iter().for_each(&mut self.act);
        drop(bridge);
        self.snoop(&ready, &heard);
        Ok(())
    }

    fn wait(&mut self) -> rustix::io::Result<Ready> {
        let now = Instant::now();
        if self.accept_after.is_some_and(|after| now >= after) {
            self.accept_after = None;
        }
        let listen = if self.accept_after.is_none() { PollFlags::IN } else { PollFlags::empty() };
        let pause = if self.clients.iter().any(Client::can_go_on) {
            Duration::ZERO
        } else if self.accept_after.is_some() {
            PAUSE
        } else {
            EXPIRY_INTERVAL
        };
        let bell: BorrowedFd<'_> = self.bell.as_fd();
        let mut fds = vec![
            PollFd::from_borrowed_fd(bell, PollFlags::IN),
            PollFd::new(&self.server.management.socket, listen),
            PollFd::new(&self.server.snoop.socket, listen),
        ];
        fds.extend(self.clients.iter().map(|client| PollFd::new(&client.stream, client.interest())));
        let snoopers = self.listeners.iter();
        fds.extend(snoopers.map(|snooper| PollFd::new(&snooper.stream, snooper.interest())));
        match rustix::event::poll(&mut fds, Timespec::try_from(pause).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let mut events = fds.iter().skip(1).map(PollFd::revents);
        let mut next = || events.next().unwrap_or(PollFlags::empty());
        let (management, snoop) = (!next().is_empty(), !next().is_empty());
        let clients = self.clients.iter().map(|_| next()).collect();
        let snoopers = self.listeners.iter().map(|_| next()).collect();
        Ok(Ready { management, snoop, clients, snoopers })
    }

    fn accept_client(&mut self, bridge: &mut Bridge) {
        match self.server.management.accept() {
            Ok(Some(stream)) if self.clients.len() < CLIENTS_MAX => {
                let id = bridge.connect(ConnectionKind::Service);
                self.clients.push(Client::new(Stream::Unix(stream), id));
            }
            Ok(_) => {}
            Err(error) => self.pause(&error),
        }
    }

    fn pause(&mut self, error: &io::Error) {
        tracing::warn!(%error, "cannot accept a client");
        self.accept_after = Some(Instant::now() + PAUSE);
    }

    /// Tells those who listen what went through.
    fn snoop(&mut self, ready: &Ready, heard: &[u8]) {
        for (snooper, events) in self.listeners.iter_mut().zip(&ready.snoopers) {
            if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                snooper.drain();
            }
        }
        if ready.snoop {
            match self.server.snoop.accept() {
                Ok(Some(stream)) if self.listeners.len() < CLIENTS_MAX => {
                    let mut unsent = Vec::new();
                    let hello = Message::Hello(Hello::of(&Version::ALL));
                    let _ = hello.encode(1, &hive_openflow::Context::new(Version::V1_5), &mut unsent);
                    self.listeners.push(Snooper { stream, unsent, gone: false });
                }
                Ok(_) => {}
                Err(error) => self.pause(&error),
            }
        }
        for snooper in &mut self.listeners {
            if snooper.unsent.len() + heard.len() <= SNOOP_BYTES_MAX {
                snooper.unsent.extend_from_slice(heard);
            }
            snooper.write();
        }
        self.listeners.retain(|snooper| !snooper.gone);
    }
}

/// What the sockets are ready for.
struct Ready {
    management: bool,
    snoop: bool,
    clients: Vec<PollFlags>,
    snoopers: Vec<PollFlags>,
}

impl Client {
    fn new(stream: Stream, id: ConnectionId) -> Self {
        let (framer, unsent) = (Framer::default(), Vec::new());
        let (probe, state, heard) = (None, None, Instant::now());
        Self {
            stream,
            probe,
            heard,
            probed: false,
            state,
            framer,
            held: false,
            id,
            unsent,
            sent: 0,
            ended: false,
            gone: false,
        }
    }

    /// Whether the peer lives, and whoever set the session up wants it yet.
    fn look_after(&mut self, bridge: &mut Bridge) {
        if let Some(state) = &self.state {
            self.gone |= state.is_closing();
            if bridge.is_greeted(self.id) {
                state.greet();
            }
        }
        let Some(probe) = self.probe else { return };
        let silent = self.heard.elapsed();
        if silent >= 2 * probe {
            tracing::debug!("a controller was silent for too long");
            self.gone = true;
        } else if silent >= probe && !self.probed {
            self.probed = true;
            bridge.probe(self.id);
        }
    }

    /// It has so much to take that it is not listened to.
    fn is_full(&self) -> bool {
        self.unsent.len() - self.sent > UNSENT_BYTES_MAX
    }

    /// It has taken its answers, and need not send anything for its next message to be followed.
    fn can_go_on(&self) -> bool {
        self.held && !self.ended && self.sent == self.unsent.len()
    }

    fn interest(&self) -> PollFlags {
        let out = if self.sent < self.unsent.len() { PollFlags::OUT } else { PollFlags::empty() };
        if self.ended || self.held || self.is_full() { out } else { out | PollFlags::IN }
    }

    fn read(&mut self, readable: bool, bridge: &mut Bridge, now_ms: u64, heard: &mut Vec<u8>) {
        if self.ended || self.is_full() || !self.follow(bridge, now_ms, heard) || !readable {
            return;
        }
        let mut piece = vec![0; MESSAGE_BYTES_MAX];
        for _ in 0..READS_PER_TURN {
            match self.stream.read(&mut piece) {
                Ok(0) => {
                    self.ended = true;
                    return;
                }
                Ok(length) => {
                    self.heard = Instant::now();
                    self.probed = false;
                    self.framer.push(piece.get(..length).unwrap_or_default());
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
            if !self.follow(bridge, now_ms, heard) {
                return;
            }
        }
    }

    /// Follows the messages that are here. False: it must have some of its answers first, or it has no more to say. One answer may be
    /// megabytes, a question is some dozens of bytes: not even those that came in one piece may all be answered at once.
    fn follow(&mut self, bridge: &mut Bridge, now_ms: u64, heard: &mut Vec<u8>) -> bool {
        loop {
            self.held = bridge.output(self.id).is_some_and(|output| output.len() > UNSENT_BYTES_MAX);
            if self.held {
                return false;
            }
            match self.framer.next_message() {
                Ok(Some(message)) => {
                    heard.extend_from_slice(message);
                    if bridge.receive(self.id, message, now_ms).is_err() {
                        break;
                    }
                }
                Ok(None) => return true,
                Err(error) => {
                    tracing::debug!(%error, "client is left");
                    break;
                }
            }
        }
        self.ended = true;
        false
    }

    fn write(&mut self, bridge: &mut Bridge, heard: &mut Vec<u8>) {
        self.gone |= bridge.is_lost(self.id);
        while !self.gone {
            if self.sent == self.unsent.len() {
                self.unsent = bridge.output(self.id).map(std::mem::take).unwrap_or_default();
                self.sent = 0;
                if self.unsent.is_empty() {
                    self.gone = self.ended;
                    return;
                }
                if heard.len() + self.unsent.len() <= SNOOP_BYTES_MAX {
                    heard.extend_from_slice(&self.unsent);
                }
            }
            match self.stream.write(self.unsent.get(self.sent..).unwrap_or_default()) {
                Ok(length @ 1..) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => self.gone = true,
            }
        }
    }
}

impl Snooper {
    fn interest(&self) -> PollFlags {
        if self.unsent.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }

    /// What it says beyond its hello does not matter, only that it is still there.
    fn drain(&mut self) {
        match self.stream.read(&mut [0; 4096]) {
            Ok(1..) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Ok(0) | Err(_) => self.gone = true,
        }
    }

    fn write(&mut self) {
        while !self.gone && !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length @ 1..) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => self.gone = true,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::BridgeConfig;
    use hive_flow::{Field, Match};
    use hive_openflow::{
        Action, Context, CookieMask, Desc, FlowMod, FlowRequest, GROUP_ANY, PortNo, Request, TABLE_ALL,
    };

    /// Questions of some dozens of bytes, each with an answer of megabytes, that come in one piece.
    #[test]
    fn many_questions_at_once_are_not_all_answered_at_once() {
        const QUESTIONS: usize = 20;
        let mut bridge = Bridge::new(BridgeConfig { datapath_id: 1, desc: Desc::default() });
        for number in 0..600u32 {
            let mut flow = Match::default();
            flow.exactly(Field::EthType, 0x0800);
            flow.exactly(Field::Ipv4Dst, number.into());
            let actions = vec![Action::Output { port: PortNo(1), max_len: 0 }; 200];
            bridge.change_flows(&FlowMod::add(flow, 9, actions), 0).unwrap();
        }
        let request = Request::Flow(FlowRequest {
            table: TABLE_ALL,
            out_port: PortNo::NONE,
            out_group: GROUP_ANY,
            cookie: CookieMask::default(),
            flow: Match::default(),
            nicira: false,
        });
        let encoded = |message: &Message| {
            let mut bytes = Vec::new();
            message.encode(3, &Context::new(Version::V1_3), &mut bytes).unwrap();
            bytes
        };
        let hello = encoded(&Message::Hello(Hello::of(&[Version::V1_3])));
        let question = encoded(&Message::Request { request, more: false });
        let mut answers = |questions: usize| {
            let id = bridge.connect(ConnectionKind::Service);
            bridge.receive(id, &hello, 0).unwrap();
            for _ in 0..questions {
                bridge.receive(id, &question, 0).unwrap();
            }
            bridge.output(id).unwrap().len()
        };
        let greeting = answers(0);
        let answer = answers(1) - greeting;
        assert!(answer > UNSENT_BYTES_MAX);

        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut client = Client::new(Stream::Unix(ours), bridge.connect(ConnectionKind::Service));
        client.framer.push(&hello);
        client.framer.push(&question.repeat(QUESTIONS));
        let (mut taken, mut heard, mut piece) = (0, Vec::new(), vec![0; MESSAGE_BYTES_MAX]);
        let (mut most, mut turns) = (0, 0);
        while taken < greeting + QUESTIONS * answer {
            client.read(false, &mut bridge, 0, &mut heard);
            let waiting = bridge.output(client.id).unwrap().len() + client.unsent.len() - client.sent;
            assert!(waiting <= UNSENT_BYTES_MAX + answer, "{waiting} bytes, of answers of {answer}");
            most = most.max(waiting);
            client.write(&mut bridge, &mut heard);
            taken += theirs.read(&mut piece).unwrap();
            turns += 1;
            assert!(turns < QUESTIONS * answer, "{taken} bytes are taken");
        }
        assert!(most > answer, "it is not kept waiting for what it may have");
        assert!(!client.gone && !client.ended);
    }
}
