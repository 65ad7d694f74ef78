//! HTTP: connections, authentication, and the way from requests to operations and back.

mod body;
mod bucket;
mod io;
mod list;
mod multipart;
mod object;
mod request;
mod respond;
mod route;

use crate::{error::S3Error, ops::Store};
use body::Framing;
use hive_auth::{Claim, Expected, Rules, Verifier};
use http::{Method, header, request::Parts};
use http_body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use io::WriteTimeout;
use jiff::Timestamp;
use request::{Request, Target};
use respond::{Answer, RequestId};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};

/// Headers of one request; S3 itself allows 8 KiB of them all.
const MAX_HEADERS: usize = 100;
/// Read buffer of a connection, which also bounds the request line and headers.
const CONNECTION_BUFFER_BYTES: usize = 128 * 1024;
/// Time for one request's headers to arrive, and for the next request to begin.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// After a failed accept (no file descriptors left), the time for some to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The service behind every connection.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    verifier: Verifier,
    domains: Vec<String>,
    idle: Duration,
}

impl Service {
    /// `domains`: those under which a bucket's name may stand in the host.
    pub fn new(store: Store, verifier: Verifier, domains: Vec<String>, idle: Duration) -> Self {
        let domains = domains.into_iter().map(|domain| domain.to_ascii_lowercase()).collect();
        Self(Arc::new(Inner { store, verifier, domains, idle }))
    }

    /// Serves connections until `stop` resolves; the requests under way then end first.
    pub async fn serve(self, listener: TcpListener, connections: usize, stop: impl Future<Output = ()>) {
        let permits = Arc::new(Semaphore::new(connections));
        let mut open = JoinSet::new();
        let (closing, closed) = tokio::sync::watch::channel(false);
        tokio::pin!(stop);
        loop {
            let accept = async {
                // Beyond the limit, connections wait in the kernel's backlog.
                let permit = permits.clone().acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accept => accepted,
                () = &mut stop => break,
                Some(_) = open.join_next() => continue,
            };
            let (Ok(permit), Ok((stream, _))) = (permit, accepted) else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // Small answers must not wait for an acknowledgement of the one before.
            let _ = stream.set_nodelay(true);
            let (service, mut closed) = (self.clone(), closed.clone());
            let idle = self.0.idle;
            open.spawn(async move {
                let io = TokioIo::new(WriteTimeout::new(stream, idle));
                let handle = service_fn(move |request| service.clone().answer(request));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .max_headers(MAX_HEADERS)
                    .max_buf_size(CONNECTION_BUFFER_BYTES)
                    .serve_connection(io, handle);
                tokio::pin!(connection);
                tokio::select! {
                    outcome = &mut connection => log_end(outcome),
                    () = async { drop(closed.wait_for(|closing| *closing).await) } => {
                        connection.as_mut().graceful_shutdown();
                        log_end(connection.await);
                    }
                }
                drop(permit);
            });
        }
        let _ = closing.send(true);
        while open.join_next().await.is_some() {}
    }

    async fn answer(self, request: http::Request<Incoming>) -> Result<Answer, Infallible> {
        let id = RequestId::new();
        let (parts, body) = request.into_parts();
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let expects = parts.headers.contains_key(header::EXPECT);
        let is_empty = body.is_end_stream();
        // In a task of its own, because a client that goes away must not cut an operation short between the metadata
        // and what follows from it.
        let outcome = tokio::spawn(async move { self.0.run(parts, body).await }).await;
        let mut answer = match outcome {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                log_error(&error, &method, &path, &id);
                respond::error(&error, method == Method::HEAD, &path, &id)
            }
            Err(panic) => {
                tracing::error!(request_id = id.id, %panic, "request failed");
                let error = crate::error::Code::InternalError.into();
                respond::error(&error, method == Method::HEAD, &path, &id)
            }
        };
        id.stamp(&mut answer);
        if expects && (is_empty || !answer.status().is_success()) {
            // Answered without "100 Continue". The connection cannot serve again: botocore, having read one status line
            // by itself, takes the next answer's for a header.
            respond::set(&mut answer, header::CONNECTION, "close");
        }
        tracing::debug!(request_id = id.id, %method, path, status = answer.status().as_u16(), "answered");
        Ok(answer)
    }
}

fn log_end(outcome: hyper::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended");
    }
}

fn log_error(error: &S3Error, method: &Method, path: &str, id: &RequestId) {
    match &error.cause {
        Some(cause) => {
            let source = cause.source().map(ToString::to_string);
            tracing::error!(request_id = id.id, %method, path, code = error.code.name(), %cause, source, "request failed");
        }
        None => tracing::debug!(request_id = id.id, %method, path, code = error.code.name(), "request refused"),
    }
}

impl Inner {
    async fn run(&self, parts: Parts, body: Incoming) -> Result<Answer, S3Error> {
        let target = Target::parse(&parts, &self.domains)?;
        let claim = Claim::parse(&parts)?;
        let expected = Expected { service: "s3", regions: &[&self.store.region], rules: Rules::S3 };
        let verified = self.verifier.verify(&parts, &claim, &expected, Timestamp::now()).await?;
        let request = Request::new(parts, target, verified.identity.account_id);
        let framing = Framing { payload: verified.payload, chunks: verified.chunks };
        route::run(&self.store, &request, body, framing, self.idle).await
    }
}
