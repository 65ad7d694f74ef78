//! Flow tables: which rule a packet meets, and which of its bits decided that.
//!
//! A [`Table`] holds rules, each a match, a priority and a value. A lookup finds the rule of the highest priority that a key agrees
//! with, and adds to a mask the bits it depended on: every key that agrees with this one in those bits meets the same rule. That mask
//! is a megaflow's, and the fewer bits it has the more packets one megaflow serves. So the search does not look at what it need not:
//! rules lie in *subtables* by their masks (tuple space search), subtables are visited by falling priority until no better rule can
//! come, each is entered stage by stage (metadata, L2, L3, L4) and left at the first stage that no rule agrees with, and tries of
//! address prefixes and ports tell which prefix lengths can match at all, and by how few bits that is known.
//!
//! [`Versions`] holds all tables of a bridge. A writer prepares a new version beside the one that readers use, sharing all that is
//! unchanged, and publishes it at once; readers never wait.
#![forbid(unsafe_code)]

mod conjunction;
mod cow;
mod lookup;
mod shape;
mod subtable;
mod table;
mod trie;
mod versions;

pub use conjunction::Conjunction;
pub use lookup::Found;
pub use subtable::Rule;
pub use table::Table;
pub use versions::{Reader, TABLES, Tables, Versions, Writer};
