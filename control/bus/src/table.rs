//! Typed records in a [`Store`]: JSON values, and read-modify-write by compare-and-swap.

use crate::store::{Store, StoreError};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::sync::Arc;

/// Lost races before a writer gives up; each round somebody else got on, so this many means a livelock elsewhere.
const MAX_ATTEMPTS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the record {key} does not decode: {message}")]
    Corrupt { key: String, message: String },
    #[error("the record {key} does not encode: {message}")]
    Encode { key: String, message: String },
    #[error("{key} is written too often by others")]
    Contended { key: String },
}

/// A record and the revision it was read at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<T> {
    pub key: String,
    pub value: T,
    pub revision: u64,
}

/// Records of one type.
#[derive(Debug)]
pub struct Table<T> {
    store: Arc<dyn Store>,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), of: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned + PartialEq> Table<T> {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, of: PhantomData }
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    pub async fn get(&self, key: &str) -> Result<Option<Record<T>>, TableError> {
        self.store.get(key).await?.map(decode).transpose()
    }

    /// Writes a new record; false when the key is taken. A write whose answer was lost is settled by reading it back: the
    /// records of this project carry their own ids, so an equal value is ours.
    pub async fn create(&self, key: &str, value: &T) -> Result<bool, TableError> {
        match self.store.create(key, encode(key, value)?).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(unknown @ StoreError::Unknown { .. }) => match self.get(key).await? {
                Some(found) => Ok(found.value == *value),
                None => Err(unknown.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the record, lets `change` edit it, and writes it back if it was edited; starts over when somebody else wrote
    /// meanwhile, so `change` may run several times. None when there is no such record.
    ///
    /// # Errors
    /// `change`'s own error ends the attempt and nothing is written.
    pub async fn modify<R, E>(
        &self,
        key: impl AsRef<str> + Send,
        mut change: impl FnMut(&mut T) -> Result<R, E>,
    ) -> Result<Option<(T, R)>, E>
    where
        T: Clone,
        E: From<TableError>,
    {
        let key = key.as_ref();
        for _ in 0..MAX_ATTEMPTS {
            let Some(record) = self.get(key).await? else { return Ok(None) };
            let mut value = record.value.clone();
            let result = change(&mut value)?;
            if value == record.value {
                return Ok(Some((value, result)));
            }
            match self.store.update(key, encode(key, &value)?, record.revision).await {
                Ok(_) => return Ok(Some((value, result))),
                Err(StoreError::Conflict { .. }) => {}
                Err(unknown @ StoreError::Unknown { .. }) => match self.get(key).await? {
                    Some(found) if found.value == value => return Ok(Some((value, result))),
                    // Still the old one: the write did not arrive, or arrives yet; its revision will then have gone.
                    Some(found) if found.revision == record.revision => return Err(TableError::from(unknown).into()),
                    _ => {}
                },
                Err(error) => return Err(TableError::from(error).into()),
            }
        }
        Err(TableError::Contended { key: key.to_owned() }.into())
    }

    /// Deletes the record if `agrees` with what is there; the record that went.
    pub async fn delete_if<E>(
        &self,
        key: impl AsRef<str> + Send,
        mut agrees: impl FnMut(&T) -> Result<bool, E>,
    ) -> Result<Option<T>, E>
    where
        E: From<TableError>,
    {
        let key = key.as_ref();
        for _ in 0..MAX_ATTEMPTS {
            let Some(record) = self.get(key).await? else { return Ok(None) };
            if !agrees(&record.value)? {
                return Ok(None);
            }
            match self.store.delete(key, record.revision).await {
                Ok(()) => return Ok(Some(record.value)),
                Err(StoreError::Conflict { .. } | StoreError::Unknown { .. }) => {}
                Err(error) => return Err(TableError::from(error).into()),
            }
        }
        Err(TableError::Contended { key: key.to_owned() }.into())
    }

    /// All records under `prefix`, in the order of their keys.
    pub async fn range(&self, prefix: &str) -> Result<Vec<Record<T>>, TableError> {
        self.store.range(prefix).await?.into_iter().map(decode).collect()
    }
}

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Bytes, TableError> {
    let encoded = serde_json::to_vec(value);
    encoded.map(Bytes::from).map_err(|e| TableError::Encode { key: key.to_owned(), message: e.to_string() })
}

fn decode<T: DeserializeOwned>(entry: crate::Entry) -> Result<Record<T>, TableError> {
    let value = serde_json::from_slice(&entry.value)
        .map_err(|e| TableError::Corrupt { key: entry.key.clone(), message: e.to_string() })?;
    Ok(Record { key: entry.key, value, revision: entry.revision })
}
