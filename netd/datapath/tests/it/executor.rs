//! Operations on known frames.
