//! Trying again: pauses that grow, with jitter, until the call's deadline.

use super::Timeouts;
use crate::{
    error::{Attempt, StoreError, said},
    random::Random,
};
use std::{future::Future, time::Duration};
use tokio::time::Instant;

/// The tries of one call.
#[derive(Debug)]
pub(super) struct Tries<'s> {
    timeouts: &'s Timeouts,
    random: &'s Random,
    deadline: Instant,
    pause: Duration,
}

impl<'s> Tries<'s> {
    pub(super) fn new(timeouts: &'s Timeouts, random: &'s Random) -> Self {
        Self { timeouts, random, deadline: Instant::now() + timeouts.call, pause: timeouts.first_pause }
    }

    /// One try, which moves `bytes`, within its own time.
    pub(super) async fn once<T>(
        &self,
        attempt: &Attempt,
        bytes: u64,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let transfer = Duration::from_secs(bytes / self.timeouts.min_bytes_per_second.max(1));
        let limit = self.timeouts.attempt + transfer;
        tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
            let source = said(format!("no answer within {} ms", limit.as_millis()));
            Err(StoreError::Unavailable { attempt: attempt.clone(), source })
        })
    }

    /// After a failure: sleeps if it is worth another try and there is time for one, and otherwise gives the error back.
    pub(super) async fn pause(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !matches!(error, StoreError::Unavailable { .. }) {
            return Err(error);
        }
        // Between half and all of the pause: spread out, but never a storm.
        let half_us = u64::try_from(self.pause.as_micros() / 2).unwrap_or(u64::MAX).max(1);
        let pause = Duration::from_micros(half_us + self.random.below(half_us));
        if Instant::now() + pause >= self.deadline {
            return Err(error);
        }
        tracing::debug!(%error, cause = crate::error::chain(&error), pause_ms = pause.as_millis() as u64, "trying again");
        tokio::time::sleep(pause).await;
        self.pause = (self.pause * 2).min(self.timeouts.max_pause);
        Ok(())
    }
}
