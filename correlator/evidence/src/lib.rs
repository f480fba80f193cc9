//! Verification of evidence: signatures, attestations and SBOMs, from bytes and a trust set, without network or files.
//!
//! Unverified and verified are different types: [`Unverified`] goes in, and only [`verify`] and [`verify_of_file`] make the
//! [`Statement`](correlator_core::facts::Statement)s of `correlator_core::facts`. Whatever does not verify in every part
//! becomes a [`Refusal`](correlator_core::facts::Refusal) with its reason, what was expected and what was found. This crate
//! decides what is proven; who may sign, and since when a key counts, is judged by the core.
//!
//! Bundles go through `sigstore-verify`, and those by schemes that it has no words for through the same steps in
//! [`other_schemes`]; signatures by a key without a log are verified by [`signature`]. The bundle verifier of `sigstore`,
//! which reads the keys, is never called: it accepts forged log entries.

mod bounds;
mod builders;
mod bundle;
mod certificate;
mod claims;
mod cloud_build;
mod cosign;
mod disagreement;
mod ed25519ph;
mod envelope;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod given;
mod inclusion;
mod key_names;
mod keyless;
mod log_entries;
mod log_key;
mod logged_body;
mod managed_key;
mod older_entry;
mod older_forms;
mod once;
mod other_schemes;
mod pem;
mod pep740;
mod predicate;
mod promise;
mod proof;
mod provenance;
mod refusal;
mod rests_on;
mod sbom;
mod scheme;
mod signature;
mod signature_pair;
mod signing_authority;
mod simple_signing;
mod statement;
mod strict_json;
mod time;
mod timestamp_signer;
mod timestamps;
mod trust;
mod verification_summary;
mod verify;
mod vulnerability_scan;
mod work;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use bounds::EVIDENCE_BYTES_MAX;
pub use builders::{Builder, GENERATOR, GENERATOR_WORKFLOWS, builder_of};
pub use cloud_build::{MEDIA_TYPE as CLOUD_BUILD, split as split_cloud_build};
pub use correlator_core::contracts::trust_root::Demands;
pub use cosign::BLOB_SIGNATURE;
pub use proof::{Artifact, Proof, verify_bundle};
pub use sbom::{SbomError, read as read_sbom};
pub use trust::{
    Embedded, LogDemand, TrustError, TrustRoot, TrustSet, TrustedKey, embedded_root, staging_root,
};
pub use verify::{Unverified, VERIFIER_VERSION, is_evidence, verify, verify_of_file};
