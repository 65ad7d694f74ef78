//! A line on standard error while something takes long: how long already, and how far it is if that can be told.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A terminal's line is rewritten this often; a log gets a new line each [`LOG_INTERVAL`].
const TERMINAL_INTERVAL: Duration = Duration::from_secs(1);
const LOG_INTERVAL: Duration = Duration::from_secs(30);

/// Shows until it is dropped.
#[derive(Debug)]
pub struct Progress {
    stop: Option<Sender<()>>,
    shower: Option<JoinHandle<()>>,
}

impl Progress {
    /// `far` is asked again and again; None: it cannot be told.
    pub fn start(what: String, far: impl Fn() -> Option<String> + Send + 'static) -> Self {
        let (stop, stopped) = channel();
        let show = move || {
            let started = Instant::now();
            let terminal = std::io::stderr().is_terminal();
            let interval = if terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL };
            let mut shown = false;
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let so_far = far().map_or(String::new(), |far| format!(", {far}"));
                let line = format!("{what}: {} s{so_far}", started.elapsed().as_secs());
                // Nobody to read it is no reason to stop.
                let _ = if terminal {
                    write!(std::io::stderr(), "\r\x1b[K{line}")
                } else {
                    writeln!(std::io::stderr(), "{line}")
                };
                shown = true;
            }
            if shown && terminal {
                let _ = write!(std::io::stderr(), "\r\x1b[K");
            }
        };
        // Without a thread there is no line; the work goes on.
        let shower = std::thread::Builder::new().name("progress".into()).spawn(show).ok();
        Self { stop: Some(stop), shower }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(shower) = self.shower.take() {
            let _ = shower.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_once() {
        let started = Instant::now();
        drop(Progress::start("test".into(), || None));
        assert!(started.elapsed() < TERMINAL_INTERVAL);
    }
}
