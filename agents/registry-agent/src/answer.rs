//! Answers the correlator's question about an image.
//!
//! In: `evidence.requested` for a digest in a repository. Out: what is found, and always one `evidence.unavailable`
//! at the end: `not_found` says that there is nothing beyond what was published; every other reason says that
//! something could not be looked at. It calls configured registries only.

use std::time::Duration;

use async_trait::async_trait;
use bus_schema::fleet::{EvidenceRequested, EvidenceUnavailable, Unavailable};
use bus_schema::question::Question;
use bus_schema::{Event, TraceParent};
use fleet_runtime::asked::Answer;
use fleet_runtime::publisher::PublishError;
use fleet_runtime::worker::Handled;
use jiff::Timestamp;

use crate::agent::Agent;
use crate::look_up::{Found, LookingUp};
use crate::sink::OnTheBus;
use crate::tags::What;

const BUS_RETRY_AFTER: Duration = Duration::from_secs(5);
/// A look gets at least this long, however late its question came.
const DEADLINE_MIN: Duration = Duration::from_secs(1);

#[async_trait]
impl Answer for Agent {
    async fn answer(&self, request: &EvidenceRequested, trace: Option<&TraceParent>) -> Handled {
        if !matches!(request.question, Question::Image { .. }) {
            return Handled::Bury { reason: "a question that a registry agent cannot answer".to_owned() };
        }
        match self.answered(request, trace).await {
            Ok(reason) => {
                self.publisher.metrics().answered(word(&reason));
                Handled::Done
            }
            Err(error) if error.is_temporary() => {
                Handled::Hold { after: BUS_RETRY_AFTER, reason: fleet_runtime::error_chain(&error) }
            }
            Err(error) => Handled::Bury { reason: fleet_runtime::error_chain(&error) },
        }
    }
}

impl Agent {
    async fn answered(
        &self,
        request: &EvidenceRequested,
        trace: Option<&TraceParent>,
    ) -> Result<Unavailable, PublishError> {
        let found = match &request.question {
            Question::Image { repository, digest } => match self.watched(repository) {
                Some(watched) => {
                    let has_referrers_api = watched.settings.referrers_api;
                    let client = &watched.client;
                    let sink = OnTheBus { publisher: &self.publisher, trace };
                    let looking_up = LookingUp::new(client, repository, has_referrers_api, &sink);
                    Some(looking_up.run(*digest, What::Image, self.deadline(request)).await?)
                }
                None => None,
            },
            _ => None,
        };
        let (reason, detail) = end_of(found.as_ref(), request.question.host());
        let answer = EvidenceUnavailable {
            request: request.request.clone(),
            attempt: request.attempt,
            question: request.question.clone(),
            reason: reason.clone(),
            source: request.question.host().to_owned(),
            detail,
            found: found.map_or(0, |found| found.events),
            answered_at: Timestamp::now(),
        };
        let event = Event::EvidenceUnavailable(answer);
        self.publisher.publish(&self.publisher.envelope(Timestamp::now(), trace.cloned(), event)).await?;
        Ok(reason)
    }

    fn deadline(&self, request: &EvidenceRequested) -> Duration {
        let left = Timestamp::now().until(request.until).ok();
        let left = left.and_then(|span| Duration::try_from(span).ok()).unwrap_or_default();
        left.min(self.tuning.look_up_timeout).max(DEADLINE_MIN)
    }
}

/// The reason and the words with which a listing closes.
pub(crate) fn end_of(found: Option<&Found>, host: &str) -> (Unavailable, String) {
    match found {
        None => (Unavailable::Unconfigured, format!("{host} is not among the configured registries")),
        Some(Found { problem: Some(problem), .. }) => (problem.reason.clone(), problem.detail.clone()),
        Some(Found { is_missing: true, .. }) => {
            (Unavailable::NotFound, "the registry has no manifest of this digest".to_owned())
        }
        Some(Found { .. }) => (
            Unavailable::NotFound,
            "every place was looked at; there is nothing beyond what was found".to_owned(),
        ),
    }
}

fn word(reason: &Unavailable) -> &'static str {
    match reason {
        Unavailable::NotFound => "complete",
        Unavailable::Denied => "denied",
        Unavailable::RateLimited => "rate_limited",
        Unavailable::Unreachable => "unreachable",
        Unavailable::Unconfigured => "unconfigured",
        Unavailable::CutOff => "cut_off",
        Unavailable::Unreadable => "unreadable",
        Unavailable::Other(_) => "other",
    }
}
