//! The life of a process: its tasks, their supervision, and an end within a bound.
//!
//! Every task has an owner here that awaits it. A first SIGTERM or SIGINT stops taking work and lets what is in hand
//! finish within a bound; a second one, or the bound, ends the rest. A loop that fails is started again after a
//! pause and is not ready meanwhile.

mod supervise;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::health::Health;

pub use supervise::{BackOff, Supervised};

/// The tasks of a process.
#[derive(Debug)]
pub struct Tasks {
    stop: CancellationToken,
    health: Health,
    set: JoinSet<anyhow::Result<()>>,
    names: BTreeMap<Id, String>,
    /// From when on a signal is waited for; before, it ends the process at once.
    signals: Option<Signals>,
}

/// How a process ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// The task that made an end by failing, and why.
    pub failed: Option<(String, anyhow::Error)>,
    /// Tasks that did not finish within the bound.
    pub unfinished: Vec<String>,
}

impl Ended {
    pub fn is_clean(&self) -> bool {
        self.failed.is_none() && self.unfinished.is_empty()
    }
}

impl Tasks {
    pub fn new(health: Health) -> Tasks {
        let stop = CancellationToken::new();
        Tasks { stop, health, set: JoinSet::new(), names: BTreeMap::new(), signals: None }
    }

    /// From now on a signal is kept for [`Tasks::run`], so that a process which says that it runs ends well whenever it is
    /// told to.
    pub fn listen(&mut self) -> std::io::Result<()> {
        if self.signals.is_none() {
            self.signals = Some(Signals::listen()?);
        }
        Ok(())
    }

    /// Cancelled when the process is to end: stop taking work, finish what is in hand.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Owns a task that the process cannot do without: if it fails, the process ends. Returning `Ok` is fine.
    pub fn spawn(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let handle = self.set.spawn(task);
        self.names.insert(handle.id(), name.into());
    }

    /// Owns a loop that is started again when it fails, panics or ends before the stop. `begin` makes it anew each
    /// time and is handed its check, to say when it is ready.
    pub fn supervise<F, L>(&mut self, name: impl Into<String>, back_off: BackOff, begin: F)
    where
        F: FnMut(Supervised) -> L + Send + 'static,
        L: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let name = name.into();
        let check = self.health.check(name.clone());
        self.spawn(name, supervise::run(self.stop.clone(), check, back_off, begin));
    }

    /// Runs until a signal, a stop from within, or the failure of a task; then drains within the bound.
    pub async fn run(mut self, drain_time_max: Duration) -> Ended {
        let signals = match self.signals.take() {
            Some(signals) => Ok(signals),
            None => Signals::listen(),
        };
        let mut signals = match signals {
            Ok(signals) => signals,
            Err(error) => {
                let failed = ("signals".to_owned(), anyhow::Error::from(error));
                return Ended { failed: Some(failed), unfinished: Vec::new() };
            }
        };
        let stop = self.stop.clone();
        let failed = tokio::select! {
            () = signals.next() => None,
            () = stop.cancelled() => None,
            failed = self.first_failure() => failed,
        };
        tracing::info!(drain_seconds = drain_time_max.as_secs(), "stopping, finishing what is in hand");
        self.health.begin_draining();
        self.stop.cancel();
        let mut ended = Ended { failed, unfinished: Vec::new() };
        tokio::select! {
            later = self.all() => ended.failed = ended.failed.or(later),
            () = tokio::time::sleep(drain_time_max) => tracing::warn!("the time to finish is over"),
            () = signals.next() => tracing::warn!("a second signal, not waiting any longer"),
        }
        ended.unfinished = self.names.into_values().collect();
        self.set.abort_all();
        while self.set.join_next().await.is_some() {}
        ended
    }

    /// The first task that fails. With all tasks ended well there is nothing more to run.
    async fn first_failure(&mut self) -> Option<(String, anyhow::Error)> {
        while let Some(joined) = self.set.join_next_with_id().await {
            if let Some(failed) = self.joined(joined) {
                return Some(failed);
            }
        }
        None
    }

    async fn all(&mut self) -> Option<(String, anyhow::Error)> {
        let mut first = None;
        while let Some(joined) = self.set.join_next_with_id().await {
            let failed = self.joined(joined);
            first = first.or(failed);
        }
        first
    }

    fn joined(
        &mut self,
        joined: Result<(Id, anyhow::Result<()>), JoinError>,
    ) -> Option<(String, anyhow::Error)> {
        let (id, result) = match joined {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(anyhow::Error::from(error))),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        let error = result.err()?;
        tracing::error!(task = name, error = format!("{error:#}"), "a task failed");
        Some((name, error))
    }
}

#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests;
