//! A log's promise to include an entry (sigstore/rekor, "SignedEntryTimestamp"): what makes an entry's time a proven one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use correlator_core::facts::RefusalReason;
use jiff::Timestamp;
use serde::Serialize;
use sigstore_verify::types::SignatureBytes;

use crate::log_key::Log;
use crate::refusal::{Failed, HAS_COME, Step, refusal};
use crate::trust::TrustRoot;

/// An entry as its log promised it. Nothing about it is proven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) integrated_time: Timestamp,
    pub(crate) log_id: &'a [u8],
    pub(crate) log_index: i64,
    pub(crate) signature: &'a [u8],
}

/// What a log signs, in the order of canonical JSON (RFC 8785).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Promised {
    body: String,
    integrated_time: i64,
    #[serde(rename = "logID")]
    log_id: String,
    log_index: i64,
}

impl Promise<'_> {
    /// The time of the entry, which has come: a log of the root, whose key was valid then, signed body, time, index and id.
    pub(crate) fn verify(&self, root: &TrustRoot) -> Result<Timestamp, Failed> {
        let bad = |step, expected: &str, found: String| {
            Failed::at(step, refusal(RefusalReason::BadLogEntry, expected, found))
        };
        let is_valid = |log: &&Log| log.window.is_none_or(|window| window.contains(self.integrated_time));
        let Some(log) = root.log(self.log_id).filter(is_valid) else {
            return Err(bad(
                Step::Time,
                "a log of the trust root, valid at the entry's time",
                hex::encode(self.log_id),
            ));
        };
        let promised = Promised {
            body: STANDARD.encode(self.body),
            integrated_time: self.integrated_time.as_second(),
            log_id: hex::encode(self.log_id),
            log_index: self.log_index,
        };
        let promised = serde_json::to_vec(&promised)
            .map_err(|error| bad(Step::Shape, "a promise", error.to_string()))?;
        if !log.key.has_signed(&promised, &SignatureBytes::new(self.signature.to_vec())) {
            let found = "a signature that does not fit".to_owned();
            return Err(bad(Step::Chain, "an inclusion promise by the log", found));
        }
        if !root.has_come(self.integrated_time) {
            let found = self.integrated_time.to_string();
            return Err(Failed::at(Step::Chain, refusal(RefusalReason::NotYet, HAS_COME, found)));
        }
        Ok(self.integrated_time)
    }
}
