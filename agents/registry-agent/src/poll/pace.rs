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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use super::*;

    const APART: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn requests_are_apart_and_a_pause_is_not_made_up_for() {
        let pace = Pace::new(50, CancellationToken::new());
        for _ in 0..2 {
            let began = Instant::now();
            for _ in 0..6 {
                pace.wait().await.unwrap();
            }
            // The first may go at once, and a timer is no finer than a millisecond.
            assert!(began.elapsed() >= APART * 4, "{:?}", began.elapsed());
            tokio::time::sleep(APART * 5).await;
        }
    }

    #[tokio::test]
    async fn many_at_once_share_one_pace() {
        let pace = Pace::new(50, CancellationToken::new());
        let began = Instant::now();
        futures::future::try_join_all((0..6).map(|_| pace.wait())).await.unwrap();
        assert!(began.elapsed() >= APART * 4, "{:?}", began.elapsed());
    }
}
