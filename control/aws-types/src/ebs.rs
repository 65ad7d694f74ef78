// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

//! Types of ebs, API version 2019-11-02.

mod blocks;
pub use blocks::*;
