//! One webhook's loop: what waits, what is sent next, and what became of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use correlator_core::decision::Decision;
use correlator_store::{DeliveryOutcome, OutboxId, Queued, Told};
use fleet_runtime::dead_letters::DeadLetters;
use fleet_runtime::error_chain;
use fleet_runtime::health::Check;
use tokio_util::sync::CancellationToken;

use super::message::{self, Links};
use super::plan::{Waiting, plan};
use super::sign::message_id;
use super::webhook::{Answer, Webhook};
use super::{Deliver, LOOK_EVERY, ROWS_MAX, resend};
use crate::recorder::RecordError;
use crate::settings::AlertSettings;
use crate::trace::trace_of;
use fleet_runtime::trace::{Step, StepKind};

/// Deliveries of one webhook that are held at once; the rest waits in the outbox.
const WAITING_MAX: usize = 4096;

/// A webhook at work.
pub(super) struct Sink {
    deliver: Deliver,
    alert: AlertSettings,
    webhook: Webhook,
    waiting: BTreeMap<OutboxId, Waiting>,
    decisions: BTreeMap<OutboxId, Queued>,
    cursor: Option<OutboxId>,
    /// The whole webhook rests: it asked for it, or it cannot be reached.
    rests_until: Option<Instant>,
    failures: u32,
}

impl Sink {
    pub(super) fn new(deliver: Deliver, alert: AlertSettings) -> anyhow::Result<Sink> {
        let webhook = Webhook::new(alert.clone())?;
        Ok(Sink {
            deliver,
            alert,
            webhook,
            waiting: BTreeMap::new(),
            decisions: BTreeMap::new(),
            cursor: None,
            rests_until: None,
            failures: 0,
        })
    }

    /// Runs until the stop. What waits then is sent after the next start.
    pub(super) async fn run(mut self, check: Check, stop: CancellationToken) -> anyhow::Result<()> {
        let mut progress = self.deliver.shared.progress.subscribe();
        check.ready();
        loop {
            match self.round(&check, &stop).await {
                Ok(Some(pause)) => tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    changed = progress.changed() => if changed.is_err() { return Ok(()) },
                    () = stop.cancelled() => {}
                },
                Ok(None) => {}
                Err(error) => match error.downcast::<RecordError>() {
                    Ok(RecordError::Ending) => return Ok(()),
                    Ok(error) => return Err(error.into()),
                    Err(error) => return Err(error),
                },
            }
            if stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// One step; returns how long nothing is to be done, or nothing when there may be more at once.
    async fn round(&mut self, check: &Check, stop: &CancellationToken) -> anyhow::Result<Option<Duration>> {
        let has_more = self.fill().await?;
        let now = Instant::now();
        let plan = plan(&self.waiting, now);
        for id in plan.superseded {
            self.end(id, DeliveryOutcome::Superseded, "superseded").await?;
        }
        if let Some(until) = self.rests_until.filter(|until| *until > now) {
            return Ok(Some(until.duration_since(now).min(LOOK_EVERY)));
        }
        match plan.next {
            Some(id) if !stop.is_cancelled() => {
                self.attempt(id, check).await?;
                Ok(None)
            }
            Some(_) => Ok(Some(Duration::ZERO)),
            None if has_more => Ok(None),
            None => Ok(Some(plan.due.map_or(LOOK_EVERY, |due| due.duration_since(now).min(LOOK_EVERY)))),
        }
    }

    /// Takes decisions of the outbox. Returns whether there may be more.
    async fn fill(&mut self) -> anyhow::Result<bool> {
        if self.waiting.len() + ROWS_MAX > WAITING_MAX {
            return Ok(false);
        }
        let rows = self.deliver.rows(self.cursor).await?;
        let is_full_page = rows.len() == ROWS_MAX;
        for row in rows {
            self.cursor = Some(row.id);
            let Decision::Deliver { change, case } = &row.decision else { continue };
            let known = self.deliver.known_outcomes(row.id).await?;
            let is_settled = self.deliver.settle.learn(row.id, &known).await;
            if known.iter().any(|sink| sink == self.alert.name()) {
                if is_settled {
                    // The webhook that was missing is no longer in the settings.
                    let told = Told::of(case);
                    self.deliver.record(row.id, told, self.alert.name(), DeliveryOutcome::Accepted).await?;
                }
                continue;
            }
            let waiting = Waiting {
                case: case.id.clone(),
                change: *change,
                attempts: 0,
                refusals: 0,
                first_attempt: None,
                not_before: None,
            };
            self.waiting.insert(row.id, waiting);
            self.decisions.insert(row.id, row);
        }
        Ok(is_full_page)
    }

    async fn attempt(&mut self, id: OutboxId, check: &Check) -> anyhow::Result<()> {
        let Some((message_id, body)) = self.message(id)? else {
            return self.end(id, DeliveryOutcome::Superseded, "superseded").await;
        };
        let trace = self.decisions.get(&id).map(trace_of);
        let step = trace.map(|trace| Step::below(&trace, StepKind::Call, "deliver an alert"));
        let answer = self.webhook.send(&message_id, body.clone()).await;
        if let Some(mut step) = step {
            step.note("custody.sink", self.alert.name());
            match &answer {
                Answer::Accepted => {}
                Answer::Later { .. } => step.failed("later"),
                Answer::Refused { .. } => step.failed("refused"),
            }
        }
        let now = Instant::now();
        let (reason, retry_after, whole_sink, was_refused) = match answer {
            Answer::Accepted => {
                self.failures = 0;
                self.rests_until = None;
                check.ready();
                tracing::info!(sink = self.alert.name(), message_id, "delivered an alert");
                return self.end(id, DeliveryOutcome::Accepted, "accepted").await;
            }
            Answer::Later { reason, retry_after, whole_sink } => (reason, retry_after, whole_sink, false),
            Answer::Refused { reason } => (reason, None, false, true),
        };
        self.deliver.metrics.delivery(self.alert.name(), if was_refused { "refused" } else { "retry" });
        check.failing(format!("alerts are not delivered: {reason}"));
        let Some(waiting) = self.waiting.get_mut(&id) else { return Ok(()) };
        waiting.attempts += 1;
        waiting.refusals += u32::from(was_refused);
        let first_attempt = *waiting.first_attempt.get_or_insert(now);
        let is_given_up = waiting.refusals >= self.alert.refusals_max
            || now.duration_since(first_attempt) >= self.alert.give_up_after;
        let pause = retry_after.unwrap_or_else(|| self.alert.pauses.with_jitter(waiting.attempts));
        waiting.not_before = Some(now + pause);
        let attempts = waiting.attempts;
        if whole_sink {
            self.failures += 1;
            let rest = retry_after.unwrap_or_else(|| self.alert.pauses.with_jitter(self.failures));
            self.rests_until = Some(now + rest);
        }
        tracing::warn!(sink = self.alert.name(), message_id, attempts, reason, "failed to deliver an alert");
        if !is_given_up {
            return Ok(());
        }
        let reason = format!("given up after {attempts} attempts: {reason}");
        self.bury(&message_id, &reason, body).await?;
        check.ready();
        self.end(id, DeliveryOutcome::DeadLettered { reason }, "dead_lettered").await
    }

    fn message(&self, id: OutboxId) -> anyhow::Result<Option<(String, Vec<u8>)>> {
        let Some(row) = self.decisions.get(&id) else { return Ok(None) };
        let Decision::Deliver { change, case } = &row.decision else { return Ok(None) };
        let links = Links {
            log: self.deliver.store.log().id().to_string(),
            public_url: &self.deliver.public_url,
            runbooks_url: self.alert.runbooks_url.as_ref(),
        };
        let message_id = message_id(&case.id, case.revision, *change);
        let trace = trace_of(row);
        let body = message::body(&message_id, *change, case, id.position, &trace, &links)?;
        Ok(Some((message_id, body)))
    }

    /// Keeps what was given up where people see it. A dead letter that cannot take it keeps the delivery waiting.
    async fn bury(&self, message_id: &str, reason: &str, body: Vec<u8>) -> anyhow::Result<()> {
        let source = resend::source(self.alert.name());
        let letters = DeadLetters::new(self.deliver.bus.clone());
        let reason = format!("alert {message_id} {reason}");
        letters
            .put_received(&source, &reason, None, body.into())
            .await
            .map(|_| ())
            .map_err(|error| anyhow::anyhow!("keep an alert that was given up: {}", error_chain(&error)))
    }

    async fn end(
        &mut self,
        id: OutboxId,
        outcome: DeliveryOutcome,
        word: &'static str,
    ) -> anyhow::Result<()> {
        let Some(Decision::Deliver { case, .. }) = self.decisions.get(&id).map(|row| &row.decision) else {
            return Ok(());
        };
        self.deliver.record(id, Told::of(case), self.alert.name(), outcome).await?;
        self.deliver.metrics.delivery(self.alert.name(), word);
        self.waiting.remove(&id);
        self.decisions.remove(&id);
        Ok(())
    }
}
