//! The rings of guests: what moves bytes between the switch and a guest's memory.

mod backlog;
pub mod log;
mod mapping;
pub mod memory;
pub mod queue;
mod requests;
pub mod ring;
pub mod vhost_user;
