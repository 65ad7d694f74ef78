//! The one door to NATS: request and reply, queue groups, and KV buckets with compare-and-swap.
//!
//! [`Bus`] asks and serves; [`Store`] is one KV bucket, in NATS ([`NatsStore`]) or in memory ([`MemoryStore`]); [`Table`] keeps
//! typed records in a store. Nothing else in the workspace names `async-nats`.
//!
//! Two rules hold everywhere. A connection that is down answers at once with [`BusError::Down`] or [`StoreError::Unavailable`]
//! instead of waiting. And a write whose answer got lost is [`StoreError::Unknown`], never "failed": it may have been applied.

#![forbid(unsafe_code)]

mod bus;
mod memory;
mod nats_store;
mod serve;
mod store;
mod table;
#[cfg(feature = "testing")]
pub mod testing;

pub use bus::{Bus, BusConfig, BusError};
pub use bytes::Bytes;
pub use memory::MemoryStore;
pub use nats_store::{BucketConfig, NatsStore};
pub use serve::{Refusal, Serving};
pub use store::{Change, Changes, Entry, MAX_COMMIT_WRITES, Store, StoreError, Write};
pub use table::{Record, Table, TableError};
