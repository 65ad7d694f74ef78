//! A gateway in this process with a NATS of its own, a worker that answers by script, and a client that signs.

use awsd::{Config, Gateway};
use bytes::Bytes;
use hive_auth::sign::Signer;
use hive_auth::{Credential, Identity, Payload, Secret};
use hive_bus::testing::NatsServer;
use hive_bus::{BucketConfig, Bus, BusConfig, Serving, Store};
use hive_types::credential::CREDENTIALS_BUCKET;
use hive_types::envelope::WORKER_QUEUE;
use hive_types::{ApiReply, ApiRequest};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio_rustls::TlsConnector;

pub const REGION: &str = "us-east-1";
pub const ACCOUNT: &str = "123456789012";
pub const KEY_ID: &str = "AKIATESTTESTTESTTEST";
pub const SECRET: &str = "secret/of+the=test";

type Script = Arc<Mutex<Box<dyn FnMut(ApiRequest) -> ApiReply + Send>>>;

pub struct Cloud {
    pub nats: NatsServer,
    pub bus: Bus,
    pub address: SocketAddr,
    directory: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
}

impl Cloud {
    /// `objectd`: where S3 requests go.
    pub async fn start(objectd: SocketAddr) -> Self {
        let nats = NatsServer::start();
        let directory = tempfile::tempdir().expect("directory");
        let path = |name: &str| directory.path().join(name);
        let certified =
            rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).expect("certificate");
        std::fs::write(path("cert.pem"), certified.cert.pem()).expect("written");
        std::fs::write(path("key.pem"), certified.signing_key.serialize_pem()).expect("written");
        let config = BusConfig { url: nats.url(), name: "test".into(), request_timeout: Duration::from_secs(5) };
        let bus = Bus::connect(&config).await.expect("bus");
        assert!(bus.wait_connected(Duration::from_secs(10)).await, "no NATS");
        let bucket =
            bus.bucket(BucketConfig { name: CREDENTIALS_BUCKET.into(), ttl: None, replicas: 1, atomic: false });
        let record = format!(
            r#"{{"access_key_id":"{KEY_ID}","secret_access_key":"{SECRET}","account":"{ACCOUNT}",
                "arn":"arn:aws:iam::{ACCOUNT}:root","user_id":"{ACCOUNT}"}}"#
        );
        bucket.create(KEY_ID, Bytes::from(record)).await.expect("credential");
        let config = Config {
            listen: "127.0.0.1:0".parse().expect("address"),
            certificate: path("cert.pem"),
            key: path("key.pem"),
            nats_url: nats.url(),
            objectd,
            region: REGION.into(),
            credentials_file: None,
            replicas: 1,
            max_connections: 64,
        };
        let gateway = Gateway::bind(&config).await.expect("gateway");
        let address = gateway.address().expect("address");
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(gateway.serve(async {
            let _ = stopped.await;
        }));
        Self { nats, bus, address, directory, stop: Some(stop) }
    }

    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// Answers every call of ebs, ec2 and sts by `script`, until dropped.
    pub async fn worker(&self, script: impl FnMut(ApiRequest) -> ApiReply + Send + 'static) -> [Serving; 3] {
        let script: Script = Arc::new(Mutex::new(Box::new(script)));
        let permits = Arc::new(Semaphore::new(16));
        let serve = async |subject: &str| {
            let script = script.clone();
            let handler = move |request: ApiRequest| {
                let script = script.clone();
                async move { Ok(script.lock().expect("script")(request)) }
            };
            self.bus.serve(subject, WORKER_QUEUE, permits.clone(), handler).await.expect("serving")
        };
        [serve("ebs.*").await, serve("ec2.*").await, serve("sts.*").await]
    }

    /// Sends a request as it is and reads the whole answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<String> {
        let mut roots = rustls::RootCertStore::empty();
        let pem = std::fs::read(self.certificate()).expect("certificate");
        let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).expect("certificate");
        roots.add(certificate).expect("root");
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.expect("connection");
        let name = ServerName::try_from("localhost").expect("name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("TLS");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("handshake");
        let connection = tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.expect("answer").into_parts();
        let body = body.collect().await.expect("body").to_bytes();
        connection.abort();
        Response::from_parts(parts, String::from_utf8(body.to_vec()).expect("text"))
    }

    /// A form, signed with `secret` for `service`.
    pub async fn call_signed(
        &self,
        service: &str,
        body: &str,
        key_id: &str,
        secret: &str,
        now: Timestamp,
    ) -> Response<String> {
        let request = Request::post("/")
            .header("host", self.address.to_string())
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(())
            .expect("request");
        let (mut parts, ()) = request.into_parts();
        let credential = credential(key_id, secret);
        let signer = Signer { credential: &credential, region: REGION, service };
        signer.sign_header(&mut parts, Payload::Sha256(Sha256::digest(body).into()), now).expect("signed");
        self.send(Request::from_parts(parts, Full::from(body.to_owned()))).await
    }

    /// A request of the EBS direct APIs, its body signed or left out of the signature.
    pub async fn rest(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        payload: Payload,
        secret: &str,
    ) -> Response<String> {
        let request = Request::builder().method(method).uri(target).header("host", self.address.to_string());
        let request = request.header("x-amz-data-length", "3").body(()).expect("request");
        let (mut parts, ()) = request.into_parts();
        let credential = credential(KEY_ID, secret);
        let signer = Signer { credential: &credential, region: REGION, service: "ebs" };
        signer.sign_header(&mut parts, payload, Timestamp::now()).expect("signed");
        self.send(Request::from_parts(parts, Full::from(body.to_vec()))).await
    }

    pub async fn call(&self, service: &str, body: &str) -> Response<String> {
        self.call_signed(service, body, KEY_ID, SECRET, Timestamp::now()).await
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

pub fn credential(key_id: &str, secret: &str) -> Credential {
    Credential {
        access_key_id: key_id.into(),
        secret: Secret::new(secret),
        identity: Identity {
            account_id: ACCOUNT.parse().expect("account"),
            principal_arn: format!("arn:aws:iam::{ACCOUNT}:root"),
            user_id: ACCOUNT.into(),
        },
        session: None,
    }
}

/// The text between `<tag>` and `</tag>`.
pub fn element<'a>(document: &'a str, tag: &str) -> &'a str {
    let after = document.split_once(&format!("<{tag}>")).map_or("", |(_, after)| after);
    after.split_once(&format!("</{tag}>")).map_or("", |(text, _)| text)
}
