//! A hash table whose clone is one reference, and of which a changed clone shares all but the path to the change: a trie over the
//! bits of hashes. The caller hashes, so one table can hold several values of one hash.

use std::sync::Arc;

/// Children of a branch: 5 bits of the hash.
const FANOUT: usize = 32;
const BITS: u32 = 5;
/// Values of a leaf; one more makes it a branch. Their hashes are 3 cache lines.
const LEAF_MAX: usize = 24;
/// At this depth hashes have no bits left, and leaves grow without limit.
const DEPTH_MAX: u32 = 64 / BITS;

#[derive(Clone, Debug)]
enum Node<V> {
    /// Hashes beside values, which are not looked at until a hash agrees.
    Leaf(Vec<u64>, Vec<V>),
    Branch(Box<[Option<Arc<Node<V>>>; FANOUT]>),
}

#[derive(Clone, Debug)]
pub struct CowMap<V> {
    root: Option<Arc<Node<V>>>,
}

impl<V> Default for CowMap<V> {
    fn default() -> Self {
        Self { root: None }
    }
}

#[inline]
fn slot(hash: u64, depth: u32) -> usize {
    // From the top: the lower bits of a multiplicative hash are the weaker ones.
    (hash.rotate_left(BITS * (depth + 1)) as usize) % FANOUT
}

impl<V> CowMap<V> {
    /// The value of this hash that `wanted` says yes to.
    #[inline]
    pub fn get(&self, hash: u64, mut wanted: impl FnMut(&V) -> bool) -> Option<&V> {
        let mut node = self.root.as_deref()?;
        let mut depth = 0;
        loop {
            match node {
                Node::Branch(children) => node = children[slot(hash, depth)].as_deref()?,
                Node::Leaf(hashes, values) => {
                    let mut candidates = hashes.iter().zip(values).filter(|(other, _)| **other == hash);
                    return candidates.find(|(_, value)| wanted(value)).map(|(_, value)| value);
                }
            }
            depth += 1;
        }
    }

    pub fn iter(&self) -> Iter<'_, V> {
        Iter { nodes: self.root.as_deref().into_iter().collect(), values: [].iter() }
    }
}

impl<V: Clone> CowMap<V> {
    /// Unshares the way to the value.
    pub fn get_mut(&mut self, hash: u64, mut wanted: impl FnMut(&V) -> bool) -> Option<&mut V> {
        // Without this look a miss would unshare a path for nothing.
        self.get(hash, &mut wanted)?;
        let mut node = Arc::make_mut(self.root.as_mut()?);
        let mut depth = 0;
        loop {
            match node {
                Node::Branch(children) => node = Arc::make_mut(children[slot(hash, depth)].as_mut()?),
                Node::Leaf(hashes, values) => {
                    let mut candidates = hashes.iter().zip(values).filter(|(other, _)| **other == hash);
                    return candidates.find(|(_, value)| wanted(value)).map(|(_, value)| value);
                }
            }
            depth += 1;
        }
    }

    /// Adds one, whatever is there already.
    pub fn insert(&mut self, hash: u64, value: V) {
        add(&mut self.root, 0, hash, value);
    }

    pub fn remove(&mut self, hash: u64, mut wanted: impl FnMut(&V) -> bool) -> Option<V> {
        self.get(hash, &mut wanted)?;
        take(&mut self.root, 0, hash, &mut wanted)
    }
}

fn add<V: Clone>(at: &mut Option<Arc<Node<V>>>, depth: u32, hash: u64, value: V) {
    let Some(node) = at else {
        *at = Some(Arc::new(Node::Leaf(vec![hash], vec![value])));
        return;
    };
    let node = Arc::make_mut(node);
    if let Node::Leaf(hashes, values) = node {
        if hashes.len() < LEAF_MAX || depth == DEPTH_MAX {
            hashes.push(hash);
            values.push(value);
            return;
        }
        let mut children = Box::new([const { None }; FANOUT]);
        for (hash, value) in std::mem::take(hashes).into_iter().zip(std::mem::take(values)) {
            add(&mut children[slot(hash, depth)], depth + 1, hash, value);
        }
        *node = Node::Branch(children);
    }
    if let Node::Branch(children) = node {
        add(&mut children[slot(hash, depth)], depth + 1, hash, value);
    }
}

fn take<V: Clone>(
    at: &mut Option<Arc<Node<V>>>,
    depth: u32,
    hash: u64,
    wanted: &mut impl FnMut(&V) -> bool,
) -> Option<V> {
    let node = Arc::make_mut(at.as_mut()?);
    let (removed, empty) = match node {
        Node::Branch(children) => {
            let removed = take(&mut children[slot(hash, depth)], depth + 1, hash, wanted);
            (removed, children.iter().all(Option::is_none))
        }
        Node::Leaf(hashes, values) => {
            let found = (0..hashes.len()).find(|at| hashes[*at] == hash && wanted(&values[*at]))?;
            hashes.swap_remove(found);
            (Some(values.swap_remove(found)), hashes.is_empty())
        }
    };
    if empty {
        *at = None;
    }
    removed
}

#[derive(Debug)]
pub struct Iter<'a, V> {
    nodes: Vec<&'a Node<V>>,
    values: std::slice::Iter<'a, V>,
}

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = &'a V;

    fn next(&mut self) -> Option<&'a V> {
        loop {
            if let Some(value) = self.values.next() {
                return Some(value);
            }
            match self.nodes.pop()? {
                Node::Leaf(_, values) => self.values = values.iter(),
                Node::Branch(children) => self.nodes.extend(children.iter().filter_map(Option::as_deref)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// As a sorted list does it; few hashes, so that leaves overflow and hashes collide. A clone keeps what it had.
        #[test]
        fn it_is_a_bag(steps in proptest::collection::vec((any::<bool>(), 0u64..40, 0u8..3, any::<bool>()), 0..300)) {
            let mut map: CowMap<(u64, u8)> = CowMap::default();
            let mut model: Vec<(u64, u8)> = Vec::new();
            let mut kept = Vec::new();
            for (insert, key, value, keep) in steps {
                // All hashes of one value end in the same leaf, down to the last level.
                let hash = if key < 20 { key } else { key.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
                if insert {
                    map.insert(hash, (hash, value));
                    model.push((hash, value));
                } else {
                    let removed = map.remove(hash, |held| *held == (hash, value));
                    let at = model.iter().position(|held| *held == (hash, value));
                    prop_assert_eq!(removed, at.map(|at| model.swap_remove(at)));
                }
                if keep {
                    kept.push((map.clone(), model.clone()));
                }
            }
            kept.push((map, model));
            for (map, mut model) in kept {
                let mut held: Vec<_> = map.iter().copied().collect();
                held.sort_unstable();
                model.sort_unstable();
                for (hash, value) in &model {
                    prop_assert!(map.get(*hash, |held| held.1 == *value).is_some());
                }
                prop_assert_eq!(held, model);
            }
        }
    }
}
