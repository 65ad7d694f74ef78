//! What a switch with two ports does.

use hive_device::{Device, Sent, Status};
use hive_flow::Key;
use hive_packet::VnetHeader;
use hive_program::Tunnel;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub const BURST: usize = 32;

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Frames larger than any MTU here: segmentation was left to us.
    large: [AtomicUsize; 2],
    status: Mutex<[Status; 2]>,
    metadata: Mutex<[Option<Key>; 2]>,
    ended: Mutex<Option<(usize, std::io::Error)>>,
}

/// Frames that come in by one device leave by the other.
pub struct Wire {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the wire broke");
        }
    }
}

impl Wire {
    pub fn join(mut one: Box<dyn Device>, mut other: Box<dyn Device>, tunnel: Option<Tunnel>) -> Self {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !seen.stop.load(Ordering::Relaxed) {
                let moved = carry(0, &mut *one, &mut *other, tunnel.as_ref(), &seen)
                    .and_then(|there| Some(there + carry(1, &mut *other, &mut *one, tunnel.as_ref(), &seen)?));
                let Some(moved) = moved else { return };
                *seen.status.lock().unwrap() = [one.status(), other.status()];
                if moved == 0 {
                    let fds = [one.wake_fd(), other.wake_fd()].map(Option::unwrap);
                    let mut fds = fds.each_ref().map(|fd| PollFd::new(fd, PollFlags::IN));
                    let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 20_000_000 }));
                }
            }
        });
        Self { shared, thread: Some(thread) }
    }

    pub fn large(&self) -> [usize; 2] {
        self.shared.large.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    pub fn status(&self) -> [Status; 2] {
        self.shared.status.lock().unwrap().clone()
    }

    /// Of the last frame that came in by each.
    pub fn metadata(&self) -> [Option<Key>; 2] {
        *self.shared.metadata.lock().unwrap()
    }

    /// Which device failed, and how.
    pub fn ended(&self) -> Option<(usize, i32)> {
        self.shared.ended.lock().unwrap().as_ref().map(|(at, error)| (*at, error.raw_os_error().unwrap_or(0)))
    }
}

fn carry(
    at: usize,
    from: &mut dyn Device,
    to: &mut dyn Device,
    tunnel: Option<&Tunnel>,
    seen: &Shared,
) -> Option<usize> {
    let received = from.receive(BURST, &mut |got| {
        let large = got.frame.len() > 9100;
        seen.large[at].fetch_add(large.into(), Ordering::Relaxed);
        assert!(!large || got.header.is_gso());
        seen.metadata.lock().unwrap()[at] = Some(*got.metadata);
        // As a switch has it: headers in one piece, the rest in others.
        let (head, rest) = got.frame.split_at(got.frame.len().min(96));
        let (middle, end) = rest.split_at(rest.len() / 3);
        to.send(Sent { header: got.header, pieces: &[head, middle, end], tunnel });
    });
    to.flush();
    match received {
        Ok(count) => {
            assert!(count <= BURST);
            Some(count)
        }
        Err(error) => {
            *seen.ended.lock().unwrap() = Some((at, error));
            None
        }
    }
}

/// A frame that goes out by itself.
pub fn send(device: &mut dyn Device, frame: &[u8], tunnel: Option<&Tunnel>) -> bool {
    let sent = device.send(Sent { header: VnetHeader::default(), pieces: &[frame], tunnel });
    device.flush();
    sent
}
