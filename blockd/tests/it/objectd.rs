//! The real objectd, which can be stopped and started again on the same address and data.

use crate::daemon::PATIENCE;
use hive_blockd_store::{ObjectStore, S3Config, S3Store, s3::Timeouts};
use ring::{digest, hmac};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const REGION: &str = "us-east-2";
const BUCKET: &str = "volumes";
const PREFIX: &str = "hive/blockd";

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
    address: SocketAddr,
    home: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Objectd {
    pub fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let home = tempfile::tempdir().unwrap();
        let text = format!(
            "data_dir = {:?}\nlisten = '{address}'\nregion = '{REGION}'\n[limits]\nreserve_mib = 0\n\
             [[credentials]]\naccess_key_id = 'AKIA1'\nsecret_access_key = 'secret1'\naccount_id = '000000000001'\n",
            home.path().join("data")
        );
        std::fs::write(home.path().join("objectd.toml"), text).unwrap();
        let credentials = home.path().join("credentials.toml");
        std::fs::write(&credentials, "access_key_id = 'AKIA1'\nsecret_access_key = 'secret1'\n").unwrap();
        std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut objectd = Self { process: None, address, home, runtime };
        objectd.resume();
        objectd.make_bucket();
        objectd
    }

    /// SIGKILL: connections are refused from now on.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn resume(&mut self) {
        let mut command = Command::new(binary());
        command.arg("--config").arg(self.home.path().join("objectd.toml"));
        self.process = Some(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < deadline, "objectd does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
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

    /// `[store]` of a daemon that uses it.
    pub fn config(&self) -> String {
        format!(
            "[store]\nkind = 's3'\nendpoint = 'http://{}'\nregion = '{REGION}'\nbucket = '{BUCKET}'\nprefix = '{PREFIX}'\n\
             credentials_file = '{}/credentials.toml'\n",
            self.address,
            self.home.path().display()
        )
    }

    fn store(&self) -> S3Store {
        let config = S3Config {
            endpoint: format!("http://{}", self.address),
            region: REGION.into(),
            bucket: BUCKET.into(),
            prefix: PREFIX.into(),
            path_style: true,
            credentials_file: self.home.path().join("credentials.toml"),
            ca_file: None,
        };
        S3Store::open(&config, Timeouts::default()).unwrap()
    }

    pub fn list(&self, prefix: &str) -> Vec<String> {
        self.runtime.block_on(self.store().list(prefix)).unwrap()
    }

    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.runtime.block_on(self.store().get(key)).ok().map(|(bytes, _)| bytes.to_vec())
    }
}

impl Drop for Objectd {
    fn drop(&mut self) {
        self.kill();
    }
}
