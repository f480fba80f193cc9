//! `custody fleet`: the agents of a fleet and their bus.

pub(crate) mod enroll;
pub(crate) mod view;
