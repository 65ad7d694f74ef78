//! One thread with one io_uring: the only place where file data is read, written and synced.
#![allow(unsafe_code)] // The submission queue takes raw pointers: see `Thread::submit`.

use super::Buffer;
use io_uring::{IoUring, opcode, squeue, types};
use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
};
use tokio::sync::oneshot;
use vmm_sys_util::eventfd::EventFd;

/// Operations in the kernel at once. NVMe reaches its rate well below this.
const DEPTH: u32 = 256;
/// Operations waiting for their turn; more than buffers and connections can produce together.
const QUEUE: usize = 8192;
/// Marks the completion of the wake-up read; operations are numbered from 0.
const WAKE: u64 = u64::MAX;

enum Action {
    Read {
        buffer: Buffer,
        length: usize,
    },
    Write {
        buffer: Buffer,
    },
    /// `data_only`: fdatasync.
    Sync {
        data_only: bool,
    },
}

struct Job {
    file: Arc<File>,
    offset: u64,
    /// Bytes transferred so far; the kernel may do less than it was asked.
    done: usize,
    action: Action,
    reply: oneshot::Sender<(io::Result<()>, Option<Buffer>)>,
}

impl Job {
    fn finish(self, result: io::Result<()>) {
        let buffer = match self.action {
            Action::Read { mut buffer, length } => {
                buffer.set_len(length);
                Some(buffer)
            }
            Action::Write { buffer } => Some(buffer),
            Action::Sync { .. } => None,
        };
        // The one who asked may have gone away: its buffer then returns to the pool here.
        let _ = self.reply.send((result, buffer));
    }

    /// Takes in a completion: the final result, or `None` if the rest must be submitted again.
    fn advance(&mut self, result: i32) -> Option<io::Result<()>> {
        let Ok(count) = usize::try_from(result) else {
            let error = io::Error::from_raw_os_error(-result);
            return if error.kind() == io::ErrorKind::Interrupted { None } else { Some(Err(error)) };
        };
        let total = match &self.action {
            Action::Read { length, .. } => *length,
            Action::Write { buffer } => buffer.len(),
            Action::Sync { .. } => return Some(Ok(())),
        };
        if count == 0 {
            return Some(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.done += count;
        (self.done >= total).then_some(Ok(()))
    }
}

/// The result of a submitted operation.
#[derive(Debug)]
pub(super) struct Ticket(oneshot::Receiver<(io::Result<()>, Option<Buffer>)>);

impl Ticket {
    /// Waits for the operation; a read or write gives its buffer back.
    pub(super) async fn wait(self) -> io::Result<Option<Buffer>> {
        let (result, buffer) = self.0.await.map_err(|_| io::Error::other("the io_uring thread is gone"))?;
        result.map(|()| buffer)
    }
}

/// The handle to the thread, which ends when the handle is dropped and the last operation is done.
#[derive(Debug)]
pub(super) struct Ring {
    /// `Some` until dropped.
    jobs: Option<SyncSender<Job>>,
    wake: Arc<EventFd>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("offset", &self.offset).field("done", &self.done).finish_non_exhaustive()
    }
}

impl Ring {
    /// Sets the ring up and starts its thread.
    ///
    /// # Errors
    /// When the kernel refuses io_uring, an eventfd or a thread.
    pub(super) fn start() -> io::Result<Self> {
        let ring = IoUring::new(DEPTH)?;
        let wake = Arc::new(EventFd::new(0)?);
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = Thread {
            ring,
            queue: Some(queue),
            wake: wake.clone(),
            wake_count: Box::new([0; 8]),
            slots: (0..DEPTH as usize - 1).map(|_| None).collect(),
            free: (0..DEPTH as usize - 1).collect(),
            again: VecDeque::new(),
        };
        thread::Builder::new().name("blob-io".into()).spawn(move || {
            if let Err(error) = thread.run() {
                // Nothing can be stored or read any more; the supervisor starts us afresh.
                tracing::error!(%error, "io_uring failed");
                std::process::abort();
            }
        })?;
        Ok(Self { jobs: Some(jobs), wake })
    }

    /// Reads exactly `length` bytes at `offset`.
    pub(super) fn read(&self, file: &Arc<File>, offset: u64, buffer: Buffer, length: usize) -> Ticket {
        let length = length.min(super::BUFFER_BYTES);
        self.submit(file, offset, Action::Read { buffer, length })
    }

    /// Writes the filled part of `buffer` at `offset`.
    pub(super) fn write(&self, file: &Arc<File>, offset: u64, buffer: Buffer) -> Ticket {
        self.submit(file, offset, Action::Write { buffer })
    }

    /// fsync, or fdatasync.
    pub(super) fn sync(&self, file: &Arc<File>, data_only: bool) -> Ticket {
        self.submit(file, 0, Action::Sync { data_only })
    }

    fn submit(&self, file: &Arc<File>, offset: u64, action: Action) -> Ticket {
        let (reply, ticket) = oneshot::channel();
        let job = Job { file: file.clone(), offset, done: 0, action, reply };
        if let Some(jobs) = &self.jobs {
            match jobs.try_send(job) {
                Ok(()) => drop(self.wake.write(1)),
                Err(refused) => {
                    let (std::sync::mpsc::TrySendError::Full(job) | std::sync::mpsc::TrySendError::Disconnected(job)) =
                        refused;
                    job.finish(Err(io::ErrorKind::WouldBlock.into()));
                }
            }
        }
        Ticket(ticket)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.wake.write(1);
    }
}

struct Thread {
    ring: IoUring,
    /// `None` once every handle is gone.
    queue: Option<Receiver<Job>>,
    wake: Arc<EventFd>,
    wake_count: Box<[u8; 8]>,
    /// What the kernel works on, by user data; one entry of the queue's depth is the wake-up's.
    slots: Vec<Option<Job>>,
    free: Vec<usize>,
    /// Slots whose remainder must be submitted again.
    again: VecDeque<usize>,
}

impl Thread {
    fn run(mut self) -> io::Result<()> {
        self.arm_wake()?;
        loop {
            self.accept()?;
            if self.queue.is_none() && self.free.len() == self.slots.len() {
                return Ok(());
            }
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            let completions: Vec<(u64, i32)> =
                self.ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
            for (user_data, result) in completions {
                if user_data == WAKE {
                    self.arm_wake()?;
                } else {
                    self.complete(user_data, result);
                }
            }
        }
    }

    /// Moves waiting operations into free slots and the submission queue.
    fn accept(&mut self) -> io::Result<()> {
        while let Some(slot) = self.again.pop_front() {
            self.submit(slot)?;
        }
        while let (Some(queue), Some(slot)) = (&self.queue, self.free.last().copied()) {
            match queue.try_recv() {
                Ok(job) => {
                    self.free.pop();
                    self.slots[slot] = Some(job);
                    self.submit(slot)?;
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.queue = None,
            }
        }
        Ok(())
    }

    fn submit(&mut self, slot: usize) -> io::Result<()> {
        let Some(job) = self.slots[slot].as_mut() else { return Ok(()) };
        let file = types::Fd(job.file.as_raw_fd());
        let (offset, done) = (job.offset + job.done as u64, job.done);
        let entry = match &mut job.action {
            Action::Read { buffer, length } => {
                let rest = &mut buffer.memory()[done..*length];
                opcode::Read::new(file, rest.as_mut_ptr(), length_of(rest)).offset(offset).build()
            }
            Action::Write { buffer } => {
                let rest = &buffer.as_ref()[done..];
                opcode::Write::new(file, rest.as_ptr(), length_of(rest)).offset(offset).build()
            }
            Action::Sync { data_only } => {
                let flags = if *data_only { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
                opcode::Fsync::new(file).flags(flags).build()
            }
        };
        self.push(&entry.user_data(slot as u64))
    }

    fn arm_wake(&mut self) -> io::Result<()> {
        let wake: RawFd = self.wake.as_raw_fd();
        let entry = opcode::Read::new(types::Fd(wake), self.wake_count.as_mut_ptr(), 8).build().user_data(WAKE);
        self.push(&entry)
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what the entry points to stays valid and unmoved until its completion is taken: files and buffers are
        // owned by the job in `slots`, which is emptied only by `complete`, and buffers and `wake_count` are boxed.
        // Nothing else touches a buffer while its job is there.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }

    fn complete(&mut self, user_data: u64, result: i32) {
        let Ok(slot) = usize::try_from(user_data) else { return };
        let Some(job) = self.slots.get_mut(slot).and_then(Option::as_mut) else { return };
        match job.advance(result) {
            None => self.again.push_back(slot),
            Some(result) => {
                if let Some(job) = self.slots[slot].take() {
                    self.free.push(slot);
                    job.finish(result);
                }
            }
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Unwinding with operations in flight would free memory the kernel still writes to.
        if self.free.len() != self.slots.len() {
            std::process::abort();
        }
    }
}

/// Buffers are [`super::BUFFER_BYTES`] long, which fits.
fn length_of(slice: &[u8]) -> u32 {
    u32::try_from(slice.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::{BUFFER_BYTES, BufferPool};
    use bytes::Bytes;

    #[tokio::test]
    async fn many_operations_at_once_all_complete() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let ring = Ring::start().unwrap();
        let pool = BufferPool::new(2 * DEPTH as usize);
        let mut writes = Vec::new();
        // More than the ring is deep, so that some wait for a slot.
        for index in 0..u64::from(DEPTH) + 44 {
            let mut buffer = pool.get().await.unwrap();
            buffer.fill(&mut Bytes::from(index.to_le_bytes().to_vec()));
            writes.push(ring.write(&file, index * 8, buffer));
        }
        for write in writes {
            write.wait().await.unwrap();
        }
        assert!(ring.sync(&file, true).wait().await.unwrap().is_none());
        let read = ring.read(&file, 8, pool.get().await.unwrap(), 16).wait().await.unwrap().unwrap();
        assert_eq!(read.as_ref(), [1u64.to_le_bytes(), 2u64.to_le_bytes()].concat());
        let beyond = ring.read(&file, 8 * 300 - 4, pool.get().await.unwrap(), BUFFER_BYTES).wait().await;
        assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
