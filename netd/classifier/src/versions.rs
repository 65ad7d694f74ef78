//! All tables of a bridge, in versions that follow each other at once.

use crate::Table;
use arc_swap::{ArcSwap, Cache};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Tables of a bridge; OpenFlow has no more (`OFPTT_MAX` and `OFPTT_ALL` are above).
pub const TABLES: usize = 255;

/// One version: tables 0 to 254. A clone shares all of them.
#[derive(Debug)]
pub struct Tables<T> {
    tables: Vec<Arc<Table<T>>>,
    version: u64,
}

impl<T> Clone for Tables<T> {
    fn clone(&self) -> Self {
        Self { tables: self.tables.clone(), version: self.version }
    }
}

impl<T> Default for Tables<T> {
    fn default() -> Self {
        let empty = Arc::new(Table::default());
        Self { tables: vec![empty; TABLES], version: 0 }
    }
}

impl<T> Tables<T> {
    /// None from 255 on.
    pub fn table(&self, number: u8) -> Option<&Table<T>> {
        self.tables.get(usize::from(number)).map(|table| &**table)
    }

    /// Unshares the table.
    pub fn table_mut(&mut self, number: u8) -> Option<&mut Table<T>> {
        self.tables.get_mut(usize::from(number)).map(Arc::make_mut)
    }

    /// Counts up with each publication: what was derived from an older one may be stale.
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// The version that is in force.
#[derive(Debug)]
pub struct Versions<T> {
    current: Arc<ArcSwap<Tables<T>>>,
    counter: Arc<OnceLock<Arc<AtomicU64>>>,
}

impl<T> Clone for Versions<T> {
    fn clone(&self) -> Self {
        Self { current: self.current.clone(), counter: self.counter.clone() }
    }
}

impl<T> Versions<T> {
    /// Empty tables, and the only one that can change them.
    pub fn new() -> (Self, Writer<T>) {
        let first = Tables::default();
        let current = Arc::new(ArcSwap::from_pointee(first.clone()));
        let counter = Arc::new(OnceLock::new());
        let writer = Writer { current: current.clone(), counter: counter.clone(), draft: first, retired: Vec::new() };
        (Self { current, counter }, writer)
    }

    /// From now on the counter goes up after each publication. One counter for ever: false if another was given before.
    pub fn count_publications(&self, counter: &Arc<AtomicU64>) -> bool {
        Arc::ptr_eq(self.counter.get_or_init(|| counter.clone()), counter)
    }

    /// The version in force, which stays whole as long as it is held.
    pub fn load(&self) -> Arc<Tables<T>> {
        self.current.load_full()
    }

    /// For a thread that asks again and again.
    pub fn reader(&self) -> Reader<T> {
        Reader { cache: Cache::new(self.current.clone()) }
    }
}

/// A thread's own reference to the version in force: asking is one load from memory as long as there is no newer one.
#[derive(Debug)]
pub struct Reader<T> {
    cache: Cache<Arc<ArcSwap<Tables<T>>>, Arc<Tables<T>>>,
}

impl<T> Reader<T> {
    #[inline]
    pub fn tables(&mut self) -> &Tables<T> {
        self.cache.load()
    }
}

/// Prepares the next version.
#[derive(Debug)]
pub struct Writer<T> {
    current: Arc<ArcSwap<Tables<T>>>,
    counter: Arc<OnceLock<Arc<AtomicU64>>>,
    draft: Tables<T>,
    /// Versions that readers may hold yet. Kept so that no reader is the last holder, and has to free a version.
    retired: Vec<Arc<Tables<T>>>,
}

impl<T> Writer<T> {
    /// The next version, as it is so far.
    pub fn draft(&mut self) -> &mut Tables<T> {
        &mut self.draft
    }

    /// Puts the draft into force, for all readers at once.
    pub fn publish(&mut self) {
        self.draft.version += 1;
        let old = self.current.swap(Arc::new(self.draft.clone()));
        if let Some(counter) = self.counter.get() {
            counter.fetch_add(1, Ordering::Release);
        }
        self.retired.push(old);
        self.retired.retain(|version| Arc::strong_count(version) > 1);
    }

    /// Gives the draft up, and starts from what is in force: a bundle that fails has done nothing.
    pub fn abandon(&mut self) {
        self.draft = (*self.current.load_full()).clone();
    }
}
