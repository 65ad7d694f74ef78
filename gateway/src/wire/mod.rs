//! The form protocols (`ec2` and `query`), driven by schema tables alone: nothing here knows an operation.
//!
//! A request is a [`form`] of pairs; [`decode`] makes typed members of it, [`validate`] checks the model's constraints and the
//! [`grammar`] of ids; [`xml`] writes the answer and [`fault`] the error.

pub mod decode;
pub mod fault;
pub mod form;
pub mod grammar;
pub mod validate;
pub mod violation;
pub mod xml;

pub use fault::Fault;
pub use violation::Violation;
