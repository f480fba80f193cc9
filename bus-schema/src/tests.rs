//! The contract of this crate, tested as a whole: schemas and samples, identities, envelopes, hostile input.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agreement;
mod blobs;
mod envelopes;
mod events;
mod fixtures;
mod git_refs;
mod hosts_and_repositories;
mod image_ids;
mod image_references;
mod no_panics;
mod occurrences;
mod open_words;
mod purls;
mod samples;
mod schemas;
mod small_identities;
mod strategies;
mod subjects;
