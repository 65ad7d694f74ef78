//! A session: whether the other end lives (RFC 5880, 6.8). It knows neither clock nor port.

use hive_ovsdb::snapshot::Bfd as Settings;
use hive_packet::bfd::{Diagnostic, Packet, State};
use std::collections::BTreeMap;

/// While it is not up, a session sends no faster (6.8.3).
const SLOW_TX_MS: u32 = 1000;
/// What the other end is taken to want before it has said so, in microseconds (6.8.1).
const REMOTE_MIN_RX_US: u32 = 1;
/// The next packet comes between so many percent of the interval (6.8.7): sessions do not all send at once.
const JITTER_PERCENT: (u64, u64) = (75, 100);
/// With a multiplier of 1 it must come before the other end gives up.
const JITTER_ALONE_PERCENT: u64 = 90;

/// Times are milliseconds of a clock of the caller's.
#[derive(Debug)]
pub(super) struct Session {
    settings: Settings,
    /// The most that earlier ones promised, until the other end has confirmed that it knows the new ones.
    before: Option<Settings>,
    state: State,
    diagnostic: Diagnostic,
    local: u32,
    /// 0: not known.
    remote: u32,
    remote_state: State,
    remote_diagnostic: Diagnostic,
    remote_min_rx_us: u32,
    remote_min_tx_us: u32,
    remote_multiplier: u8,
    /// The other end is to confirm what it is told.
    polls: bool,
    /// It was asked to.
    polled: bool,
    /// The other end wants such a confirmation.
    confirms: bool,
    heard_ms: Option<u64>,
    sent_ms: Option<u64>,
    next_ms: u64,
    flaps: u64,
    /// [`Self::is_forwarding`] is not as it was.
    changed: bool,
    random: u64,
}

impl Session {
    /// `local`: its name with the other end, not 0 and no other session's.
    pub fn new(settings: Settings, local: u32, now_ms: u64) -> Self {
        Self {
            settings,
            before: None,
            state: State::Down,
            diagnostic: Diagnostic::default(),
            local,
            remote: 0,
            remote_state: State::Down,
            remote_diagnostic: Diagnostic::default(),
            remote_min_rx_us: REMOTE_MIN_RX_US,
            remote_min_tx_us: 0,
            remote_multiplier: 1,
            polls: false,
            polled: false,
            confirms: false,
            heard_ms: None,
            sent_ms: None,
            next_ms: now_ms,
            flaps: 0,
            changed: false,
            random: local.into(),
        }
    }

    pub fn is_named(&self, local: u32) -> bool {
        self.local == local
    }

    pub fn configure(&mut self, settings: Settings) {
        if settings == self.settings {
            return;
        }
        let before = std::mem::replace(&mut self.settings, settings);
        if self.state == State::Up {
            let most = self.before.unwrap_or(before);
            self.before = Some(Settings {
                min_rx_ms: most.min_rx_ms.max(before.min_rx_ms),
                min_tx_ms: most.min_tx_ms.min(before.min_tx_ms),
                ..before
            });
            (self.polls, self.polled) = (true, false);
            self.hasten();
        }
    }

    /// The next packet is due no later than intervals allow as they are now.
    fn hasten(&mut self) {
        if let (Some(sent_ms), Some(interval_ms)) = (self.sent_ms, self.interval_ms()) {
            self.next_ms = self.next_ms.min(sent_ms + interval_ms * self.most_percent() / 100);
        }
    }

    /// The next packet comes no later than after so many percent of the interval.
    fn most_percent(&self) -> u64 {
        if self.settings.multiplier == 1 { JITTER_ALONE_PERCENT } else { JITTER_PERCENT.1 }
    }

    pub fn is_forwarding(&self) -> bool {
        self.state == State::Up && !self.remote_diagnostic.is_path_down()
    }

    /// As the database is told.
    pub fn status(&self) -> BTreeMap<String, String> {
        let told = [
            ("state", self.state.name().to_owned()),
            ("forwarding", self.is_forwarding().to_string()),
            ("diagnostic", self.diagnostic.name().to_owned()),
            ("remote_state", self.remote_state.name().to_owned()),
            ("remote_diagnostic", self.remote_diagnostic.name().to_owned()),
            ("flap_count", self.flaps.to_string()),
        ];
        told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Whether it has begun or ceased to forward since this was asked last. Whoever is at the other end may change the rest of the status
    /// with each packet.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What the other end is told of the time between packets.
    fn told_tx_ms(&self) -> u32 {
        if self.state == State::Up { self.settings.min_tx_ms } else { self.settings.min_tx_ms.max(SLOW_TX_MS) }
    }

    /// None: the other end wants none.
    fn interval_ms(&self) -> Option<u64> {
        // Until the other end knows that there will be fewer, there are not (6.8.3).
        let own_ms = self.before.map_or(self.told_tx_ms(), |before| before.min_tx_ms.min(self.told_tx_ms()));
        let wanted_ms = self.remote_min_rx_us.div_ceil(1000);
        (self.remote_min_rx_us != 0).then(|| own_ms.max(wanted_ms).into())
    }

    /// When the other end is given up, unless it is heard of (6.8.4).
    fn expiry_ms(&self) -> Option<u64> {
        let rx_ms = self.before.map_or(self.settings.min_rx_ms, |before| before.min_rx_ms.max(self.settings.min_rx_ms));
        let interval_ms = u64::from(rx_ms.max(self.remote_min_tx_us.div_ceil(1000)));
        self.heard_ms.map(|heard_ms| heard_ms + u64::from(self.remote_multiplier) * interval_ms)
    }

    /// When [`Self::run`] has something to do next.
    pub fn next_ms(&self) -> u64 {
        let send_ms = if self.remote_min_rx_us == 0 { u64::MAX } else { self.next_ms };
        let now = if self.confirms { 0 } else { u64::MAX };
        send_ms.min(self.expiry_ms().unwrap_or(u64::MAX)).min(now)
    }

    fn enter(&mut self, state: State, diagnostic: Diagnostic) {
        let before = self.is_forwarding();
        let was_up = self.state == State::Up;
        (self.state, self.diagnostic) = (state, diagnostic);
        // Coming up, the interval shrinks; without a session nobody would confirm.
        self.polls = state == State::Up && (self.polls || !was_up);
        self.polled &= self.polls;
        if state != State::Up {
            self.before = None;
        }
        self.count(before);
        self.hasten();
    }

    fn count(&mut self, was_forwarding: bool) {
        let flaps = was_forwarding != self.is_forwarding();
        self.flaps += u64::from(flaps);
        self.changed |= flaps;
    }

    /// Follows a packet (6.8.6).
    pub fn receive(&mut self, packet: &Packet, now_ms: u64) {
        if packet.yours != 0 && packet.yours != self.local {
            return;
        }
        let was_forwarding = self.is_forwarding();
        self.remote = packet.mine;
        self.remote_state = packet.state;
        self.remote_diagnostic = packet.diagnostic;
        self.remote_min_rx_us = packet.min_rx_us;
        self.remote_min_tx_us = packet.min_tx_us;
        self.remote_multiplier = packet.multiplier;
        self.heard_ms = Some(now_ms);
        self.confirms |= packet.poll;
        if packet.is_final && self.polled {
            (self.polls, self.polled) = (false, false);
            self.before = None;
        }
        self.count(was_forwarding);
        match (self.state, packet.state) {
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                self.enter(State::Down, Diagnostic::SIGNALED_DOWN);
            }
            (State::Down, State::Down) => self.enter(State::Init, self.diagnostic),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up, Diagnostic::default());
            }
            _ => {}
        }
        self.hasten();
    }

    /// What time does; a packet that is to be sent now. To be called until there is none.
    pub fn run(&mut self, now_ms: u64) -> Option<Packet> {
        if self.expiry_ms().is_some_and(|expiry_ms| expiry_ms <= now_ms) {
            self.heard_ms = None;
            self.remote = 0;
            self.remote_state = State::Down;
            self.remote_min_rx_us = REMOTE_MIN_RX_US;
            if matches!(self.state, State::Init | State::Up) {
                self.enter(State::Down, Diagnostic::TIME_EXPIRED);
            }
        }
        if std::mem::take(&mut self.confirms) {
            return Some(Packet { poll: false, is_final: true, ..self.packet() });
        }
        let interval_ms = self.interval_ms()?;
        if self.next_ms > now_ms {
            return None;
        }
        let (least, most) = (JITTER_PERCENT.0, self.most_percent());
        // Knuth's MMIX generator: nobody is to be surprised.
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let percent = least + (self.random >> 33) % (most - least + 1);
        self.sent_ms = Some(now_ms);
        self.polled = self.polls;
        self.next_ms = now_ms + interval_ms * percent / 100;
        Some(self.packet())
    }

    fn packet(&self) -> Packet {
        Packet {
            state: self.state,
            diagnostic: self.diagnostic,
            poll: self.polls,
            is_final: false,
            multiplier: self.settings.multiplier,
            mine: self.local,
            yours: self.remote,
            min_tx_us: self.told_tx_ms() * 1000,
            min_rx_us: self.settings.min_rx_ms * 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: Settings = Settings { min_rx_ms: 1000, min_tx_ms: 100, multiplier: 3 };

    struct Pair {
        ends: [Session; 2],
        now_ms: u64,
        /// Packets sent by each.
        sent: [u32; 2],
    }

    impl Pair {
        fn new(settings: [Settings; 2]) -> Self {
            let [one, other] = settings;
            Self { ends: [Session::new(one, 7, 0), Session::new(other, 9, 0)], now_ms: 0, sent: [0, 0] }
        }

        /// Lets time pass, from one event to the next; `passes`: whether packets of either arrive.
        fn pass(&mut self, time_ms: u64, passes: [bool; 2]) {
            let end_ms = self.now_ms + time_ms;
            self.sent = [0, 0];
            for _ in 0..100_000 {
                let next_ms = self.ends.iter().map(Session::next_ms).min().unwrap().max(self.now_ms);
                if next_ms > end_ms {
                    self.now_ms = end_ms;
                    return;
                }
                self.now_ms = next_ms;
                for from in [0, 1] {
                    while let Some(packet) = self.ends[from].run(next_ms) {
                        self.sent[from] += 1;
                        if passes[from] {
                            self.ends[1 - from].receive(&packet, next_ms);
                        }
                    }
                }
            }
            panic!("the sessions never rest");
        }

        fn forwarding(&self) -> [bool; 2] {
            [self.ends[0].is_forwarding(), self.ends[1].is_forwarding()]
        }
    }

    #[test]
    fn it_is_up_with_its_other_end_and_down_without() {
        let mut pair = Pair::new([SETTINGS; 2]);
        pair.pass(5000, [true; 2]);
        assert_eq!(pair.forwarding(), [true; 2]);
        assert!(pair.ends.iter().all(|end| !end.polls && end.before.is_none()));
        assert_eq!(pair.ends[0].status()["state"], "up");
        // Each is sent as many as the other wants.
        pair.pass(10_000, [true; 2]);
        assert!(pair.sent.iter().all(|sent| (10..=14).contains(sent)), "{:?}", pair.sent);
        // Nothing of the second arrives: the first gives up, and tells it.
        pair.pass(2000, [true, false]);
        assert_eq!(pair.forwarding(), [true; 2]);
        pair.pass(2500, [true, false]);
        assert_eq!(pair.forwarding(), [false; 2]);
        let status = |end: usize, key: &str| pair.ends[end].status()[key].clone();
        assert_eq!(status(0, "diagnostic"), "Control Detection Time Expired");
        assert_eq!(status(1, "diagnostic"), "Neighbor Signaled Session Down");
        assert_eq!((status(0, "flap_count"), status(0, "remote_state")), ("2".to_owned(), "down".to_owned()));
        pair.pass(5000, [true; 2]);
        assert_eq!(pair.forwarding(), [true; 2]);
        pair.pass(5000, [false; 2]);
        assert_eq!(pair.forwarding(), [false; 2]);
    }

    #[test]
    fn one_that_begins_anew_is_followed() {
        let mut pair = Pair::new([SETTINGS; 2]);
        pair.pass(5000, [true; 2]);
        pair.ends[1] = Session::new(SETTINGS, 10, pair.now_ms);
        pair.pass(1500, [true; 2]);
        assert!(pair.ends[0].flaps >= 2 || !pair.ends[0].is_forwarding());
        pair.pass(6000, [true; 2]);
        assert_eq!(pair.forwarding(), [true; 2]);
    }

    #[test]
    fn what_is_for_another_session_changes_nothing() {
        let mut pair = Pair::new([SETTINGS; 2]);
        pair.pass(5000, [true; 2]);
        let packet = Packet { yours: 8, state: State::AdminDown, ..pair.ends[1].packet() };
        pair.ends[0].receive(&packet, pair.now_ms);
        assert_eq!(pair.forwarding(), [true; 2]);
        let packet = Packet { diagnostic: Diagnostic(6), ..pair.ends[1].packet() };
        pair.ends[0].receive(&packet, pair.now_ms);
        assert_eq!((pair.ends[0].is_forwarding(), pair.ends[0].state), (false, State::Up));
    }

    proptest! {
        /// Whatever is configured while it is up, it stays up.
        #[test]
        fn settings_change_without_loss(
            changes in proptest::collection::vec((0usize..2, 50u32..3000, 50u32..3000, 1u8..6, 0u64..3000), 1..8),
        ) {
            let mut pair = Pair::new([SETTINGS; 2]);
            pair.pass(5000, [true; 2]);
            for (end, min_rx_ms, min_tx_ms, multiplier, time_ms) in changes {
                pair.ends[end].configure(Settings { min_rx_ms, min_tx_ms, multiplier });
                pair.pass(time_ms, [true; 2]);
                prop_assert_eq!(pair.forwarding(), [true; 2]);
            }
            pair.pass(20_000, [true; 2]);
            prop_assert_eq!(pair.forwarding(), [true; 2]);
            prop_assert_eq!(pair.ends[0].flaps + pair.ends[1].flaps, 2);
            pair.pass(20_000, [false; 2]);
            prop_assert_eq!(pair.forwarding(), [false; 2]);
        }
    }
}
