//! Checks of blocks in complete segments: pages of their indexes, kept while there is room.

use crate::engine::check::Check;
use crate::engine::format::{CheckPage, checks_per_page};
use std::collections::{HashMap, VecDeque};

/// Pages kept: 8 MiB, the checks of 8 GiB of plain data or 2 GiB of encrypted.
const MAX_PAGES: usize = 2048;

/// A page by segment and number.
pub type PageKey = (u32, u16);

#[derive(Debug, Default)]
pub struct CheckCache {
    pages: HashMap<PageKey, (CheckPage, bool)>,
    order: VecDeque<PageKey>,
    /// Reads that wait for a page.
    pub waiters: HashMap<PageKey, Vec<usize>>,
}

pub fn page_of(block: u16, sealed: bool) -> u16 {
    block / checks_per_page(sealed)
}

impl CheckCache {
    /// The check of one block, if its page is here.
    pub fn get(&mut self, seq: u32, block: u16, sealed: bool) -> Option<Check> {
        let (page, used) = self.pages.get_mut(&(seq, page_of(block, sealed)))?;
        *used = true;
        page.get(block % checks_per_page(sealed))
    }

    pub fn contains(&self, key: PageKey) -> bool {
        self.pages.contains_key(&key)
    }

    pub fn insert(&mut self, key: PageKey, page: CheckPage) {
        if self.pages.insert(key, (page, false)).is_none() {
            self.order.push_back(key);
        }
        while self.pages.len() > MAX_PAGES {
            let Some(oldest) = self.order.pop_front() else { return };
            let used = self.pages.get_mut(&oldest).is_some_and(|(_, used)| std::mem::take(used));
            if used {
                self.order.push_back(oldest);
            } else {
                self.pages.remove(&oldest);
            }
        }
    }

    pub fn forget(&mut self, key: PageKey) {
        if self.pages.remove(&key).is_some() {
            self.order.retain(|k| *k != key);
        }
    }

    pub fn bytes(&self) -> usize {
        self.pages.values().map(|(page, _)| page.bytes()).sum()
    }
}
