//! Between an engine's thread and the tasks that work for it: orders one way, events the other, and a bell.

use super::keeper::Order;
use crate::backing::{Backing, chunk_key};
use crate::engine::FileId;
use crate::engine::log::{Background, CachedChunk, CompleteSegment, Event, SegmentName};
use rustix::event::{EventfdFlags, eventfd};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::{Arc, mpsc};
use tokio::sync::mpsc::UnboundedSender;

/// Whence events come: may be cloned, and outlives the engine without harm.
#[derive(Clone, Debug)]
pub struct Caller {
    events: mpsc::Sender<Event>,
    bell: Arc<File>,
}

impl Caller {
    /// Tell the engine; nothing happens if it is gone.
    pub fn call(&self, event: Event) {
        if self.events.send(event).is_ok() {
            // It fails only when the counter is full, and then the bell rings already.
            let _ = (&*self.bell).write_all(&1u64.to_ne_bytes());
        }
    }
}

/// The engine's end. The number of orders under way is bounded by what the engine has in memory for each.
#[derive(Debug)]
pub struct Link {
    orders: UnboundedSender<Order>,
    events: mpsc::Receiver<Event>,
    bell: Arc<File>,
    backing: Arc<Backing>,
    cache_file: FileId,
}

/// A link, and the other end of its events.
pub fn connect(orders: UnboundedSender<Order>, backing: Arc<Backing>) -> io::Result<(Link, Caller)> {
    let bell: Arc<File> = Arc::new(File::from(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?));
    let (sender, events) = mpsc::channel();
    let cache_file = FileId::of(backing.cache.fd());
    Ok((Link { orders, events, bell: bell.clone(), backing, cache_file }, Caller { events: sender, bell }))
}

impl Link {
    fn order(&self, order: Order) {
        // The keeper outlives the engine, but for the end of the process.
        let _ = self.orders.send(order);
    }
}

impl Background for Link {
    fn bell(&self) -> Option<FileId> {
        Some(FileId { fd: self.bell.as_raw_fd(), in_memory: false })
    }

    fn poll(&mut self) -> Option<Event> {
        if let Ok(event) = self.events.try_recv() {
            return Some(event);
        }
        // Silence the bell, then look again: whoever rings later has sent before.
        let _ = (&*self.bell).read(&mut [0; 8]);
        self.events.try_recv().ok()
    }

    fn save_checkpoint(&mut self, bytes: Vec<u8>, cuts: &[u64]) {
        self.order(Order::Save { bytes, cuts: cuts.to_vec() });
    }

    fn cached(&mut self, name: SegmentName, chunk: u32) -> Option<CachedChunk> {
        let slot = self.backing.cache.lookup(chunk_key(name, chunk))?;
        Some(CachedChunk { file: self.cache_file, offset: slot.offset(), pin: Box::new(slot) })
    }

    fn fetch(&mut self, name: SegmentName, end: u16, chunk: u32) {
        self.order(Order::Fetch { name, end, chunk });
    }

    fn distrust(&mut self, name: SegmentName, chunk: u32) {
        self.backing.cache.invalidate(chunk_key(name, chunk));
    }

    fn complete(&mut self, segment: CompleteSegment) {
        self.order(Order::Complete(segment));
    }

    fn holding(&mut self, token: u64) {
        self.order(Order::Holding(token));
    }

    fn dropped(&mut self, name: SegmentName) {
        self.order(Order::Dropped(name));
    }
}
