//! The inputs of the ledger: everything that judging depends on, in the order of the evidence log.

use std::collections::BTreeMap;

use bus_schema::{Digest, Envelope};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::facts::{RootVersion, Verified};

/// One entry of the evidence log as the ledger sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its position in the log, counted from 1.
    pub position: u64,
    /// When it was appended. Windows compare these times only.
    pub recorded: Timestamp,
    pub input: Input,
}

/// What may change the ledger's mind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "snake_case")]
pub enum Input {
    /// An agent's report.
    Event(Box<Envelope>),
    /// A deadline is due; the time is the entry's.
    Tick,
    /// The whole set of contracts, replacing the one before.
    ContractLoaded(Box<ContractLoaded>),
    /// A trust root is known by this name from now on.
    TrustRootLoaded(RootVersion),
    /// The result of a verification.
    Verified(Box<Verified>),
}

/// A set of contract documents as text, with the files that they name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractLoaded {
    /// YAML texts by file name. A file may hold several documents.
    pub documents: BTreeMap<String, String>,
    /// The contents of the keys and trust roots that the documents name, by the name they use.
    pub files: BTreeMap<String, String>,
}

impl ContractLoaded {
    /// The hash that names this set in verdicts and in the log.
    pub fn hash(&self) -> Digest {
        let texts =
            self.documents.iter().chain(&self.files).flat_map(|(name, text)| [name.as_str(), text.as_str()]);
        Digest::Sha256(bus_schema::hash::hash_fields(std::iter::once("contracts").chain(texts)))
    }
}
