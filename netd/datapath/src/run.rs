//! Operations carried out, one after the other.

use crate::counters::Counter;
use crate::engine::{Circumstances, Engine};
use crate::packet::{Output, Tail};
use crate::quick::Secret;
use crate::tracker::Tracker;
use crate::work::Work;
use hive_conntrack::{Helper, Refusal, Request, state};
use hive_flow::{Field, Key};
use hive_packet::offload::complete_checksum;
use hive_program::{HashOf, Op, Pipeline, Punt, Sample, Traffic};
use std::sync::Arc;

/// Lists within lists.
const NESTING_MAX: u32 = 16;

/// Where a list of operations is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    nesting: u32,
    /// Nothing is done with the packet behind it.
    last: bool,
}

impl Position {
    /// Of a pass.
    pub const OUTERMOST: Self = Self { nesting: 0, last: true };

    fn within(self, last: bool) -> Self {
        Self { nesting: self.nesting + 1, last }
    }
}

/// Whether the packet goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    On,
    End,
}

impl<P: Pipeline> Engine<P> {
    pub(crate) fn run<T: Tail, O: Output<T>>(
        &mut self,
        circumstances: &mut Circumstances<'_, T, O>,
        work: &mut Work,
        ops: &[Op],
        position: Position,
    ) -> Next {
        if position.nesting > NESTING_MAX {
            self.trace.off();
            self.counters.add(Counter::CloneDepth, 1);
            return Next::End;
        }
        for (at, op) in ops.iter().enumerate() {
            let last = position.last && at + 1 == ops.len();
            match op {
                Op::Output(port) => {
                    self.trace.output(*port, work);
                    circumstances.output.output(*port, &work.outgoing(circumstances.tail));
                    work.truncate = None;
                }
                Op::Set { field, value, mask } => {
                    self.trace.set(*field);
                    work.set(*field, *value, *mask);
                }
                Op::PushVlan { tpid, tci } => {
                    self.trace.off();
                    work.push_vlan(*tpid, *tci, circumstances.tail);
                }
                Op::PopVlan => {
                    self.trace.off();
                    work.pop_vlan(circumstances.tail);
                }
                Op::PushMpls { ether_type, lse } => {
                    self.trace.off();
                    work.push_mpls(*ether_type, *lse, circumstances.tail);
                }
                Op::PopMpls { ether_type } => {
                    self.trace.off();
                    work.pop_mpls(*ether_type, circumstances.tail);
                }
                Op::SetTunnel(tunnel) => work.tunnel = Some(Arc::clone(tunnel)),
                Op::Truncate { bytes } => {
                    self.trace.off();
                    work.truncate = Some(*bytes as usize);
                }
                Op::Conntrack(request) => {
                    if self.track(circumstances, work, request) == Next::End {
                        return Next::End;
                    }
                }
                Op::CtClear => {
                    work.before = None;
                    clear_connection(work.key_mut());
                }
                Op::Hash { of, basis } => {
                    self.trace.depends_on_connection();
                    let hash = hash(work.key(), *of, *basis);
                    work.key_mut().set(Field::DpHash, hash.into());
                }
                Op::Recirculate(id) => {
                    self.counters.add(Counter::Recirculations, 1);
                    circumstances.depth += 1;
                    if last {
                        self.recirculate(circumstances, work, id.0);
                    } else {
                        self.trace.off();
                        self.on_copy(work, |engine, copy| {
                            engine.recirculate(circumstances, copy, id.0);
                        });
                    }
                    circumstances.depth -= 1;
                }
                Op::Meter(meter) => {
                    self.trace.off();
                    if !self.shared.meters.passes(*meter, work.frame_bytes(), circumstances.now_ms) {
                        self.counters.add(Counter::Meter, 1);
                        return Next::End;
                    }
                }
                Op::Punt(punt) => {
                    self.trace.off();
                    self.punt(circumstances, work, punt);
                }
                Op::Sample(sample) => {
                    // No lock of another kind is held while the sampler's is.
                    circumstances.output.pause();
                    self.sample(work, sample);
                }
                // Nothing comes behind that could see what it does.
                Op::Clone(inner) if last => {
                    self.run(circumstances, work, inner, position.within(last));
                }
                Op::Clone(inner) => {
                    self.trace.off();
                    self.on_copy(work, |engine, copy| {
                        engine.run(circumstances, copy, inner, position.within(false));
                    });
                }
                Op::IfLarger { bytes, then, otherwise } => {
                    let larger = work.sent_bytes() > usize::from(*bytes);
                    self.trace.depends_on_length(*bytes, larger);
                    let inner = if larger { then } else { otherwise };
                    if self.run(circumstances, work, inner, position.within(last)) == Next::End {
                        return Next::End;
                    }
                }
            }
        }
        Next::On
    }

    /// A way whose packets are all sampled counts them as it counts them anyway.
    fn sample(&mut self, work: &Work, sample: &Arc<Sample>) {
        if sample.probability < u16::MAX {
            self.trace.off();
            if !self.draws(sample.probability) {
                return;
            }
        }
        let flow = sample.flow(work.key());
        let tcp_flags = work.key().get_u64(Field::TcpFlags) as u16;
        let traffic = Traffic { packets: 1, bytes: work.frame_bytes() as u64, tcp_flags };
        sample.sampler.sampled(&flow, traffic, 0);
        self.trace.sample(sample, flow);
    }

    /// Of 65535 times so many.
    fn draws(&mut self, probability: u16) -> bool {
        self.drawn = self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.drawn >> 33) % u64::from(u16::MAX) < probability.into()
    }

    fn on_copy(&mut self, work: &Work, what: impl FnOnce(&mut Self, &mut Work)) {
        let mut copy = self.works.pop().unwrap_or_default();
        copy.copy_of(work);
        what(self, &mut copy);
        self.works.push(copy);
    }

    fn recirculate<T: Tail, O: Output<T>>(
        &mut self,
        circumstances: &mut Circumstances<'_, T, O>,
        work: &mut Work,
        id: u32,
    ) {
        work.key_mut().set(Field::RecircId, id.into());
        work.parse_again(circumstances.tail);
        self.pass(circumstances, work, None);
    }

    /// A packet whose connection was to be committed and finds no room, or no address and port to be translated to, ends here, as in
    /// the kernel's data path: it would go on untranslated, and its answers would be of no connection.
    fn track<T: Tail, O: Output<T>>(
        &mut self,
        circumstances: &mut Circumstances<'_, T, O>,
        work: &mut Work,
        request: &Request,
    ) -> Next {
        if work.wants_all(request.helper == Some(Helper::Ftp)) {
            self.trace.off();
            work.pull_all(circumstances.tail);
        }
        // No lock of another kind is held while one of these is.
        circumstances.output.pause();
        let before = work.before.take();
        let Some(mut packet) = work.tracked(circumstances.tail) else {
            // Not IP: Open vSwitch has it invalid.
            self.trace.off();
            let verdict = hive_conntrack::Verdict {
                state: state::INVALID | state::TRACKED,
                zone: request.zone,
                ..hive_conntrack::Verdict::default()
            };
            verdict.apply(work.key_mut());
            work.before = Some(verdict);
            return Next::On;
        };
        let mut lock = circumstances.tracker.lock(Tracker::shard_of(request.zone));
        let verdict = lock.conntrack.process(circumstances.now_ms, &mut packet, request, before.as_ref());
        if self.trace.is_whole() {
            self.trace.pin(lock.conntrack.pin(&verdict, request));
        }
        drop(lock);
        let refused = match verdict.refusal {
            Some(Refusal::Full) => Some(Counter::ConntrackFull),
            Some(Refusal::ZoneFull) => Some(Counter::ConntrackZoneFull),
            Some(Refusal::NatExhausted) => Some(Counter::ConntrackNatExhausted),
            Some(Refusal::Fragment) | None => None,
        };
        if let Some(counter) = refused {
            self.trace.off();
            self.counters.add(counter, 1);
            return Next::End;
        }
        verdict.apply(work.key_mut());
        if let Some(splice) = &verdict.splice {
            work.splice(splice, circumstances.tail);
        } else if verdict.state & (state::SNAT | state::DNAT) != 0 {
            work.parse_again(circumstances.tail);
        }
        work.before = Some(verdict);
        Next::On
    }

    fn punt<T: Tail, O: Output<T>>(
        &mut self,
        circumstances: &mut Circumstances<'_, T, O>,
        work: &mut Work,
        punt: &Punt,
    ) {
        if let Some(meter) = punt.meter
            && !self.shared.meters.passes(meter, work.frame_bytes(), circumstances.now_ms)
        {
            self.counters.add(Counter::PuntMeter, 1);
            return;
        }
        circumstances.output.pause();
        let mut frame = std::mem::take(&mut self.scratch);
        let outgoing = work.outgoing(circumstances.tail);
        outgoing.copy_into(&mut frame);
        if outgoing.vnet.needs_checksum() {
            complete_checksum(&mut frame, &outgoing.vnet);
        }
        work.truncate = None;
        self.counters.add(Counter::Punted, 1);
        self.shared.pipeline.punt(punt, &frame, circumstances.now_ms);
        self.scratch = frame;
    }
}

fn clear_connection(key: &mut Key) {
    hive_conntrack::Verdict::default().apply(key);
}

/// Of addresses, protocol and ports.
fn hash(key: &Key, of: HashOf, basis: u32) -> u32 {
    let (source, destination) = if key.get_u64(Field::EthType) as u16 == hive_flow::ETH_TYPE_IPV6 {
        (key.get(Field::Ipv6Src), key.get(Field::Ipv6Dst))
    } else {
        (key.get(Field::Ipv4Src), key.get(Field::Ipv4Dst))
    };
    let (mut first, mut second) = ((source, key.get_u64(Field::TpSrc)), (destination, key.get_u64(Field::TpDst)));
    if of == HashOf::SymmetricL4 && first > second {
        (first, second) = (second, first);
    }
    let words = [first, second].into_iter().flat_map(|(address, port)| [(address >> 64) as u64, address as u64, port]);
    // The same in every worker and after a restart: a connection keeps to its bucket.
    let secret = Secret::new(basis.into());
    let hash = secret.hash_words(words.chain([key.get_u64(Field::IpProto)]));
    (hash ^ hash >> 32) as u32
}
