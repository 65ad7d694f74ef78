//! Virtual processors: what they are (CPUID), how they start (registers, MSRs), and the threads that run them.

mod cpuid;
mod registers;
mod runner;

pub use cpuid::supported as supported_cpuid;
pub use runner::{Exit, Vcpus};
