//! `custody fleet`: the agents of a fleet and their bus.

pub(crate) mod view;
