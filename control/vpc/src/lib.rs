//! The compiler from AWS VPCs to the OpenFlow tables of one bridge on one node, and the client that puts them there.
//!
//! [`compile`] makes flows of a [`Network`] and a [`Node`]'s view of it; [`Programmer`] makes a switch hold them. netd, or Open vSwitch
//! in its place, knows nothing of VPCs: tables, registers and zones are the whole of it. The same input makes the same flows
//! everywhere and after every restart, whose cookies tell their objects ([`Sources`]; `ovs-ofctl dump-flows` shows them).
//!
//! # Tables
//!
//! A packet meets them in this order ([`Table`]); what fits no flow of a table is dropped.
//!
//! ```text
//!  interface   0 ──> 3 source check ──> 4 ARP, ND, services, no broadcast ──> 6 track ──> 7 groups, out ──┐
//!                                                                                                          v
//!                             to a neighbour  ┌───────────────────────────────────────────────── 8 switch by MAC
//!                                             │                                                            │ router
//!                                             v                                                            v
//!  tunnel      0 ──> 1 VPC ──────────> 12 next hop <── 11 ACL, out <── 10 neighbour by address <── 9 route table
//!  uplink      0 ──> 2 Elastic IP ──────────> │  │  │
//!                                             │  │  └─> other node: 20 out by the tunnel
//!                                             │  └─> 13 Elastic IP, NAT ──> 14 out by the uplink, or to 2
//!                                             v
//!                                      15 ACL, in ──> 16 track ──> 17 groups, in ──> 19 destination check, out by the port
//!                                                       └─> a NAT gateway: to 9 as its own; 18 what comes back to it
//! ```
//!
//! What comes from the uplink to an interface with routes to an egress-only internet gateway meets 24 before 12.
//! If an interface here is logged, what is on its way to 12 is sampled in 20, what 7, 11, 15 and 17 refuse in 21 and 22.
//!
//! Registers ([`register`]) carry what was found: the sender's and receiver's number, the subnet, route table, ACL and set of groups that
//! count next. `metadata` is the VPC's network identifier.
//!
//! # Choices
//!
//! - **Tracking is per interface**, in a zone of its number, on its own node: the sender's groups are asked there, the receiver's here.
//!   All of a connection passes once its first packet was committed, whatever becomes of the rule. Connections that AWS does not
//!   track are not tracked here either, and end with their rule. A commit goes on in another table, because that is where Open vSwitch
//!   lets all fragments out together.
//! - **Rules are of sets of groups**, which interfaces share; conjunctions where both sides have many members.
//! - **The subnet's edge is seen by the source MAC**: who routes becomes the virtual router's, so another node knows without being told
//!   that network ACLs apply. Nothing but the VPC's number is in the tunnel's header.
//! - **The TTL stays** as it was: the virtual router is none.
//! - **Internet gateways are everywhere**: an interface's Elastic IP is at its own node's uplink. Without state: addresses are replaced, and
//!   the switch mends checksums. Errors' quotes are not: they are about the public address.
//! - **A NAT gateway is at one node**, a zone of its own; others reach it as they reach an interface.
//! - **A packet too long for the uplink, or the tunnel,** goes to the services port with its sender's number, to be answered as a router would;
//!   through the tunnel, which fragments, it goes all the same.
//! - **IPv6 addresses are public**, at their own node's uplink. Behind an egress-only internet gateway connections are kept in a zone that all
//!   such share, and what comes in is looked up there first (24).
//! - **Zones' timeouts** cannot be said in OpenFlow; [`Compiled::zones`] is for the database of the bridge.
#![forbid(unsafe_code)]

mod compile;
mod flow;
pub mod flow_log;
pub mod model;
mod node;
mod ports;
mod program;
mod source;

pub use compile::{CompileError, Compiled, FLOWS_MAX, InterfaceServices, compile};
pub use flow::{FlowBody, FlowKey, FlowSet, Table, register};
pub use hive_openflow::PortNo;
pub use model::{ConnectionTracking, Network};
pub use node::{Attachment, LocalNumber, Node, Tunnel, Uplink};
pub use program::{BUNDLE_CHANGES_MAX, Client, ClientError, Programmer, Report, apply, difference};
pub use source::{Direction, Source, Sources, rule_mark};
