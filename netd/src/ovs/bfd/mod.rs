//! Sessions of BFD on ports (`Interface.bfd`, `bfd_status`), on a thread of their own: a large configuration must not look like the
//! other end's death. OVN chooses a gateway's node by them.

mod session;

use super::act::VLAN_LIMIT;
use super::bridge::Bridge;
use super::daemon::{Daemon, Event};
use crate::dataplane::Sender;
use hive_flow::{Field, Match};
use hive_openflow::{Action, NO_BUFFER, PacketOut, PortNo};
use hive_ovsdb::snapshot::Bfd as Settings;
use hive_packet::MacAddr;
use hive_packet::bfd::Packet;
use hive_program::{BridgeId, PortId};
use session::Session;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two looks for sessions that are new, and at whether the daemon is there yet.
const PAUSE: Duration = Duration::from_millis(100);

/// A port's session.
#[derive(Debug)]
struct Watched {
    bridge: BridgeId,
    number: PortNo,
    mac: MacAddr,
    session: Session,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_port: Mutex<BTreeMap<PortId, Watched>>,
    /// The loop was told that some port's other end lives or does not, and has not looked yet.
    told: AtomicBool,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<PortId, Watched>> {
        self.by_port.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are the bridges now.
    pub fn configure<'b>(&self, bridges: impl Iterator<Item = &'b Bridge>, now_ms: u64) {
        let mut sessions = self.lock();
        let mut before = std::mem::take(&mut *sessions);
        for bridge in bridges {
            for member in bridge.members.values() {
                let Some(settings) = member.config.bfd else { continue };
                let mac = MacAddr(member.status.mac.unwrap_or(member.mac));
                let session = match before.remove(&member.port) {
                    Some(Watched { mut session, .. }) => {
                        session.configure(settings);
                        session
                    }
                    None => begin(settings, &sessions, &before, now_ms),
                };
                sessions.insert(member.port, Watched { bridge: bridge.id, number: member.number, mac, session });
            }
        }
    }

    /// The loop looks at what it was told of: what comes from here on is told anew.
    pub fn heard(&self) {
        self.told.store(false, Ordering::SeqCst);
    }

    /// Whether packets get through, as far as anybody watches.
    pub fn is_forwarding(&self, port: PortId) -> bool {
        self.lock().get(&port).is_none_or(|watched| watched.session.is_forwarding())
    }

    /// Empty: without a session.
    pub fn status(&self, port: PortId) -> BTreeMap<String, String> {
        self.lock().get(&port).map(|watched| watched.session.status()).unwrap_or_default()
    }

    /// Time until something is due.
    fn pause(&self, now_ms: u64) -> Duration {
        let next_ms = self.lock().values().map(|watched| watched.session.next_ms()).min();
        next_ms.map_or(PAUSE, |next_ms| Duration::from_millis(next_ms.saturating_sub(now_ms)).min(PAUSE))
    }

    fn receive(&self, port: PortId, frame: &[u8], now_ms: u64) {
        if let Some(packet) = Packet::parse(frame)
            && let Some(watched) = self.lock().get_mut(&port)
        {
            watched.session.receive(&packet, now_ms);
        }
    }

    /// What is to be sent now, and whether the loop is to be told: once until it has [`Self::heard`], however often a session changes.
    fn run(&self, now_ms: u64) -> (Vec<(BridgeId, PacketOut)>, bool) {
        let (mut frames, mut changed) = (Vec::new(), false);
        for Watched { bridge, number, mac, session } in self.lock().values_mut() {
            while let Some(packet) = session.run(now_ms) {
                frames.push((*bridge, packet_out(*number, packet.frame(*mac))));
            }
            changed |= session.take_changed();
        }
        (frames, changed && !self.told.swap(true, Ordering::SeqCst))
    }
}

/// A new session, with a name that no other has.
fn begin(
    settings: Settings,
    sessions: &BTreeMap<PortId, Watched>,
    others: &BTreeMap<PortId, Watched>,
    now_ms: u64,
) -> Session {
    let mut name = [0; 4];
    // Without randomness they are numbered: it only has to differ from the names of other sessions.
    let _ = getrandom::fill(&mut name);
    let taken = |name: u32| sessions.values().chain(others.values()).any(|watched| watched.session.is_named(name));
    let mut name = u32::from_ne_bytes(name).max(1);
    while taken(name) {
        name = name.wrapping_add(1).max(1);
    }
    Session::new(settings, name, now_ms)
}

fn packet_out(number: PortNo, packet: Vec<u8>) -> PacketOut {
    let mut metadata = Match::default();
    metadata.exactly(Field::InPort, PortNo::NONE.0.into());
    let actions = vec![Action::Output { port: number, max_len: 0 }];
    PacketOut { buffer: NO_BUFFER, metadata, actions, packet }
}

/// Looks after the sessions, until the daemon ends.
pub(super) fn start(daemon: &Arc<Daemon>) -> std::io::Result<()> {
    let daemon = Arc::downgrade(daemon);
    std::thread::Builder::new().name("bfd".to_owned()).spawn(move || {
        while let Some(daemon) = daemon.upgrade() {
            let sessions = &daemon.sessions;
            for (port, frame) in daemon.pipeline.wait_for_bfd(sessions.pause(daemon.now_ms())) {
                sessions.receive(port, &frame, daemon.now_ms());
            }
            let now_ms = daemon.now_ms();
            let (packets, tells) = sessions.run(now_ms);
            for (bridge, packet) in packets {
                if let Some(execution) = daemon.pipeline.packet_out(bridge, &packet, VLAN_LIMIT, now_ms) {
                    daemon.execute(execution, Sender::Switch);
                }
            }
            if tells {
                let _ = daemon.events.send(Event::Liveness);
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_packet::bfd::{Diagnostic, State};

    const PORT: PortId = PortId(1);

    #[test]
    fn the_loop_is_told_once_however_often_the_other_end_changes() {
        let sessions = Sessions::default();
        let session = Session::new(Settings { min_rx_ms: 1000, min_tx_ms: 1000, multiplier: 3 }, 7, 0);
        let mac = MacAddr([2; 6]);
        sessions.lock().insert(PORT, Watched { bridge: BridgeId(1), number: PortNo(1), mac, session });
        let hear = |state, diagnostic| {
            let packet = Packet {
                state,
                diagnostic: Diagnostic(diagnostic),
                poll: false,
                is_final: false,
                multiplier: 3,
                mine: 9,
                yours: 7,
                min_tx_us: 1_000_000,
                min_rx_us: 1_000_000,
            };
            sessions.receive(PORT, &packet.frame(mac), 0);
            sessions.run(0).1
        };
        assert!(!hear(State::Down, 0), "still down");
        assert!(hear(State::Init, 0), "it is up");
        // Between path down and nothing.
        assert!((0..100).all(|at| !hear(State::Up, 5 * (at % 2))));
        sessions.heard();
        assert!((0..100).all(|at| !hear(State::Up, [5, 6][at % 2])), "what it says of why");
        assert!(hear(State::Up, 0) && sessions.is_forwarding(PORT));
    }
}
