//! What the answers of both agents share: which questions are theirs, and how every answer ends.
//!
//! An answer publishes ordinary events and always ends with `evidence.unavailable`: `not_found` when the forge was asked
//! and has nothing beyond them, or the reason why not everything could be asked.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_schema::fleet::{EvidenceRequested, EvidenceUnavailable, Unavailable};
use bus_schema::{Event, ForgeHost, GitRef, RepositoryRef, TraceParent};
use fleet_runtime::publisher::{PublishError, Publisher};
use fleet_runtime::worker::Handled;
use jiff::Timestamp;

use crate::api::{ApiClient, ApiFailure, Route};
use crate::payload::Repository;
use crate::report::Report;
use crate::scope::ForgeScope;

/// The longest detail of an answer, in characters.
const DETAIL_CHARS_MAX: usize = 400;
/// The pause before a question is taken up again when our own bus fails.
const BUS_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A forge that can be asked, and about what.
#[derive(Debug, Clone)]
pub struct AskedForge {
    pub scope: ForgeScope,
    pub api: ApiClient,
}

/// The forges of one agent.
#[derive(Debug, Clone, Default)]
pub struct AskedForges {
    forges: BTreeMap<ForgeHost, AskedForge>,
}

impl AskedForges {
    pub fn new(forges: impl IntoIterator<Item = AskedForge>) -> AskedForges {
        AskedForges { forges: forges.into_iter().map(|forge| (forge.scope.host.clone(), forge)).collect() }
    }

    /// The client for a repository, when both its host and its owner are in the settings.
    pub fn client(&self, repository: &RepositoryRef) -> Result<&ApiClient, LookUpEnd> {
        match self.forges.get(&repository.host) {
            None => Err(LookUpEnd::unconfigured(format!("no forge {} is configured", repository.host))),
            Some(forge) if !forge.scope.holds(repository) => {
                Err(LookUpEnd::unconfigured(format!("{} is not watched", repository.path())))
            }
            Some(forge) => Ok(&forge.api),
        }
    }

    /// The smallest budget that is left, where a forge told one.
    pub fn budget_left(&self) -> Option<u64> {
        self.forges.values().filter_map(|forge| forge.api.budget_left()).min()
    }
}

/// Why a look-up goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookUpEnd {
    pub reason: Unavailable,
    pub detail: String,
}

impl LookUpEnd {
    pub fn new(reason: Unavailable, detail: impl Into<String>) -> LookUpEnd {
        LookUpEnd { reason, detail: detail.into() }
    }

    /// Everything was asked and is published.
    pub fn complete(detail: impl Into<String>) -> LookUpEnd {
        LookUpEnd::new(Unavailable::NotFound, detail)
    }

    pub fn unconfigured(detail: impl Into<String>) -> LookUpEnd {
        LookUpEnd::new(Unavailable::Unconfigured, detail)
    }

    pub fn cut_off(detail: impl Into<String>) -> LookUpEnd {
        LookUpEnd::new(Unavailable::CutOff, detail)
    }

    pub fn unreadable(error: &dyn std::error::Error) -> LookUpEnd {
        LookUpEnd::new(Unavailable::Unreadable, fleet_runtime::error_chain(error))
    }

    /// A failed look-up of `what`.
    pub fn failed(what: &str, failure: &ApiFailure) -> LookUpEnd {
        LookUpEnd::new(failure.unavailable(), format!("{what}: {failure}"))
    }
}

/// What ended an answer early: the forge's side, or our own bus.
#[derive(Debug)]
pub enum Stop {
    End(LookUpEnd),
    Bus(PublishError),
}

impl From<LookUpEnd> for Stop {
    fn from(end: LookUpEnd) -> Stop {
        Stop::End(end)
    }
}

impl From<PublishError> for Stop {
    fn from(error: PublishError) -> Stop {
        Stop::Bus(error)
    }
}

/// Publishes the events of one answer and counts them.
#[derive(Debug)]
pub struct AnswerEvents<'a> {
    publisher: &'a Publisher,
    request: &'a EvidenceRequested,
    trace: Option<&'a TraceParent>,
    found: u32,
    /// Why an event could not be said at all.
    unsayable: Option<String>,
}

impl<'a> AnswerEvents<'a> {
    pub fn new(
        publisher: &'a Publisher,
        request: &'a EvidenceRequested,
        trace: Option<&'a TraceParent>,
    ) -> AnswerEvents<'a> {
        AnswerEvents { publisher, request, trace, found: 0, unsayable: None }
    }

    /// Publishes one event. One that cannot be said at all hides nothing of the rest: the answer ends as cut off.
    pub async fn publish(&mut self, report: Report) -> Result<(), PublishError> {
        match self.say(report).await {
            Ok(()) => self.found = self.found.saturating_add(1),
            Err(error) if error.is_of_the_event() => {
                self.unsayable.get_or_insert(fleet_runtime::error_chain(&error));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn say(&self, report: Report) -> Result<(), PublishError> {
        let Report { occurred, event } = report;
        let envelope = self.publisher.envelope(occurred, self.trace.cloned(), event);
        self.publisher.publish(&envelope).await.map(|_| ())
    }

    /// Ends the answer.
    pub async fn end(self, end: LookUpEnd) -> Result<(), PublishError> {
        let answered_at = Timestamp::now();
        let end = match self.unsayable.clone() {
            Some(why) if end.reason == Unavailable::NotFound => LookUpEnd::cut_off(why),
            _ => end,
        };
        tracing::info!(
            request = %self.request.request,
            reason = end.reason.as_str(),
            found = self.found,
            "answered a question"
        );
        let event = EvidenceUnavailable {
            request: self.request.request.clone(),
            attempt: self.request.attempt,
            question: self.request.question.clone(),
            reason: end.reason,
            source: self.request.question.host().to_owned(),
            detail: end.detail.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect(),
            found: self.found,
            answered_at,
        };
        self.publisher.metrics().answered(word(&event.reason));
        self.say(Report { occurred: answered_at, event: Event::EvidenceUnavailable(event) }).await
    }
}

/// The reason as a word of the program, for counting.
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

/// What became of a question: while our bus fails it is held, everything else is an answer.
pub fn handled(ended: Result<(), PublishError>) -> Handled {
    match ended {
        Ok(()) => Handled::Done,
        Err(error) if error.is_temporary() => {
            Handled::Hold { after: BUS_RETRY_PAUSE, reason: fleet_runtime::error_chain(&error) }
        }
        Err(error) => Handled::Bury { reason: fleet_runtime::error_chain(&error) },
    }
}

/// A repository as the forge knows it now.
#[derive(Debug, Clone)]
pub struct FoundRepository {
    /// With the forge's ids.
    pub reference: RepositoryRef,
    pub default_branch: Option<GitRef>,
}

/// Finds the repository that a question names and checks that it still is the one with the question's ids.
///
/// A 404 here is `denied`: the forge hides what a credential may not see in the same words, so it proves no absence.
pub async fn repository(api: &ApiClient, asked: &RepositoryRef) -> Result<FoundRepository, LookUpEnd> {
    let route = Route::repository(&asked.owner, &asked.name, []);
    let answer: Repository = match api.get(&route).await {
        Ok(repository) => repository,
        Err(ApiFailure::NotFound) => {
            let detail = format!("{} is not visible to this agent", asked.path());
            return Err(LookUpEnd::new(Unavailable::Denied, detail));
        }
        Err(failure) => return Err(LookUpEnd::failed("the repository", &failure)),
    };
    let found = answer.reference(&asked.host).map_err(|error| LookUpEnd::unreadable(&error))?;
    if !found.is_same(asked) {
        let detail = format!("{} now is another repository than the one asked for", asked.path());
        return Err(LookUpEnd::complete(detail));
    }
    let default_branch = answer.default_branch.and_then(|name| GitRef::branch(&name).ok());
    Ok(FoundRepository { reference: found, default_branch })
}
