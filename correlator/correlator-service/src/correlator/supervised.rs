//! Keeps a part running: started again with growing pauses when it fails or panics, until the stop.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use fleet_runtime::health::Check;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::pause::Pauses;

const PAUSES: Pauses = Pauses { first: Duration::from_millis(500), max: Duration::from_secs(30) };

/// Runs `begin` again and again. What fails at the stop is the result.
pub(super) async fn run<B, F>(check: Check, stop: CancellationToken, begin: B) -> anyhow::Result<()>
where
    B: Fn(Check, CancellationToken) -> F + Send,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let mut failures = 0;
    loop {
        let began = std::time::Instant::now();
        let ended = AssertUnwindSafe(begin(check.clone(), stop.clone())).catch_unwind().await;
        let ended = ended.unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked")));
        if stop.is_cancelled() {
            return ended;
        }
        let reason = match ended {
            Ok(()) => "it ended".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if began.elapsed() > PAUSES.max {
            failures = 0;
        }
        failures += 1;
        let pause = PAUSES.with_jitter(failures);
        check.failing(&reason);
        tracing::warn!(
            part = check.name(),
            reason,
            pause_ms = pause.as_millis(),
            "a part ended, starting it again"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
