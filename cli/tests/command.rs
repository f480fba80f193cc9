//! The real binary, run as people run it.
