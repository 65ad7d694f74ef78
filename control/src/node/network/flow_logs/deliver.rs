//! Files into buckets, by S3's PUT, in the name of the log's account.

use super::gather::File;
use crate::node::Node;
use crate::random;
use crate::store::FlowLogRecord;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hive_auth::{Credential, Identity, Payload, Secret, canonical, sign::Signer};
use hive_types::CredentialRecord;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::{Timestamp, tz::TimeZone};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tracing::warn;

/// Files that are written at a time; others wait.
const CONCURRENT_MAX: usize = 4;
/// Files that wait; more are lost, and told of.
const WAITING_MAX: usize = 64;
/// Of one file that the store does not take for the moment.
const TRIES: u32 = 4;
/// After the first of them; twice as long after each further one.
const PAUSE: Duration = Duration::from_secs(1);
/// Of one try.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A bucket's ARN begins so.
const ARN: &str = "arn:aws:s3:::";

/// EC2's words for why a log does not arrive.
const ACCESS_ERROR: &str = "Access error";
const UNKNOWN_ERROR: &str = "Unknown error";

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the account has no root credential")]
    NoCredential,
    #[error("cannot read credentials")]
    Credentials(#[source] crate::error::Error),
    #[error("the destination is no bucket's ARN")]
    Destination,
    #[error("this node is told of no object store")]
    NoStore,
    #[error("cannot make the request: {0}")]
    Request(String),
    #[error("the object store does not answer: {0}")]
    Away(String),
    #[error("the object store refuses it: {0}")]
    Refused(StatusCode),
    #[error("too many files wait to be written")]
    Crowded,
}

impl Failure {
    fn is_final(&self) -> bool {
        match self {
            Self::Away(_) | Self::Credentials(_) => false,
            Self::Refused(status) => !status.is_server_error(),
            _ => true,
        }
    }

    /// As EC2 says it to the user.
    fn shown(&self) -> &'static str {
        match self {
            Self::NoCredential | Self::Destination => ACCESS_ERROR,
            Self::Refused(status) if status.is_client_error() => ACCESS_ERROR,
            _ => UNKNOWN_ERROR,
        }
    }
}

/// Writes files.
#[derive(Clone, Debug)]
pub struct Deliveries {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `http://127.0.0.1:9000`; none: nothing is written.
    origin: Option<String>,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Deliveries {
    /// `url`: `http://host:port`; another one is as none.
    pub fn new(url: Option<&str>) -> Self {
        let parsed =
            url.map(|url| url.trim_end_matches('/')).map(|origin| origin.parse::<Uri>().map(|_| origin.to_owned()));
        let origin = parsed.transpose().unwrap_or_else(|error| {
            warn!(%error, "flow logs cannot be written");
            None
        });
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            origin,
            running: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }

    /// Writes a file, and notes what became of it.
    pub fn start(&self, node: &Arc<Node>, file: File) {
        let (this, node) = (self.clone(), node.clone());
        tokio::spawn(async move {
            let done = match this.waiting.try_acquire() {
                Ok(_waiting) => this.deliver(&node, &file).await,
                Err(_) => Err(Failure::Crowded),
            };
            if let Err(failure) = &done {
                let log = &file.log.flow_log_id;
                let destination = file.log.destination.as_deref().unwrap_or_default();
                warn!(%log, destination, %failure, "a flow log's file is not written");
            }
            note(&node, &file.log, done.err().map(|failure| failure.shown())).await;
        });
    }

    async fn deliver(&self, node: &Node, file: &File) -> Result<(), Failure> {
        // Never closed.
        let _running = self.running.acquire().await.map_err(|_| Failure::Crowded)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let zipped = encoder.write_all(file.text.as_bytes()).and_then(|()| encoder.finish());
        let body = Bytes::from(zipped.map_err(|error| Failure::Request(error.to_string()))?);
        let path = path(&file.log, &node.place.region, Timestamp::now()).ok_or(Failure::Destination)?;
        let mut pause = PAUSE;
        for attempt in 1.. {
            let failure = match self.put(node, &file.log, &path, body.clone()).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if failure.is_final() || attempt == TRIES {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    async fn put(&self, node: &Node, log: &FlowLogRecord, path: &str, body: Bytes) -> Result<(), Failure> {
        let origin = self.origin.as_ref().ok_or(Failure::NoStore)?;
        let records = node.stores.credentials.range("").await.map_err(|error| Failure::Credentials(error.into()))?;
        let mut records = records.into_iter().map(|record| record.value);
        let is_root = |record: &CredentialRecord| record.account == log.account && record.arn.ends_with(":root");
        let credential = records.find(is_root).and_then(credential).ok_or(Failure::NoCredential)?;
        let failed = |error: &dyn std::fmt::Display| Failure::Request(error.to_string());
        let uri: Uri = format!("{origin}{path}").parse().map_err(|error| failed(&error))?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let request = Request::builder().method(Method::PUT).uri(uri).header(http::header::HOST, host);
        let request = request.header(http::header::CONTENT_TYPE, "application/octet-stream").body(());
        let (mut parts, ()) = request.map_err(|error| failed(&error))?.into_parts();
        let signer = Signer { credential: &credential, region: &node.place.region, service: "s3" };
        let payload = Payload::Sha256(Sha256::digest(&body).into());
        signer.sign_header(&mut parts, payload, Timestamp::now()).map_err(|error| failed(&error))?;
        let asked = self.client.request(Request::from_parts(parts, Full::new(body)));
        match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => Err(Failure::Refused(answer.status())),
            Ok(Err(error)) => Err(Failure::Away(error.to_string())),
            Err(_) => Err(Failure::Away("in time".to_owned())),
        }
    }
}

fn credential(record: CredentialRecord) -> Option<Credential> {
    Some(Credential {
        access_key_id: record.access_key_id,
        secret: Secret::new(record.secret_access_key),
        identity: Identity {
            account_id: record.account.as_str().parse().ok()?,
            principal_arn: record.arn,
            user_id: record.user_id,
        },
        session: None,
    })
}

/// `/bucket/[prefix/]AWSLogs/<account>/vpcflowlogs/<region>/<yyyy>/<mm>/<dd>/<file>`
fn path(log: &FlowLogRecord, region: &str, now: Timestamp) -> Option<String> {
    let (bucket, prefix) = destination(log.destination.as_deref()?)?;
    let at = now.to_zoned(TimeZone::UTC);
    let (day, minute) = (at.strftime("%Y/%m/%d"), at.strftime("%Y%m%dT%H%MZ"));
    let (account, id) = (&log.account, &log.flow_log_id);
    let hash = random::draw().ok()? as u32;
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let key = format!(
        "{prefix}AWSLogs/{account}/vpcflowlogs/{region}/{day}/{account}_vpcflowlogs_{region}_{id}_{minute}_{hash:08x}.log.gz"
    );
    let segments: Vec<_> = key.split('/').map(|segment| canonical::encode(segment.as_bytes()).to_string()).collect();
    Some(format!("/{bucket}/{}", segments.join("/")))
}

/// Bucket and prefix of a `LogDestination`: `arn:aws:s3:::bucket/prefix/`.
pub fn destination(arn: &str) -> Option<(&str, &str)> {
    let (bucket, prefix) = arn.strip_prefix(ARN).map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
    let is_name = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
    is_name.then_some((bucket, prefix.trim_matches('/')))
}

/// What became of the last file, in the log's record.
async fn note(node: &Node, log: &FlowLogRecord, error: Option<&str>) {
    if log.delivery_error.as_deref() == error {
        return;
    }
    let changed = node.stores.networks.change(&log.account, |network| {
        if let Some(log) = network.flow_logs.get_mut(&log.flow_log_id) {
            log.delivery_error = error.map(str::to_owned);
        }
        Ok(())
    });
    if let Err(error) = changed.await {
        warn!(log = %log.flow_log_id, %error, "cannot note how a flow log fares");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_buckets_with_a_prefix() {
        assert_eq!(destination("arn:aws:s3:::logs"), Some(("logs", "")));
        assert_eq!(destination("arn:aws:s3:::logs/a/b/"), Some(("logs", "a/b")));
        for other in ["arn:aws:s3:::", "arn:aws:s3:::Logs", "logs", "arn:aws:s3:::a b c/x"] {
            assert_eq!(destination(other), None, "{other}");
        }
    }
}
