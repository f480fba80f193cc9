//! The commands, one file each.

pub(crate) mod agent;
pub(crate) mod cases;
pub(crate) mod check;
pub(crate) mod conformance;
pub(crate) mod correlator;
pub(crate) mod deadletter;
pub(crate) mod doctor;
pub(crate) mod fleet;
pub(crate) mod log;
pub(crate) mod policy;
pub(crate) mod trace;
pub(crate) mod up;
pub(crate) mod where_runs;
