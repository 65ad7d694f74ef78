//! A userspace switch in ovs-vswitchd's place: the stock ovsdb-server says which bridges and ports there are, OpenFlow what becomes of
//! packets. Guests are behind vhost-user-net; DHCP, DNS and instance metadata behind ports of type `services`.
//!
//! | module | job |
//! |---|---|
//! | [`ovs`] | what the database asks for, what controllers say, and what ovs-appctl asks |
//! | [`dataplane`] | workers and ports of a switch that a pipeline of tables programs |
//! | `port` | moves bytes of guests: their memory, rings, the vhost-user protocol |
//! | [`services`] | ARP, neighbour discovery, ICMP, DHCP, DNS and the instance metadata service |

#![deny(unsafe_code)]

pub mod dataplane;
pub mod error;
mod mailbox;
pub mod ovs;
mod port;
pub mod services;
mod sys;
