//! The daemons' logs: the newest lines, and what is added.

use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// How far back a tail looks: enough for hundreds of lines of ordinary length, and a bound whatever the log holds.
const MAX_TAIL_BYTES: u64 = 256 << 10;
/// Most bytes of one file printed before the next file gets its turn.
const MAX_CHUNK_BYTES: u64 = 1 << 20;
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// The newest `lines` lines of a log, lossily decoded; empty when there is no such file.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = Source::new(path.to_owned()).read_tail().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let newest: Vec<&str> = text.lines().rev().take(lines).collect();
    newest.into_iter().rev().map(|line| format!("{line}\n")).collect()
}

/// Prints the newest `lines` lines of every log, each marked with its daemon; with `follow`, goes on until interrupted, taking up logs
/// that appear later.
///
/// # Errors
/// The directory cannot be read, a daemon named has no log, or stdout is closed.
pub fn print(directory: &Path, daemon: Option<&str>, lines: usize, follow: bool) -> Result<()> {
    let mut sources: Vec<Source> = Vec::new();
    let mut stdout = io::stdout().lock();
    let mut first = true;
    loop {
        for path in logs(directory, daemon)? {
            if !sources.iter().any(|source| source.path == path) {
                let mut source = Source::new(path);
                if first {
                    write!(stdout, "{}", mark(&source.name(), tail(&source.path, lines).as_bytes()))?;
                    source.offset = fs::metadata(&source.path).map_or(0, |metadata| metadata.len());
                }
                sources.push(source);
            }
        }
        ensure!(
            !sources.is_empty() || follow,
            "no log of {} in {}",
            daemon.unwrap_or("any daemon"),
            directory.display()
        );
        if !follow {
            return Ok(());
        }
        first = false;
        for source in &mut sources {
            let added = source.read_added().with_context(|| format!("cannot read {}", source.path.display()))?;
            write!(stdout, "{}", mark(&source.name(), &added))?;
        }
        stdout.flush()?;
        sleep(FOLLOW_INTERVAL);
    }
}

fn logs(directory: &Path, daemon: Option<&str>) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("no logs: cannot read {}", directory.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", directory.display()))?.path();
        let is_log = path.extension().is_some_and(|extension| extension == "log");
        let wanted = daemon.is_none_or(|daemon| path.file_stem().is_some_and(|stem| stem == daemon));
        if is_log && wanted {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn mark(name: &str, text: &[u8]) -> String {
    String::from_utf8_lossy(text).lines().map(|line| format!("{name:>8} | {line}\n")).collect()
}

struct Source {
    path: PathBuf,
    /// Everything before it has been printed.
    offset: u64,
}

impl Source {
    fn new(path: PathBuf) -> Self {
        Self { path, offset: 0 }
    }

    fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn read_tail(&self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(MAX_TAIL_BYTES)))?;
        let mut text = Vec::new();
        file.take(MAX_TAIL_BYTES).read_to_end(&mut text)?;
        Ok(text)
    }

    /// Whole lines added since the last call. A log that shrank was begun anew.
    fn read_added(&mut self) -> io::Result<Vec<u8>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        if file.metadata()?.len() < self.offset {
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = Vec::new();
        file.take(MAX_CHUNK_BYTES).read_to_end(&mut text)?;
        let full = u64::try_from(text.len()).is_ok_and(|len| len == MAX_CHUNK_BYTES);
        if !full {
            text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
        }
        self.offset += text.len() as u64;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_whole_lines_and_notices_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netd.log");
        let mut source = Source::new(path.clone());
        assert_eq!(source.read_added().unwrap(), b"", "no file yet");
        fs::write(&path, "one\ntw").unwrap();
        assert_eq!(source.read_added().unwrap(), b"one\n");
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(source.read_added().unwrap(), b"two\n");
        fs::write(&path, "a\n").unwrap();
        assert_eq!(source.read_added().unwrap(), b"a\n");
    }

    #[test]
    fn tail_gives_the_newest_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        fs::write(&path, "1\n2\n3\n").unwrap();
        assert_eq!(tail(&path, 2), "2\n3\n");
        assert_eq!(tail(&directory.path().join("absent"), 2), "");
    }

    #[test]
    fn a_daemon_without_a_log_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(print(directory.path(), Some("netd"), 10, false).is_err());
    }
}
