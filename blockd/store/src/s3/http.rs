//! HTTP below the S3 protocol: hyper and rustls (ring), and answers that are not a success as typed errors.

use super::Timeouts;
use async_trait::async_trait;
use http_body_util::{BodyExt, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector as TcpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{path::Path, sync::Arc, time::Duration};

/// How much of an error's body is read: S3's have a few hundred bytes, a proxy's page may have more.
const MAX_ERROR_BODY_BYTES: usize = 64 << 10;
/// How much of what an error says goes into ours, in characters.
const MAX_MESSAGE_CHARS: usize = 200;
/// Connections kept open for the next request: as many as there are fetches at once.
const MAX_IDLE_CONNECTIONS: usize = crate::cache::MAX_FETCHES;
/// Below the idle timeout of every known server (objectd: 60 s, AWS: about 20 s), so that rarely one closes under a request.
const IDLE_CONNECTION: Duration = Duration::from_secs(15);
/// Finds dead peers below idle connections.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// An answer of the server that is not a success.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub(super) struct Answer {
    pub(super) status: http::StatusCode,
    /// S3's name for the error; empty if the answer has none, as to HEAD.
    pub(super) code: String,
    pub(super) message: String,
}

/// The text of the first element of that name.
fn element(document: &str, name: &str) -> String {
    let after = document.split_once(&format!("<{name}>")).map(|(_, after)| after);
    let text = after.and_then(|after| after.split_once("</")).map_or("", |(text, _)| text);
    text.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_CHARS).collect()
}

#[derive(Debug)]
struct Service {
    client: Client<HttpsConnector<TcpConnector>, HttpRequestBody>,
}

/// What the kind means matters to the retries of `object_store` alone, and those are off.
fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let response = self.client.request(request).await.map_err(failed)?;
        let (parts, body) = response.into_parts();
        if parts.status.is_success() {
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(failed))));
        }
        // A body that cannot be read takes nothing from what the status says.
        let body = Limited::new(body, MAX_ERROR_BODY_BYTES).collect().await.map(|body| body.to_bytes());
        let text = String::from_utf8_lossy(body.as_deref().unwrap_or_default()).into_owned();
        let (code, message) = (element(&text, "Code"), element(&text, "Message"));
        Err(failed(Answer { status: parts.status, code, message }))
    }
}

/// Hands `object_store` the client.
#[derive(Clone, Debug)]
pub(super) struct Connector(HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

/// Certificates of authorities: of the file if given, else the system's.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates = match ca_file {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(|found| found.collect::<Result<Vec<_>, _>>())
            .map_err(|error| format!("store.ca_file {}: {error}", path.display()))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    // Some systems ship certificates that rustls does not take: those are left out.
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() {
        return Err(match ca_file {
            Some(path) => format!("store.ca_file {} holds no certificate", path.display()),
            None => "the system has no certificates of authorities, and store.ca_file is not set".to_owned(),
        });
    }
    Ok(roots)
}

impl Connector {
    /// `with_tls`: the endpoint is https; without it, certificates are not looked for.
    pub(super) fn new(timeouts: &Timeouts, with_tls: bool, ca_file: Option<&Path>) -> Result<Self, String> {
        let roots = if with_tls { roots(ca_file)? } else { RootCertStore::empty() };
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = TcpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeouts.connect));
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
        let builder = if with_tls { builder.https_only() } else { builder.https_or_http() };
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_timer(TokioTimer::new())
            .build(builder.enable_http1().wrap_connector(tcp));
        Ok(Self(HttpClient::new(Service { client })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_an_error() {
        let document = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>Please\nwait</Message></Error>";
        assert_eq!((element(document, "Code"), element(document, "Message")), ("SlowDown".into(), "Pleasewait".into()));
        for odd in ["", "<Code>", "<Code>x", "Code", "<html></html>"] {
            assert_eq!(element(odd, "Code"), "", "{odd}");
        }
        assert_eq!(element(&format!("<Code>{}</Code>", "x".repeat(1000)), "Code").len(), MAX_MESSAGE_CHARS);
    }
}
