//! The forwarding thread: it owns its ports' rings, takes bursts, decides, copies, and sleeps when there is nothing to do.
//!
//! A segment and all its ports belong to one worker, so that nothing on the packet path is shared and no lock is taken.
//! Other threads reach it by [`command::Command`], taken between bursts.

pub mod command;
mod forward;
mod idle;
mod table;

use crate::config::WorkerConfig;
use crate::counters::WorkerCounters;
use crate::error::DaemonError;
use crate::mailbox::Mailbox;
use crate::services::ServicesHandle;
use crate::sys::{Epoll, Events};
use crate::uplink::Uplink;
use command::{Command, WorkerHandle};
use idle::Polled;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use table::Table;

/// Tokens of the descriptors that are not a queue's kick.
const TOKEN_MAILBOX: u64 = u64::MAX;
const TOKEN_UPLINK: u64 = u64::MAX - 1;
/// Rounds of busy polling between two looks at what epoll reports: commands and kicks then wait some tens of microseconds at most.
const ROUNDS_PER_WAIT: u32 = 64;
/// Frames taken from the uplink in one round, so that guests' queues get their turn.
const UPLINK_BATCH: usize = 64;

/// A running worker; dropping it stops the thread.
#[derive(Debug)]
pub struct RunningWorker {
    pub handle: WorkerHandle,
    pub counters: Arc<WorkerCounters>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.handle.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Debug)]
struct Worker {
    mailbox: Arc<Mailbox<Command>>,
    handle: WorkerHandle,
    counters: Arc<WorkerCounters>,
    services: ServicesHandle,
    uplink: Option<Uplink>,
    uplink_ready: bool,
    epoll: Epoll,
    table: Table,
    polled: Vec<Polled>,
    /// Receive queues delivered to since the last flush: port slot and pair.
    touched: Vec<(usize, usize)>,
    /// Whole frames, for what cannot be copied from guest to guest.
    scratch: Vec<u8>,
    segmented: Vec<u8>,
    settings: WorkerConfig,
    started: Instant,
    now_us: u64,
    now_s: u32,
}

/// Starts worker number `index`.
pub fn start(
    index: usize,
    settings: &WorkerConfig,
    services: ServicesHandle,
    uplink: Option<Uplink>,
) -> Result<RunningWorker, DaemonError> {
    let failed = |action| move |source| DaemonError::System { action, source };
    let mailbox = Arc::new(Mailbox::new().map_err(failed("make a worker's mailbox"))?);
    let epoll = Epoll::new().map_err(failed("make an epoll instance"))?;
    epoll.add_edge(mailbox.as_raw_fd(), TOKEN_MAILBOX).map_err(failed("watch a worker's mailbox"))?;
    if let Some(uplink) = &uplink {
        epoll.add_edge(uplink.as_raw_fd(), TOKEN_UPLINK).map_err(failed("watch the uplink"))?;
    }
    let handle = WorkerHandle::new(mailbox.clone());
    let counters = Arc::new(WorkerCounters::default());
    let worker = Worker {
        mailbox,
        handle: handle.clone(),
        counters: counters.clone(),
        services,
        uplink_ready: uplink.is_some(),
        uplink,
        epoll,
        table: Table::default(),
        polled: Vec::new(),
        touched: Vec::new(),
        scratch: Vec::new(),
        segmented: Vec::new(),
        settings: settings.clone(),
        started: Instant::now(),
        now_us: 0,
        now_s: 0,
    };
    let cpu = settings.cpus.get(index).copied();
    let thread = std::thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            if let Some(cpu) = cpu
                && let Err(error) = crate::sys::pin_to_cpu(cpu)
            {
                tracing::warn!(cpu, %error, "worker is not bound to its processor");
            }
            worker.run();
        })
        .map_err(failed("start a worker"))?;
    Ok(RunningWorker { handle, counters, thread: Some(thread) })
}

impl Worker {
    fn run(mut self) {
        let mut events = Events::default();
        let mut rounds = 0;
        loop {
            self.tick();
            if !self.take_commands() {
                return;
            }
            self.poll_queues();
            self.poll_uplink();
            self.flush();

            let busy = !self.polled.is_empty() || self.uplink_ready;
            rounds += 1;
            if busy && rounds < ROUNDS_PER_WAIT {
                continue;
            }
            rounds = 0;
            // With an uplink flows must time out; otherwise nothing happens until somebody writes to one of the descriptors.
            let timeout_ms = if busy { Some(0) } else { self.uplink.as_ref().map(|_| 1000) };
            if let Err(error) = self.epoll.wait(&mut events, timeout_ms) {
                tracing::error!(%error, "worker cannot wait for events");
                return;
            }
            for token in events.tokens() {
                match token {
                    TOKEN_MAILBOX => {}
                    TOKEN_UPLINK => self.uplink_ready = true,
                    queue => self.wake_queue(queue),
                }
            }
        }
    }

    fn tick(&mut self) {
        let elapsed = self.started.elapsed();
        self.now_us = elapsed.as_micros() as u64;
        let now_s = elapsed.as_secs() as u32;
        if now_s != self.now_s {
            self.now_s = now_s;
            if let Some(uplink) = &mut self.uplink {
                uplink.expire(now_s);
            }
        }
    }

    /// Returns false when the worker is to stop.
    fn take_commands(&mut self) -> bool {
        for command in self.mailbox.take() {
            match command {
                Command::PutSegment(segment) => {
                    if let Some(uplink) = &mut self.uplink {
                        if segment.spec.uplink {
                            uplink.put_segment(segment.clone());
                        } else {
                            uplink.delete_segment(&segment.spec.segment_id);
                        }
                    }
                    self.table.put_segment(segment);
                }
                Command::DeleteSegment { segment_id } => {
                    if let Some(uplink) = &mut self.uplink {
                        uplink.delete_segment(&segment_id);
                    }
                    self.table.delete_segment(&segment_id);
                }
                Command::PutPort { port, config } => self.table.put_port(port, &config),
                Command::DeletePort { key } => {
                    self.stop_port(key);
                    self.table.delete_port(key);
                }
                Command::StartQueue { key, index, queue } => self.start_queue(key, index, queue),
                Command::StopQueue { key, index, reply } => {
                    let base = self.stop_queue(key, index);
                    // The asker may be gone with its connection.
                    let _ = reply.send(base);
                }
                Command::StartDriver { key } => {
                    self.table.clear_fault(key);
                    // Behind all frames of the former driver, before any of the new one.
                    self.services.forget(key);
                }
                Command::Deliver { key, frame } => {
                    if let Some(slot) = self.table.slot_of(key) {
                        self.deliver_plain(slot, &frame);
                    }
                }
                Command::Stop => return false,
            }
        }
        true
    }

    fn poll_uplink(&mut self) {
        for _ in 0..UPLINK_BATCH {
            if !self.uplink_ready {
                return;
            }
            match self.uplink.as_mut().and_then(|uplink| uplink.receive(self.now_s)) {
                None => self.uplink_ready = false,
                Some(Ok(None)) => {}
                Some(Ok(Some(packet))) => self.deliver_from_uplink(packet),
                Some(Err(reason)) => self.counters.count(reason),
            }
        }
    }

    /// Publishes what was delivered, with one interrupt a queue at most.
    fn flush(&mut self) {
        while let Some((slot, pair)) = self.touched.pop() {
            if let Some(rx) = self.table.rx(slot, pair) {
                rx.flush();
            }
        }
    }

    /// Stops a port whose guest broke a ring; the others go on.
    fn fault(&mut self, slot: usize, queue: usize, fault: crate::port::ring::RingFault) {
        let Some(port) = self.table.port(slot) else { return };
        let shared = port.shared.clone();
        let id = shared.config().spec.port_id.clone();
        tracing::warn!(port = %id, queue, reason = %fault, "port stopped: its guest broke a ring");
        shared.set_fault(Some(format!("queue {queue}: {fault}")));
        self.stop_port(shared.key);
        self.table.set_faulted(slot);
    }
}
