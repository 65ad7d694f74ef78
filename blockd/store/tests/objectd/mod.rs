//! The real objectd as a process, for the tests of the store and of blockd. It can be stopped and started again on the same address and
//! data.

// Each binary of tests uses a part of it.
#![allow(dead_code)]

use hive_blockd_store::{ObjectStore, S3Config, S3Store, s3::Timeouts};
use ring::{digest, hmac};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub const REGION: &str = "us-east-2";
pub const BUCKET: &str = "volumes";
const PREFIX: &str = "hive/blockd";
/// How long anything may take here that should be quick; a limit for broken code, not a measurement.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary beside the test's own; built if nobody did so before.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // TARGET/PROFILE/deps/it-HASH
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().unwrap().parent().unwrap();
        let path = profile.join("objectd");
        if !path.exists() {
            let release = profile.file_name().is_some_and(|name| name == "release");
            let built = Command::new(env!("CARGO"))
                .args(["build", "-p", "hive-objectd", "--bins"])
                .args(release.then_some("--release"))
                .arg("--target-dir")
                .arg(profile.parent().unwrap())
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status()
                .unwrap();
            assert!(built.success());
        }
        path
    })
}

pub struct Objectd {
    process: Option<Child>,
    pub address: SocketAddr,
    home: tempfile::TempDir,
}

impl Objectd {
    /// A server with the bucket, which is account 1's.
    pub fn start() -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut objectd = Self { process: None, address, home: tempfile::tempdir().unwrap() };
            objectd.configure();
            // Somebody else may have got the port in between.
            if objectd.spawn() {
                objectd.make_bucket();
                return objectd;
            }
            assert!(Instant::now() < deadline, "objectd does not start");
        }
    }

    fn configure(&self) {
        let data = self.home.path().join("data");
        let mut text = format!(
            "data_dir = {data:?}\nlisten = '{}'\nregion = '{REGION}'\n[limits]\nreserve_mib = 0\n",
            self.address
        );
        for account in 1..=2 {
            text += &format!(
                "[[credentials]]\naccess_key_id = 'AKIA{account}'\nsecret_access_key = 'secret{account}'\n\
                 account_id = '00000000000{account}'\n"
            );
        }
        fs::write(self.home.path().join("objectd.toml"), text).unwrap();
    }

    /// False if it ends before it listens.
    fn spawn(&mut self) -> bool {
        let mut command = Command::new(binary());
        command.arg("--config").arg(self.home.path().join("objectd.toml"));
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "objectd does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
        true
    }

    /// SIGKILL: connections are refused from now on.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn resume(&mut self) {
        assert!(self.spawn(), "objectd does not start again");
    }

    /// `CreateBucket`, signed by hand.
    fn make_bucket(&self) {
        let output = Command::new("date").args(["-u", "+%Y%m%dT%H%M%SZ"]).output().unwrap();
        let now = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let day = &now[..8];
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let sha = |text: &str| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        let mac = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
        };
        let (host, nothing) = (self.address, sha(""));
        let names = "host;x-amz-content-sha256;x-amz-date";
        let canonical = format!(
            "PUT\n/{BUCKET}\n\nhost:{host}\nx-amz-content-sha256:{nothing}\nx-amz-date:{now}\n\n{names}\n{nothing}"
        );
        let scope = format!("{day}/{REGION}/s3/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", sha(&canonical));
        let key = [day, REGION, "s3", "aws4_request"].iter().fold(b"AWS4secret1".to_vec(), |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &to_sign));
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "PUT /{BUCKET} HTTP/1.1\r\nhost: {host}\r\nx-amz-date: {now}\r\nx-amz-content-sha256: {nothing}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=AKIA1/{scope}, SignedHeaders={names}, Signature={signature}\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// A file of credentials, as blockd gets it.
    pub fn credentials(&self, account: u8) -> PathBuf {
        let path = self.home.path().join(format!("credentials{account}.toml"));
        fs::write(&path, format!("access_key_id = 'AKIA{account}'\nsecret_access_key = 'secret{account}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// For the server at `address`: this one, or a proxy before it.
    pub fn config(&self, address: SocketAddr) -> S3Config {
        S3Config {
            endpoint: format!("http://{address}"),
            region: REGION.into(),
            bucket: BUCKET.into(),
            prefix: PREFIX.into(),
            path_style: true,
            credentials_file: self.credentials(1),
            ca_file: None,
        }
    }

    /// The table of a daemon's configuration that names it, without the table's name.
    pub fn table(&self) -> String {
        format!(
            "kind = 's3'\nendpoint = 'http://{}'\nregion = '{REGION}'\nbucket = '{BUCKET}'\nprefix = '{PREFIX}'\n\
             credentials_file = '{}'\n",
            self.address,
            self.credentials(1).display()
        )
    }

    pub fn store(&self, address: SocketAddr, timeouts: Timeouts) -> S3Store {
        S3Store::open(&self.config(address), timeouts).unwrap()
    }

    /// Not from within a runtime.
    fn ask<T>(&self, f: impl AsyncFnOnce(S3Store) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(f(self.store(self.address, Timeouts::default())))
    }

    pub fn list(&self, prefix: &str) -> Vec<String> {
        self.ask(async |store| store.list(prefix).await).unwrap()
    }

    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.ask(async |store| store.get(key).await).ok().map(|(bytes, _)| bytes.to_vec())
    }
}

impl Drop for Objectd {
    fn drop(&mut self) {
        self.kill();
    }
}
