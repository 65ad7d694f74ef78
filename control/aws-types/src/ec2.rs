// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

//! Types of ec2, API version 2016-11-15.

mod common;
mod encryption;
mod images;
mod instances;
mod keys;
mod network;
mod places;
mod snapshots;
mod tags;
mod volumes;
pub use common::*;
pub use encryption::*;
pub use images::*;
pub use instances::*;
pub use keys::*;
pub use network::*;
pub use places::*;
pub use snapshots::*;
pub use tags::*;
pub use volumes::*;
