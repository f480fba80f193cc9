//! What a machine can check about the repository itself: who depends on whom, that what is generated is fresh, that names
//! agree, that documents speak of files that exist, and that the tools for form, lints and licences are content.
//!
//! Every check is a test; its message says what to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod contract;
mod directions;
mod documents;
mod files;
mod identities;
mod manifests;
mod pure_core;
mod repository;
mod rules;
mod statements;
mod tools;
