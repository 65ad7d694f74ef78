//! Connections: accept, TLS, HTTP/1.1, and the limits on each.

use crate::dispatch::Front;
use crate::idle::IdleTimeout;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

/// For a TLS handshake; a client on another continent needs a tenth of it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// For the whole head of a request, also of the next one on a kept connection; botocore's pool holds connections about this long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Without a byte either way. Long, since objectd may take its time to put a large multipart object together.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// Head of a request: presigned targets with session tokens take some kilobytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Headers of a request: S3 allows 2 KiB of user metadata.
const MAX_HEADERS: usize = 128;
/// After the wish to stop, for calls under way.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (out of file descriptors), to let connections go.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` is ready, then lets calls under way end.
pub async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    front: Arc<Front>,
    max_connections: usize,
    stop: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(max_connections));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accepted = async {
            // Never closed, so a permit comes as soon as a connection goes.
            let permit = permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let watcher = graceful.watcher();
                let (tls, front) = (tls.clone(), front.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    connection(stream, peer, &tls, front, watcher).await;
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    info!("stopping: waiting for calls under way");
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        warn!("some calls were cut off");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: &TlsAcceptor,
    front: Arc<Front>,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => IdleTimeout::new(stream, IDLE_TIMEOUT),
        Ok(Err(error)) => {
            debug!(%peer, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            debug!(%peer, "TLS handshake took too long");
            return;
        }
    };
    let service = service_fn(move |request| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(request, peer).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        debug!(%peer, %error, "connection ended");
    }
}
