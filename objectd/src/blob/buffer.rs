//! The bounded pool of buffers that every body passes through.

use bytes::Bytes;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Large enough that one submission is worth its system call, small enough that hundreds fit in memory.
pub const BUFFER_BYTES: usize = 256 * 1024;

struct Shared {
    free: Mutex<Vec<Box<[u8]>>>,
    permits: Arc<Semaphore>,
}

/// A fixed number of buffers; whoever wants one more waits until one comes back.
#[derive(Clone)]
pub struct BufferPool(Arc<Shared>);

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferPool").field("available", &self.0.permits.available_permits()).finish()
    }
}

impl BufferPool {
    pub fn new(buffers: usize) -> Self {
        Self(Arc::new(Shared { free: Mutex::default(), permits: Arc::new(Semaphore::new(buffers)) }))
    }

    /// An empty buffer, as soon as one is free; `None` once the pool is closed, which it never is while in use.
    pub async fn get(&self) -> Option<Buffer> {
        let permit = self.0.permits.clone().acquire_owned().await.ok()?;
        let recycled = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let data = recycled.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        Some(Buffer { data, filled: 0, pool: self.0.clone(), _permit: permit })
    }
}

/// One buffer of the pool; its filled part is `[..filled]`. Dropping returns it.
pub struct Buffer {
    data: Box<[u8]>,
    filled: usize,
    pool: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl Buffer {
    /// Moves as much of `input` in as fits.
    pub fn fill(&mut self, input: &mut Bytes) {
        let length = input.len().min(self.room());
        self.data[self.filled..self.filled + length].copy_from_slice(&input.split_to(length));
        self.filled += length;
    }

    pub fn room(&self) -> usize {
        self.data.len() - self.filled
    }

    pub fn len(&self) -> usize {
        self.filled
    }

    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The whole memory, for the kernel to read from or write to.
    pub(super) fn memory(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Declares `[..length]` filled, `length` being at most [`BUFFER_BYTES`].
    pub(super) fn set_len(&mut self, length: usize) {
        self.filled = length.min(self.data.len());
    }

    /// The filled part as `Bytes`, without a copy; the buffer returns to the pool when the last of them is dropped.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.data[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pool_is_bounded_and_recycles() {
        let pool = BufferPool::new(1);
        let mut buffer = pool.get().await.unwrap();
        let mut input = Bytes::from(vec![7; BUFFER_BYTES + 1]);
        buffer.fill(&mut input);
        assert_eq!((buffer.len(), buffer.room(), input.len()), (BUFFER_BYTES, 0, 1));
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.get().await.unwrap().len() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(buffer.into_bytes());
        assert_eq!(waiting.await.unwrap(), 0);
    }
}
