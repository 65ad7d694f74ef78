// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

//! Types of ec2, API version 2016-11-15.

mod addresses;
mod common;
mod dhcp_options;
mod encryption;
mod flow_logs;
mod images;
mod instances;
mod interfaces;
mod keys;
mod network_acls;
mod places;
mod prefix_lists;
mod routing;
mod security_groups;
mod snapshots;
mod subnets;
mod tags;
mod volumes;
mod vpcs;
pub use addresses::*;
pub use common::*;
pub use dhcp_options::*;
pub use encryption::*;
pub use flow_logs::*;
pub use images::*;
pub use instances::*;
pub use interfaces::*;
pub use keys::*;
pub use network_acls::*;
pub use places::*;
pub use prefix_lists::*;
pub use routing::*;
pub use security_groups::*;
pub use snapshots::*;
pub use subnets::*;
pub use tags::*;
pub use volumes::*;
pub use vpcs::*;
