//! A server on an ephemeral port and a client that signs.

use bytes::Bytes;
use hive_auth::{Credential, Payload, Secret, StaticCredential, chunked, sign::Signer};
use hive_objectd::{Config, Server, config::Limits};
use http::{HeaderMap, Method, Request, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::{net::SocketAddr, path::Path};
use tempfile::TempDir;
use tokio::{net::TcpStream, sync::oneshot};

pub const REGION: &str = "eu-west-1";
pub const DOMAIN: &str = "s3.example";

pub fn key_of(account: u8) -> StaticCredential {
    StaticCredential {
        access_key_id: format!("AKIA{account}"),
        secret_access_key: Secret::new(format!("secret{account}")),
        account_id: format!("{account:012}").parse().unwrap(),
        principal_arn: None,
        user_id: None,
    }
}

pub fn config(home: &Path) -> Config {
    Config {
        data_dir: home.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        region: REGION.into(),
        domains: vec![DOMAIN.into()],
        credentials: vec![key_of(1), key_of(2)],
        credentials_file: None,
        limits: Limits { reserve_mib: 0, metadata_cache_mib: 8, ..Limits::default() },
    }
}

/// A running server; dropping it stops it and removes its data.
pub struct TestServer {
    pub address: SocketAddr,
    pub home: TempDir,
    stop: Option<oneshot::Sender<()>>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut config = config(home.path());
        change(&mut config);
        let server = Server::start(config).await.unwrap();
        let address = server.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(server.serve(async { drop(stopped.await) }));
        Self { address, home, stop: Some(stop) }
    }

    /// With a bucket `bkt` of account 1.
    pub async fn with_bucket() -> (Self, Client) {
        let server = Self::start().await;
        let client = server.client(1);
        client.put("/bkt", "").await.expect(StatusCode::OK);
        (server, client)
    }

    pub fn client(&self, account: u8) -> Client {
        Client { address: self.address, credential: key_of(account).into() }
    }

    /// Blob files on disk.
    pub fn blobs(&self) -> usize {
        fn count(directory: &Path) -> usize {
            let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(&self.home.path().join("blobs"))
    }

    /// Waits for the background removal to leave this many blobs.
    pub async fn settle(&self, blobs: usize) {
        while self.blobs() != blobs {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Expects an error with this code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.element("Code").as_deref(), Some(code), "{}", self.text());
        assert_eq!(self.element("RequestId").as_deref(), self.header("x-amz-request-id"));
        self
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn etag(&self) -> String {
        self.header("etag").unwrap().to_owned()
    }

    /// The text of the first element of that name.
    pub fn element(&self, name: &str) -> Option<String> {
        self.elements(name).into_iter().next()
    }

    pub fn elements(&self, name: &str) -> Vec<String> {
        let (text, open, close) = (self.text(), format!("<{name}>"), format!("</{name}>"));
        let pieces = text.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned());
        pieces.collect()
    }
}

#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub credential: Credential,
}

pub type Headers<'h> = &'h [(&'h str, &'h str)];

impl Client {
    pub fn parts(&self, method: &str, target: &str, headers: Headers<'_>) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.address.to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    pub fn signer(&self) -> Signer<'_> {
        Signer { credential: &self.credential, region: REGION, service: "s3" }
    }

    /// Sends what is there, unsigned or signed already.
    pub async fn send_raw(&self, parts: Parts, body: Bytes) -> Reply {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(Request::from_parts(parts, Full::new(body))).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub async fn send(&self, method: &str, target: &str, headers: Headers<'_>, body: impl Into<Bytes>) -> Reply {
        let body = body.into();
        let mut parts = self.parts(method, target, headers);
        let payload = Payload::Sha256(Sha256::digest(&body).into());
        self.signer().sign_header(&mut parts, payload, Timestamp::now()).unwrap();
        self.send_raw(parts, body).await
    }

    /// PUTs framed as aws-chunked.
    pub async fn send_chunked(
        &self,
        target: &str,
        payload: Payload,
        headers: Headers<'_>,
        body: &[u8],
        trailers: &[(&str, &str)],
    ) -> Reply {
        let mut parts = self.parts("PUT", target, headers);
        let names: Vec<_> = trailers.iter().map(|(name, _)| *name).collect();
        parts.headers.insert("x-amz-decoded-content-length", body.len().into());
        parts.headers.insert("content-encoding", "aws-chunked".parse().unwrap());
        if !names.is_empty() {
            parts.headers.insert("x-amz-trailer", names.join(",").parse().unwrap());
        }
        let chain = self.signer().sign_header(&mut parts, payload, Timestamp::now()).unwrap();
        let chain = matches!(payload, Payload::SignedChunks | Payload::SignedChunksWithTrailer).then_some(chain);
        self.send_raw(parts, chunked::encode(payload, chain, body, 65_536, trailers).into()).await
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], "").await
    }

    pub async fn get_with(&self, target: &str, headers: Headers<'_>) -> Reply {
        self.send("GET", target, headers, "").await
    }

    pub async fn put(&self, target: &str, body: impl Into<Bytes>) -> Reply {
        self.send("PUT", target, &[], body).await
    }

    pub async fn put_with(&self, target: &str, headers: Headers<'_>, body: impl Into<Bytes>) -> Reply {
        self.send("PUT", target, headers, body).await
    }

    pub async fn post(&self, target: &str, body: impl Into<Bytes>) -> Reply {
        self.send("POST", target, &[], body).await
    }

    pub async fn head(&self, target: &str) -> Reply {
        self.send(Method::HEAD.as_str(), target, &[], "").await
    }

    pub async fn delete(&self, target: &str) -> Reply {
        self.send("DELETE", target, &[], "").await
    }
}
