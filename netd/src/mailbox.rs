//! A queue into a thread that sleeps in epoll: many senders, one receiver.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Bounded by its senders. Whoever asks waits for the answer; frames are counted, against their interface (`services::interface`) or
/// `dataplane::EXECUTIONS_MAX`. What is told without an answer is of a configuration, which bounds it: devices that begin, processors,
/// interfaces that are gone.
pub struct Mailbox<T> {
    queue: Mutex<VecDeque<T>>,
    pending: AtomicBool,
    wake: EventFd,
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("pending", &self.pending).finish_non_exhaustive()
    }
}

/// Locks, going on after a panic of another holder: what these locks guard is valid at every step.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Mailbox<T> {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            queue: Mutex::new(VecDeque::new()),
            pending: AtomicBool::new(false),
            wake: EventFd::new(EFD_NONBLOCK)?,
        })
    }

    pub fn send(&self, message: T) {
        lock(&self.queue).push_back(message);
        if !self.pending.swap(true, Ordering::SeqCst) {
            // Non-blocking, and the counter cannot saturate: one write per emptying.
            let _ = self.wake.write(1);
        }
    }

    /// Everything sent so far. Without contention or work this is one load.
    #[inline]
    pub fn take(&self) -> VecDeque<T> {
        if !self.pending.load(Ordering::Relaxed) {
            return VecDeque::new();
        }
        self.pending.store(false, Ordering::SeqCst);
        std::mem::take(&mut *lock(&self.queue))
    }
}

impl<T> AsRawFd for Mailbox<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }
}

/// Adds one to an eventfd of the frontend's. Its file was made non-blocking, so that a full counter cannot stop the caller.
pub fn signal(file: &std::fs::File) {
    let _ = (&*file).write(&1u64.to_ne_bytes());
}
