//! The generations that a log has begun since it was created: each where somebody accepted that what was
//! published of it before is no longer what it says, because its folder was restored from an older copy.
//!
//! The chain and its segments go on under the identity. What is signed from then on, heads and verdicts, has
//! the higher generation, so that a reader who has seen the lost positions believes the new ones.

use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{Fault, LogError, io_error};
use super::identity::Identity;
use crate::durable;

pub(super) const GENERATIONS_FILE: &str = "generations";
const GENERATIONS_BYTES_MAX: u64 = 1024 * 1024;

/// The `generations` file: those after the first, in the order in which they began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Generations {
    begun: Vec<Begun>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    generation: u64,
    /// Where the log ended.
    position: u64,
    at: Timestamp,
}

impl Generations {
    pub(super) fn load(folder: &Path) -> Result<Generations, LogError> {
        let path = folder.join(GENERATIONS_FILE);
        let bytes = match durable::read_small_file(&path, GENERATIONS_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Generations::default()),
            Err(source) => return Err(LogError::Io { doing: "read", path, source }),
        };
        serde_json::from_slice(&bytes).map_err(|error| LogError::Corrupt {
            file: GENERATIONS_FILE.to_owned(),
            position: 0,
            offset: 0,
            fault: Box::new(Fault::new("generations of the log", "what was written", error)),
        })
    }

    /// The one that is signed now.
    pub(super) fn current(&self, identity: &Identity) -> u64 {
        self.begun.last().map_or(identity.generation, |begun| begun.generation)
    }

    pub(super) fn hold(&self, identity: &Identity, generation: u64) -> bool {
        generation == identity.generation || self.begun.iter().any(|begun| begun.generation == generation)
    }

    /// With one more that is higher than all before and than `above`.
    pub(super) fn with_next(
        &self,
        identity: &Identity,
        above: u64,
        position: u64,
        at: Timestamp,
    ) -> Generations {
        let now = u64::try_from(at.as_second()).unwrap_or(0);
        let generation = now.max(above.max(self.current(identity)).saturating_add(1));
        let mut next = self.clone();
        next.begun.push(Begun { generation, position, at });
        next
    }

    pub(super) fn store(&self, folder: &Path) -> Result<(), LogError> {
        let path = folder.join(GENERATIONS_FILE);
        let bytes = serde_json::to_vec(self).map_err(LogError::Encode)?;
        durable::write_file(&path, &bytes, durable::PUBLIC_MODE).map_err(io_error("write", &path))
    }
}
