//! Objects: what was written is read.

use crate::command;
use crate::harness::Cloud;
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

pub fn round_trips(cloud: &Cloud) -> Result<()> {
    let bucket = Bucket::make(cloud, "round-trip")?;
    for size_bytes in [0, 1, 5 * MIB + 1] {
        bucket.round_trip(size_bytes)?;
    }
    let listed = bucket.aws("ls", &[&bucket.url("")])?;
    ensure!(listed.lines().count() == 3, "three objects are listed:\n{listed}");
    bucket.aws("mv", &[&bucket.url("1"), &bucket.url("moved")])?;
    let moved = cloud.aws.json(&["s3api", "head-object", "--bucket", &bucket.name, "--key", "moved"])?;
    ensure!(moved.pointer("/ContentLength") == Some(&1.into()), "the moved object has one byte: {moved}");
    cloud.aws.refused("404", &["s3api", "head-object", "--bucket", &bucket.name, "--key", "1"])?;
    cloud.aws.refused("NoSuchKey", &["s3api", "get-object", "--bucket", &bucket.name, "--key", "1", "/dev/null"])?;
    cloud.aws.refused("BucketNotEmpty", &["s3api", "delete-bucket", "--bucket", &bucket.name])?;
    // An object that is there is not overwritten by who asks for that.
    let body = bucket.file(1)?;
    let body = body.display().to_string();
    let put =
        ["s3api", "put-object", "--bucket", &bucket.name, "--key", "moved", "--if-none-match", "*", "--body", &body];
    cloud.aws.refused("PreconditionFailed", &put)?;
    bucket.remove()
}

pub fn multipart(cloud: &Cloud) -> Result<()> {
    let bucket = Bucket::make(cloud, "multipart")?;
    bucket.round_trip(300 * MIB)?;
    let head =
        cloud.aws.json(&["s3api", "head-object", "--bucket", &bucket.name, "--key", &(300 * MIB).to_string()])?;
    let etag = head.pointer("/ETag").and_then(|etag| etag.as_str()).unwrap_or_default();
    ensure!(etag.contains('-'), "the ETag of a multipart object counts its parts: {head}");
    let last_kib = bucket.scratch.path().join("range");
    let range = format!("bytes={}-", 300 * MIB - 1024);
    let key = (300 * MIB).to_string();
    let get = ["s3api", "get-object", "--bucket", &bucket.name, "--key", &key, "--range", &range];
    cloud.aws.json(&[&get[..], &[&last_kib.display().to_string()]].concat())?;
    let written = fs::read(bucket.scratch.path().join(&key))?;
    ensure!(written.ends_with(&fs::read(&last_kib)?), "a range is not the range that was asked for");
    bucket.remove()
}

pub fn sync_and_presign(cloud: &Cloud) -> Result<()> {
    let bucket = Bucket::make(cloud, "sync")?;
    let tree = bucket.scratch.path().join("tree");
    fs::create_dir_all(tree.join("deep/er"))?;
    for name in ["a", "deep/b", "deep/er/c d+e"] {
        fs::write(tree.join(name), name)?;
        // sync compares with the node's clock, which starts from whole seconds and so lags behind this machine's.
        let written = SystemTime::now() - Duration::from_secs(60);
        File::options().write(true).open(tree.join(name))?.set_modified(written)?;
    }
    let back = bucket.scratch.path().join("back");
    bucket.aws("sync", &[&tree.display().to_string(), &bucket.url("")])?;
    bucket.aws("sync", &[&bucket.url(""), &back.display().to_string()])?;
    command::run(Command::new("diff").arg("-r").arg(&tree).arg(&back)).context("the tree came back changed")?;
    let again = bucket.aws("sync", &[&tree.display().to_string(), &bucket.url("")])?;
    ensure!(again.trim().is_empty(), "a second sync has nothing to do:\n{again}");

    let url = bucket.aws("presign", &[&bucket.url("deep/b")])?;
    let certificate = cloud.aws.variable("AWS_CA_BUNDLE")?;
    let curl = || {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--cacert", certificate, "--max-time", "60"]);
        command
    };
    let fetched = command::run(curl().arg(url.trim()))?;
    ensure!(fetched == b"deep/b", "a presigned URL fetched {:?}", String::from_utf8_lossy(&fetched));
    let tampered = url.trim().replace("deep/b", "a");
    let status = command::run(curl().args(["--output", "/dev/null", "--write-out", "%{http_code}"]).arg(tampered))?;
    ensure!(status == b"403", "a presigned URL opens another object: {}", String::from_utf8_lossy(&status));
    bucket.remove()
}

/// A bucket of the scenario, and a directory for its files.
struct Bucket<'a> {
    cloud: &'a Cloud,
    name: String,
    scratch: TempDir,
}

impl<'a> Bucket<'a> {
    fn make(cloud: &'a Cloud, name: &str) -> Result<Self> {
        let bucket = Self { cloud, name: format!("scenario-{name}"), scratch: tempfile::tempdir()? };
        bucket.aws("mb", &[&bucket.url("")])?;
        Ok(bucket)
    }

    fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    fn aws(&self, verb: &str, arguments: &[&str]) -> Result<String> {
        let quiet: &[&str] = if matches!(verb, "cp" | "sync" | "mv") { &["--no-progress"] } else { &[] };
        self.cloud.aws.text(&[&["s3", verb], quiet, arguments].concat())
    }

    /// A file of this size in the scratch directory, named by it.
    fn file(&self, size_bytes: u64) -> Result<std::path::PathBuf> {
        let path = self.scratch.path().join(size_bytes.to_string());
        let mut random = File::open("/dev/urandom")?.take(size_bytes);
        std::io::copy(&mut random, &mut File::create(&path)?)?;
        Ok(path)
    }

    /// Uploads a file, downloads it again, and compares.
    fn round_trip(&self, size_bytes: u64) -> Result<()> {
        let written = self.file(size_bytes)?;
        let read = self.scratch.path().join("read");
        let url = self.url(&size_bytes.to_string());
        self.aws("cp", &["--checksum-algorithm", "SHA256", &written.display().to_string(), &url])?;
        self.aws("cp", &["--checksum-mode", "ENABLED", &url, &read.display().to_string()])?;
        ensure!(digest(&written)? == digest(&read)?, "{size_bytes} bytes came back changed");
        println!("    {size_bytes} bytes written and read");
        fs::remove_file(read).context("cannot remove what was read")
    }

    fn remove(self) -> Result<()> {
        self.aws("rb", &["--force", &self.url("")])?;
        self.cloud.aws.refused("NoSuchBucket", &["s3api", "list-objects-v2", "--bucket", &self.name])
    }
}

fn digest(path: &Path) -> Result<Vec<u8>> {
    let mut hash = Sha256::new();
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut block = vec![0; 1 << 20];
    loop {
        let len = file.read(&mut block)?;
        if len == 0 {
            return Ok(hash.finalize().to_vec());
        }
        hash.write_all(&block[..len])?;
    }
}
