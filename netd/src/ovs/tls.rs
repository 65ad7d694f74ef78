//! TLS to controllers: a thread for each session stands between its socket and the agent, which sees a plain one.
//!
//! As with Open vSwitch, either side is known by a certificate of the authority that the database names, not by its host's name.

use hive_ofproto::Stream;
use hive_ovsdb::snapshot::Ssl;
use rustix::event::{PollFd, PollFlags};
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
use std::time::Duration;

/// For the handshake: whoever does not get on with it is left.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
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
    relay(stream, Connection::Client(connection))
}

/// The same with one that came to us.
pub(super) fn accept(stream: TcpStream, ssl: Option<&Ssl>) -> io::Result<Stream> {
    let Identity { chain, key, authority } = Identity::load(ssl)?;
    let verifier = WebPkiClientVerifier::builder(authority).build().map_err(other)?;
    let config =
        ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).map_err(other)?;
    relay(stream, Connection::Server(ServerConnection::new(Arc::new(config)).map_err(other)?))
}

/// The handshake happens on the thread too: nobody who connects holds up others.
fn relay(mut stream: TcpStream, mut connection: Connection) -> io::Result<Stream> {
    let (ours, theirs) = UnixStream::pair()?;
    stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
    stream.set_write_timeout(Some(HANDSHAKE_TIMEOUT))?;
    ours.set_nonblocking(true)?;
    if matches!(connection, Connection::Client(_)) {
        shake_hands(&mut stream, &mut connection)?;
    }
    std::thread::Builder::new().name("tls".to_owned()).spawn(move || {
        if let Err(error) = shake_hands(&mut stream, &mut connection).and_then(|()| carry(stream, connection, ours)) {
            tracing::debug!(%error, "TLS session has ended");
        }
    })?;
    Ok(Stream::Unix(theirs))
}

fn shake_hands(stream: &mut TcpStream, connection: &mut Connection) -> io::Result<()> {
    while connection.is_handshaking() {
        connection.complete_io(stream)?;
    }
    Ok(())
}

fn quiet(error: io::Error) -> io::Result<()> {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) { Ok(()) } else { Err(error) }
}

/// Until either end closes.
fn carry(mut stream: TcpStream, mut connection: Connection, mut plain: UnixStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut inward = Vec::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        // Neither direction gathers more than a chunk.
        let mut network = PollFlags::empty();
        if inward.is_empty() {
            network |= PollFlags::IN;
        }
        if connection.wants_write() {
            network |= PollFlags::OUT;
        }
        let mut local = if connection.wants_write() { PollFlags::empty() } else { PollFlags::IN };
        if !inward.is_empty() {
            local |= PollFlags::OUT;
        }
        let mut fds = [PollFd::new(&stream, network), PollFd::new(&plain, local)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (network, local) = (fds[0].revents(), fds[1].revents());
        if network.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            match connection.read_tls(&mut stream) {
                Ok(0) => return Ok(()),
                Ok(_) => {
                    connection.process_new_packets().map_err(other)?;
                }
                Err(error) => quiet(error)?,
            }
        }
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
        if local.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) && !connection.wants_write() {
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
