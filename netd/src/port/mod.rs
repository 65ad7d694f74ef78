//! The rings of guests: what moves bytes between the switch and a guest's memory.

pub mod log;
mod log_call;
mod mapping;
pub mod memory;
pub mod queue;
pub mod ring;
pub mod vhost_user;
