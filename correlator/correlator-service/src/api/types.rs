//! What the API is asked and what it answers. The command line reads the same types.
//!
//! Fields are only ever added; readers ignore what they do not know. Text from outside is free of control characters.

mod asked;
mod fleet;
mod letters;
mod status;
mod trace;

pub use asked::{CasesAsked, DeadLettersAsked, TraceAsked, VerdictsAsked, WhereAsked};
pub use fleet::{ConsumerStatus, Fleet, StreamStatus};
pub use letters::{
    DeadLetterDetail, DeadLetterSummary, DeadLetters, LetterOutcome, LetterOutcomes, LettersChosen,
};
pub use status::{
    AgentStatus, ContractsInForce, CoverageStatus, ImageCounts, LogHead, LogStatus, LogVerified,
    PipelineSummary, Status, Suggestion, UnclaimedRepository, Waiting,
};
pub use trace::{
    BuildInputs, Carrier, CaseDetail, Cases, EvidenceState, MaterialShown, Place, Places, PushSeen,
    QuestionState, RunsIn, SignerShown, TagSeen, Trace, TracedEvidence, VerdictShown, Verdicts,
};

use serde::{Deserialize, Serialize};

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// One word: `bad_request`, `not_found`, `host`, `cross_site`, `busy`, `unavailable`, `unreadable`.
    pub error: String,
    /// For people.
    pub message: String,
}
