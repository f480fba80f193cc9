//! Starts a loop again when it ends, with growing pauses, and counts it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::health::Check;

/// The pauses between starts: doubled each time, and from the beginning once a loop ran for longer than `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    pub first: Duration,
    pub max: Duration,
}

impl Default for BackOff {
    fn default() -> BackOff {
        BackOff { first: Duration::from_millis(500), max: Duration::from_secs(30) }
    }
}

/// What a supervised loop is given.
#[derive(Clone, Debug)]
pub struct Supervised {
    pub stop: CancellationToken,
    /// Not ready until the loop says so.
    pub check: Check,
}

impl Supervised {
    /// Runs a part of a loop with a check and pauses of its own, so that its failing ends none of the others. Ends at the
    /// stop, with what failed while ending.
    pub async fn part<F, L>(&self, name: &str, begin: F) -> anyhow::Result<()>
    where
        F: FnMut(Supervised) -> L + Send,
        L: Future<Output = anyhow::Result<()>> + Send,
    {
        run(self.stop.clone(), self.check.of_part(name), BackOff::default(), begin).await
    }
}

pub(super) async fn run<F, L>(
    stop: CancellationToken,
    check: Check,
    back_off: BackOff,
    mut begin: F,
) -> anyhow::Result<()>
where
    F: FnMut(Supervised) -> L + Send,
    L: Future<Output = anyhow::Result<()>> + Send,
{
    let restarts = check.restarts();
    let mut pause = back_off.first;
    loop {
        let began = Instant::now();
        let given = Supervised { stop: stop.clone(), check: check.clone() };
        let ended = AssertUnwindSafe(begin(given)).catch_unwind().await;
        if stop.is_cancelled() {
            // What fails while ending is still told.
            return ended.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked")));
        }
        let reason = match ended {
            Ok(Ok(())) => "it ended".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "it panicked".to_owned(),
        };
        check.failing(&reason);
        if began.elapsed() > back_off.max {
            pause = back_off.first;
        }
        tracing::warn!(
            task = check.name(),
            reason,
            pause_ms = pause.as_millis(),
            "a loop ended, starting it again"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
        restarts.inc();
        pause = (pause * 2).min(back_off.max);
    }
}
