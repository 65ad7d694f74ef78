//! hived's handlers on a store in memory and on a real nats-server, and its command line.

mod cli;
mod cloud;
mod compute;
mod fake_blockd;
mod machine;
mod nats;
mod network;
mod resources;
mod snapshots;
mod storage;
