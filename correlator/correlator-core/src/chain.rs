//! The chain of one digest under one pipeline: each link from the facts, one path through all of them.
//!
//! Facts in, link states out. What a link still waits for becomes a question or a deadline; nothing here decides what to
//! do about a broken chain.

pub(crate) mod approval;
pub(crate) mod artifact;
pub(crate) mod branch;
pub(crate) mod build;
pub(crate) mod image_facts;
pub(crate) mod inquiry;
pub(crate) mod lineage;
pub(crate) mod memo;
pub(crate) mod path;
pub(crate) mod provenance;
pub(crate) mod pushed;
pub(crate) mod recorded;
pub(crate) mod review;
pub(crate) mod sbom;
pub(crate) mod settle;
pub(crate) mod signature;
pub(crate) mod signer;
pub(crate) mod source;
pub(crate) mod walked;

use bus_schema::CommitId;
use bus_schema::question::Question;
use bus_schema::verdict::{Break, BreakReason, UnknownReason, Witness};
use jiff::Timestamp;

/// What the facts say about one link before windows and exceptions are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    Proven(Vec<Witness>),
    /// Contradicted by a verified statement or a recorded fact.
    Broken(Vec<Break>),
    /// Proven but for what an exception covers.
    Waived {
        exception: String,
        instead_of: String,
    },
    /// Valid once, not at the time that counts.
    Expired {
        since: Timestamp,
        what: String,
    },
    /// Signed with what counted no more.
    Revoked {
        since: Timestamp,
        what: String,
    },
    /// Not there (yet).
    Missing(Missing),
    Unknown {
        reason: UnknownReason,
        detail: String,
    },
}

impl Finding {
    pub(crate) fn proven(who: &str, says: impl Into<String>) -> Finding {
        Finding::Proven(vec![Witness { who: who.to_owned(), says: says.into() }])
    }

    pub(crate) fn holds(&self) -> bool {
        matches!(self, Finding::Proven(_) | Finding::Waived { .. })
    }
}

/// Something that is not there: what it waits for, whom to ask, and what it becomes when nobody has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Missing {
    /// For people, after "waiting for".
    pub(crate) waiting_for: String,
    /// All of these must say that there is nothing before it counts as absent.
    pub(crate) questions: Vec<Question>,
    /// Evidence that does not verify says so: the link ends as claimed instead of absent.
    pub(crate) claimed: Option<String>,
    /// The fact may lie before the coverage of the agent that could have seen it.
    pub(crate) uncovered: Option<String>,
    /// What the absence contradicts, where absence is a break (a commit without review, a run that the forge does not know).
    pub(crate) absence_breaks: Option<Break>,
}

pub(crate) fn a_break(reason: BreakReason, expected: impl Into<String>, found: impl Into<String>) -> Break {
    Break { reason, expected: expected.into(), found: found.into(), commit: None }
}

/// A break that objects to one commit.
pub(crate) fn a_commit_break(
    reason: BreakReason,
    expected: impl Into<String>,
    found: impl Into<String>,
    commit: &CommitId,
) -> Break {
    Break { commit: Some(commit.clone()), ..a_break(reason, expected, found) }
}
