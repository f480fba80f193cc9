//! Answers from the state: reads of one snapshot each, bounded, off the threads that wait.
//!
//! In: questions of the API and of the process that runs the correlator. Out: the API's types. Nothing is changed.

mod carriers;
mod cases;
mod evidence_shown;
mod places;
mod reads;
mod status;
mod suggestion;
mod trace;
mod verdicts;

use std::collections::BTreeMap;
use std::sync::Arc;

use bus_schema::{AgentId, CaseId, ParseError};
use correlator_core::records::RecordsError;
use correlator_store::{IndexError, Lane, LogError, SignedHead, Snapshot, Store};
use fleet_runtime::health::Health;
use tokio::sync::watch;

use crate::api::types::{
    AgentStatus, CaseDetail, Cases, CasesAsked, ContractsInForce, LogHead, LogVerified, Places, Status,
    Trace, Verdicts, VerdictsAsked,
};
use crate::settings::AgentGrant;
use crate::shared::Shared;

pub(crate) use evidence_shown::show as show_evidence;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("nothing is known of {what}")]
    NotFound { what: String },
    #[error("{what}")]
    Asked { what: String },
    #[error("the state cannot be read")]
    State(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<IndexError> for QueryError {
    fn from(error: IndexError) -> QueryError {
        QueryError::State(Box::new(error))
    }
}

impl From<RecordsError> for QueryError {
    fn from(error: RecordsError) -> QueryError {
        QueryError::State(Box::new(error))
    }
}

impl From<ParseError> for QueryError {
    fn from(error: ParseError) -> QueryError {
        QueryError::Asked { what: error.to_string() }
    }
}

/// Answers questions about the state. Cloning gives another handle.
#[derive(Debug, Clone)]
pub struct Answers {
    pub(crate) store: Arc<Store>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) health: Health,
    pub(crate) agents: Arc<BTreeMap<AgentId, AgentGrant>>,
    pub(crate) head: Arc<watch::Sender<Option<SignedHead>>>,
}

impl Answers {
    pub async fn status(&self) -> Result<Status, QueryError> {
        let answers = self.clone();
        self.read(move |snapshot| status::status(&answers, snapshot)).await
    }

    /// Every agent that may speak, with what it said of itself last.
    pub async fn agents(&self) -> Result<Vec<AgentStatus>, QueryError> {
        let answers = self.clone();
        self.read(move |snapshot| status::agents(&answers, snapshot)).await
    }

    /// What is known of an image reference or digest.
    pub async fn trace(&self, asked: &str) -> Result<Trace, QueryError> {
        let asked = reads::Subject::parse(asked)?;
        let contracts = Arc::clone(&self.shared.in_force.borrow().contracts);
        self.read(move |snapshot| trace::trace(snapshot, &contracts, &asked)).await
    }

    /// Where a digest runs and ran.
    pub async fn places(&self, asked: &str) -> Result<Places, QueryError> {
        let asked = reads::Subject::parse(asked)?;
        self.read(move |snapshot| places::places(snapshot, &asked)).await
    }

    pub async fn cases(&self, asked: CasesAsked) -> Result<Cases, QueryError> {
        self.read(move |snapshot| cases::cases(snapshot, &asked)).await
    }

    pub async fn case(&self, id: CaseId) -> Result<CaseDetail, QueryError> {
        self.read(move |snapshot| cases::case(snapshot, &id)).await
    }

    pub async fn verdicts(&self, asked: VerdictsAsked) -> Result<Verdicts, QueryError> {
        self.read(move |snapshot| verdicts::verdicts(snapshot, &asked)).await
    }

    /// Every verdict, page by page.
    pub async fn all_verdicts(&self) -> Result<Vec<crate::api::types::VerdictShown>, QueryError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.verdicts(VerdictsAsked { after, ..VerdictsAsked::default() }).await?;
            all.extend(page.verdicts);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// Every case, page by page.
    pub async fn all_cases(&self) -> Result<Vec<bus_schema::case::Case>, QueryError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.cases(CasesAsked { after, ..CasesAsked::default() }).await?;
            all.extend(page.cases);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    /// How many decisions wait in each lane of the outbox.
    pub(crate) async fn waiting_rows(&self) -> Result<Vec<(Lane, u64)>, QueryError> {
        self.read(|snapshot| {
            Lane::ALL.into_iter().map(|lane| Ok((lane, snapshot.outbox_len(lane)?))).collect()
        })
        .await
    }

    pub fn contracts(&self) -> ContractsInForce {
        status::contracts(&self.shared)
    }

    pub fn log_head(&self) -> LogHead {
        let log = self.store.log();
        let head = log.head();
        LogHead {
            log: head.log.to_string(),
            generation: head.generation,
            position: head.position,
            hash: head.hash,
            recorded: head.recorded,
            public_key: log.public_key().to_owned(),
            signed: self.head.borrow().clone(),
        }
    }

    /// Reads the whole log and proves it. A log that does not hold is an answer; a disk that does not read is an error.
    pub async fn verify_log(&self) -> Result<LogVerified, QueryError> {
        let store = Arc::clone(&self.store);
        let verifying = tokio::task::spawn_blocking(move || match store.log().verify() {
            Ok(report) => Ok(LogVerified::holds(report)),
            Err(error @ (LogError::Io { .. } | LogError::DiskFull { .. })) => {
                Err(QueryError::State(Box::new(error)))
            }
            Err(error) => Ok(LogVerified::does_not_hold(fleet_runtime::error_chain(&error))),
        });
        verifying.await.unwrap_or_else(|error| Err(QueryError::State(Box::new(error))))
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Snapshot) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let store = Arc::clone(&self.store);
        let reading = tokio::task::spawn_blocking(move || {
            let index = store.index().map_err(|error| QueryError::State(error.to_string().into()))?;
            read(&index.snapshot()?)
        });
        reading.await.unwrap_or_else(|error| Err(QueryError::State(Box::new(error))))
    }
}
