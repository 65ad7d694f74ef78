//! hived's handlers on a store in memory and on a real nats-server, and its command line.

mod cli;
mod cloud;
mod compute;
mod fake_blockd;
mod guest;
mod machine;
mod nats;
mod network;
#[allow(dead_code, reason = "hive-vpc's tests, whose file it is, use all of it")]
#[path = "../../vpc/tests/it/packet.rs"]
mod packet;
mod resources;
mod snapshots;
mod storage;
