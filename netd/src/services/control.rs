//! The services' control socket: JSON lines in, JSON lines out.

use super::endpoints::Endpoints;
use crate::error::DaemonError;
use hive_netd_api::{self as api, MAX_LINE_BYTES, Reply, Request};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Clients at a time: the node's agent, an operator, a few scripts.
const MAX_CONNECTIONS: usize = 32;
/// A client that takes no bytes for this long is left.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// After no client could be taken: the process may have no descriptors left for now.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the socket, in the place of one that nobody listens on any more. What is no socket stays, and so does one that is answered.
pub fn bind(path: &Path) -> Result<UnixListener, DaemonError> {
    let failed = |source| DaemonError::File { action: "listen on", path: path.to_owned(), source };
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket && UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
        std::fs::remove_file(path).map_err(failed)?;
    }
    UnixListener::bind(path).map_err(failed)
}

/// Answers clients, each on a thread of its own, for as long as the listener works.
pub fn serve(listener: &UnixListener, endpoints: &Arc<Endpoints>) -> Result<(), DaemonError> {
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if passes(&error) => {
                tracing::warn!(%error, "cannot accept a client of the control socket");
                std::thread::sleep(ACCEPT_PAUSE);
                continue;
            }
            Err(source) => return Err(DaemonError::System { action: "accept a client", source }),
        };
        if connections.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
            connections.fetch_sub(1, Ordering::SeqCst);
            let message = format!("more than {MAX_CONNECTIONS} connections");
            let _ = write_reply(&stream, &Reply::Error { kind: api::ErrorKind::TooMany, message });
            continue;
        }
        let (endpoints, counted) = (endpoints.clone(), connections.clone());
        let spawned = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            if let Err(error) = converse(&stream, &endpoints) {
                tracing::debug!(%error, "client left");
            }
            counted.fetch_sub(1, Ordering::SeqCst);
        });
        if let Err(error) = spawned {
            connections.fetch_sub(1, Ordering::SeqCst);
            tracing::warn!(%error, "cannot start a thread for a client");
        }
    }
}

/// Whether the listener is as good as before (accept(2)).
fn passes(error: &std::io::Error) -> bool {
    let passing = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::ECONNABORTED, libc::EINTR];
    error.raw_os_error().is_some_and(|code| passing.contains(&code))
}

fn converse(stream: &UnixStream, endpoints: &Endpoints) -> std::io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut reader).take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.len() > MAX_LINE_BYTES {
            let message = format!("request is longer than {MAX_LINE_BYTES} bytes");
            return write_reply(stream, &Reply::Error { kind: api::ErrorKind::Invalid, message });
        }
        let reply = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => endpoints.handle(request),
            Err(error) => Reply::Error { kind: api::ErrorKind::Invalid, message: format!("not a request: {error}") },
        };
        write_reply(stream, &reply)?;
    }
}

fn write_reply(mut stream: &UnixStream, reply: &Reply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(std::io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_socket_that_nobody_listens_on_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (file, socket) = (directory.path().join("file"), directory.path().join("socket"));
        std::fs::write(&file, "mine").unwrap();
        assert!(bind(&file).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
        let first = bind(&socket).unwrap();
        assert!(bind(&socket).is_err());
        UnixStream::connect(&socket).unwrap();
        drop(first);
        drop(bind(&socket).unwrap());
    }

    #[test]
    fn a_process_without_descriptors_keeps_its_listener() {
        assert!(passes(&std::io::Error::from_raw_os_error(libc::EMFILE)));
        assert!(!passes(&std::io::Error::from_raw_os_error(libc::EBADF)));
    }
}
