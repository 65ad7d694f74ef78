//! The protocols (`ec2`, `query`, `rest-json`), driven by schema tables alone: nothing here knows an operation.
//!
//! A request is a [`form`] of pairs; [`decode`] makes typed members of it, [`validate`] checks the model's constraints and the
//! [`grammar`] of ids; [`xml`] writes the answer and [`fault`] the error. [`rest`] is both directions of REST with JSON.

pub mod decode;
pub mod fault;
pub mod form;
pub mod grammar;
pub mod rest;
pub mod validate;
pub mod violation;
pub mod xml;

pub use fault::Fault;
pub use violation::Violation;
