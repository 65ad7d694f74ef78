//! What a switch does to packets: it finds their translation in caches, and carries it out.
#![forbid(unsafe_code)]
