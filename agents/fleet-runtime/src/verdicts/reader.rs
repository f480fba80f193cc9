//! Reading verdicts that somebody else may have written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bus_schema::Digest;
use bus_schema::verdict::VerdictChanged;

use super::{SignedVerdict, StoredVerdict, VERDICTS_BUCKET, verdict_key};
use crate::bus::{Bus, BusError, KeyValue};

/// Keys whose position is remembered; the oldest logs' are forgotten first.
const SEEN_MAX: usize = 1_000_000;

/// How far a verdict was, the last time that it was read: generation of the log, and position in it.
pub type Seen = (u64, u64);

/// Why a value is not believed.
#[derive(Debug, thiserror::Error)]
pub enum VerdictRefused {
    #[error("the verdict under {key} is refused: {reason}")]
    Value { key: String, reason: &'static str },
    #[error(
        "the verdict under {key} is of position {found:?} of the log, and one of {seen:?} was seen before: somebody brought \
         an old one back"
    )]
    Older { key: String, found: Seen, seen: Seen },
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Reads verdicts of one correlator.
#[derive(Debug)]
pub struct VerdictReader {
    bucket: Arc<dyn KeyValue>,
    key: String,
    log: String,
    seen: Mutex<BTreeMap<String, Seen>>,
}

impl VerdictReader {
    /// A reader of the verdicts of the log with this id, signed by this public key (hexadecimal): both are what
    /// `custody log verify` and the API's `/log/head` say.
    pub async fn open(bus: &Arc<dyn Bus>, log: &str, key: &str) -> Result<VerdictReader, BusError> {
        let bucket = bus.key_value(VERDICTS_BUCKET).await?;
        Ok(VerdictReader { bucket, key: key.to_owned(), log: log.to_owned(), seen: Mutex::default() })
    }

    /// The verdict of a digest under a pipeline; `None` where none was written.
    pub async fn read(
        &self,
        digest: &Digest,
        pipeline: &str,
    ) -> Result<Option<VerdictChanged>, VerdictRefused> {
        let key = verdict_key(digest, pipeline);
        let Some(entry) = self.bucket.get(&key).await? else { return Ok(None) };
        let refuse = |reason| VerdictRefused::Value { key: key.clone(), reason };
        let StoredVerdict { key: own, log, generation, position, change } =
            SignedVerdict::open(&entry.value, &self.key).map_err(refuse)?;
        if own != key || change.verdict.digest != *digest || change.verdict.pipeline != pipeline {
            return Err(refuse("it belongs under another key"));
        }
        if log != self.log {
            return Err(refuse("it is of another log"));
        }
        self.remember(&key, (generation, position))?;
        Ok(Some(change))
    }

    fn remember(&self, key: &str, found: Seen) -> Result<(), VerdictRefused> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = seen.get(key).copied().filter(|before| *before > found) {
            return Err(VerdictRefused::Older { key: key.to_owned(), found, seen: before });
        }
        seen.insert(key.to_owned(), found);
        if seen.len() > SEEN_MAX {
            let oldest = seen.iter().min_by_key(|(_, seen)| **seen).map(|(key, _)| key.clone());
            oldest.map(|oldest| seen.remove(&oldest));
        }
        Ok(())
    }
}
