//! The correlator as a service: everything around the ledger that reads, writes, waits or speaks.
//!
//! In: the bus's events, the contracts' folder, time. Out: the evidence log and what follows from it: verdicts, cases and
//! questions on the bus, alerts to people, answers over a JSON API on loopback. The order is always the same: an input
//! is in the log first, acknowledged then, judged by the ledger, committed with its decisions, and those are carried out
//! last. It decides nothing itself and holds no credential of a forge, registry or cluster.

pub mod api;
mod clock;
mod consume;
mod contracts;
mod correlator;
mod deliver;
mod dispatch;
mod heads;
mod metrics;
pub mod one_shot;
mod pause;
mod query;
mod recorder;
mod settings;
mod shared;
mod trace;
mod verification;

#[cfg(test)]
mod tests;

pub use contracts::{
    Copies as TrustRootCopies, LoadError as ContractsError, load as load_contracts,
    read_folder as read_contracts, read_path as read_contracts_at, refresh_missing_roots,
};
pub use correlator::{Context, Correlator, Handle, OpenError, Unfinished, run};
pub use deliver::{AlertBody, AlertLink, AlertText, probe_alert};
pub use heads::{HeadConflict, HeadError, LogGeneration};
pub use query::{Answers, QueryError};
pub use settings::{
    AgentGrant, AgentKind, AlertSettings, ApiSettings, CorrelatorSettings, RawAgent, RawAlert, RawApi,
    RawCorrelator, RawSettings, Settings,
};
pub use verification::{OutcomeCache, OutcomeKey};
