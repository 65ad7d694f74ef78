//! How many flows have a cookie.

use crate::flow::Flow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

/// Flows in force by cookie and table, for those who look without the bridge's lock.
#[derive(Clone, Debug, Default)]
pub struct Cookies(Arc<Mutex<HashMap<(u64, u8), u32>>>);

impl Cookies {
    pub fn flows(&self, cookie: u64, table: u8) -> u32 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&(cookie, table)).copied().unwrap_or(0)
    }

    /// The one flow took the other's place, or there was none, or is none.
    pub(crate) fn follow(&self, old: Option<&Flow>, new: Option<&Flow>) {
        let key = |flow: &Flow| (flow.cookie, flow.table);
        if old.map(key) == new.map(key) {
            return;
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(new) = new {
            *counts.entry(key(new)).or_default() += 1;
        }
        if let Some(old) = old
            && let Entry::Occupied(mut count) = counts.entry(key(old))
        {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
