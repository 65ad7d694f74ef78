//! Layer-2 switching: who may send what, and which port a frame goes to.

pub mod admission;
pub mod mac_table;
