//! System calls that the standard library does not offer.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sets O_NONBLOCK on the open file.
pub fn set_nonblocking(file: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: fcntl with these commands touches no memory of ours.
    let flags = check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// Shuts a socket down in both directions; wakes a thread that waits in accept on it.
pub fn shutdown(socket: &impl AsRawFd) {
    // SAFETY: shutdown touches no memory.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
}

/// Binds the calling thread to one processor.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is the empty set, CPU_SET checks its bounds, and the set outlives the call.
    check(unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    })?;
    Ok(())
}

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// Most events taken by one wait; more wait for the next.
const MAX_EVENTS: usize = 64;

/// Room for the events of one wait.
pub struct Events {
    list: [libc::epoll_event; MAX_EVENTS],
    count: usize,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { list: [libc::epoll_event { events: 0, u64: 0 }; MAX_EVENTS], count: 0 }
    }
}

impl Events {
    /// Tokens of the descriptors that are ready.
    pub fn tokens(&self) -> impl Iterator<Item = u64> + '_ {
        self.list[..self.count].iter().map(|event| event.u64)
    }
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: creates a new descriptor, which is owned from here on.
        unsafe { Ok(Self(OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?))) }
    }

    /// Reports each time the descriptor becomes readable, once (edge-triggered): an eventfd need not be read.
    pub fn add_edge(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.add(fd, token, libc::EPOLLIN | libc::EPOLLET)
    }

    /// Reports while the descriptor is readable.
    pub fn add_level(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.add(fd, token, libc::EPOLLIN)
    }

    fn add(&self, fd: RawFd, token: u64, events: libc::c_int) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: `event` outlives the call.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
        Ok(())
    }

    pub fn remove(&self, fd: RawFd) {
        // SAFETY: no memory is passed; a descriptor that is not there is an error without effect.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }

    /// Waits for events; `timeout_ms` of None waits without end. An interrupted wait returns no events.
    pub fn wait(&self, events: &mut Events, timeout_ms: Option<u32>) -> io::Result<()> {
        let timeout = timeout_ms.map_or(-1, |ms| i32::try_from(ms).unwrap_or(i32::MAX));
        // SAFETY: the list has room for MAX_EVENTS events.
        let count =
            unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.list.as_mut_ptr(), MAX_EVENTS as i32, timeout) };
        match check(count) {
            Ok(count) => events.count = count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.count = 0,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
