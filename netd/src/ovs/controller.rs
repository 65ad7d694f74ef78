//! A bridge's controllers: who sets up sessions with them, again and again, and what becomes of packets while there is none.

use hive_ofproto::{Adopter, ConnectionKind, Session, SessionState, Stream};
use hive_ovsdb::snapshot::{self, Controller, ControllerId, FailMode, Ssl, Target};
use hive_ovsdb::status::ControllerStatus;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For one address of a controller.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;
/// Before the second attempt; doubled each time, up to what the configuration says.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Between two looks of who listens at whether to go on.
const LISTEN_PAUSE: Duration = Duration::from_millis(100);
/// Sessions of one socket that is listened on; who comes later waits until one has ended.
const SESSIONS_MAX: usize = 64;
/// Probe intervals without a controller until the bridge forwards by itself: one until the probe, one for the answer, one to connect again.
const INTERVALS_TO_FAIL: u32 = 3;

type Wake = Arc<dyn Fn() + Send + Sync>;

/// What a thread shows of itself.
#[derive(Debug)]
struct Shown {
    state: &'static str,
    last_error: Option<String>,
    session: Option<Arc<SessionState>>,
    connected: Option<Instant>,
    disconnected: Option<Instant>,
    stop: bool,
}

#[derive(Debug)]
struct Shared {
    shown: Mutex<Shown>,
    stopped: Condvar,
}

impl Shared {
    fn new() -> Self {
        let shown =
            Shown { state: "VOID", last_error: None, session: None, connected: None, disconnected: None, stop: false };
        Self { shown: Mutex::new(shown), stopped: Condvar::new() }
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn is_stopped(&self) -> bool {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).stop
    }

    /// True if it is to stop.
    fn pause(&self, time: Duration) -> bool {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.stopped.wait_timeout_while(shown, time, |shown| !shown.stop);
        waited.unwrap_or_else(PoisonError::into_inner).0.stop
    }

    fn is_connected(&self) -> bool {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.session.as_ref().is_some_and(|session| session.is_connected())
    }
}

/// One controller, and its thread's state.
#[derive(Debug)]
struct One {
    config: Controller,
    shared: Arc<Shared>,
    adopter: Adopter,
}

impl Drop for One {
    fn drop(&mut self) {
        self.shared.show(|shown| {
            shown.stop = true;
            shown.session.iter().for_each(|session| session.close());
        });
        self.shared.stopped.notify_all();
        self.adopter.ring();
    }
}

/// The controllers of a bridge.
pub(super) struct Controllers {
    adopter: Adopter,
    wake: Wake,
    ones: BTreeMap<ControllerId, One>,
    ssl: Option<Ssl>,
    had_primaries: Option<bool>,
    fail_mode: FailMode,
    /// When there was a primary controller last.
    connected: Instant,
    fail_open: bool,
}

impl fmt::Debug for Controllers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controllers").field("ones", &self.ones).finish_non_exhaustive()
    }
}

fn is_passive(target: &Target) -> bool {
    matches!(target, Target::PassiveTcp { .. } | Target::PassiveSsl { .. } | Target::PassiveUnix(_))
}

fn is_primary(controller: &Controller) -> bool {
    !controller.service && !is_passive(&controller.target)
}

impl Controllers {
    /// `wake` is called when a controller has come or gone.
    pub fn new(adopter: Adopter, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self {
            adopter,
            wake: Arc::new(wake),
            ones: BTreeMap::new(),
            ssl: None,
            had_primaries: None,
            fail_mode: FailMode::Standalone,
            connected: Instant::now(),
            fail_open: false,
        }
    }

    /// True if the bridge has passed from having controllers to having none, or back: its flows are somebody else's now.
    pub fn configure(&mut self, bridge: &snapshot::Bridge, ssl: Option<&Ssl>, rundir: &Path) -> bool {
        if self.ssl.as_ref() != ssl {
            self.ssl = ssl.cloned();
            self.ones.retain(|_, one| !matches!(one.config.target, Target::Ssl { .. } | Target::PassiveSsl { .. }));
        }
        let wanted = &bridge.controllers;
        self.ones.retain(|id, one| wanted.iter().any(|config| config.id == *id && *config == one.config));
        for config in wanted {
            if !self.ones.contains_key(&config.id) {
                let one = self.start(config, bridge, rundir);
                self.ones.insert(config.id, one);
            }
        }
        self.fail_mode = bridge.fail_mode;
        let has_primaries = wanted.iter().any(is_primary);
        let before = self.had_primaries.replace(has_primaries);
        if before != Some(has_primaries) {
            self.connected = Instant::now();
        }
        self.poll();
        before.is_some_and(|before| before != has_primaries)
    }

    fn start(&self, config: &Controller, bridge: &snapshot::Bridge, rundir: &Path) -> One {
        let shared = Arc::new(Shared::new());
        let allowed = allowed(&config.target, &bridge.name, rundir);
        let worker = Worker {
            config: config.clone(),
            ssl: self.ssl.clone(),
            shared: shared.clone(),
            adopter: self.adopter.clone(),
            wake: self.wake.clone(),
        };
        let started = allowed.and_then(|()| {
            let thread = std::thread::Builder::new().name("controller".to_owned());
            thread.spawn(move || worker.run()).map(drop).map_err(|error| error.to_string())
        });
        if let Err(error) = started {
            tracing::warn!(bridge = %bridge.name, %error, "controller is left out");
            shared.show(|shown| shown.last_error = Some(error));
        }
        One { config: config.clone(), shared, adopter: self.adopter.clone() }
    }

    /// Every packet is to go the way of NORMAL.
    pub fn fail_open(&self) -> bool {
        self.fail_open
    }

    /// Looks at who is connected; true if [`Self::fail_open`] has changed.
    pub fn poll(&mut self) -> bool {
        let mut primaries = self.ones.values().filter(|one| is_primary(&one.config)).peekable();
        let has_primaries = primaries.peek().is_some();
        let probe = self.ones.values().filter_map(|one| one.config.inactivity_probe).max().unwrap_or_default();
        if primaries.any(|one| one.shared.is_connected()) {
            self.connected = Instant::now();
        }
        let late = self.connected.elapsed() >= INTERVALS_TO_FAIL * probe && self.connected.elapsed() > Duration::ZERO;
        let connected_now = self.ones.values().any(|one| is_primary(&one.config) && one.shared.is_connected());
        let fail_open = self.fail_mode == FailMode::Standalone && has_primaries && !connected_now && late;
        std::mem::replace(&mut self.fail_open, fail_open) != fail_open
    }

    /// `bridge/reconnect`.
    pub fn reconnect(&self) {
        for one in self.ones.values() {
            one.shared.show(|shown| shown.session.iter().for_each(|session| session.close()));
        }
        self.adopter.ring();
    }

    pub fn status(&self) -> Vec<(ControllerId, ControllerStatus)> {
        let of = |one: &One| {
            let shown = one.shared.shown.lock().unwrap_or_else(PoisonError::into_inner);
            let is_connected = shown.session.as_ref().is_some_and(|session| session.is_connected());
            let seconds = |at: Option<Instant>| at.map(|at| at.elapsed().as_secs().to_string());
            let state = if is_connected { "ACTIVE" } else { shown.state };
            let status = [
                ("state", Some(state.to_owned())),
                ("last_error", shown.last_error.clone()),
                ("sec_since_connect", seconds(shown.connected)),
                ("sec_since_disconnect", seconds(shown.disconnected)),
            ];
            let status = status.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            // What role the controller asked for, only its agent knows.
            ControllerStatus { is_connected, role: None, status }
        };
        self.ones.iter().filter(|(_, one)| !is_passive(&one.config.target)).map(|(id, one)| (*id, of(one))).collect()
    }
}

/// Whoever may write the database must not make the switch talk at any socket of the host, nor make files anywhere.
fn allowed(target: &Target, bridge: &str, rundir: &Path) -> Result<(), String> {
    let shown = rundir.display();
    match target {
        Target::Unix(path) if !path.starts_with(rundir) => {
            Err(format!("{}: only sockets in {shown} are for controllers", path.display()))
        }
        Target::PassiveUnix(path) => {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let own = name.strip_prefix(bridge).is_some_and(|rest| rest.starts_with('.'));
            let taken = [".mgmt", ".snoop"].iter().any(|kind| name.strip_prefix(bridge) == Some(kind));
            if path.parent() == Some(rundir) && own && !taken {
                Ok(())
            } else {
                Err(format!("{}: only {shown}/{bridge}.NAME may be listened on", path.display()))
            }
        }
        _ => Ok(()),
    }
}

/// The thread of one controller.
struct Worker {
    config: Controller,
    ssl: Option<Ssl>,
    shared: Arc<Shared>,
    adopter: Adopter,
    wake: Wake,
}

impl Worker {
    fn run(self) {
        match &self.config.target {
            Target::Tcp { host, port } => self.active(|| connect_tcp(host, *port).map(Stream::Tcp)),
            Target::Ssl { host, port } => {
                self.active(|| super::tls::connect(connect_tcp(host, *port)?, host, self.ssl.as_ref()))
            }
            Target::Unix(path) => self.active(|| UnixStream::connect(path).map(Stream::Unix)),
            Target::PassiveTcp { address, port } => self.passive_tcp(*address, *port, false),
            Target::PassiveSsl { address, port } => self.passive_tcp(*address, *port, true),
            Target::PassiveUnix(path) => self.passive_unix(path.clone()),
        }
    }

    fn adopt(&self, stream: Stream, kind: ConnectionKind) -> Arc<SessionState> {
        self.adopter.adopt(Session { stream, kind, probe: self.config.inactivity_probe })
    }

    fn active(&self, connect: impl Fn() -> io::Result<Stream>) {
        let mut backoff = BACKOFF_MIN.min(self.config.max_backoff);
        let kind = if self.config.service { ConnectionKind::Service } else { ConnectionKind::Controller };
        while !self.shared.is_stopped() {
            self.shared.show(|shown| shown.state = "CONNECTING");
            match connect() {
                // The bridge may be gone since: nobody would end the session.
                Ok(_) if self.shared.is_stopped() => return,
                Ok(stream) => {
                    let session = self.adopt(stream, kind);
                    self.shared.show(|shown| shown.session = Some(session.clone()));
                    let mut told = false;
                    while !session.wait(LISTEN_PAUSE) {
                        if session.is_connected() && !told {
                            told = true;
                            self.shared.show(|shown| {
                                shown.connected = Some(Instant::now());
                                shown.last_error = None;
                            });
                            (self.wake)();
                        }
                        if self.shared.is_stopped() {
                            session.close();
                            self.adopter.ring();
                            return;
                        }
                    }
                    self.shared.show(|shown| {
                        shown.session = None;
                        shown.disconnected = Some(Instant::now());
                    });
                    if session.was_greeted() {
                        backoff = BACKOFF_MIN.min(self.config.max_backoff);
                        (self.wake)();
                    }
                }
                Err(error) => {
                    let error = super::device::reason(&error);
                    self.shared.show(|shown| {
                        shown.last_error = Some(error);
                        shown.disconnected.get_or_insert_with(Instant::now);
                    });
                }
            }
            self.shared.show(|shown| shown.state = "BACKOFF");
            if self.shared.pause(backoff) {
                return;
            }
            backoff = (2 * backoff).min(self.config.max_backoff);
        }
    }

    /// Listens until it is to stop; a socket that cannot be bound now may be later.
    fn listen(&self, mut accept: impl FnMut() -> io::Result<Stream>) {
        let mut sessions: Vec<Arc<SessionState>> = Vec::new();
        while !self.shared.pause(LISTEN_PAUSE) {
            sessions.retain(|session| !session.has_ended());
            while sessions.len() < SESSIONS_MAX
                && let Ok(stream) = accept()
            {
                sessions.push(self.adopt(stream, ConnectionKind::Service));
            }
        }
        sessions.iter().for_each(|session| session.close());
        self.adopter.ring();
    }

    fn bind<T>(&self, bind: impl Fn() -> io::Result<T>) -> Option<T> {
        // Soon again: it may be who had the socket under the configuration before, and is about to give it up.
        let mut backoff = LISTEN_PAUSE;
        loop {
            match bind() {
                Ok(listener) => return Some(listener),
                Err(error) => self.shared.show(|shown| shown.last_error = Some(error.to_string())),
            }
            if self.shared.pause(backoff) {
                return None;
            }
            backoff = (2 * backoff).min(self.config.max_backoff);
        }
    }

    fn passive_tcp(&self, address: Option<IpAddr>, port: u16, tls: bool) {
        let address = SocketAddr::new(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), port);
        let bound = self.bind(|| {
            let listener = TcpListener::bind(address).or_else(|error| {
                // A host without IPv6.
                if address.ip().is_unspecified() { TcpListener::bind(("0.0.0.0", port)) } else { Err(error) }
            })?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let Some(listener) = bound else { return };
        // A thread may outlast its session: the handshake has its own time.
        let threads = Arc::new(());
        self.listen(|| {
            if Arc::strong_count(&threads) > SESSIONS_MAX {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let (stream, _) = listener.accept()?;
            stream.set_nonblocking(false)?;
            if !tls {
                return Ok(Stream::Tcp(stream));
            }
            super::tls::accept(stream, self.ssl.as_ref(), threads.clone())
        });
    }

    fn passive_unix(&self, path: PathBuf) {
        let bound = self.bind(|| {
            // Of a process that is gone; one that listens keeps it.
            if UnixStream::connect(&path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                std::fs::remove_file(&path)?;
            }
            let listener = UnixListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let Some(listener) = bound else { return };
        self.listen(|| listener.accept().map(|(stream, _)| Stream::Unix(stream)));
        let _ = std::fs::remove_file(&path);
    }
}

fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()?.take(ADDRESSES_MAX) {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
