//! The desk on a thread of its own, for as long as it is open: what one batch needs of memory the next one finds again, where a
//! pool's threads would each keep their own.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::mpsc as answers;

use super::Request;
use super::desk::{Desk, Trouble};

/// A handle of the thread.
#[derive(Debug)]
pub(super) struct Writer {
    steps: mpsc::Sender<Vec<Request>>,
    stepped: answers::Receiver<Stepped>,
    due_at: Option<Instant>,
    thread: JoinHandle<()>,
}

/// What became of a step, and when a tick is due after it.
#[derive(Debug)]
struct Stepped {
    result: Result<(), Trouble>,
    due_at: Option<Instant>,
}

impl Writer {
    pub(super) fn start(mut desk: Desk) -> anyhow::Result<Writer> {
        let (steps, taken) = mpsc::channel::<Vec<Request>>();
        let (told, stepped) = answers::channel(1);
        let due_at = due_of(&mut desk);
        let work = move || {
            while let Ok(requests) = taken.recv() {
                let result = desk.step(requests);
                let due_at = due_of(&mut desk);
                if told.blocking_send(Stepped { result, due_at }).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("recorder".to_owned()).spawn(work)?;
        Ok(Writer { steps, stepped, due_at, thread })
    }

    /// How long until a tick is due.
    pub(super) fn until_due(&self) -> Option<Duration> {
        self.due_at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Records one batch.
    pub(super) async fn step(&mut self, requests: Vec<Request>) -> anyhow::Result<Result<(), Trouble>> {
        const ENDED: &str = "the thread that records has ended";
        self.steps.send(requests).ok().context(ENDED)?;
        let Stepped { result, due_at } = self.stepped.recv().await.context(ENDED)?;
        self.due_at = due_at;
        Ok(result)
    }

    /// Lets go of the desk.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        let Writer { steps, thread, .. } = self;
        drop(steps);
        let ended = tokio::task::spawn_blocking(move || thread.join()).await?;
        ended.map_err(|_| anyhow::anyhow!("the thread that records has panicked"))
    }
}

fn due_of(desk: &mut Desk) -> Option<Instant> {
    desk.until_due().map(|due| Instant::now() + due)
}
