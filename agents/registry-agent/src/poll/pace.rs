//! Keeps a poll's requests apart, so that a registry is asked at a bounded rate.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::PollError;

#[derive(Debug)]
pub(super) struct Pace {
    ticks: Mutex<Interval>,
    stop: CancellationToken,
}

impl Pace {
    pub(super) fn new(per_second: u32, stop: CancellationToken) -> Pace {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
        // A slow answer is no reason to hurry afterwards.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Pace { ticks: Mutex::new(ticks), stop }
    }

    /// Waits for the turn of the next request.
    pub(super) async fn wait(&self) -> Result<(), PollError> {
        let mut ticks = self.ticks.lock().await;
        tokio::select! {
            () = self.stop.cancelled() => Err(PollError::Stopped),
            _ = ticks.tick() => Ok(()),
        }
    }

    pub(super) async fn sleep(&self, time: Duration) -> Result<(), PollError> {
        tokio::select! {
            () = self.stop.cancelled() => Err(PollError::Stopped),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}
