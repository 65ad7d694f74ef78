//! Open vSwitch's pipeline: from the tables, groups, ports and bridges of a switch to operations on packets.
#![forbid(unsafe_code)]
