//! Everything that knows Kubernetes.

pub(crate) mod api;
pub(crate) mod connect;
pub(crate) mod cut;
pub(crate) mod inventory;
pub(crate) mod kept;
pub(crate) mod lines;
pub(crate) mod list;
pub(crate) mod owners;
pub(crate) mod payload;
pub(crate) mod probe;
pub(crate) mod survey;
pub(crate) mod tracker;
pub(crate) mod translate;
pub(crate) mod watch;

#[cfg(test)]
mod role_tests;
