//! A client of the EC2 API: one TLS connection that is kept, every call signed anew.

use anyhow::{Context, ensure};
use bytes::Bytes;
use hive_auth::sign::Signer;
use hive_auth::{Credential, Identity, Payload, Secret};
use hive_types::CredentialRecord;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How much of a refusal an error shows: more than any of the API's own.
const MAX_SHOWN_CHARS: usize = 400;
/// The version of the EC2 API that every client names.
const API_VERSION: &str = "2016-11-15";

/// What a client must know of a cloud.
pub struct Access {
    address: SocketAddr,
    region: String,
    credential: Credential,
    tls: Arc<rustls::ClientConfig>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Access {
    /// `authority`: PEM of the certificate authority.
    pub fn new(
        address: SocketAddr,
        region: &str,
        credential: CredentialRecord,
        authority: &[u8],
    ) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority).context("cannot read the authority's certificate")?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
        let credential = Credential {
            access_key_id: credential.access_key_id,
            secret: Secret::new(credential.secret_access_key),
            identity: Identity {
                account_id: credential.account.as_str().parse()?,
                principal_arn: credential.arn,
                user_id: credential.user_id,
            },
            session: None,
        };
        Ok(Self { address, region: region.to_owned(), credential, tls })
    }
}

/// A call that was answered as it should be.
#[derive(Clone, Debug)]
pub struct Answer {
    pub body: Bytes,
    /// From before the request is signed until the last byte of the answer is there.
    pub latency: Duration,
}

/// An open connection.
#[derive(Debug)]
pub struct Client {
    access: Arc<Access>,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub async fn connect(access: &Arc<Access>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(access.address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(access.address.ip());
        let stream = TlsConnector::from(access.tls.clone()).connect(name, stream).await.context("no TLS")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.context("no HTTP")?;
        // Ends with the sender, and what goes wrong is told to the call that it hits.
        tokio::spawn(connection);
        Ok(Self { access: access.clone(), sender })
    }

    /// Calls `action` with `parameters`, form-encoded.
    ///
    /// # Errors
    /// No answer, or another status than 200; the error names the code and message of the answer.
    pub async fn call(&mut self, action: &str, parameters: &str) -> anyhow::Result<Answer> {
        let began = Instant::now();
        let form = format!("Action={action}&Version={API_VERSION}{parameters}");
        let request = Request::post("/")
            .header(header::HOST, self.access.address.to_string())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
            .body(())?;
        let (mut parts, ()) = request.into_parts();
        let signer = Signer { credential: &self.access.credential, region: &self.access.region, service: "ec2" };
        signer.sign_header(&mut parts, Payload::Sha256(Sha256::digest(&form).into()), Timestamp::now())?;
        let answer = self.sender.send_request(Request::from_parts(parts, Full::from(form))).await;
        let (parts, body) = answer.with_context(|| format!("{action} is not answered"))?.into_parts();
        let body = body.collect().await.with_context(|| format!("the answer to {action} breaks off"))?.to_bytes();
        let latency = began.elapsed();
        let shown = || String::from_utf8_lossy(&body).chars().take(MAX_SHOWN_CHARS).collect::<String>();
        ensure!(parts.status == StatusCode::OK, "{action} is answered {}: {}", parts.status, shown());
        Ok(Answer { body, latency })
    }
}
