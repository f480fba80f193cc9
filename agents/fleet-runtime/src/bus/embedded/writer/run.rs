//! How the writer waits: as a thread of its own, or as a task of a simulation.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::Writer;
use crate::bus::embedded::command::Queued;

/// What comes after a batch.
pub(super) enum Next {
    Batch,
    /// The database failed and is opened again after this time.
    Reopen(Duration),
    End,
}

impl Writer {
    pub(super) fn run_on_thread(mut self, receiver: &Receiver<Queued>) {
        loop {
            let mut batch = self.begin();
            while !batch.is_whole() {
                let wait = batch.until.saturating_duration_since(Instant::now());
                match receiver.recv_timeout(wait) {
                    Ok(queued) => self.take(queued, &mut batch),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => batch.is_last = true,
                }
            }
            match self.finish(batch) {
                Next::Batch => {}
                Next::Reopen(pause) => {
                    std::thread::sleep(pause);
                    self.reopen();
                }
                Next::End => return self.release(),
            }
        }
    }

    pub(super) async fn run_as_task(mut self, mut receiver: tokio::sync::mpsc::Receiver<Queued>) {
        loop {
            let mut batch = self.begin();
            while !batch.is_whole() {
                match timeout_at(batch.until, receiver.recv()).await {
                    Ok(Some(queued)) => self.take(queued, &mut batch),
                    Err(_) => break,
                    Ok(None) => batch.is_last = true,
                }
            }
            match self.finish(batch) {
                Next::Batch => {}
                Next::Reopen(pause) => {
                    sleep(pause).await;
                    self.reopen();
                }
                Next::End => return self.release(),
            }
        }
    }
}
