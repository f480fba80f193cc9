//! Who may say what: whoever steals one agent can lie about one stage and its own scopes only.
//!
//! In: the subject, the event, and the grants of the settings. Out: nothing, or the refusal. Content is not judged here.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_schema::fleet::{EvidenceUnavailable, Unavailable};
use bus_schema::question::Question;
use bus_schema::registry::{AttestationAttached, EvidencePlace};
use bus_schema::{AgentId, Envelope, Event, RepositoryRef, Subject};
use correlator_core::contracts::ContractSet;
use jiff::{SignedDuration, Timestamp};

use super::owners::Owners;
use super::refusal::Refusal;
use crate::settings::{AgentGrant, AgentKind};

/// The agents and what they may say.
#[derive(Debug)]
pub(crate) struct Senders {
    agents: BTreeMap<AgentId, AgentGrant>,
    skew_max: Duration,
    owners: Owners,
}

/// What an event is about, as far as it needs a grant.
enum Scope {
    /// A repository or cluster.
    One(String),
    /// A statement of coverage, which may be wider.
    Coverage(String),
}

impl Senders {
    pub(crate) fn new(agents: BTreeMap<AgentId, AgentGrant>, skew_max: Duration) -> Senders {
        Senders { agents, skew_max, owners: Owners::default() }
    }

    /// Whether an agent may say anything.
    pub(crate) fn knows(&self, agent: &AgentId) -> bool {
        self.agents.contains_key(agent)
    }

    /// Refuses what is not the sender's to say.
    pub(crate) fn check(
        &self,
        subject: &Subject,
        envelope: &Envelope,
        now: Timestamp,
        contracts: &ContractSet,
    ) -> Result<(), Refusal> {
        check_subject(subject, envelope)?;
        let agent = &envelope.agent;
        let grant = self.agents.get(agent).ok_or_else(|| Refusal::UnknownAgent { agent: agent.clone() })?;
        if !may_say(grant.kind, &envelope.event) {
            let (kind, event_type) = (grant.kind.as_str(), envelope.event.event_type());
            return Err(Refusal::OtherStage { agent: agent.clone(), kind, event_type });
        }
        check_name(grant, envelope)?;
        for scope in scopes(&envelope.event) {
            let (holds, scope) = match scope {
                Scope::One(scope) => (grant.holds(&scope), scope),
                Scope::Coverage(scope) => (grant.touches(&scope), scope),
            };
            if !holds {
                return Err(Refusal::OutsideScope { agent: agent.clone(), scope });
            }
        }
        self.check_times(envelope, now)?;
        match &envelope.event {
            // Whoever is not concerned names what it may not speak about.
            Event::EvidenceUnavailable(answer) if is_of_nobody(answer) => Ok(()),
            _ => self.owners.check(envelope, grant, contracts),
        }
    }

    /// Whether this says no more than that somebody else has to be asked, and there is one: every agent of a kind gets the
    /// questions to its kind, and the word of one that is not concerned must not stand for that of the one who is.
    pub(crate) fn leaves_it_to_another(&self, envelope: &Envelope) -> bool {
        let (Event::EvidenceUnavailable(answer), Some(own)) =
            (&envelope.event, self.agents.get(&envelope.agent))
        else {
            return false;
        };
        let scope = scope_of(&answer.question);
        is_of_nobody(answer)
            && !own.holds(&scope)
            && self.agents.values().any(|other| other.kind == own.kind && other.holds(&scope))
    }

    /// Source times are claims and stay what they are; a time that cannot be is refused.
    fn check_times(&self, envelope: &Envelope, now: Timestamp) -> Result<(), Refusal> {
        let skew_max = SignedDuration::try_from(self.skew_max).unwrap_or(SignedDuration::MAX);
        let of_envelope =
            [("the time it happened", envelope.occurred), ("the time it was seen", envelope.seen)];
        for (what, time) in of_envelope.into_iter().chain(stated(&envelope.event)) {
            if time.duration_since(now) > skew_max {
                return Err(Refusal::FromTheFuture { what, time, skew_seconds_max: self.skew_max.as_secs() });
            }
        }
        Ok(())
    }
}

/// The times that the event's own data state, where the later of two reports counts.
fn stated(event: &Event) -> Vec<(&'static str, Timestamp)> {
    match event {
        Event::RunStarted(started) => vec![("the run's start", started.run.started_at)],
        Event::RunFinished(finished) => {
            vec![("the run's start", finished.run.started_at), ("the run's end", finished.finished_at)]
        }
        Event::JobFinished(job) => {
            vec![("the job's start", job.started_at), ("the job's end", job.finished_at)]
        }
        Event::ChangeReviewed(review) => vec![("the review's time", review.submitted_at)],
        Event::ChangeMerged(merge) => vec![("the merge's time", merge.merged_at)],
        Event::CommitPushed(push) => vec![("the push's time", push.pushed_at)],
        Event::ImagePushed(push) => vec![("the push's time", push.pushed_at)],
        Event::ContainerStarted(started) => vec![("the container's start", started.container.started_at)],
        // A recovery makes up for every gap that ends by its own end.
        Event::AgentGap(gap) => vec![("the gap's end", gap.until)],
        _ => Vec::new(),
    }
}

fn check_subject(subject: &Subject, envelope: &Envelope) -> Result<(), Refusal> {
    let Subject::In { agent, scope, event_type } = subject else { return Err(Refusal::OtherSubject) };
    if *agent != envelope.agent {
        return Err(Refusal::OtherAgent { subject: agent.clone(), envelope: envelope.agent.clone() });
    }
    let said = envelope.event.event_type();
    if *event_type != said {
        return Err(Refusal::OtherType { subject: event_type.clone(), envelope: said });
    }
    match *scope == envelope.event.partition().scope() {
        true => Ok(()),
        false => Err(Refusal::OtherScope),
    }
}

/// The events of each kind of agent. What the correlator itself says is nobody's.
pub(crate) fn may_say(kind: AgentKind, event: &Event) -> bool {
    match event {
        Event::CommitPushed(_)
        | Event::SourceTagMoved(_)
        | Event::ChangeReviewed(_)
        | Event::ChangeMerged(_)
        | Event::WorkflowChanged(_) => kind == AgentKind::Source,
        Event::RunStarted(_) | Event::JobFinished(_) | Event::RunFinished(_) => kind == AgentKind::Ci,
        Event::ImagePushed(_)
        | Event::ImageResolved(_)
        | Event::RegistryTagMoved(_)
        | Event::ImageDeleted(_) => kind == AgentKind::Registry,
        Event::AttestationAttached(attached) => kind == holder(attached),
        Event::ContainerStarted(_) | Event::ContainerStopped(_) | Event::InventoryObserved(_) => {
            kind == AgentKind::Cluster
        }
        Event::EvidenceUnavailable(answer) => kind.answers() == Some(answer.question.answerer()),
        Event::AgentReported(_) | Event::AgentGap(_) => true,
        Event::EvidenceRequested(_)
        | Event::VerdictChanged(_)
        | Event::CaseOpened(_)
        | Event::CaseUpdated(_)
        | Event::CaseResolved(_) => false,
    }
}

/// The kind of agent that can have found evidence in this place.
fn holder(attached: &AttestationAttached) -> AgentKind {
    let is_forge = attached.place == EvidencePlace::Forge
        || (attached.repository.is_none() && attached.forge_repository.is_some());
    if is_forge { AgentKind::Ci } else { AgentKind::Registry }
}

fn check_name(grant: &AgentGrant, envelope: &Envelope) -> Result<(), Refusal> {
    let agent = &envelope.agent;
    let named = match &envelope.event {
        Event::AgentReported(report) if report.kind != grant.kind.as_str() => {
            return Err(Refusal::InAnothersName { agent: agent.clone(), other: report.kind.clone() });
        }
        Event::AgentReported(report) => &report.agent,
        Event::AgentGap(gap) => &gap.agent,
        Event::InventoryObserved(inventory) => &inventory.agent,
        _ => agent,
    };
    match named == agent {
        true => Ok(()),
        false => Err(Refusal::InAnothersName { agent: agent.clone(), other: named.to_string() }),
    }
}

/// Every repository or cluster that the event speaks about in its own right.
fn scopes(event: &Event) -> Vec<Scope> {
    let forge = |repository: &RepositoryRef| vec![Scope::One(repository.to_string())];
    let image = |repository: &bus_schema::ImageRepository| vec![Scope::One(repository.to_string())];
    match event {
        Event::CommitPushed(push) => forge(&push.repository),
        Event::SourceTagMoved(moved) => forge(&moved.repository),
        Event::ChangeReviewed(review) => forge(&review.repository),
        Event::ChangeMerged(merge) => forge(&merge.repository),
        Event::WorkflowChanged(change) => forge(&change.repository),
        Event::RunStarted(started) => forge(&started.run.repository),
        Event::RunFinished(finished) => forge(&finished.run.repository),
        Event::JobFinished(job) => forge(&job.repository),
        Event::ImagePushed(push) => image(&push.repository),
        Event::ImageResolved(resolved) => image(&resolved.repository),
        Event::RegistryTagMoved(moved) => image(&moved.repository),
        Event::ImageDeleted(deleted) => image(&deleted.repository),
        Event::AttestationAttached(attached) => {
            let images = attached.repository.iter().map(ToString::to_string);
            let forges = attached.forge_repository.iter().map(ToString::to_string);
            // Each that is named: who keeps evidence of one place brings no digest into another.
            images.chain(forges).map(Scope::One).collect()
        }
        Event::ContainerStarted(started) => vec![Scope::One(started.container.workload.cluster.to_string())],
        Event::ContainerStopped(stopped) => vec![Scope::One(stopped.container.workload.cluster.to_string())],
        Event::InventoryObserved(inventory) => {
            let listed = inventory.containers.iter().map(|container| &container.workload.cluster);
            let clusters: std::collections::BTreeSet<_> = listed.chain([&inventory.cluster]).collect();
            clusters.into_iter().map(|cluster| Scope::One(cluster.to_string())).collect()
        }
        // Not to be concerned is everybody's to say.
        Event::EvidenceUnavailable(answer) if is_of_nobody(answer) => Vec::new(),
        Event::EvidenceUnavailable(answer) => vec![Scope::One(scope_of(&answer.question))],
        Event::AgentReported(report) => {
            report.coverage.iter().map(|coverage| Scope::Coverage(coverage.scope.clone())).collect()
        }
        Event::AgentGap(gap) => vec![Scope::Coverage(gap.scope.clone())],
        Event::EvidenceRequested(_)
        | Event::VerdictChanged(_)
        | Event::CaseOpened(_)
        | Event::CaseUpdated(_)
        | Event::CaseResolved(_) => Vec::new(),
    }
}

/// The repository that a question is about.
fn scope_of(question: &Question) -> String {
    match question {
        Question::Image { repository, .. } => repository.to_string(),
        Question::Attestations { repository, .. }
        | Question::Run { repository, .. }
        | Question::Commit { repository, .. } => repository.to_string(),
    }
}

/// Whether an answer says nothing of its subject, only that the agent is not configured for it.
fn is_of_nobody(answer: &EvidenceUnavailable) -> bool {
    answer.reason == Unavailable::Unconfigured && answer.found == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use bus_schema::fleet::{AgentGap, AgentReported, Coverage};
    use bus_schema::verdict::LinkKind;

    use super::*;

    const NOW: &str = "2026-03-01T12:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    fn senders() -> Senders {
        let agents = [
            ("registry", AgentKind::Registry, "ghcr.io/acme/**"),
            ("ci", AgentKind::Ci, "github.com/acme/**"),
            ("source", AgentKind::Source, "github.com/acme/**"),
        ];
        let agents =
            agents.map(|(id, kind, scope)| (id.parse().unwrap(), AgentGrant::new(kind, [scope]).unwrap()));
        Senders::new(agents.into_iter().collect(), Duration::from_secs(3600))
    }

    fn check(agent: &str, event: Event, expected: Option<&str>) {
        let envelope = Envelope::new(agent.parse().unwrap(), now(), now(), None, event);
        let found = senders().check(&envelope.subject(), &envelope, now(), &ContractSet::empty());
        assert_eq!(found.as_ref().err().map(Refusal::word), expected, "{agent}: {found:?}");
    }

    fn report(agent: &str, kind: &str, scope: &str) -> Event {
        Event::AgentReported(AgentReported {
            agent: agent.parse().unwrap(),
            kind: kind.to_owned(),
            version: "1".to_owned(),
            epoch: now(),
            sequence: 1,
            interval_seconds: None,
            coverage: vec![Coverage { scope: scope.to_owned(), since: now() }],
            lag_seconds: 0,
            events_published: 0,
            dead_lettered: 0,
            api_budget_left: None,
            reported_at: now(),
        })
    }

    fn answer(question: Question) -> Event {
        Event::EvidenceUnavailable(EvidenceUnavailable {
            request: question.request_id(),
            attempt: 1,
            question,
            reason: Unavailable::NotFound,
            source: "ghcr.io".to_owned(),
            detail: String::new(),
            found: 0,
            answered_at: now(),
        })
    }

    fn attached(repository: Option<&str>, forge: Option<&str>, place: EvidencePlace) -> Event {
        Event::AttestationAttached(AttestationAttached {
            repository: repository.map(|text| text.parse().unwrap()),
            forge_repository: forge.map(|text| text.parse().unwrap()),
            subject: bus_schema::Digest::sha256_of(b"x"),
            manifest: bus_schema::Digest::sha256_of(b"y"),
            place,
            artifact_type: None,
            items: Vec::new(),
            cut: false,
            found_at: now(),
        })
    }

    #[test]
    fn agents_speak_of_themselves_only() {
        check("registry", report("registry", "registry", "ghcr.io"), None);
        check("registry", report("registry", "registry", "ghcr.io/acme"), None);
        check("registry", report("registry", "registry", "docker.io"), Some("scope"));
        check("registry", report("ci", "registry", "ghcr.io"), Some("name"));
        check("registry", report("registry", "ci", "ghcr.io"), Some("name"));
        let gap = |agent: &str, scope: &str| {
            Event::AgentGap(AgentGap {
                agent: agent.parse().unwrap(),
                epoch: now(),
                sequence: 1,
                scope: scope.to_owned(),
                reason: "away".to_owned(),
                from: now(),
                until: now(),
                recovered: false,
            })
        };
        check("ci", gap("ci", "github.com/acme"), None);
        let Event::AgentGap(recovered) = gap("ci", "github.com/acme") else { unreachable!() };
        let until = "3000-01-01T00:00:00Z".parse().unwrap();
        check("ci", Event::AgentGap(AgentGap { recovered: true, until, ..recovered }), Some("time"));
        check("ci", gap("source", "github.com/acme"), Some("name"));
        check("ci", gap("ci", "github.com/other"), Some("scope"));
    }

    #[test]
    fn who_is_not_concerned_may_say_so_and_leaves_it_to_who_is() {
        let question = |image: &str| Question::Image {
            repository: image.parse().unwrap(),
            digest: bus_schema::Digest::sha256_of(b"x"),
        };
        let said = |image: &str, reason: Unavailable, found: u32| {
            let Event::EvidenceUnavailable(known) = answer(question(image)) else { unreachable!() };
            Event::EvidenceUnavailable(EvidenceUnavailable { reason, found, ..known })
        };
        let nobody = || Unavailable::Unconfigured;
        check("registry", said("docker.io/other/app", nobody(), 0), None);
        check("registry", said("docker.io/other/app", nobody(), 1), Some("scope"));
        check("registry", said("docker.io/other/app", Unavailable::NotFound, 0), Some("scope"));
        let leaves = |agent: &str, event: Event| {
            let envelope = Envelope::new(agent.parse().unwrap(), now(), now(), None, event);
            two_registries().leaves_it_to_another(&envelope)
        };
        assert!(leaves("registry", said("docker.io/acme/app", nobody(), 0)));
        assert!(!leaves("registry-2", said("docker.io/acme/app", nobody(), 0)), "it is its own");
        assert!(!leaves("registry", said("quay.io/acme/app", nobody(), 0)), "nobody else knows");
        assert!(!leaves("registry", said("docker.io/acme/app", Unavailable::NotFound, 0)));
    }

    fn two_registries() -> Senders {
        let grant = |scope: &str| AgentGrant::new(AgentKind::Registry, [scope]).unwrap();
        let agents = [("registry", grant("ghcr.io/**")), ("registry-2", grant("docker.io/**"))];
        let agents = agents.into_iter().map(|(id, grant)| (id.parse().unwrap(), grant)).collect();
        Senders::new(agents, Duration::from_secs(60))
    }

    #[test]
    fn only_who_was_asked_may_answer() {
        let image = Question::Image {
            repository: "ghcr.io/acme/api".parse().unwrap(),
            digest: bus_schema::Digest::sha256_of(b"x"),
        };
        check("registry", answer(image.clone()), None);
        check("ci", answer(image), Some("stage"));
        let attestations = Question::Attestations {
            repository: "github.com/acme/api".parse().unwrap(),
            digest: bus_schema::Digest::sha256_of(b"x"),
        };
        check("ci", answer(attestations.clone()), None);
        check("source", answer(attestations), Some("stage"));
    }

    #[test]
    fn evidence_is_said_by_who_can_have_found_it() {
        let image = Some("ghcr.io/acme/api");
        let forge = Some("github.com/acme/api");
        check("registry", attached(image, None, EvidencePlace::Referrers), None);
        check("registry", attached(image, forge, EvidencePlace::Forge), Some("stage"));
        check("ci", attached(None, forge, EvidencePlace::Forge), None);
        check("ci", attached(image, forge, EvidencePlace::Forge), Some("scope"));
        check("ci", attached(image, None, EvidencePlace::Referrers), Some("stage"));
        check("ci", attached(None, Some("github.com/other/api"), EvidencePlace::Forge), Some("scope"));
        check("registry", attached(Some("ghcr.io/other/api"), None, EvidencePlace::Referrers), Some("scope"));
    }

    #[test]
    fn nobody_speaks_for_the_correlator() {
        let verdict = bus_schema::verdict::Verdict {
            digest: bus_schema::Digest::sha256_of(b"x"),
            pipeline: "api".to_owned(),
            image: "ghcr.io/acme/api".parse().unwrap(),
            state: bus_schema::verdict::VerdictState::Untrusted { failing: vec![LinkKind::Source] },
            links: Vec::new(),
            path: None,
            policy: bus_schema::Digest::sha256_of(b"y"),
            roots: Vec::new(),
            reached_at: now(),
            rests_on: Vec::new(),
        };
        let changed = bus_schema::verdict::VerdictChanged {
            verdict,
            previous: None,
            because: String::new(),
            log_position: 1,
        };
        for agent in ["registry", "ci", "source"] {
            check(agent, Event::VerdictChanged(changed.clone()), Some("stage"));
        }
        check("correlator", Event::VerdictChanged(changed), Some("unknown_agent"));
    }

    #[test]
    fn a_time_that_cannot_be_is_refused() {
        let event = || report("registry", "registry", "ghcr.io");
        let seen = |minutes: i64| now().checked_add(SignedDuration::from_mins(minutes)).unwrap();
        let check = |occurred: Timestamp, seen: Timestamp, expected: Result<(), &str>| {
            let envelope = Envelope::new("registry".parse().unwrap(), occurred, seen, None, event());
            let found = senders().check(&envelope.subject(), &envelope, now(), &ContractSet::empty());
            assert_eq!(found.as_ref().map_err(Refusal::word).copied(), expected, "{found:?}");
        };
        check(now(), seen(1), Ok(()));
        check(now(), seen(30), Ok(()));
        check(seen(-100_000), seen(-100_000), Ok(()));
        check(now(), seen(90), Err("time"));
        check("9000-01-01T00:00:00Z".parse().unwrap(), now(), Err("time"));
    }
}
