//! The connection: connect once, reconnect for ever, ask with a deadline.

use crate::nats_store::{BucketConfig, NatsStore};
use crate::serve::{HEADER_ERROR, HEADER_ERROR_CODE};
use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, RequestErrorKind};
use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tracing::{info, warn};

/// TCP connect and protocol handshake of one attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between reconnect attempts: doubled from the first to the last, so that a restarted server is found quickly and an absent one
/// costs little.
const RECONNECT_DELAY_FIRST: Duration = Duration::from_millis(20);
const RECONNECT_DELAY_LAST: Duration = Duration::from_secs(1);
/// A silent peer (a cut cable) is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Messages waiting for one subscription's handler before the client drops them and reports a slow consumer.
const SUBSCRIPTION_CAPACITY: usize = 8192;
/// JetStream requests (reads, CAS acknowledgements); a leader election takes longer and is then answered by an error.
const JETSTREAM_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct BusConfig {
    /// `nats://host:4222`
    pub url: String,
    /// Name of this client in the server's monitoring.
    pub name: String,
    /// Deadline of a [`Bus::request`] that names none.
    pub request_timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("cannot use {url} as a NATS address")]
    Address {
        url: String,
        #[source]
        source: async_nats::ConnectError,
    },
    #[error("nobody serves {subject}")]
    NoResponders { subject: String },
    /// The request may have been carried out.
    #[error("no answer on {subject} within {timeout_ms} ms")]
    Timeout { subject: String, timeout_ms: u128 },
    #[error("not connected to NATS ({subject})")]
    Down { subject: String },
    #[error("message on {subject} is too large: {size_bytes} bytes, the server takes {limit_bytes}")]
    TooLarge { subject: String, size_bytes: usize, limit_bytes: usize },
    #[error("cannot encode a request for {subject}")]
    Encode {
        subject: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("cannot decode the answer on {subject}")]
    Decode {
        subject: String,
        #[source]
        source: serde_json::Error,
    },
    /// The server side could not take the request (it did not decode, or its handler failed).
    #[error("{subject} refused the request: {message}")]
    Refused { subject: String, message: String },
    #[error("NATS failed on {subject}: {message}")]
    Other { subject: String, message: String },
}

/// A connection to NATS; cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(crate) client: Client,
    pub(crate) jetstream: async_nats::jetstream::Context,
    request_timeout: Duration,
}

impl Bus {
    /// Starts connecting and returns at once; the connection is made, and made again after each loss, in the background.
    /// [`Bus::connected`] tells, [`Bus::wait_connected`] waits.
    ///
    /// # Errors
    /// [`BusError::Address`] when the URL is not one.
    pub async fn connect(config: &BusConfig) -> Result<Self, BusError> {
        // rustls wants one provider chosen per process; a second call is told so and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = ConnectOptions::new()
            .name(&config.name)
            .connection_timeout(CONNECT_TIMEOUT)
            .ping_interval(PING_INTERVAL)
            .request_timeout(Some(config.request_timeout))
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .max_reconnects(None)
            .retry_on_initial_connect()
            .reconnect_delay_callback(reconnect_delay)
            .event_callback(|event| async move { log_event(&event) })
            .connect(&config.url)
            .await
            .map_err(|source| BusError::Address { url: config.url.clone(), source })?;
        let jetstream = async_nats::jetstream::ContextBuilder::new().timeout(JETSTREAM_TIMEOUT).build(client.clone());
        Ok(Self { client, jetstream, request_timeout: config.request_timeout })
    }

    pub fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Waits until connected or `timeout` has passed; says which.
    pub async fn wait_connected(&self, timeout: Duration) -> bool {
        // A flush ends when its bytes are written, so no earlier than the first connection.
        tokio::time::timeout(timeout, self.client.flush()).await.is_ok_and(|r| r.is_ok()) && self.connected()
    }

    /// Returns when the server has handled all that was sent before: messages of one connection are handled in order, so one to
    /// ourselves comes back after them. Gives up when the connection breaks meanwhile.
    pub(crate) async fn round_trip(&self) {
        let inbox = self.client.new_inbox();
        let there_and_back = async {
            let mut echo = self.client.subscribe(inbox.clone()).await.ok()?;
            self.client.publish(inbox, Bytes::new()).await.ok()?;
            echo.next().await
        };
        if tokio::time::timeout(self.request_timeout, there_and_back).await.is_err() {
            tracing::debug!("the server did not echo in time");
        }
    }

    /// Version of the connected server, empty before the first connection.
    pub fn server_version(&self) -> String {
        self.client.server_info().version
    }

    /// Asks `subject` and decodes the answer, within the bus's own deadline.
    pub async fn request<T, R>(&self, subject: &str, request: &T) -> Result<R, BusError>
    where
        T: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        self.request_within(subject, request, self.request_timeout).await
    }

    /// [`Bus::request`] with a deadline of its own.
    pub async fn request_within<T, R>(&self, subject: &str, request: &T, timeout: Duration) -> Result<R, BusError>
    where
        T: Serialize + ?Sized,
        R: DeserializeOwned,
    {
        let named = || subject.to_owned();
        let payload = serde_json::to_vec(request).map_err(|source| BusError::Encode { subject: named(), source })?;
        if !self.connected() {
            return Err(BusError::Down { subject: named() });
        }
        let (size_bytes, limit_bytes) = (payload.len(), self.client.server_info().max_payload);
        let request = async_nats::Request::new().payload(payload.into()).timeout(Some(timeout));
        let answer =
            self.client.send_request(subject.to_owned(), request).await.map_err(|error| match error.kind() {
                RequestErrorKind::NoResponders => BusError::NoResponders { subject: named() },
                RequestErrorKind::TimedOut if !self.connected() => BusError::Down { subject: named() },
                RequestErrorKind::TimedOut => BusError::Timeout { subject: named(), timeout_ms: timeout.as_millis() },
                RequestErrorKind::MaxPayloadExceeded => {
                    BusError::TooLarge { subject: named(), size_bytes, limit_bytes }
                }
                RequestErrorKind::InvalidSubject | RequestErrorKind::Other => {
                    BusError::Other { subject: named(), message: error.to_string() }
                }
            })?;
        if let Some(headers) = &answer.headers
            && headers.get(HEADER_ERROR_CODE).is_some()
        {
            let message = headers.get(HEADER_ERROR).map(|m| m.as_str().to_owned()).unwrap_or_default();
            return Err(BusError::Refused { subject: named(), message });
        }
        serde_json::from_slice(&answer.payload).map_err(|source| BusError::Decode { subject: named(), source })
    }

    /// A KV bucket, made on its first use when it is not there.
    pub fn bucket(&self, config: BucketConfig) -> NatsStore {
        NatsStore::new(self.clone(), config)
    }
}

fn reconnect_delay(attempts: usize) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    RECONNECT_DELAY_FIRST.saturating_mul(1 << doublings).min(RECONNECT_DELAY_LAST)
}

fn log_event(event: &Event) {
    match event {
        Event::Connected => info!("connected to NATS"),
        Event::Disconnected => warn!("lost the connection to NATS"),
        Event::SlowConsumer(subscription) => warn!(subscription, "a subscription is too slow; messages were dropped"),
        other => warn!(event = %other, "NATS"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnect_delay_grows_and_stays_bounded() {
        assert_eq!(reconnect_delay(0), RECONNECT_DELAY_FIRST);
        assert_eq!(reconnect_delay(2), RECONNECT_DELAY_FIRST * 2);
        assert_eq!(reconnect_delay(usize::MAX), RECONNECT_DELAY_LAST);
    }
}
