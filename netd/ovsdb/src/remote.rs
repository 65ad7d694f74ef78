//! Where the database is, and a stream to it.

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A server that ovs-vsctl's `--db` could name too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    Unix(PathBuf),
    Tcp { host: String, port: u16 },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    #[error("{0:?} is no database of the form unix:PATH or tcp:HOST:PORT")]
    Form(String),
    #[error("{0:?}: databases over ssl are not supported; use unix:PATH, or tcp:HOST:PORT through a tunnel")]
    Ssl(String),
}

/// IANA's for OVSDB.
const DEFAULT_PORT: u16 = 6640;
/// For one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 4;

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let bad = || RemoteError::Form(text.to_owned());
        let (method, rest) = text.split_once(':').ok_or_else(bad)?;
        match method {
            "unix" if !rest.is_empty() => Ok(Self::Unix(PathBuf::from(rest))),
            "ssl" => Err(RemoteError::Ssl(text.to_owned())),
            "tcp" => {
                let (host, port) = match rest.strip_prefix('[') {
                    Some(bracketed) => {
                        let (host, rest) = bracketed.split_once(']').ok_or_else(bad)?;
                        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(bad)?) };
                        (host, port)
                    }
                    None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
                };
                let port = port.map_or(Ok(DEFAULT_PORT), str::parse).ok().filter(|port| *port > 0).ok_or_else(bad)?;
                if host.is_empty() {
                    return Err(bad());
                }
                Ok(Self::Tcp { host: host.to_owned(), port })
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

/// A connection, non-blocking.
#[derive(Debug)]
pub enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Remote {
    pub fn connect(&self) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => {
                // Non-blocking from the start: a server that does not accept would hold a blocking connect for ever.
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
                Ok(Stream::Unix(socket.into()))
            }
            Self::Tcp { host, port } => {
                let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in (host.as_str(), *port).to_socket_addrs()?.take(MAX_ADDRESSES) {
                    match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                        Ok(stream) => {
                            stream.set_nonblocking(true)?;
                            stream.set_nodelay(true)?;
                            return Ok(Stream::Tcp(stream));
                        }
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(buffer),
            Self::Tcp(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes() {
        assert_eq!("unix:/run/db.sock".parse(), Ok(Remote::Unix("/run/db.sock".into())));
        assert_eq!("tcp:127.0.0.1:6640".parse(), Ok(Remote::Tcp { host: "127.0.0.1".into(), port: 6640 }));
        assert_eq!("tcp:[::1]:1".parse(), Ok(Remote::Tcp { host: "::1".into(), port: 1 }));
        assert!(matches!("ssl:1.2.3.4:6640".parse::<Remote>(), Err(RemoteError::Ssl(_))));
        for bad in ["", "unix:", "punix:/x", "tcp:", "tcp:h:x", "tcp:h:0", "tcp:[::1", "tcp:[::1]x"] {
            assert!(matches!(bad.parse::<Remote>(), Err(RemoteError::Form(_))), "{bad}");
        }
        assert_eq!("tcp:[::1]:1".parse::<Remote>().unwrap().to_string(), "tcp:[::1]:1");
    }
}
