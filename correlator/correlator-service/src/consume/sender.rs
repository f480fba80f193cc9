//! Who may say what: whoever steals one agent can lie about one stage and its own scopes only.
//!
//! In: the subject, the event, and the grants of the settings. Out: nothing, or the refusal. Content is not judged here.

use std::collections::BTreeMap;
use std::time::Duration;

use bus_schema::question::Question;
use bus_schema::registry::{AttestationAttached, EvidencePlace};
use bus_schema::{AgentId, Envelope, Event, RepositoryRef, Subject};
use jiff::{SignedDuration, Timestamp};

use super::refusal::Refusal;
use crate::settings::{AgentGrant, AgentKind};

/// An agent's clock may be this far ahead without a word.
const SKEW_SILENT: SignedDuration = SignedDuration::from_secs(5 * 60);

/// The agents and what they may say.
#[derive(Debug)]
pub(crate) struct Senders {
    agents: BTreeMap<AgentId, AgentGrant>,
    skew_max: Duration,
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
        Senders { agents, skew_max }
    }

    /// Refuses what is not the sender's to say. True when the agent's clock is ahead of ours.
    pub(crate) fn check(
        &self,
        subject: &Subject,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<bool, Refusal> {
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
        self.check_times(envelope, now)
    }

    /// Source times are claims and stay what they are; a time that cannot be is refused.
    fn check_times(&self, envelope: &Envelope, now: Timestamp) -> Result<bool, Refusal> {
        let skew_max = SignedDuration::try_from(self.skew_max).unwrap_or(SignedDuration::MAX);
        for (what, time) in
            [("the time it happened", envelope.occurred), ("the time it was seen", envelope.seen)]
        {
            if time.duration_since(now) > skew_max {
                return Err(Refusal::FromTheFuture { what, time, skew_seconds_max: self.skew_max.as_secs() });
            }
        }
        Ok(envelope.seen.duration_since(now) > SKEW_SILENT)
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
fn may_say(kind: AgentKind, event: &Event) -> bool {
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
        Event::AttestationAttached(attached) => match (holder(attached), &attached.forge_repository) {
            (AgentKind::Ci, Some(repository)) => forge(repository),
            _ => attached.repository.iter().flat_map(image).collect(),
        },
        Event::ContainerStarted(started) => vec![Scope::One(started.container.workload.cluster.to_string())],
        Event::ContainerStopped(stopped) => vec![Scope::One(stopped.container.workload.cluster.to_string())],
        Event::InventoryObserved(inventory) => {
            let listed = inventory.containers.iter().map(|container| &container.workload.cluster);
            let clusters: std::collections::BTreeSet<_> = listed.chain([&inventory.cluster]).collect();
            clusters.into_iter().map(|cluster| Scope::One(cluster.to_string())).collect()
        }
        Event::EvidenceUnavailable(answer) => match &answer.question {
            Question::Image { repository, .. } => image(repository),
            Question::Attestations { repository, .. }
            | Question::Run { repository, .. }
            | Question::Commit { repository, .. } => forge(repository),
        },
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
