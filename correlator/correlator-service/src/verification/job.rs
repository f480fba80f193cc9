//! One verification: the bytes, then the verdict about them.

use std::sync::Arc;

use bus_schema::Digest;
use bus_schema::registry::BLOB_BYTES_MAX;
use correlator_core::facts::{Outcome, Refusal, RefusalReason};
use correlator_core::state::evidence::EvidenceRecord;
use correlator_store::{BlobError, Blobs};
use evidence::{TrustSet, Unverified, verify, verify_of_file};
use fleet_runtime::bus::{self, BusError};

use super::cache::{OutcomeCache, OutcomeKey};

/// A result that is larger than this is refused: it is an entry of the log and a record of the index.
const OUTCOME_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Digests to which one piece of evidence is attached that are tried as its subject.
const ATTACHED_TRIED_MAX: usize = 32;

/// What one job needs.
pub(super) struct Job {
    pub(super) evidence: Digest,
    pub(super) record: EvidenceRecord,
    pub(super) trust: Arc<TrustSet>,
    pub(super) trust_version: Digest,
    pub(super) kept: Blobs,
    pub(super) arriving: Arc<dyn bus::Blobs>,
    pub(super) cache: OutcomeCache,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// What it takes, roughly.
    pub(super) bytes: usize,
    pub(super) was_cached: bool,
}

/// Why there is no result yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    #[error("the bytes {digest} of evidence are gone from the blob store")]
    Missing { digest: Digest },
    #[error("the bytes of evidence cannot be read")]
    Blob(#[from] BlobError),
    #[error("the bytes of evidence cannot be fetched")]
    Bus(#[from] BusError),
    #[error("by this machine's clock, its log signed for a time that has not come: {found}")]
    NotYet { found: String },
    #[error("the verification was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

impl Job {
    pub(super) async fn run(self) -> Result<Done, JobError> {
        let key = OutcomeKey::new(self.evidence, self.trust_version, self.record.attached_to.iter());
        if let Some((outcome, bytes)) = self.cache.get_with_size(&key) {
            return Ok(Done { outcome, bytes, was_cached: true });
        }
        let bytes = self.bytes().await?;
        let Job { record, trust, cache, .. } = self;
        let verifying = tokio::task::spawn_blocking(move || outcome_and_size(&record, &bytes, &trust));
        let (outcome, bytes) = match verifying.await {
            Ok(verified) => verified,
            Err(error) if error.is_panic() => {
                // It would do so each time. What cannot be verified proves nothing.
                tracing::error!(evidence = %key.evidence(), "the verifier panicked on evidence, which is refused");
                let found = "evidence on which the verifier failed";
                let outcome = refusal(RefusalReason::Malformed, "evidence that can be verified", found);
                return Ok(Done { outcome, bytes: 0, was_cached: false });
            }
            Err(error) => return Err(error.into()),
        };
        if let Outcome::Refused(refused) = &outcome
            && is_not_yet(&outcome)
        {
            return Err(JobError::NotYet { found: refused.found.clone() });
        }
        cache.put(key, outcome.clone(), bytes);
        Ok(Done { outcome, bytes, was_cached: false })
    }

    /// The bytes from our own store. A file that was damaged or lost is healed from the bus where that still has them.
    async fn bytes(&self) -> Result<Vec<u8>, JobError> {
        let Some((digest, _)) = self.record.blob else { return Ok(Vec::new()) };
        let kept = self.kept.clone();
        let own = tokio::task::spawn_blocking(move || kept.get(&digest)).await?;
        match own {
            Ok(Some(bytes)) => return Ok(bytes),
            Ok(None) | Err(BlobError::Damaged { .. } | BlobError::TooLarge { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let bytes_max = usize::try_from(BLOB_BYTES_MAX).unwrap_or(usize::MAX);
        let fetched = match self.arriving.get(&digest, bytes_max).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(BusError::BlobAlgorithm { .. }) => return Err(JobError::Missing { digest }),
            Err(error) => return Err(error.into()),
        };
        let kept = self.kept.clone();
        let again = fetched.clone();
        tokio::task::spawn_blocking(move || kept.put_as(&digest, &again)).await??;
        Ok(fetched.to_vec())
    }
}

/// Verifies.
pub(crate) fn outcome_of(
    record: &EvidenceRecord,
    bytes: &[u8],
    file: Option<&[u8]>,
    trust: &TrustSet,
) -> Outcome {
    let verified = tried(record, bytes, |unverified| match file {
        Some(file) => verify_of_file(unverified, file, trust),
        None => verify(unverified, trust),
    });
    verified.0
}

/// Verifies, and says how large the result is as JSON. A signature over bytes that lie elsewhere can only mean the manifest
/// that it is attached to, so each of those is tried; the first that verifies is the result, else the first refusal.
pub(crate) fn outcome_and_size(record: &EvidenceRecord, bytes: &[u8], trust: &TrustSet) -> (Outcome, usize) {
    tried(record, bytes, |unverified| verify(unverified, trust))
}

/// Whether evidence was refused for a time that is to come: no result, but a reason to ask again.
pub(crate) fn is_not_yet(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(refused) if refused.reason == RefusalReason::NotYet)
}

fn tried(
    record: &EvidenceRecord,
    bytes: &[u8],
    verify: impl Fn(&Unverified<'_>) -> Outcome,
) -> (Outcome, usize) {
    let mut first_refusal = None;
    for attached_to in record.attached_to.iter().take(ATTACHED_TRIED_MAX) {
        let unverified = Unverified {
            media_type: &record.media_type,
            artifact_type: record.artifact_type.as_deref(),
            bytes,
            annotations: &record.annotations,
            attached_to: *attached_to,
        };
        match verify(&unverified) {
            decided if is_not_yet(&decided) || matches!(decided, Outcome::Verified(_)) => {
                return bounded(decided);
            }
            refused => first_refusal = first_refusal.or(Some(refused)),
        }
    }
    bounded(
        first_refusal
            .unwrap_or_else(|| refusal(RefusalReason::BadSubject, "a digest that it is attached to", "none")),
    )
}

fn bounded(outcome: Outcome) -> (Outcome, usize) {
    let bytes = serde_json::to_vec(&outcome).map_or(usize::MAX, |json| json.len());
    if bytes <= OUTCOME_BYTES_MAX {
        return (outcome, bytes);
    }
    let expected = format!("a result of at most {OUTCOME_BYTES_MAX} bytes");
    (refusal(RefusalReason::TooLarge, &expected, &bytes.to_string()), 0)
}

fn refusal(reason: RefusalReason, expected: &str, found: &str) -> Outcome {
    Outcome::Refused(Refusal {
        reason,
        expected: expected.to_owned(),
        found: found.to_owned(),
        claims: None,
        claimed_subjects: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn refused(reason: RefusalReason) -> Outcome {
        refusal(reason, "one", "another")
    }

    /// What is said of evidence that two digests have, where each gets one of these.
    fn said_of(outcomes: [RefusalReason; 2]) -> Outcome {
        let digests = [1, 2].map(|byte| Digest::Sha256([byte; 32]));
        let record = EvidenceRecord { attached_to: digests.into(), ..EvidenceRecord::default() };
        let verify = |unverified: &Unverified<'_>| {
            refused(outcomes[usize::from(unverified.attached_to == digests[1])])
        };
        tried(&record, b"bytes", verify).0
    }

    #[test]
    fn a_time_to_come_is_no_refusal_of_any_place() {
        use RefusalReason::{BadSubject, BadTime, NotYet};
        for outcomes in [[NotYet, BadSubject], [BadSubject, NotYet]] {
            assert!(is_not_yet(&said_of(outcomes)), "{outcomes:?}");
        }
        assert!(!is_not_yet(&said_of([BadTime, BadSubject])));
    }
}
