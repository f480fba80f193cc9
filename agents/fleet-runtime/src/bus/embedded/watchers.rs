//! Who watches which keys. A watcher that falls behind is told so and dropped; the writer never waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, stream};
use tokio::sync::mpsc;

use super::command::Watch;
use crate::bus::{BusError, Watched};

/// Changes that wait for one watcher at most.
const WATCH_CHANGES_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Watchers(Vec<Watcher>);

#[derive(Debug)]
struct Watcher {
    bucket: String,
    prefix: String,
    sender: mpsc::Sender<Watched>,
    lagged: Arc<AtomicBool>,
}

impl Watchers {
    /// Begins a watch with the entries that are there now.
    pub(super) fn add(&mut self, bucket: &str, prefix: &str, entries: Vec<Watched>) -> Watch {
        let (sender, receiver) = mpsc::channel(WATCH_CHANGES_MAX);
        let lagged = Arc::new(AtomicBool::new(false));
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        self.0.push(Watcher { bucket: bucket.clone(), prefix, sender, lagged: lagged.clone() });
        let changes = stream::unfold(Some(receiver), move |receiver| {
            let (bucket, lagged) = (bucket.clone(), lagged.clone());
            async move {
                let mut receiver = receiver?;
                match receiver.recv().await {
                    Some(change) => Some((Ok(change), Some(receiver))),
                    None if lagged.load(Ordering::Acquire) => {
                        Some((Err(BusError::WatchLagged { bucket, changes_max: WATCH_CHANGES_MAX }), None))
                    }
                    None => Some((Err(BusError::Closed), None)),
                }
            }
        });
        let current = entries.into_iter().chain([Watched::CaughtUp]).map(Ok);
        stream::iter(current).chain(changes).boxed()
    }

    pub(super) fn tell(&mut self, bucket: &str, key: &str, change: &Watched) {
        self.0.retain(|watcher| {
            if watcher.bucket != bucket || !key.starts_with(&watcher.prefix) {
                return !watcher.sender.is_closed();
            }
            match watcher.sender.try_send(change.clone()) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    watcher.lagged.store(true, Ordering::Release);
                    false
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            }
        });
    }
}
