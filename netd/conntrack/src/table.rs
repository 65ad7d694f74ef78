//! The connections.

use crate::arena::{Arena, ConnectionId};
use crate::connection::{Connection, Translation};
use crate::dump::Entry;
use crate::expect::Expectations;
use crate::fragment::Fragments;
use crate::nat::Random;
use crate::timeout::{TimeoutPolicy, Timer};
use crate::tuple::Tuple;
use crate::verdict::Refusal;
use crate::wheel::Wheel;
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

/// Open vSwitch's limit.
const CONNECTIONS_DEFAULT: usize = 3_000_000;
/// Numbers of connections have 31 bits in the index.
const CONNECTIONS_MAX: usize = 1 << 31;

/// How a tracker is to behave.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Connections of all zones.
    pub connections_max: usize,
    /// For how many connections the index has room from the beginning: later it grows by doubling, in one go.
    pub connections_expected: usize,
    /// Segments outside of TCP's windows are invalid (`dpctl/ct-enable-tcp-seq-chk`).
    pub tcp_sequence_check: bool,
    /// Protocols other than TCP, UDP and ICMP are tracked by addresses; Open vSwitch has them invalid.
    pub other_protocols: bool,
    /// Of hashes. Those who can send packets must not know it.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: CONNECTIONS_DEFAULT,
            connections_expected: 0,
            tcp_sequence_check: true,
            other_protocols: true,
            seed: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8),
        }
    }
}

macro_rules! counters {
    ($($name:ident,)*) => {
        /// How often what has happened.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters { $(pub $name: u64,)* }

        impl Counters {
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    created,
    expired,
    invalid,
    refused_full,
    refused_zone_full,
    nat_exhausted,
    expectations_refused,
    fragments_unknown,
    fragments_overlapping,
    fragments_full,
}

/// Which connections are to be forgotten.
#[derive(Clone, Copy, Debug)]
pub enum Flush<'a> {
    All,
    Zone(u16),
    /// The one with this tuple in either direction.
    Tuple(&'a Tuple),
}

#[derive(Debug, Default)]
struct Zone {
    connections: usize,
    connections_max: Option<usize>,
    policy: u16,
}

/// Connections of one shard.
#[derive(Debug)]
pub struct Conntrack {
    pub(crate) settings: Settings,
    pub(crate) seed: FixedState,
    pub(crate) arena: Arena,
    /// Numbers of connections, shifted by one; the lowest bit: by the reply tuple, which hashes otherwise if it is translated.
    index: HashTable<u32>,
    wheel: Wheel,
    zones: HashMap<u16, Zone, FixedState>,
    /// The first is the default.
    policies: Vec<TimeoutPolicy>,
    pub(crate) random: Random,
    pub(crate) expectations: Expectations,
    pub(crate) fragments: Fragments,
    pub(crate) counters: Counters,
}

impl Conntrack {
    pub fn new(mut settings: Settings) -> Self {
        settings.connections_max = settings.connections_max.min(CONNECTIONS_MAX);
        let seed = FixedState::with_seed(settings.seed);
        Self {
            index: HashTable::with_capacity(settings.connections_expected.min(settings.connections_max)),
            arena: Arena::default(),
            wheel: Wheel::default(),
            zones: HashMap::with_hasher(seed.clone()),
            policies: vec![TimeoutPolicy::OVS],
            random: Random::new(seed.clone()),
            expectations: Expectations::new(seed.clone()),
            fragments: Fragments::new(seed.clone()),
            counters: Counters::default(),
            settings,
            seed,
        }
    }

    pub fn len(&self) -> usize {
        self.arena.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn zone_len(&self, zone: u16) -> usize {
        self.zones.get(&zone).map_or(0, |zone| zone.connections)
    }

    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Datagrams whose fragments are remembered.
    pub fn datagrams(&self) -> usize {
        self.fragments.len()
    }

    pub fn set_connections_max(&mut self, connections_max: usize) {
        self.settings.connections_max = connections_max.min(CONNECTIONS_MAX);
    }

    pub fn set_tcp_sequence_check(&mut self, check: bool) {
        self.settings.tcp_sequence_check = check;
    }

    /// None: only the limit of all zones counts.
    pub fn set_zone_max(&mut self, zone: u16, connections_max: Option<usize>) {
        self.zones.entry(zone).or_default().connections_max = connections_max;
    }

    /// For connections that begin from now on.
    ///
    /// False if there are 65536 different policies.
    pub fn set_zone_policy(&mut self, zone: u16, policy: TimeoutPolicy) -> bool {
        let at = self.policies.iter().position(|held| *held == policy).unwrap_or(self.policies.len());
        let Ok(number) = u16::try_from(at) else { return false };
        if at == self.policies.len() {
            self.policies.push(policy);
        }
        self.zones.entry(zone).or_default().policy = number;
        true
    }

    #[inline]
    pub(crate) fn find(&self, tuple: &Tuple) -> Option<(u32, bool)> {
        let mut reply = false;
        let entry = self.index.find(tuple.symmetric_hash(&self.seed), |entry| {
            let Some(connection) = self.arena.get(entry >> 1) else { return false };
            if connection.original == *tuple {
                reply = false;
                return true;
            }
            reply = true;
            connection.reply == *tuple
        })?;
        Some((entry >> 1, reply))
    }

    /// The connection of this tuple that has not expired, and whether the tuple is that of its replies.
    #[inline]
    pub(crate) fn live(&mut self, tuple: &Tuple, now_ms: u64) -> Option<(u32, bool)> {
        let (index, reply) = self.find(tuple)?;
        if self.arena.get(index)?.expires_ms <= now_ms {
            self.counters.expired += 1;
            self.remove(index);
            return None;
        }
        Some((index, reply))
    }

    pub(crate) fn id(&self, index: u32) -> Option<ConnectionId> {
        self.arena.get(index).map(|connection| ConnectionId { index, generation: connection.generation })
    }

    /// Whether a zone has room.
    pub(crate) fn admit(&mut self, zone: u16) -> Result<(), Refusal> {
        if self.arena.len() >= self.settings.connections_max {
            self.counters.refused_full += 1;
            return Err(Refusal::Full);
        }
        let zone = self.zones.entry(zone).or_default();
        if zone.connections_max.is_some_and(|most| zone.connections >= most) {
            self.counters.refused_zone_full += 1;
            return Err(Refusal::ZoneFull);
        }
        Ok(())
    }

    /// Puts a connection in, due by its timer.
    pub(crate) fn insert(&mut self, mut connection: Connection, now_ms: u64) -> Option<u32> {
        let zone = self.zones.entry(connection.original.zone()).or_default();
        connection.policy = zone.policy;
        let timeout = self.policies.get(usize::from(zone.policy)).map_or(0, |policy| policy.get_ms(connection.timer));
        connection.expires_ms = now_ms.saturating_add(timeout);
        let (original, reply) = (connection.original, connection.reply);
        let index = self.arena.insert(connection)?;
        zone.connections += 1;
        let arena = &self.arena;
        let rehash = |entry: &u32| {
            let tuple = arena.get(entry >> 1).map(|held| if entry & 1 == 0 { held.original } else { held.reply });
            tuple.map_or(0, |tuple| tuple.symmetric_hash(&self.seed))
        };
        let hash = original.symmetric_hash(&self.seed);
        self.index.insert_unique(hash, index << 1, rehash);
        let hash_of_reply = reply.symmetric_hash(&self.seed);
        if hash_of_reply != hash {
            self.index.insert_unique(hash_of_reply, index << 1 | 1, rehash);
        }
        self.wheel.insert(&mut self.arena, index);
        self.counters.created += 1;
        Some(index)
    }

    pub(crate) fn remove(&mut self, index: u32) {
        self.wheel.remove(&mut self.arena, index);
        self.forget(index);
    }

    /// Of one that is not in the wheel.
    fn forget(&mut self, index: u32) {
        let Some(connection) = self.arena.remove(index) else { return };
        for (tuple, entry) in [(connection.original, index << 1), (connection.reply, index << 1 | 1)] {
            if let Ok(held) = self.index.find_entry(tuple.symmetric_hash(&self.seed), |held| *held == entry) {
                held.remove();
            }
        }
        if let Some(zone) = self.zones.get_mut(&connection.original.zone()) {
            zone.connections -= 1;
        }
        if connection.is_ftp() {
            self.expectations.forget(&connection.original);
        }
    }

    /// Starts a connection's timer anew.
    #[inline]
    pub(crate) fn touch(&mut self, index: u32, timer: Timer, now_ms: u64) {
        let Some(connection) = self.arena.get_mut(index) else { return };
        let timeout = self.policies.get(usize::from(connection.policy)).map_or(0, |policy| policy.get_ms(timer));
        let before = connection.expires_ms;
        connection.timer = timer;
        connection.expires_ms = now_ms.saturating_add(timeout);
        if connection.expires_ms < before {
            self.wheel.remove(&mut self.arena, index);
            self.wheel.insert(&mut self.arena, index);
        }
    }

    /// Forgets connections that have expired, and looks at no more than `budget` in all. True: there may be more.
    pub fn expire(&mut self, now_ms: u64, mut budget: usize) -> bool {
        while let Some(index) = self.wheel.due(&mut self.arena, now_ms, &mut budget) {
            self.counters.expired += 1;
            self.forget(index);
        }
        budget == 0
    }

    /// How many were forgotten.
    pub fn flush(&mut self, what: Flush<'_>) -> usize {
        let before = self.len();
        match what {
            Flush::Tuple(tuple) => {
                if let Some((index, _)) = self.find(tuple) {
                    self.remove(index);
                }
            }
            Flush::All | Flush::Zone(_) => {
                let mut from = 0;
                while let Some((index, connection)) = self.arena.next(from) {
                    let wanted = match what {
                        Flush::Zone(zone) => connection.original.zone() == zone,
                        _ => true,
                    };
                    if wanted {
                        self.remove(index);
                    }
                    from = index + 1;
                }
            }
        }
        if let Flush::All = what {
            self.fragments.clear();
            self.expectations.clear();
        }
        before - self.len()
    }

    /// All connections, or those of a zone.
    pub fn entries(&self, zone: Option<u16>, now_ms: u64) -> impl Iterator<Item = Entry<'_>> {
        self.entries_of(0..self.numbers(), zone, now_ms)
    }

    /// Connections are numbered below it: who looks at all of them may do so in parts.
    pub fn numbers(&self) -> u32 {
        self.arena.numbers()
    }

    /// As [`Self::entries`], of the connections with these numbers.
    pub fn entries_of(
        &self,
        numbers: std::ops::Range<u32>,
        zone: Option<u16>,
        now_ms: u64,
    ) -> impl Iterator<Item = Entry<'_>> {
        let all = (numbers.start..numbers.end.min(self.numbers())).filter_map(|number| self.arena.get(number));
        all.filter(move |connection| zone.is_none_or(|zone| zone == connection.original.zone()))
            .filter(move |connection| connection.expires_ms > now_ms)
            .map(move |connection| Entry { connection, now_ms })
    }

    /// Whether a connection is there yet: a fused flow that was made for it is good so long.
    #[inline]
    pub fn is_alive(&self, id: ConnectionId, now_ms: u64) -> bool {
        let connection = self.arena.get(id.index);
        connection.is_some_and(|held| held.generation == id.generation && held.expires_ms > now_ms)
    }

    /// The translation of a connection's packets in one direction: the tuple they leave with; none if they are not translated.
    pub fn translation(&self, id: ConnectionId, reply: bool) -> Option<Tuple> {
        let connection = self.arena.get(id.index).filter(|connection| connection.generation == id.generation)?;
        (connection.translation != Translation::None)
            .then(|| if reply { connection.original.reversed() } else { connection.reply.reversed() })
    }
}
