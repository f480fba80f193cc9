//! Events that left the stream before they were taken: purged, or gone with a stream that was made anew.
//!
//! In: deliveries as they come, and the place of the last one that was taken, which is kept in a file. The
//! consumer takes every subject of the stream, so that first deliveries follow each other without a gap. Out:
//! a word in the log, a count. What is only delivered later, or was settled and trimmed since the file was
//! written, is no loss: so the stream is asked what it still has.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet_runtime::bus::{Bus, Delivery, Stream};
use fleet_runtime::error_chain;
use fleet_runtime::kept_file::KeptFile;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::metrics::CorrelatorMetrics;
use crate::shared::Shared;

const TAKEN_FILE: &str = "taken.json";
const TAKEN_FORMAT: u32 = 1;

/// The furthest place in the stream from which something was taken, and when that was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    sequence: u64,
    published_at: Timestamp,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lost {
    bus: Arc<dyn Bus>,
    shared: Arc<Shared>,
    metrics: CorrelatorMetrics,
    file: KeptFile,
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    last: Option<Place>,
    written: Option<Place>,
}

/// What a delivery that does not follow the last one means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jump {
    /// These are not there before it, up to and without the second.
    Over(u64, u64),
    /// The stream counts from its beginning again.
    Anew,
}

impl Lost {
    pub(super) fn open(
        bus: &Arc<dyn Bus>,
        data: &Path,
        shared: &Arc<Shared>,
        metrics: CorrelatorMetrics,
    ) -> Lost {
        let file = KeptFile::new(data, TAKEN_FILE, TAKEN_FORMAT);
        let last = file.read().unwrap_or_else(|error| {
            tracing::warn!(error = error_chain(&error), "what was taken so far is not known");
            None
        });
        let known = Mutex::new(Known { last, written: None });
        Lost { bus: Arc::clone(bus), shared: Arc::clone(shared), metrics, file, known }
    }

    /// Looks at what was fetched, in the order in which it came.
    pub(super) async fn look(&self, fetched: &[Delivery]) {
        let mut jumps = Vec::new();
        {
            let mut known = self.known();
            for delivery in fetched.iter().filter(|delivery| delivery.deliveries == 1) {
                let place = Place { sequence: delivery.sequence, published_at: delivery.published_at };
                let jump = known.last.and_then(|last| jump(last, place));
                if jump.is_some() || known.last.is_none_or(|last| is_next(last, place)) {
                    known.last = Some(place);
                }
                jumps.extend(jump);
            }
        }
        for jump in jumps {
            match jump {
                Jump::Over(from, to) => self.look_for(from, to).await,
                // Another bus, or one whose servers lost what they had: nobody knows what was in it.
                Jump::Anew => tracing::warn!(
                    "the stream of events was made anew, or is another: what was in it and not taken is gone"
                ),
            }
        }
        // Before any of it is settled: what is settled may be trimmed, and is no loss.
        self.write().await;
    }

    /// Whether the stream still has what a first delivery jumped over; then it comes again.
    async fn look_for(&self, from: u64, to: u64) {
        match self.bus.read(Stream::Events, from, 1).await {
            Ok(found) => {
                let first = found.first().map_or(to, |stored| stored.sequence).min(to);
                if first > from {
                    self.say(
                        first - from,
                        "events left the stream before they were taken: purged, or taken by another correlator",
                    );
                }
            }
            Err(error) => {
                tracing::warn!(
                    from,
                    to,
                    error = error_chain(&error),
                    "failed to look for events that did not come"
                );
            }
        }
    }

    fn say(&self, events: u64, what: &str) {
        tracing::error!(
            events_at_least = events,
            "{what}; agents that list what there is say it again, the rest is lost"
        );
        self.metrics.lost(events);
        self.shared.note_lost(events);
    }

    /// Writes the place, unless it is there.
    async fn write(&self) {
        let Known { last, written } = *self.known();
        let Some(place) = last.filter(|_| last != written) else { return };
        let file = self.file.clone();
        match tokio::task::spawn_blocking(move || file.write_unsynced(&place)).await {
            Ok(Ok(())) => self.known().written = Some(place),
            Ok(Err(error)) => tracing::debug!(error = error_chain(&error), "failed to write what was taken"),
            Err(_) => {}
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_next(last: Place, place: Place) -> bool {
    place.sequence == last.sequence + 1
}

fn jump(last: Place, place: Place) -> Option<Jump> {
    if place.sequence > last.sequence + 1 {
        return Some(Jump::Over(last.sequence + 1, place.sequence));
    }
    // A consumer that was made anew gives everything again: older, and under the places that it had.
    let is_anew = place.sequence <= last.sequence && place.published_at > last.published_at;
    is_anew.then_some(Jump::Anew)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64, second: i64) -> Place {
        Place { sequence, published_at: Timestamp::from_second(second).unwrap_or_default() }
    }

    #[test]
    fn what_follows_or_comes_again_is_no_jump() {
        let last = place(10, 100);
        for (next, expected) in [
            (place(11, 101), None),
            (place(11, 90), None),
            (place(10, 100), None),
            (place(3, 30), None),
            (place(14, 101), Some(Jump::Over(11, 14))),
            (place(1, 101), Some(Jump::Anew)),
        ] {
            assert_eq!(jump(last, next), expected, "{next:?}");
        }
    }
}
