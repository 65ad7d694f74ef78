//! Groups and action sets.

use super::Translator;
use super::hash;
use hive_flow::Field;
use hive_ofproto::{Group, Groups};
use hive_openflow::{Action, Bucket, GROUP_ANY, GroupKind, PortNo, Selection, SelectionMethod, Subfield};
use hive_program::HashOf;
use std::sync::Arc;

/// Groups that watch groups: how far is looked.
const WATCH_DEPTH_MAX: u32 = 16;
/// Values that a hash of the data path is told apart by: the more, the finer are weights, and the more translations there are. As in Open
/// vSwitch.
const HASH_VALUES_MIN: u64 = 16;
const HASH_VALUES_MAX: u64 = 256;

/// The ranks of an action set (OpenFlow 1.5.1, 5.6; `ofpacts_execute_action_set` of Open vSwitch).
fn rank(action: &Action) -> Option<u8> {
    Some(match action {
        Action::PopVlan => 0,
        Action::PopMpls(_) => 1,
        Action::PushMpls(_) => 2,
        Action::PushVlan(_) => 3,
        Action::DecTtl(_) => 4,
        Action::DecMplsTtl => 5,
        Action::SetField { .. }
        | Action::Move { .. }
        | Action::SetHeader { .. }
        | Action::SetVlanVid { .. }
        | Action::SetVlanPcp { .. } => SET,
        Action::SetQueue(_) => 7,
        _ => return None,
    })
}

const SET: u8 = 6;

/// A set's actions in the order in which they take effect: of each kind the last, but all that set fields. Nothing, if nothing would
/// be done with the packet in the end.
pub(super) fn ordered(set: &[Action]) -> Vec<Action> {
    let kinds: [fn(&Action) -> bool; 4] = [
        |action| matches!(action, Action::Group(_)),
        |action| matches!(action, Action::Output { .. }),
        |action| matches!(action, Action::Resubmit(_)),
        |action| matches!(action, Action::Conntrack(_)),
    ];
    let Some(end) = kinds.iter().find_map(|kind| set.iter().rev().find(|action| kind(action))) else {
        return Vec::new();
    };
    let mut actions = Vec::with_capacity(set.len());
    for wanted in 0..=7 {
        let mut same = set.iter().filter(|action| rank(action) == Some(wanted));
        if wanted == SET {
            actions.extend(same.cloned());
        } else {
            actions.extend(same.next_back().cloned());
        }
    }
    actions.push(end.clone());
    actions
}

impl Translator<'_> {
    #[inline(never)]
    pub(super) fn group(&mut self, number: u32, last: bool) {
        if !self.check_resources() {
            return;
        }
        let groups = self.bridge.groups.load();
        let Some(group) = groups.get(&number) else {
            return self.note(|| format!("no group {number}"));
        };
        let buckets = &group.desc.buckets;
        match group.desc.kind {
            GroupKind::All | GroupKind::Indirect => {
                self.count_group(group);
                for at in 0..buckets.len() {
                    self.bucket(group, at, last && at + 1 == buckets.len());
                }
            }
            GroupKind::FastFailover => {
                self.count_group(group);
                let live = buckets.iter().position(|bucket| self.is_alive(&groups, bucket, 0));
                match live {
                    Some(at) => self.bucket(group, at, last),
                    None => self.note(|| "no live bucket".to_owned()),
                }
            }
            GroupKind::Select => self.select(&groups, group, last),
        }
        // Whether buckets are alive takes steps as well.
        self.step(0);
    }

    fn count_group(&mut self, group: &Group) {
        self.usages.push(group.usage.clone());
    }

    fn bucket(&mut self, group: &Arc<Group>, at: usize, last: bool) {
        let Some(bucket) = group.desc.buckets.get(at) else { return };
        if self.error.is_some() || !self.step(1) {
            return;
        }
        if let Some(usage) = group.bucket_usage.get(at) {
            self.usages.push(usage.clone());
        }
        self.note(|| format!("bucket {}", bucket.id));
        let actions = ordered(&bucket.actions);
        self.depth += 1;
        // Action set and stack are not a bucket's own, as in Open vSwitch: the set is carried out once, in the end.
        let mut kept = (Vec::new(), Vec::new(), false);
        self.on_a_copy(last, |this| {
            this.actions(&actions, last, true);
            this.finish_freezing();
            kept = (std::mem::take(&mut this.stack), std::mem::take(&mut this.action_set), this.action_set_has_group);
        });
        (self.stack, self.action_set, self.action_set_has_group) = kept;
        self.depth -= 1;
    }

    /// A bucket without anything to watch is alive.
    fn is_alive(&self, groups: &Groups, bucket: &Bucket, depth: u32) -> bool {
        let port = bucket.watch_port != PortNo::NONE;
        let group = bucket.watch_group != GROUP_ANY;
        if !port && !group {
            return true;
        }
        let port_up = || self.bridge.ports.get(&bucket.watch_port).is_some_and(|port| port.is_up());
        let group_up = || {
            let within = self.count(1) && depth < WATCH_DEPTH_MAX;
            let watched = groups.get(&bucket.watch_group).filter(|_| within);
            watched.is_some_and(|watched| {
                watched.desc.buckets.iter().any(|bucket| self.is_alive(groups, bucket, depth + 1))
            })
        };
        port && port_up() || group && group_up()
    }

    fn select(&mut self, groups: &Groups, group: &Arc<Group>, last: bool) {
        let chosen = match &group.desc.selection {
            Some(selection) if selection.method == SelectionMethod::Hash => {
                let hash = self.hash_selection(selection);
                self.best_bucket(groups, group, hash)
            }
            selection => {
                let values = hash_values(&group.desc.buckets);
                match values {
                    Some(values) => {
                        if self.flow.get(Field::DpHash) == 0 {
                            let (of, basis) = data_path_hash(selection.as_ref());
                            self.note(|| "no dp_hash yet: recirculate".to_owned());
                            return self.freeze_recirculate(Some((of, basis)));
                        }
                        self.mask.add(Field::DpHash, u128::from(values - 1));
                        let hash = self.flow.get_u64(Field::DpHash) & (values - 1);
                        self.weighted_bucket(groups, group, hash, values)
                    }
                    // Too fine for so few values.
                    None => {
                        let hash = self.hash_fields(hash::SYMMETRIC_L4, 0);
                        self.best_bucket(groups, group, hash)
                    }
                }
            }
        };
        self.count_group(group);
        match chosen {
            Some(at) => self.bucket(group, at, last),
            None => self.note(|| "no live bucket".to_owned()),
        }
    }

    /// Of the fields that were asked for, those that the packet has; of the usual ones if none were.
    fn hash_selection(&mut self, selection: &Selection) -> u32 {
        let parameter = (selection.parameter >> 32) as u32 ^ selection.parameter as u32;
        if selection.fields.is_empty() {
            return self.hash_fields(hash::SYMMETRIC_L4, parameter);
        }
        let mut parts = Vec::with_capacity(2 * selection.fields.len());
        for (at, (field, mask)) in selection.fields.iter().enumerate() {
            if !self.has(*field) {
                continue;
            }
            let view = Subfield::whole_view(*field);
            let mut value = 0;
            for part in view.parts() {
                let ones = super::fields::ones(part.bits);
                let wanted = (mask >> part.view_offset & ones) << part.offset;
                self.mask.add(part.field, wanted);
                value |= ((self.flow.get(part.field) & wanted) >> part.offset) << part.view_offset;
            }
            parts.extend([at as u128, value]);
        }
        hash::of(&parts, parameter)
    }

    /// The live bucket with the greatest weighted score.
    fn best_bucket(&self, groups: &Groups, group: &Group, hash: u32) -> Option<usize> {
        let live = group.desc.buckets.iter().enumerate().filter(|(_, bucket)| self.is_alive(groups, bucket, 0));
        let score =
            |bucket: &Bucket| u64::from(hash::of(&[bucket.id.into()], hash) & 0xffff) * u64::from(bucket.weight);
        live.map(|(at, bucket)| (score(bucket), at)).max_by_key(|(score, _)| *score).map(|(_, at)| at)
    }

    /// The bucket whose share of the values has this one. If it is dead its share is divided among the others, which keep theirs.
    fn weighted_bucket(&self, groups: &Groups, group: &Group, value: u64, values: u64) -> Option<usize> {
        let buckets = &group.desc.buckets;
        let total: u64 = buckets.iter().map(|bucket| u64::from(bucket.weight)).sum();
        let mut point = value * total / values;
        let owner = buckets.iter().position(|bucket| {
            let weight = u64::from(bucket.weight);
            let here = point < weight;
            point = point.saturating_sub(weight);
            here
        });
        let owner = owner.filter(|at| buckets.get(*at).is_some_and(|bucket| self.is_alive(groups, bucket, 0)));
        owner.or_else(|| self.best_bucket(groups, group, value as u32))
    }
}

/// What the hash is made of, and its basis: OpenFlow does not say; the parameter's upper half is Open vSwitch's way to.
fn data_path_hash(selection: Option<&Selection>) -> (HashOf, u32) {
    match selection {
        None => (HashOf::SymmetricL4, 0),
        Some(selection) if selection.parameter >> 32 == 1 => (HashOf::SymmetricL4, selection.parameter as u32),
        Some(selection) => (HashOf::L4, selection.parameter as u32),
    }
}

/// A power of two that is enough for the smallest weight to have its share.
fn hash_values(buckets: &[Bucket]) -> Option<u64> {
    let weights = || buckets.iter().map(|bucket| u64::from(bucket.weight)).filter(|weight| *weight != 0);
    let (total, least) = (weights().sum::<u64>(), weights().min()?);
    let values = total.div_ceil(least).max(HASH_VALUES_MIN).next_power_of_two();
    (values <= HASH_VALUES_MAX).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_openflow::Resubmit;

    fn output(port: u16) -> Action {
        Action::Output { port: PortNo(port), max_len: 0 }
    }

    #[test]
    fn an_action_set_has_its_own_order() {
        let resubmit = Action::Resubmit(Resubmit { port: PortNo::IN_PORT, table: 1, conntrack: false, first: false });
        let set = [output(1), Action::SetQueue(1), Action::DecTtl(None), Action::PopVlan, output(2), resubmit.clone()];
        assert_eq!(ordered(&set), [Action::PopVlan, Action::DecTtl(None), Action::SetQueue(1), output(2)]);
        assert_eq!(ordered(&[Action::PopVlan]), []);
        assert_eq!(ordered(&[Action::Group(1), output(1)]), [Action::Group(1)]);
        assert_eq!(ordered(&[resubmit.clone(), Action::PopVlan]), [Action::PopVlan, resubmit]);
    }

    #[test]
    fn weights_decide_how_many_values_are_needed() {
        let bucket =
            |weight| Bucket { id: 0, weight, watch_port: PortNo::NONE, watch_group: GROUP_ANY, actions: Vec::new() };
        assert_eq!(hash_values(&[bucket(1), bucket(1)]), Some(16));
        assert_eq!(hash_values(&[bucket(1), bucket(100)]), Some(128));
        assert_eq!(hash_values(&[bucket(1), bucket(1000)]), None);
        assert_eq!(hash_values(&[bucket(0)]), None);
    }
}
