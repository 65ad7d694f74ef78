//! blockd's control socket of this node, asked directly: it answers with or without hived and the bus.

use anyhow::{Context, Result, bail, ensure};
use hive_blockd_api::{MAX_LINE_BYTES, Reply, Request};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Blockd {
    socket: PathBuf,
}

impl Blockd {
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Asks, and waits as long as it takes: a check or an export reads a whole volume.
    ///
    /// # Errors
    /// blockd does not answer, or refuses; its words are the error's.
    pub fn ask(&self, request: &Request) -> Result<Reply> {
        let stream = UnixStream::connect(&self.socket);
        let stream = stream.with_context(|| {
            format!("blockd does not answer at {}: does the cloud run? (hive dev status)", self.socket.display())
        })?;
        let mut line = serde_json::to_vec(request).context("cannot write a request")?;
        line.push(b'\n');
        (&stream).write_all(&line).context("cannot ask blockd")?;
        let mut answer = Vec::new();
        let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        BufReader::new(&stream).take(limit).read_until(b'\n', &mut answer).context("blockd does not answer")?;
        ensure!(!answer.is_empty(), "blockd ended before it answered (hive logs blockd)");
        match serde_json::from_slice(&answer).context("blockd sent no sound answer")? {
            Reply::Error { message, .. } => bail!("blockd refuses: {message}"),
            reply => Ok(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn answering(directory: &Path, answer: &'static [u8]) -> Blockd {
        let socket = directory.join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let serve = move || {
            let (stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            (&stream).write_all(answer).unwrap();
        };
        std::thread::Builder::new().name("blockd".into()).spawn(serve).unwrap();
        Blockd::new(&socket)
    }

    #[test]
    fn refusals_are_blockds_words_and_silence_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let refusing = answering(directory.path(), b"{\"error\":{\"kind\":\"not-found\",\"message\":\"no vol-1\"}}\n");
        assert_eq!(refusing.ask(&Request::ListVolumes).unwrap_err().to_string(), "blockd refuses: no vol-1");
        std::fs::remove_file(directory.path().join("s")).unwrap();
        let silent = answering(directory.path(), b"");
        assert!(silent.ask(&Request::ListVolumes).unwrap_err().to_string().contains("ended before"));
        let absent = Blockd::new(&directory.path().join("absent"));
        assert!(absent.ask(&Request::ListVolumes).unwrap_err().to_string().contains("does the cloud run"));
    }
}
