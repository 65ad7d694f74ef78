//! A trie of the prefixes that rules ask for: which prefix lengths can match an address, and how many of its bits tell.

use std::sync::Arc;

/// A value of `width` bits lies at the top of a `u128`.
#[derive(Clone, Debug)]
struct Node {
    /// The bits that this node has beyond its parent's, at the top.
    bits: u128,
    bits_count: u32,
    /// Rules whose prefix ends here.
    rules: u32,
    children: [Option<Arc<Node>>; 2],
}

#[derive(Clone, Debug, Default)]
pub struct Trie {
    root: Option<Arc<Node>>,
}

/// What a trie says of one value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    /// Values that agree with this one in so many upper bits get the same answer.
    pub bits: u32,
    /// Bit `n` is set if a rule has this value's prefix of `n + 1` bits.
    lengths: u128,
}

impl Prefixes {
    /// Whether a rule may ask for this value's prefix of so many bits, at least one.
    #[inline]
    pub fn has(&self, length: u32) -> bool {
        length != 0 && self.lengths >> (length - 1) & 1 != 0
    }
}

#[inline]
fn top(count: u32) -> u128 {
    if count == 0 { 0 } else { u128::MAX << (128 - count) }
}

#[inline]
fn shl(value: u128, count: u32) -> u128 {
    value.checked_shl(count).unwrap_or(0)
}

#[inline]
fn branch(value: u128) -> usize {
    (value >> 127) as usize
}

impl Trie {
    /// `width`: bits that a value has.
    pub fn lookup(&self, value: u128, width: u32) -> Prefixes {
        let mut found = Prefixes::default();
        let Some(mut node) = self.root.as_deref() else { return found };
        let mut depth = 0;
        loop {
            let rest = shl(value, depth);
            let same = (node.bits ^ rest).leading_zeros().min(node.bits_count);
            depth += same;
            if same < node.bits_count {
                // The first bit that differs was looked at too.
                found.bits = (depth + 1).min(width);
                return found;
            }
            if node.rules != 0 && depth != 0 {
                found.lengths |= 1 << (depth - 1);
            }
            if depth >= width {
                found.bits = width;
                return found;
            }
            let way = branch(shl(value, depth));
            match &node.children[way] {
                Some(child) => node = child,
                None => {
                    // Only if there is another way the bit was needed to see that it is not this value's.
                    found.bits = depth + u32::from(node.children[1 - way].is_some());
                    return found;
                }
            }
        }
    }

    /// One more rule with this prefix.
    pub fn insert(&mut self, value: u128, length: u32) {
        insert(&mut self.root, value & top(length), length);
    }

    /// One rule less.
    pub fn remove(&mut self, value: u128, length: u32) {
        remove(&mut self.root, value & top(length), length);
    }
}

fn leaf(bits: u128, bits_count: u32) -> Arc<Node> {
    Arc::new(Node { bits, bits_count, rules: 1, children: [None, None] })
}

fn insert(at: &mut Option<Arc<Node>>, value: u128, length: u32) {
    let Some(node) = at else {
        *at = Some(leaf(value, length));
        return;
    };
    let node = Arc::make_mut(node);
    let same = (node.bits ^ value).leading_zeros().min(node.bits_count).min(length);
    if same < node.bits_count {
        // What both have in common becomes their parent.
        let rest = shl(node.bits, same);
        let lower = Node {
            bits: rest,
            bits_count: node.bits_count - same,
            rules: node.rules,
            children: std::mem::take(&mut node.children),
        };
        node.children[branch(rest)] = Some(Arc::new(lower));
        node.bits &= top(same);
        node.bits_count = same;
        node.rules = 0;
    }
    if same == length {
        node.rules += 1;
        return;
    }
    let rest = shl(value, same);
    insert(&mut node.children[branch(rest)], rest, length - same);
}

fn remove(at: &mut Option<Arc<Node>>, value: u128, length: u32) {
    let Some(node) = at else { return };
    let node = Arc::make_mut(node);
    if node.bits_count > length || (node.bits ^ value) & top(node.bits_count) != 0 {
        return;
    }
    if node.bits_count == length {
        node.rules = node.rules.saturating_sub(1);
    } else {
        let rest = shl(value, node.bits_count);
        remove(&mut node.children[branch(rest)], rest, length - node.bits_count);
    }
    if node.rules != 0 {
        return;
    }
    match &mut node.children {
        [None, None] => *at = None,
        [Some(child), None] | [None, Some(child)] => {
            let mut only = (**child).clone();
            only.bits = node.bits | only.bits.checked_shr(node.bits_count).unwrap_or(0);
            only.bits_count += node.bits_count;
            *at = Some(Arc::new(only));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held(rules: &[(u128, u32)], value: u128) -> u128 {
        let matching = rules.iter().filter(|(prefix, length)| *length != 0 && (prefix ^ value) & top(*length) == 0);
        matching.fold(0, |lengths, (_, length)| lengths | 1 << (length - 1))
    }

    proptest! {
        /// The lengths are right for this value, and, as far as they are within the bits, for all that agree in those; no value with
        /// these bits has a longer prefix either.
        #[test]
        fn a_trie_finds_what_a_list_finds(
            steps in proptest::collection::vec((any::<bool>(), 0u128..256, 0u32..=8), 0..60),
            value in 0u128..256, other in 0u128..256,
        ) {
            let mut trie = Trie::default();
            let mut rules: Vec<(u128, u32)> = Vec::new();
            for (add, prefix, length) in steps {
                let rule = ((prefix << 120) & top(length), length);
                if add {
                    trie.insert(rule.0, length);
                    rules.push(rule);
                } else if let Some(at) = rules.iter().position(|held| *held == rule) {
                    rules.swap_remove(at);
                    trie.remove(rule.0, length);
                }
                let (value, other) = (value << 120, other << 120);
                let found = trie.lookup(value, 8);
                prop_assert!(found.bits <= 8);
                prop_assert_eq!(found.lengths, held(&rules, value));
                if (value ^ other) & top(found.bits) == 0 {
                    prop_assert_eq!(found.lengths, held(&rules, other));
                }
            }
            for (prefix, length) in rules {
                trie.remove(prefix, length);
            }
            prop_assert!(trie.root.is_none());
        }
    }
}
