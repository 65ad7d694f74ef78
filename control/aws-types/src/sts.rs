// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

//! Types of sts, API version 2011-06-15.

mod identity;
pub use identity::*;
