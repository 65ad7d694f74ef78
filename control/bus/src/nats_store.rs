//! A bucket in JetStream: stream `KV_<bucket>`, one subject `$KV.<bucket>.<key>` a key, as every NATS client lays it out.

use crate::bus::Bus;
use crate::store::{Change, Changes, Entry, MAX_COMMIT_WRITES, Store, StoreError, Write, check_key, check_prefix};
use async_nats::HeaderMap;
use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL,
};
use async_nats::jetstream::consumer::{Consumer, DeliverPolicy, ReplayPolicy, push};
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::kv::{self, Operation};
use async_nats::jetstream::{self, ErrorCode};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use std::error::Error;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};

/// A whole `range`: thousands of keys take tens of milliseconds, a cluster electing a leader takes seconds.
const RANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the marker of a deleted key is kept, so that deleted keys do not fill the stream. Longer than any watcher is away
/// without reading everything again.
const DELETE_MARKER_TTL: Duration = Duration::from_secs(24 * 3600);
/// Commits under way at a time: the server holds at most 50 unfinished batches of a stream, for all workers together.
const MAX_COMMITS: usize = 8;
const HEADER_KV_OPERATION: &str = "KV-Operation";
const KV_OPERATION_DELETE: &str = "DEL";

#[derive(Clone, Debug)]
pub struct BucketConfig {
    pub name: String,
    /// Entries vanish this long after their last write; None keeps them.
    pub ttl: Option<Duration>,
    /// Copies in the cluster: 1, 3 or 5.
    pub replicas: usize,
    /// [`Store::commit`] is for this bucket.
    pub atomic: bool,
}

#[derive(Debug)]
pub struct NatsStore {
    bus: Bus,
    config: BucketConfig,
    opened: OnceCell<kv::Store>,
    committing: Semaphore,
}

impl NatsStore {
    pub(crate) fn new(bus: Bus, config: BucketConfig) -> Self {
        Self { bus, config, opened: OnceCell::new(), committing: Semaphore::new(MAX_COMMITS) }
    }

    /// The bucket, created with its settings on first use. Fails at once when the connection is down.
    async fn opened(&self) -> Result<&kv::Store, StoreError> {
        if !self.bus.connected() {
            return Err(self.unavailable("not connected to NATS"));
        }
        let open = || async {
            let config = kv::Config {
                bucket: self.config.name.clone(),
                history: 1,
                max_age: self.config.ttl.unwrap_or_default(),
                num_replicas: self.config.replicas,
                limit_markers: Some(DELETE_MARKER_TTL),
                ..Default::default()
            };
            self.bus.jetstream.create_or_update_key_value(config).await.map_err(|error| self.unavailable(&text(&error)))
        };
        let open = || async { if self.config.atomic { self.open_atomic(open).await } else { open().await } };
        self.opened.get_or_try_init(open).await
    }

    /// The client's settings of a bucket know nothing of batches: they are allowed on its stream afterwards, and a bucket that is so
    /// already is left alone, for `open` would forbid them again under the hands of others.
    async fn open_atomic<F: Future<Output = Result<kv::Store, StoreError>>>(
        &self,
        open: impl Fn() -> F,
    ) -> Result<kv::Store, StoreError> {
        let unavailable = |error: &dyn Error| self.unavailable(&text(error));
        let is_as_wanted = |store: &kv::Store| {
            let config = &store.stream.cached_info().config;
            config.allow_atomic_publish && config.num_replicas == self.config.replicas
        };
        if let Ok(store) = self.bus.jetstream.get_key_value(&self.config.name).await
            && is_as_wanted(&store)
        {
            return Ok(store);
        }
        let config = jetstream::stream::Config {
            allow_atomic_publish: true,
            ..open().await?.stream.cached_info().config.clone()
        };
        self.bus.jetstream.update_stream(config).await.map_err(|error| unavailable(&error))?;
        self.bus.jetstream.get_key_value(&self.config.name).await.map_err(|error| unavailable(&error))
    }

    fn unavailable(&self, message: &str) -> StoreError {
        StoreError::Unavailable { bucket: self.config.name.clone(), message: message.to_owned() }
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.config.name)
    }

    /// Publishes on the key's subject if its last sequence is `revision` (0: it has none).
    async fn publish(&self, key: &str, value: Bytes, revision: u64, mut headers: HeaderMap) -> Result<u64, StoreError> {
        check_key(key)?;
        self.opened().await?;
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, revision.to_string().as_str());
        let sent = self.bus.jetstream.publish_with_headers(self.subject(key), headers, value).await;
        let acknowledged = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        acknowledged.map(|ack| ack.sequence).map_err(|error| self.classify(key, &error))
    }

    /// Async-nats maps only one of the two "wrong last sequence" codes; the server uses 10164 when writers contend.
    fn classify(&self, key: &str, error: &PublishError) -> StoreError {
        let (bucket, key, message) = (self.config.name.clone(), key.to_owned(), text(error));
        match error.kind() {
            PublishErrorKind::WrongLastSequence => StoreError::Conflict { bucket, key },
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::MaxPayloadExceeded
            | PublishErrorKind::WrongLastMessageId => StoreError::Unavailable { bucket, message },
            PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => StoreError::Unknown { bucket, key, message },
            PublishErrorKind::Other => match server_error(error) {
                Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE | ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT) => {
                    StoreError::Conflict { bucket, key }
                }
                Some(_) => StoreError::Unavailable { bucket, message },
                None => StoreError::Unknown { bucket, key, message },
            },
        }
    }

    async fn read_all(&self, store: &kv::Store, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let config = push::OrderedConfig {
            deliver_subject: self.bus.client.new_inbox(),
            filter_subject: self.subject(&format!("{prefix}>")),
            deliver_policy: DeliverPolicy::LastPerSubject,
            replay_policy: ReplayPolicy::Instant,
            ..Default::default()
        };
        let consumer = store.stream.create_consumer(config).await.map_err(|e| self.unavailable(&text(&e)))?;
        let name = consumer.cached_info().name.clone();
        let entries = self.read_from(consumer).await;
        // Left alone it would go by itself, but seconds later, and the server has room for a thousand.
        if let Err(error) = store.stream.delete_consumer(&name).await {
            tracing::debug!(bucket = self.config.name, %error, "cannot end a listing's consumer");
        }
        entries
    }

    async fn read_from(&self, consumer: Consumer<push::OrderedConfig>) -> Result<Vec<Entry>, StoreError> {
        let unavailable = |error: &dyn Error| self.unavailable(&text(error));
        let mut entries = Vec::new();
        if consumer.cached_info().num_pending == 0 {
            return Ok(entries);
        }
        let key_at = self.subject("").len();
        let mut messages = consumer.messages().await.map_err(|e| unavailable(&e))?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|e| unavailable(&e))?;
            let info = message.info().map_err(|e| self.unavailable(&e.to_string()))?;
            let is_value = message.headers.as_ref().is_none_or(|headers| headers.get(HEADER_KV_OPERATION).is_none());
            if is_value && let Some(key) = message.subject.get(key_at..) {
                entries.push(Entry {
                    key: key.to_owned(),
                    value: message.payload.clone(),
                    revision: info.stream_sequence,
                });
            }
            if info.pending == 0 {
                entries.sort_by(|a, b| a.key.cmp(&b.key));
                return Ok(entries);
            }
        }
        Err(self.unavailable("the server ended a listing early"))
    }
}

#[async_trait]
impl Store for NatsStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let store = self.opened().await?;
        let entry = store.entry(key).await.map_err(|error| self.unavailable(&text(&error)))?;
        Ok(entry.filter(|entry| entry.operation == Operation::Put).map(|entry| Entry {
            key: entry.key,
            value: entry.value,
            revision: entry.revision,
        }))
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64, StoreError> {
        let created = self.publish(key, value.clone(), 0, HeaderMap::new()).await;
        if !matches!(created, Err(StoreError::Conflict { .. })) {
            return created;
        }
        // What is there may be the marker of a deleted key, which a create replaces.
        let store = self.opened().await?;
        let entry = store.entry(key).await.map_err(|error| self.unavailable(&text(&error)))?;
        match entry {
            Some(entry) if entry.operation != Operation::Put => {
                self.publish(key, value, entry.revision, HeaderMap::new()).await
            }
            _ => created,
        }
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, StoreError> {
        self.publish(key, value, revision, HeaderMap::new()).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_KV_OPERATION, KV_OPERATION_DELETE);
        headers.insert(NATS_MESSAGE_TTL, DELETE_MARKER_TTL.as_secs().to_string().as_str());
        self.publish(key, Bytes::new(), revision, headers).await.map(drop)
    }

    /// An atomic batch of JetStream: the messages before the last are held until it comes, which is the one that is answered.
    async fn commit(&self, writes: &[Write]) -> Result<u64, StoreError> {
        let Some((last, before)) = writes.split_last().filter(|_| writes.len() <= MAX_COMMIT_WRITES) else {
            return Err(self.unavailable(&format!("{} writes are not one commit", writes.len())));
        };
        writes.iter().try_for_each(|write| check_key(&write.key))?;
        self.opened().await?;
        // Never closed; were it, nothing would be committed.
        let _permit = self.committing.acquire().await.map_err(|error| self.unavailable(&text(&error)))?;
        let batch = self.bus.client.new_inbox();
        let batch = batch.rsplit('.').next().unwrap_or(&batch);
        let headers = |sequence: usize, write: &Write| {
            let mut headers = HeaderMap::new();
            headers.insert(NATS_BATCH_ID, batch);
            headers.insert(NATS_BATCH_SEQUENCE, sequence.to_string().as_str());
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, write.revision.to_string().as_str());
            if write.value.is_none() {
                headers.insert(HEADER_KV_OPERATION, KV_OPERATION_DELETE);
                headers.insert(NATS_MESSAGE_TTL, DELETE_MARKER_TTL.as_secs().to_string().as_str());
            }
            headers
        };
        for (index, write) in before.iter().enumerate() {
            let (subject, value) = (self.subject(&write.key), write.value.clone().unwrap_or_default());
            let sent = self.bus.client.publish_with_headers(subject, headers(index + 1, write), value).await;
            sent.map_err(|error| self.unavailable(&text(&error)))?;
        }
        let mut headers = headers(writes.len(), last);
        headers.insert(NATS_BATCH_COMMIT, "1");
        let value = last.value.clone().unwrap_or_default();
        let sent = self.bus.jetstream.publish_with_headers(self.subject(&last.key), headers, value).await;
        let acknowledged = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        acknowledged.map(|ack| ack.sequence).map_err(|error| self.classify(&last.key, &error))
    }

    async fn range(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        check_prefix(prefix)?;
        let store = self.opened().await?;
        let listing = tokio::time::timeout(RANGE_TIMEOUT, self.read_all(store, prefix)).await;
        listing.unwrap_or_else(|_| Err(self.unavailable("a listing took too long")))
    }

    async fn watch(&self, prefix: &str) -> Result<Changes, StoreError> {
        check_prefix(prefix)?;
        let store = self.opened().await?;
        let watch = store.watch(format!("{prefix}>")).await.map_err(|error| self.unavailable(&text(&error)))?;
        let bucket = self.config.name.clone();
        Ok(watch
            .map(move |entry| match entry {
                Ok(entry) => Ok(Change {
                    key: entry.key,
                    value: (entry.operation == Operation::Put).then_some(entry.value),
                    revision: entry.revision,
                }),
                Err(error) => Err(StoreError::Unavailable { bucket: bucket.clone(), message: text(&error) }),
            })
            .boxed())
    }
}

/// The server's own error code at the root of a client error.
fn server_error(error: &(dyn Error + 'static)) -> Option<ErrorCode> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refusal) = error.downcast_ref::<jetstream::Error>() {
            return Some(refusal.error_code());
        }
        cause = error.source();
    }
    None
}

fn text(error: &dyn Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_with(code: u16) -> PublishError {
        let body = serde_json::json!({"code": 400, "err_code": code, "description": "wrong last sequence"});
        let error: jetstream::Error = serde_json::from_value(body).expect("an error of the server's form");
        PublishError::with_source(PublishErrorKind::Other, error)
    }

    #[tokio::test]
    async fn both_codes_of_a_lost_race_are_conflicts() {
        let config = crate::BusConfig {
            url: "nats://127.0.0.1:9".into(),
            name: "test".into(),
            request_timeout: Duration::from_secs(1),
        };
        let bus = Bus::connect(&config).await.expect("an address");
        let store = bus.bucket(BucketConfig { name: "b".into(), ttl: None, replicas: 1, atomic: false });
        for code in [10071, 10164] {
            assert!(matches!(store.classify("k", &refused_with(code)), StoreError::Conflict { .. }), "{code}");
        }
        assert!(matches!(store.classify("k", &refused_with(10077)), StoreError::Unavailable { .. }));
        let timeout = PublishError::new(PublishErrorKind::TimedOut);
        assert!(matches!(store.classify("k", &timeout), StoreError::Unknown { .. }));
    }
}
