//! Evidence against the world: the conformance suite, real bundles, SLSA provenance of real builders, real SBOMs, and
//! everything genuine altered in every place.
//!
//! The cases lie in the fixtures (`CUSTODY_FIXTURES`, else `../shared/fixtures` beside the repository) and are found by
//! listing them; where they are absent the tests say so and pass. Each test prints what it counted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod altered;
mod cloud_build;
mod conformance;
mod fixtures;
mod fuzzed;
mod genuine;
mod keys;
mod layout;
mod no_network;
mod producers;
mod recovered_key;
mod sboms;
mod slsa;
mod slsa_rows;
mod summaries;
