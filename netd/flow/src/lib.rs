//! What a switch looks at in a packet: the fields of headers and of the switch's own memory about a packet, as OpenFlow and
//! its Nicira extensions name them, matches on them, and packed keys. No wire format of control: that is `hive-openflow`'s.
//!
//! [`Match`] is a match as people and controllers write it; [`Key`] and [`Mask`] are the same as words, for tables and caches;
//! [`parse`] makes a frame's key.
#![forbid(unsafe_code)]

mod field;
mod key;
mod matching;
mod parse;
mod place;
mod show;

pub use field::{Field, REGISTERS, TUNNEL_OPTIONS};
pub use key::{Inner, Key, Mask, Unplaced, Words};
pub use matching::{Masked, Match};
pub use parse::l4::{PROTO_ICMP, PROTO_ICMPV6, PROTO_IGMP, PROTO_SCTP, PROTO_TCP, PROTO_UDP};
pub use parse::{
    ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_MPLS, ETH_TYPE_MPLS_MULTICAST, ETH_TYPE_NONE, ETH_TYPE_QINQ,
    ETH_TYPE_RARP, ETH_TYPE_VLAN, EXTENSION_HEADERS_MAX, FRAG_ANY, FRAG_LATER, Malformed, Parsed, VLAN_LIMIT_MAX,
    VLAN_PRESENT, parse, parse_into,
};
pub use place::{KEY_TUNNEL_OPTIONS, Place, Stage, WORDS};
pub use show::{CT_STATE_NAMES, Shown};
