//! The serial console: a 16550 whose output goes to the ring log, and whose input comes from the console socket.

use super::RingLog;
use crate::lock;
use crate::metrics::Counters;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use vm_superio::serial::SerialEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::EventFd;

/// The first serial port, shared by the processors and the console server.
#[derive(Debug)]
pub struct SerialPort {
    device: Mutex<Serial<Interrupt, InputWatch, Output>>,
    log: Arc<RingLog>,
    /// Signalled when there is output and a watcher.
    output_event: Arc<EventFd>,
    watched: Arc<AtomicBool>,
    input_space_event: Arc<EventFd>,
}

/// Raises the port's interrupt through KVM.
#[derive(Debug)]
struct Interrupt(EventFd);

impl Trigger for Interrupt {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// Tells the console server when the guest has taken all input.
#[derive(Debug)]
struct InputWatch(Arc<EventFd>);

impl SerialEvents for InputWatch {
    fn buffer_read(&self) {}
    fn out_byte(&self) {}
    fn tx_lost_byte(&self) {}
    fn in_buffer_empty(&self) {
        // Cannot fail: the counter is read long before its limit.
        let _ = self.0.write(1);
    }
}

#[derive(Debug)]
struct Output {
    log: Arc<RingLog>,
    counters: Arc<Counters>,
    event: Arc<EventFd>,
    watched: Arc<AtomicBool>,
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.log.append(bytes);
        self.counters.serial_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if self.watched.load(Ordering::Relaxed) {
            self.event.write(1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SerialPort {
    /// A port that raises `interrupt` and writes to `log`.
    pub fn new(interrupt: EventFd, log: Arc<RingLog>, counters: Arc<Counters>) -> io::Result<Self> {
        let event = || EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC).map(Arc::new);
        let (output_event, input_space_event) = (event()?, event()?);
        let watched = Arc::new(AtomicBool::new(false));
        let output = Output { log: log.clone(), counters, event: output_event.clone(), watched: watched.clone() };
        let device = Serial::with_events(Interrupt(interrupt), InputWatch(input_space_event.clone()), output);
        Ok(Self { device: Mutex::new(device), log, output_event, watched, input_space_event })
    }

    /// The guest writes a register. A failure to raise the interrupt costs a delay of the guest's driver, no more.
    pub fn write(&self, register: u8, data: &[u8]) {
        let mut device = lock(&self.device);
        for byte in data {
            let _ = device.write(register, *byte);
        }
    }

    /// The guest reads a register.
    pub fn read(&self, register: u8, data: &mut [u8]) {
        let mut device = lock(&self.device);
        data.iter_mut().for_each(|byte| *byte = device.read(register));
    }

    /// Give the guest as much of `input` as its port has room for; returns how much that was.
    pub fn enqueue(&self, input: &[u8]) -> usize {
        let mut device = lock(&self.device);
        let count = input.len().min(device.fifo_capacity());
        device.enqueue_raw_bytes(&input[..count]).unwrap_or(0)
    }

    /// What the guest has written.
    pub fn log(&self) -> &RingLog {
        &self.log
    }

    /// Signalled on output while [`SerialPort::set_watched`] is on.
    pub fn output_event(&self) -> &EventFd {
        &self.output_event
    }

    /// Signalled when the guest has taken all input.
    pub fn input_space_event(&self) -> &EventFd {
        &self.input_space_event
    }

    /// Is anyone waiting for output? Nobody is woken otherwise.
    pub fn set_watched(&self, watched: bool) {
        self.watched.store(watched, Ordering::Relaxed);
    }
}
