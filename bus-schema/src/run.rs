//! One attempt of one CI run.

use std::fmt;
use std::str::FromStr;

use crate::{ForgeHost, ForgeId, ParseError};

/// `github.com/123456/789/2`: forge host, repository id, run id, attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// The forge.
    pub host: ForgeHost,
    /// The forge's immutable id of the repository.
    pub repository_id: ForgeId,
    /// The forge's number of the run.
    pub id: u64,
    /// Counted from 1.
    pub attempt: u32,
}

impl FromStr for RunId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<RunId, ParseError> {
        let parts: Vec<&str> = text.split('/').collect();
        let [host, repository_id, id, attempt] = parts[..] else {
            let reason = "it is not host/repository-id/run-id/attempt";
            return Err(ParseError::new("run id", text, text.len(), reason));
        };
        let id_at = host.len() + repository_id.len() + 2;
        let attempt_at = id_at + id.len() + 1;
        Ok(RunId {
            host: host.parse().map_err(|e: ParseError| e.inside("run id", text, 0))?,
            repository_id: repository_id
                .parse()
                .map_err(|e: ParseError| e.inside("run id", text, host.len() + 1))?,
            id: decimal(id).ok_or_else(|| ParseError::new("run id", text, id_at, "not a run number"))?,
            attempt: decimal(attempt)
                .and_then(|attempt| u32::try_from(attempt).ok())
                .filter(|attempt| *attempt > 0)
                .ok_or_else(|| {
                    ParseError::new("run id", text, attempt_at, "not an attempt, counted from 1")
                })?,
        })
    }
}

/// A decimal number without sign or leading zeros, so that a printed id is the only text that parses to it.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}/{}", self.host, self.repository_id, self.id, self.attempt)
    }
}

text_identity!(
    RunId,
    "RunId",
    "^[^/]+/[^/]+/[0-9]+/[1-9][0-9]*$",
    "forge host, repository id, run id and attempt"
);
