//! The real objectd, as a process.

use hive_blockd_store::{S3Config, S3Store, s3::Timeouts};
use object_store::{
    aws::AmazonS3Builder,
    client::{
        ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    },
    signer::Signer,
};
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};
use tempfile::TempDir;

pub const REGION: &str = "us-east-2";
pub const BUCKET: &str = "volumes";

/// The binary of this workspace beside the test's own; built if nobody did so before.
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

/// For a client that only signs.
#[derive(Debug)]
struct NoHttp;

#[async_trait::async_trait]
impl HttpService for NoHttp {
    async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
        Err(HttpError::new(HttpErrorKind::Unknown, std::io::Error::other("signs only")))
    }
}

impl HttpConnector for NoHttp {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(NoHttp))
    }
}

pub struct Objectd {
    process: Child,
    pub address: SocketAddr,
    home: TempDir,
}

impl Objectd {
    /// A server with the bucket, which is account 1's.
    pub async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("objectd.toml");
        let text = format!(
            "data_dir = {:?}\nlisten = '127.0.0.1:0'\nregion = '{REGION}'\n[limits]\nreserve_mib = 0\n\
             [[credentials]]\naccess_key_id = 'AKIA1'\nsecret_access_key = 'secret1'\naccount_id = '000000000001'\n\
             [[credentials]]\naccess_key_id = 'AKIA2'\nsecret_access_key = 'secret2'\naccount_id = '000000000002'\n",
            home.path().join("data")
        );
        fs::write(&config, text).unwrap();
        let mut process = Command::new(binary())
            .arg("--config")
            .arg(&config)
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address = lines.find_map(|line| Some(line.split_once("address=")?.1.trim().parse().unwrap())).unwrap();
        // Somebody must read on, or the daemon would block on its log.
        std::thread::spawn(move || lines.for_each(drop));
        let objectd = Self { process, address, home };
        objectd.make_bucket().await;
        objectd
    }

    /// CreateBucket is a PUT of an object whose key is empty: what signs objects signs this as well.
    async fn make_bucket(&self) {
        let signer = AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.address))
            .with_allow_http(true)
            .with_region(REGION)
            .with_bucket_name(BUCKET)
            .with_access_key_id("AKIA1")
            .with_secret_access_key("secret1")
            .with_http_connector(NoHttp)
            .build()
            .unwrap();
        let path = object_store::path::Path::default();
        let url = signer.signed_url(http::Method::PUT, &path, Duration::from_secs(60)).await.unwrap();
        let target = format!("{}?{}", url.path(), url.query().unwrap());
        let host = self.address;
        let request =
            format!("PUT {target} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let answer = crate::proxy::exchange(self.address, request.as_bytes()).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
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
            prefix: "hive/blockd".into(),
            path_style: true,
            credentials_file: self.credentials(1),
            ca_file: None,
        }
    }

    pub fn store(&self, address: SocketAddr, timeouts: Timeouts) -> S3Store {
        S3Store::open(&self.config(address), timeouts).unwrap()
    }
}

impl Drop for Objectd {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
