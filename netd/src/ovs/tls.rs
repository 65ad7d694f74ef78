//! TLS to controllers: a thread for each session stands between its socket and the agent, which sees a plain one.
//!
//! As with Open vSwitch, either side is known by a certificate of the authority that the database names, not by its host's name.

use hive_ofproto::Stream;
use hive_ovsdb::snapshot::Ssl;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error, RootCertStore,
    ServerConfig, ServerConnection, SignatureScheme,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For all of the handshake: whoever does not get on with it is left, however often it says a byte.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For a controller to take what was said to it last, after the agent has left.
const LINGER: Duration = Duration::from_secs(10);
/// Read at once, either way.
const CHUNK_BYTES: usize = 16 << 10;

/// Accepts any certificate of the authority, whatever its name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(end, chain, name, ocsp, now) {
            // Names are looked at last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

fn unreadable(path: &str, error: &rustls::pki_types::pem::Error) -> io::Error {
    other(format!("{path}: {error}"))
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authority: Arc<RootCertStore>,
}

impl Identity {
    fn load(ssl: Option<&Ssl>) -> io::Result<Self> {
        let ssl = ssl.ok_or_else(|| other("the database has no SSL configuration"))?;
        let certificates = |path: &str| -> io::Result<Vec<_>> {
            let all = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(path, &error))?;
            all.collect::<Result<_, _>>().map_err(|error| unreadable(path, &error))
        };
        let mut authority = RootCertStore::empty();
        for certificate in certificates(&ssl.ca_cert)? {
            authority.add(certificate).map_err(other)?;
        }
        let key =
            PrivateKeyDer::from_pem_file(&ssl.private_key).map_err(|error| unreadable(&ssl.private_key, &error))?;
        Ok(Self { chain: certificates(&ssl.certificate)?, key, authority: Arc::new(authority) })
    }
}

/// Speaks TLS to a controller, over a connection.
pub(super) fn connect(stream: TcpStream, host: &str, ssl: Option<&Ssl>) -> io::Result<Stream> {
    let Identity { chain, key, authority } = Identity::load(ssl)?;
    let verifier = WebPkiServerVerifier::builder(authority).build().map_err(other)?;
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyName(verifier)))
        .with_client_auth_cert(chain, key)
        .map_err(other)?;
    let name = ServerName::try_from(host.to_owned()).map_err(other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(other)?;
    relay(stream, Connection::Client(connection), Arc::default())
}

/// The same with one that came to us.
///
/// `alive` is held as long as the session's thread is there.
pub(super) fn accept(stream: TcpStream, ssl: Option<&Ssl>, alive: Arc<()>) -> io::Result<Stream> {
    let Identity { chain, key, authority } = Identity::load(ssl)?;
    let verifier = WebPkiClientVerifier::builder(authority).build().map_err(other)?;
    let config =
        ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).map_err(other)?;
    relay(stream, Connection::Server(ServerConnection::new(Arc::new(config)).map_err(other)?), alive)
}

/// The handshake of who comes to us happens on the thread: nobody who connects holds up others.
fn relay(stream: TcpStream, mut connection: Connection, alive: Arc<()>) -> io::Result<Stream> {
    let (ours, theirs) = UnixStream::pair()?;
    let deadline = Instant::now() + HANDSHAKE_TIMEOUT;
    ours.set_nonblocking(true)?;
    if matches!(connection, Connection::Client(_)) {
        shake_hands(&stream, &mut connection, deadline)?;
    }
    std::thread::Builder::new().name("tls".to_owned()).spawn(move || {
        let _alive = alive;
        let shaken = shake_hands(&stream, &mut connection, deadline);
        if let Err(error) = shaken.and_then(|()| carry(stream, connection, ours, LINGER)) {
            tracing::debug!(%error, "TLS session has ended");
        }
    })?;
    Ok(Stream::Unix(theirs))
}

/// A socket that waits until then, and no longer.
struct Until<'a>(&'a TcpStream, Instant);

impl Until<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.1.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.set_read_timeout(self.left()?)?;
        self.0.read(bytes)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set_write_timeout(self.left()?)?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn shake_hands(stream: &TcpStream, connection: &mut Connection, deadline: Instant) -> io::Result<()> {
    while connection.is_handshaking() {
        connection.complete_io(&mut Until(stream, deadline))?;
    }
    Ok(())
}

fn quiet(error: io::Error) -> io::Result<()> {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) { Ok(()) } else { Err(error) }
}

/// Until either end closes. `linger`: for the network to take the rest, once the agent has left.
fn carry(mut stream: TcpStream, mut connection: Connection, mut plain: UnixStream, linger: Duration) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut inward = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left: Option<Instant> = None;
    loop {
        // Before anything is waited for: no socket rings for what is decrypted already, which may be more than a chunk.
        while inward.is_empty() {
            match connection.reader().read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(length) => inward.extend_from_slice(chunk.get(..length).unwrap_or_default()),
                Err(error) => {
                    quiet(error)?;
                    break;
                }
            }
        }
        if left.is_some() {
            inward.clear();
        }
        // Neither direction gathers more than a chunk.
        let reads_network = inward.is_empty();
        let mut network = if reads_network { PollFlags::IN } else { PollFlags::empty() };
        if connection.wants_write() {
            network |= PollFlags::OUT;
        }
        let mut local = if connection.wants_write() { PollFlags::empty() } else { PollFlags::IN };
        if !inward.is_empty() {
            local |= PollFlags::OUT;
        }
        let timeout = match left {
            None => None,
            Some(_) if !connection.wants_write() => Some(Duration::ZERO),
            Some(at) => match linger.checked_sub(at.elapsed()) {
                Some(rest) => Some(rest),
                None => return Ok(()),
            },
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = [PollFd::new(&stream, network), PollFd::new(&plain, local)];
        // An end is said again and again. Once it is heard that the agent has left, what it said is only read to the last byte; and of a
        // network from which nothing is taken now, none is heard.
        let watched = match left {
            Some(_) => &mut fds[..1],
            None if network.is_empty() => &mut fds[1..],
            None => &mut fds[..],
        };
        match rustix::event::poll(watched, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (network, local) = (fds[0].revents(), fds[1].revents());
        if local.contains(PollFlags::HUP) && left.is_none() {
            left = Some(Instant::now());
            inward.clear();
        }
        if reads_network && network.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            match connection.read_tls(&mut stream) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    connection.process_new_packets().map_err(other)?;
                }
                Err(error) => quiet(error)?,
            }
        }
        let says = left.is_some() || local.intersects(PollFlags::IN | PollFlags::ERR);
        if says && !connection.wants_write() {
            match plain.read(&mut chunk) {
                Ok(0) => {
                    connection.send_close_notify();
                    let _ = connection.write_tls(&mut stream);
                    return Ok(());
                }
                Ok(length) => connection.writer().write_all(chunk.get(..length).unwrap_or_default())?,
                Err(error) => quiet(error)?,
            }
        }
        if !inward.is_empty() {
            match plain.write(&inward) {
                Ok(length) => drop(inward.drain(..length)),
                Err(error) => quiet(error)?,
            }
        }
        while connection.wants_write() {
            match connection.write_tls(&mut stream) {
                Ok(_) => {}
                Err(error) => {
                    quiet(error)?;
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// A controller, and the switch's end of the session with it; hands are shaken.
    fn session() -> ((TcpStream, Connection), (TcpStream, Connection)) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["switch".to_owned()]).unwrap().self_signed(&key).unwrap();
        let der = certificate.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![der], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let controller = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (switch, _) = listener.accept().unwrap();
        let name = ServerName::try_from("switch").unwrap();
        let mut connections = (
            Connection::Client(ClientConnection::new(Arc::new(client), name).unwrap()),
            Connection::Server(ServerConnection::new(Arc::new(server)).unwrap()),
        );
        let deadline = Instant::now() + DEADLINE;
        std::thread::scope(|scope| {
            scope.spawn(|| shake_hands(&controller, &mut connections.0, deadline).unwrap());
            shake_hands(&switch, &mut connections.1, deadline).unwrap();
        });
        ((controller, connections.0), (switch, connections.1))
    }

    /// A record of 16 KiB, and what comes with its end in the same read.
    #[test]
    fn more_than_a_chunk_at_once_is_all_handed_on() {
        let ((mut controller, mut connection), (switch, switch_connection)) = session();
        let (ours, mut agent) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut wire = Vec::new();
        let mut sent = Vec::new();
        for length in [CHUNK_BYTES].into_iter().chain([100; 30]) {
            let plain = vec![length as u8; length];
            connection.writer().write_all(&plain).unwrap();
            sent.extend(plain);
            while connection.wants_write() {
                connection.write_tls(&mut wire).unwrap();
            }
        }
        // All of it is there before anybody reads.
        controller.write_all(&wire).unwrap();
        std::thread::spawn(move || carry(switch, switch_connection, ours, LINGER));
        agent.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut got = vec![0; sent.len()];
        agent.read_exact(&mut got).unwrap();
        assert!(got == sent);
    }

    #[test]
    fn a_controller_that_takes_nothing_is_left_when_the_agent_is_gone() {
        let ((_controller, _), (switch, connection)) = session();
        let (ours, mut agent) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (ended, end) = channel();
        std::thread::spawn(move || ended.send(carry(switch, connection, ours, Duration::from_millis(50))));
        // Until nothing goes any more.
        agent.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        while agent.write(&[7; CHUNK_BYTES]).is_ok() {}
        drop(agent);
        assert!(end.recv_timeout(DEADLINE).is_ok(), "its thread is still there");
    }

    #[test]
    fn a_handshake_that_trickles_has_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut until = Until(&stream, Instant::now() + Duration::from_millis(100));
        let mut reads = 0;
        let error = loop {
            let _ = slow.write(&[0]);
            match until.read(&mut [0]) {
                Ok(_) => reads += 1,
                Err(error) => break error,
            }
            assert!(reads < 10_000_000);
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
