//! Answering: queue-group subscriptions with bounded concurrency.

use crate::bus::{Bus, BusError};
use async_nats::client::PublishError;
use async_nats::{Client, HeaderMap, Subject};
use bytes::Bytes;
use futures::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

/// Headers of an answer that is no answer, as the NATS micro-service convention names them.
pub(crate) const HEADER_ERROR: &str = "Nats-Service-Error";
pub(crate) const HEADER_ERROR_CODE: &str = "Nats-Service-Error-Code";

/// A request that the handler could not take at all; the asker sees [`BusError::Refused`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A subscription being served; dropping it stops taking requests, those in flight are finished.
#[derive(Debug)]
pub struct Serving {
    task: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Bus {
    /// Serves `subject` (wildcards allowed) as a member of `queue`: each request goes to one member. At most as many handlers run as
    /// `permits` has; several subjects may share them. The subscription outlives losses of the connection.
    pub async fn serve<T, R, H, F>(
        &self,
        subject: &str,
        queue: &str,
        permits: Arc<Semaphore>,
        handler: H,
    ) -> Result<Serving, BusError>
    where
        T: DeserializeOwned + Send + 'static,
        R: Serialize + Send + 'static,
        H: Fn(T) -> F + Send + Sync + 'static,
        F: Future<Output = Result<R, Refusal>> + Send + 'static,
    {
        let mut requests = self
            .client
            .queue_subscribe(subject.to_owned(), queue.to_owned())
            .await
            .map_err(|error| BusError::Other { subject: subject.to_owned(), message: error.to_string() })?;
        let client = self.client.clone();
        let handler = Arc::new(handler);
        let task = tokio::spawn(async move {
            while let Some(message) = requests.next().await {
                // The semaphore is never closed; were it, serving would end.
                let Ok(permit) = permits.clone().acquire_owned().await else { return };
                let (client, handler) = (client.clone(), handler.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    let answer = answer(&message.payload, &*handler).await;
                    let Some(reply) = message.reply else {
                        debug!(subject = %message.subject, "request without a reply subject");
                        return;
                    };
                    let sent = match answer {
                        Ok(payload) => client.publish(reply.clone(), payload).await,
                        Err(refusal) => refuse(&client, reply.clone(), &refusal).await,
                    };
                    // An answer above the server's message size is one that the asker must hear of.
                    let sent = match sent {
                        Err(error) => refuse(&client, reply, &Refusal(error.to_string())).await,
                        sent => sent,
                    };
                    if let Err(error) = sent {
                        warn!(subject = %message.subject, %error, "an answer was lost");
                    }
                });
            }
        });
        // Without this, a request sent by somebody else right after might still find nobody.
        if self.connected() {
            self.round_trip().await;
        }
        Ok(Serving { task })
    }
}

async fn refuse(client: &Client, reply: Subject, refusal: &Refusal) -> Result<(), PublishError> {
    let mut headers = HeaderMap::new();
    headers.insert(HEADER_ERROR_CODE, "400");
    // Header values are one line.
    headers.insert(HEADER_ERROR, refusal.0.replace(['\r', '\n'], " ").as_str());
    client.publish_with_headers(reply, headers, Bytes::new()).await
}

async fn answer<T, R, H, F>(payload: &[u8], handler: &H) -> Result<Bytes, Refusal>
where
    T: DeserializeOwned,
    R: Serialize,
    H: Fn(T) -> F,
    F: Future<Output = Result<R, Refusal>>,
{
    let request = serde_json::from_slice(payload).map_err(|e| Refusal(format!("request does not decode: {e}")))?;
    let reply = handler(request).await?;
    serde_json::to_vec(&reply).map(Bytes::from).map_err(|e| Refusal(format!("answer does not encode: {e}")))
}
