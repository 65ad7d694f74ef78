//! OVN drives netd: unmodified ovn-northd and ovn-controller with databases of their own, and network namespaces for machines. Needs root.

mod access;
mod answers;
mod balance;
mod chassis;
mod dhcp;
mod lab;
mod nat;
mod restarts;
mod switching;
