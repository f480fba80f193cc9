//! The head of the evidence log: signed at intervals and published, so that nothing before it can be changed unseen.
//!
//! What is published is read before anything is taken from the bus, and before each put: a head of another
//! log, or one that is further than this log, means that another data folder is at work on this bus or that
//! this one is an older copy. Then nothing is put over it, unless somebody has said so in the settings at the
//! start.

mod published;

use std::sync::Arc;
use std::time::Duration;

use bus_schema::AgentId;
use correlator_store::{EvidenceLog, LogError, SignedHead, Store};
use fleet_runtime::bus::{Bus, BusError, Entry, Stream};
use fleet_runtime::health::Check;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use published::{HeadConflict, LogGeneration};

/// The bucket and key under which the last signed head is published.
pub(crate) const LOG_BUCKET: &str = "log";
pub(crate) const HEAD_KEY: &str = "head";

/// Why a head is not published.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    #[error(transparent)]
    Conflict(#[from] Box<HeadConflict>),
    #[error("the evidence log cannot be read or signed")]
    Log(#[from] Box<LogError>),
    #[error("the published head cannot be read or written")]
    Bus(#[from] BusError),
    #[error("a head cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
    #[error("it was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

impl From<LogError> for HeadError {
    fn from(error: LogError) -> HeadError {
        HeadError::Log(Box::new(error))
    }
}

/// The signing part.
#[derive(Debug)]
pub(crate) struct Heads {
    pub(crate) store: Arc<Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) every: Duration,
    pub(crate) last: Arc<watch::Sender<Option<SignedHead>>>,
}

/// Looks at what is published before anything is taken into this log. What stands in the way is an error,
/// unless the settings say that it is over: then the log goes on in a higher generation, the events are taken
/// again from the oldest that the bus keeps (those that are in the log are dropped by their ids), and a head is to
/// be put over the returned revision.
pub(crate) async fn check_before_taking(
    bus: &Arc<dyn Bus>,
    store: &Arc<Store>,
    consumer: &AgentId,
    supersedes: Option<LogGeneration>,
) -> Result<Option<u64>, HeadError> {
    let bucket = bus.key_value(LOG_BUCKET).await?;
    let Some(entry) = bucket.get(HEAD_KEY).await? else { return Ok(None) };
    let Some(conflict) = conflict_of(&entry, store).await? else { return Ok(None) };
    let theirs = conflict.theirs();
    if supersedes != Some(theirs) {
        return Err(Box::new(conflict).into());
    }
    bus.remove_consumer(Stream::Events, consumer.as_str()).await?;
    let log = Arc::clone(store);
    let begun = move || log.log().begin_generation(theirs.generation, Timestamp::now());
    let generation = tokio::task::spawn_blocking(begun).await??;
    tracing::warn!(
        superseded = %theirs,
        log = %store.log().id(),
        generation,
        "the settings say that what was published is over: the log goes on in a new generation, and all events on the bus \
         are taken again"
    );
    Ok(Some(entry.revision))
}

/// Signs the head and puts it where nobody has put one since a revision. Returns the head and its own revision.
pub(crate) async fn put_over(
    bus: &Arc<dyn Bus>,
    store: &Arc<Store>,
    revision: u64,
) -> Result<(SignedHead, u64), HeadError> {
    let signing = Arc::clone(store);
    let head = tokio::task::spawn_blocking(move || signing.log().sign_head(Timestamp::now())).await??;
    let bucket = bus.key_value(LOG_BUCKET).await?;
    let put = bucket.put_if(HEAD_KEY, serde_json::to_vec(&head)?.into(), revision).await?;
    Ok((head, put))
}

async fn conflict_of(entry: &Entry, store: &Arc<Store>) -> Result<Option<HeadConflict>, HeadError> {
    let head = match published::read(&entry.value) {
        Ok(head) => head,
        Err(reason) => {
            tracing::warn!(reason, "what is published as the head of the evidence log is ignored");
            return Ok(None);
        }
    };
    let store = Arc::clone(store);
    let compare = move || {
        let log: &EvidenceLog = store.log();
        published::conflict(&head, log)
    };
    Ok(tokio::task::spawn_blocking(compare).await??)
}

impl Heads {
    /// Signs until the stop, and once more then.
    pub(crate) async fn run(&self, check: Check, stop: CancellationToken) -> anyhow::Result<()> {
        let mut logged = None;
        let mut put = None;
        loop {
            match self.publish(&mut put).await {
                Ok(()) => {
                    logged = None;
                    check.ready();
                }
                Err(error) => {
                    let reason = fleet_runtime::error_chain(&error);
                    check.failing(&reason);
                    if logged.as_ref() != Some(&reason) {
                        tracing::error!(
                            error = reason,
                            "failed to sign and publish the head of the evidence log"
                        );
                        logged = Some(reason);
                    }
                }
            }
            if stop.is_cancelled() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Publishes the head where it is further. `put`: the revision of the last one that was put here.
    async fn publish(&self, put: &mut Option<u64>) -> Result<(), HeadError> {
        let bucket = self.bus.key_value(LOG_BUCKET).await?;
        let found = bucket.get(HEAD_KEY).await?;
        let is_ours = found.as_ref().is_some_and(|entry| Some(entry.revision) == *put);
        if let Some(entry) = found.as_ref().filter(|_| !is_ours)
            && let Some(conflict) = conflict_of(entry, &self.store).await?
        {
            return Err(Box::new(conflict).into());
        }
        let position = self.store.log().head().position;
        let known = self.last.borrow().as_ref().map(|known| known.position);
        if position == 0 || (is_ours && known == Some(position)) {
            return Ok(());
        }
        let revision = found.map_or(0, |entry| entry.revision);
        let (head, revision) = put_over(&self.bus, &self.store, revision).await?;
        *put = Some(revision);
        self.last.send_replace(Some(head));
        Ok(())
    }
}
