//! The control socket: one JSON request a line, one JSON reply a line.

use crate::daemon::Daemon;
use crate::export::listen;
use hive_blockd_api::{ErrorKind, MAX_LINE_BYTES, Reply};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections served at the same time, each by a thread of its own; more are told so and closed.
const MAX_CONNECTIONS: usize = 64;
/// A connection that says nothing for so long is closed, and one that does not read its replies.
const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Listen on `path` and answer from threads of our own for as long as the process lives.
pub fn serve(daemon: Arc<Daemon>, path: &Path) -> io::Result<()> {
    let listener = listen(path)?;
    std::thread::Builder::new().name("control".into()).spawn(move || accept_all(&daemon, &listener))?;
    Ok(())
}

/// Counts connections; a dropped ticket gives its place back.
struct Ticket(Arc<AtomicUsize>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn accept_all(daemon: &Arc<Daemon>, listener: &UnixListener) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let accepted = stream.and_then(|mut stream| {
            stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
            stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
            if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                let _ticket = Ticket(open.clone());
                return send(&mut stream, &invalid(format!("more than {MAX_CONNECTIONS} connections")));
            }
            let (ticket, daemon) = (Ticket(open.clone()), daemon.clone());
            let connection = move || {
                let _ticket = ticket;
                if let Err(error) = converse(&daemon, stream) {
                    tracing::debug!(%error, "control connection ended");
                }
            };
            std::thread::Builder::new().name("control-conn".into()).spawn(connection)?;
            Ok(())
        });
        if let Err(error) = accepted {
            tracing::warn!(%error, "cannot take a control connection");
            // Out of descriptors or threads: give the others time to end.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn converse(daemon: &Arc<Daemon>, stream: UnixStream) -> io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        if line.len() > MAX_LINE_BYTES {
            return send(&mut writer, &invalid(format!("a request line has at most {MAX_LINE_BYTES} bytes")));
        }
        let reply = match serde_json::from_slice(&line) {
            Ok(request) => daemon.handle(request),
            Err(error) => invalid(format!("not a request: {error}")),
        };
        send(&mut writer, &reply)?;
    }
}

fn invalid(message: String) -> Reply {
    Reply::Error { kind: ErrorKind::Invalid, message }
}

fn send(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line)
}
