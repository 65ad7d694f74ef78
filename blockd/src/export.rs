//! One open volume: a named thread with its engine and device, and a socket while it is attached.

use crate::engine::{Engine, HOUSEKEEPING_INTERVAL};
use crate::status::VolumeStatus;
use crate::uring::Uring;
use crate::vhost::{Device, DeviceConfig, Session, foreign_tag};
use io_uring::types::Timespec;
use rustix::event::{EventfdFlags, eventfd};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vhost::vhost_user::{BackendReqHandler, Error as VhostError};

/// Numbers of the loop's own ring entries. Those of connections count up from the last, so that a late one is told apart.
const LISTENER: u32 = 0;
const WAKE: u32 = 1;
const FIRST_CONNECTION: u32 = 2;
/// Timers have this bit and count up.
const TIMER: u32 = 1 << 31;

/// Pause before requests held for want of room are tried again: doubled from the first to the second.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

/// What ends the thread from outside.
#[derive(Debug)]
struct Remote {
    stop: AtomicBool,
    wake: File,
    /// The current connection: shutting it down frees the thread from a frontend that stopped in the middle of a message.
    connection: Mutex<Option<UnixStream>>,
}

/// A running export. Dropping it without [`Self::stop`] leaves the thread running.
#[derive(Debug)]
pub struct Export {
    socket: Option<PathBuf>,
    remote: Arc<Remote>,
    thread: JoinHandle<io::Result<()>>,
}

/// How an export is run.
#[derive(Clone, Debug)]
pub struct ExportConfig {
    /// None: open for the daemon's own purposes.
    pub socket: Option<PathBuf>,
    pub device: DeviceConfig,
    /// How long to look for work before sleeping.
    pub poll: Duration,
}

impl Export {
    /// Serve what `open` opens on a socket that listens when this returns.
    pub fn start<E, Err, F>(config: ExportConfig, status: Arc<VolumeStatus>, open: F) -> Result<Self, StartError>
    where
        E: Engine,
        Err: std::error::Error + Send + Sync + 'static,
        F: FnOnce() -> Result<E, Err> + Send + 'static,
    {
        let socket = config.socket.clone();
        let wake: File = eventfd(0, EventfdFlags::CLOEXEC).map_err(|e| StartError::Thread(e.into()))?.into();
        let remote = Arc::new(Remote { stop: AtomicBool::new(false), wake, connection: Mutex::new(None) });
        let (ready, opened) = mpsc::channel();
        let thread_remote = remote.clone();
        let listen = |path: &PathBuf| listen(path).map_err(|e| StartError::Listen(path.clone(), e));
        let listener = socket.as_ref().map(listen).transpose()?;
        let name = format!("vol-{}", config.device.name);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let start = || -> Result<Loop<E>, StartError> {
                let engine = open().map_err(|e| StartError::Open(Box::new(e)))?;
                // The ring belongs to the thread that makes it.
                let uring = Uring::new().map_err(StartError::Thread)?;
                let device = Device::new(engine, uring, config.device, status.clone());
                Ok(Loop::new(device, listener, thread_remote, status, config.poll))
            };
            match start() {
                Ok(mut serve) => {
                    let _ = ready.send(Ok(()));
                    serve.run()
                }
                Err(e) => {
                    let _ = ready.send(Err(e));
                    Ok(())
                }
            }
        });
        let thread = thread.map_err(StartError::Thread)?;
        match opened.recv() {
            Ok(Ok(())) => Ok(Self { socket, remote, thread }),
            failed => {
                remove_socket(socket.as_deref());
                Err(match failed {
                    Ok(Err(e)) => e,
                    _ => StartError::Thread(io::Error::other("the engine thread ended")),
                })
            }
        }
    }

    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_deref()
    }

    /// Let the thread look at what has changed.
    pub fn nudge(&self) {
        // It fails only when the counter is full, and then the thread is awake already.
        let _ = (&self.remote.wake).write_all(&1u64.to_ne_bytes());
    }

    /// Let the frontend connect again, which makes it ask for the device's configuration anew: the volume has grown. What is in flight
    /// is answered first, and its guest sees nothing but a pause.
    pub fn reconnect(&self) {
        if let Some(connection) = &*self.remote.connection.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Answer what is in flight, flush, close, remove the socket.
    pub fn stop(self) -> io::Result<()> {
        self.remote.stop.store(true, Ordering::Release);
        (&self.remote.wake).write_all(&1u64.to_ne_bytes())?;
        if let Some(connection) = &*self.remote.connection.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
        let result = self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the engine thread panicked")));
        remove_socket(self.socket.as_deref());
        result
    }
}

fn remove_socket(path: Option<&Path>) {
    if let Some(path) = path {
        let _ = std::fs::remove_file(path);
    }
}

/// Why an export could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {0}")]
    Listen(PathBuf, #[source] io::Error),
    #[error("cannot open the volume")]
    Open(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot start the engine thread")]
    Thread(#[source] io::Error),
}

/// Listen on `path`, in place of a socket that a dead predecessor left there.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => UnixListener::bind(path),
    }
}

/// The thread's state.
struct Loop<E: Engine> {
    session: Arc<Session<E>>,
    listener: Option<UnixListener>,
    connection: Option<BackendReqHandler<Session<E>>>,
    connection_number: u32,
    remote: Arc<Remote>,
    status: Arc<VolumeStatus>,
    poll: Duration,
    retry_delay: Duration,
    last_shortage: Option<Instant>,
    retry_at: Option<Instant>,
    tick_at: Instant,
    /// Running timers by number, with the time each is for. Boxed: the kernel reads it at its address. A new one is started only if
    /// it is earlier than all others, so there are few.
    timers: Vec<(u32, Instant, Box<Timespec>)>,
    next_timer: u32,
}

impl<E: Engine> Loop<E> {
    fn new(
        device: Device<E>,
        listener: Option<UnixListener>,
        remote: Arc<Remote>,
        status: Arc<VolumeStatus>,
        poll: Duration,
    ) -> Self {
        // The message handler wants an Arc; it never leaves this thread.
        let session = Arc::new(Session(RefCell::new(device)));
        Self {
            session,
            listener,
            connection: None,
            connection_number: FIRST_CONNECTION,
            remote,
            status,
            poll,
            retry_delay: MIN_RETRY_DELAY,
            last_shortage: None,
            retry_at: None,
            tick_at: Instant::now() + HOUSEKEEPING_INTERVAL,
            timers: Vec::new(),
            next_timer: TIMER,
        }
    }

    fn run(&mut self) -> io::Result<()> {
        {
            let uring = &mut self.session.0.borrow_mut().uring;
            uring.poll(self.remote.wake.as_raw_fd(), foreign_tag(WAKE), false);
            if let Some(listener) = &self.listener {
                uring.poll(listener.as_raw_fd(), foreign_tag(LISTENER), false);
            }
        }
        let mut last_progress = Instant::now();
        while !self.remote.stop.load(Ordering::Acquire) {
            if self.round()? {
                last_progress = Instant::now();
                continue;
            }
            let mut device = self.session.0.borrow_mut();
            if device.is_ready() {
                continue;
            }
            if last_progress.elapsed() < self.poll {
                std::hint::spin_loop();
                continue;
            }
            if !device.enable_kicks() {
                device.uring.wait()?;
            }
            last_progress = Instant::now();
        }
        self.disconnect();
        self.session.0.borrow_mut().close()
    }

    /// Do all there is to do. True if there was anything.
    fn round(&mut self) -> io::Result<bool> {
        let mut device = self.session.0.borrow_mut();
        let mut progressed = device.reap();
        device.answer();
        progressed |= device.fetch();
        device.answer();
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            device.retry_held();
        }
        if device.engine.has_held() && self.retry_at.is_none() {
            // Shortages close to each other are one.
            let recent = self.last_shortage.is_some_and(|at| at.elapsed() < 2 * MAX_RETRY_DELAY);
            self.retry_delay = if recent { (self.retry_delay * 2).min(MAX_RETRY_DELAY) } else { MIN_RETRY_DELAY };
            self.last_shortage = Some(now);
            self.retry_at = Some(now + self.retry_delay);
        }
        if self.tick_at <= now {
            self.tick_at = now + HOUSEKEEPING_INTERVAL;
            device.tick();
            device.answer();
        }
        let tick_at = device.engine.wants_tick().then_some(self.tick_at);
        let due = [self.retry_at, device.gated_until(), tick_at].into_iter().flatten().min();
        if let Some(due) = due
            && self.timers.iter().all(|(_, at, _)| *at > due)
        {
            self.next_timer = TIMER | self.next_timer.wrapping_add(1);
            let after = Box::new(Timespec::from(due.saturating_duration_since(now)));
            let address = &raw const *after;
            self.timers.push((self.next_timer, due, after));
            // SAFETY: the box stays among the timers until its completion has been seen, in `handle`.
            unsafe { device.uring.timer(address, foreign_tag(self.next_timer)) }
        }
        device.uring.submit()?;
        let events = std::mem::take(&mut device.events);
        drop(device);
        for event in events {
            self.handle(event);
        }
        Ok(progressed)
    }

    fn handle(&mut self, event: u32) {
        match event {
            LISTENER => self.accept(),
            WAKE => self.woken(),
            timer if timer & TIMER != 0 => self.timers.retain(|(number, _, _)| *number != timer),
            number if number == self.connection_number => self.read_message(),
            _ => {}
        }
    }

    /// Something was changed from outside.
    fn woken(&mut self) {
        // Reading clears the counter; somebody who adds to it later finds us polling again.
        let _ = (&self.remote.wake).read(&mut [0; 8]);
        let mut device = self.session.0.borrow_mut();
        device.uring.poll(self.remote.wake.as_raw_fd(), foreign_tag(WAKE), false);
        device.take_limits();
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        match listener.accept().and_then(|(stream, _)| Ok((stream.try_clone()?, stream))) {
            Ok((remote, stream)) => {
                *self.remote.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(remote);
                self.connection = Some(BackendReqHandler::from_stream(stream, self.session.clone()));
                self.status.connected.store(true, Ordering::Relaxed);
                let mut device = self.session.0.borrow_mut();
                device.reset();
                // The frontend will ask how large the volume is.
                device.attend();
                drop(device);
                self.watch_connection();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a frontend");
                self.watch_listener();
            }
        }
    }

    fn watch_listener(&self) {
        if let Some(listener) = &self.listener {
            self.session.0.borrow_mut().uring.poll(listener.as_raw_fd(), foreign_tag(LISTENER), false);
        }
    }

    fn watch_connection(&self) {
        if let Some(connection) = &self.connection {
            let tag = foreign_tag(self.connection_number);
            self.session.0.borrow_mut().uring.poll(connection.as_raw_fd(), tag, false);
        }
    }

    fn read_message(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        match connection.handle_request() {
            Ok(()) => self.watch_connection(),
            Err(error) => {
                if !matches!(error, VhostError::Disconnected) {
                    tracing::warn!(%error, "frontend dropped");
                }
                self.disconnect();
                self.watch_listener();
            }
        }
    }

    /// The frontend is gone: answer what is in flight, let its memory go.
    fn disconnect(&mut self) {
        if self.connection.take().is_some() {
            self.connection_number = self.connection_number.wrapping_add(1).max(FIRST_CONNECTION);
            *self.remote.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.session.0.borrow_mut().reset();
            self.status.connected.store(false, Ordering::Relaxed);
        }
    }
}
