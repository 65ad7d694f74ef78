//! The rings of guests: what moves bytes between the switch and a guest's memory.

pub mod memory;
pub mod queue;
pub mod ring;
pub mod vhost_user;
