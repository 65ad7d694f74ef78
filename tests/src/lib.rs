//! Hive under test from outside: a simulated node to run it in, the real aws-cli to drive it with, and the scenarios.
//!
//! The simulated node is a virtual machine in QEMU's software emulation, which includes AMD-V: inside, the real /dev/kvm runs real
//! guests, so nothing of Hive knows the difference. It needs no virtualisation of the host, only patience.

#![forbid(unsafe_code)]

pub mod aws;
pub mod command;
pub mod harness;
pub mod scenarios;
pub mod sigv4;
pub mod simnode;
