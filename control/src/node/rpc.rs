//! The one client of the Unix-socket APIs of `hive-vmm`, `blockd` and `netd`: a JSON line there, a JSON line back, within a deadline.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Longest line that any of the three sends.
const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    #[error("cannot talk to {}", socket.display())]
    Io {
        socket: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} did not answer within {timeout_ms} ms", socket.display())]
    Timeout { socket: PathBuf, timeout_ms: u128 },
    #[error("{} sent no sound answer", socket.display())]
    Protocol {
        socket: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// Sends one request on a connection of its own.
pub async fn call<T: Serialize, R: DeserializeOwned>(
    socket: &Path,
    request: &T,
    timeout: Duration,
) -> Result<R, RpcError> {
    let protocol = |source| RpcError::Protocol { socket: socket.to_owned(), source };
    let mut line = serde_json::to_vec(request).map_err(protocol)?;
    line.push(b'\n');
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(&line).await?;
        let mut answer = Vec::new();
        BufReader::new(stream).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut answer).await?;
        Ok(answer)
    };
    let answer = tokio::time::timeout(timeout, exchange)
        .await
        .map_err(|_| RpcError::Timeout { socket: socket.to_owned(), timeout_ms: timeout.as_millis() })?
        .map_err(|source| RpcError::Io { socket: socket.to_owned(), source })?;
    serde_json::from_slice(&answer).map_err(protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// A server that answers each connection's first line with `answer`.
    async fn answering(directory: &Path, answer: Vec<u8>) -> PathBuf {
        let socket = directory.join("s");
        let listener = UnixListener::bind(&socket).expect("bind");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                let _ = stream.read_line(&mut line).await;
                let _ = stream.write_all(&answer).await;
            }
        });
        socket
    }

    #[tokio::test]
    async fn answers_and_failures() {
        let directory = tempfile::tempdir().expect("a directory");
        let wait = Duration::from_secs(5);
        let absent = call::<_, u32>(&directory.path().join("absent"), &1, wait).await;
        assert!(matches!(absent, Err(RpcError::Io { .. })), "{absent:?}");
        let socket = answering(directory.path(), b"42\n".to_vec()).await;
        assert_eq!(call::<_, u32>(&socket, &1, wait).await.expect("an answer"), 42);
        let wrong = call::<_, String>(&socket, &1, wait).await;
        assert!(matches!(wrong, Err(RpcError::Protocol { .. })), "{wrong:?}");
    }

    #[tokio::test]
    async fn an_endless_line_is_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = answering(directory.path(), vec![b'['; 2 * MAX_LINE_BYTES]).await;
        let cut = call::<_, u32>(&socket, &1, Duration::from_secs(5)).await;
        assert!(matches!(cut, Err(RpcError::Protocol { .. } | RpcError::Io { .. })), "{cut:?}");
    }

    #[tokio::test]
    async fn silence_ends_at_the_deadline() {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s");
        let _silent = UnixListener::bind(&socket).expect("bind");
        let late = call::<_, u32>(&socket, &1, Duration::from_millis(20)).await;
        assert!(matches!(late, Err(RpcError::Timeout { .. })), "{late:?}");
    }
}
