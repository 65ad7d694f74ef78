//! objectd as its clients see it: a server in this process, requests signed by hive-auth.
#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking

mod aws_cli;
mod bucket;
mod client;
mod crash;
mod listing;
mod multipart;
mod object;
mod refusals;
