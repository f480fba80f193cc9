//! Verification summaries (slsa.dev/verification_summary/v1, and v0.2 before it): somebody's verdict over an artifact.

use correlator_core::facts::{Refusal, VerificationSummary};
use serde::Deserialize;

use crate::bounds::{LEVELS_MAX, TEXT_BYTES_MAX};
use crate::refusal::{malformed, too_large};
use crate::time;

pub(crate) const TYPES: [&str; 3] = [
    "https://slsa.dev/verification_summary/v1",
    "https://slsa.dev/verification_summary/v0.2",
    "https://slsa.dev/verification_summary/v0.1",
];

/// Reads the predicate.
pub(crate) fn read(predicate: &str) -> Result<VerificationSummary, Refusal> {
    let wire: Wire = serde_json::from_str(predicate)
        .map_err(|error| malformed("a verification summary", error.to_string()))?;
    let passed = match wire.verification_result.as_str() {
        "PASSED" => true,
        "FAILED" => false,
        other => return Err(malformed("PASSED or FAILED as the result of a verification summary", other)),
    };
    let levels = wire.verified_levels.or(wire.policy_level.map(|level| vec![level])).unwrap_or_default();
    if levels.len() > LEVELS_MAX {
        return Err(too_large("levels in a verification summary", LEVELS_MAX, levels.len()));
    }
    let policy = wire.policy.and_then(|policy| policy.uri);
    let texts = [&wire.verifier.id, &wire.resource_uri].into_iter().chain(&policy).chain(&levels);
    for text in texts {
        if text.len() > TEXT_BYTES_MAX {
            return Err(too_large("bytes in a text of a verification summary", TEXT_BYTES_MAX, text.len()));
        }
    }
    Ok(VerificationSummary {
        verified_at: time::read("the time of verification", wire.time_verified.as_deref())?,
        verifier: wire.verifier.id,
        resource_uri: wire.resource_uri,
        policy,
        passed,
        levels,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    verifier: Verifier,
    #[serde(alias = "time_verified")]
    time_verified: Option<String>,
    #[serde(alias = "resource_uri")]
    resource_uri: String,
    policy: Option<Policy>,
    #[serde(alias = "verification_result")]
    verification_result: String,
    #[serde(alias = "verified_levels")]
    verified_levels: Option<Vec<String>>,
    /// What version 0.1 has in place of levels.
    #[serde(alias = "policy_level")]
    policy_level: Option<String>,
}

#[derive(Deserialize)]
struct Verifier {
    id: String,
}

#[derive(Deserialize)]
struct Policy {
    uri: Option<String>,
}
