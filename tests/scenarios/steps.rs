//! The steps of a scenario, and the inputs that they stand for.

use std::collections::BTreeMap;

use bus_schema::ci::{Conclusion, JobFinished, Run, RunFinished, RunStarted, RunnerEnvironment, Trigger};
use bus_schema::cluster::{Container, ContainerStarted, ContainerStopped, InventoryObserved, SlotKind};
use bus_schema::fleet::{AgentGap, AgentReported, Coverage, EvidenceUnavailable, Unavailable};
use bus_schema::question::Question;
use bus_schema::registry::{
    AttestationAttached, BlobRef, EvidenceItem, EvidencePlace, ImageDeleted, ImagePushed, ImageResolved,
    ListedManifest, Observation, RegistryTagMoved, Resolved,
};
use bus_schema::source::{
    ChangeMerged, ChangeReviewed, CommitPushed, Permission, PushedCommit, ReviewState, WorkflowChanged,
};
use bus_schema::verdict::{Break, BreakReason};
use bus_schema::{Actor, Envelope, Event, GitRef, RepositoryRef, RunId};
use correlator_core::facts::{
    CertificateClaims, Outcome, Predicate, Provenance, Refusal, RefusalReason, RootParts, RootVersion,
    RunNumber, SbomFacts, Signer, Statement,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::names::{commit, digest};

/// The repository, forge ids and workflow that steps mean when they name no other.
pub const REPOSITORY: &str = "github.com/acme/payments-api";
pub const REPOSITORY_ID: u64 = 4201;
pub const OWNER_ID: u64 = 42;
pub const IMAGE: &str = "ghcr.io/acme/payments-api";
pub const WORKFLOW: &str = ".github/workflows/release.yml";
pub const CLUSTER: &str = "11111111-2222-3333-4444-555555555555";

/// The time that offset zero stands for.
pub fn start() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Script {
    /// What happens, in one or two sentences.
    pub story: String,
    /// What later stages of the product must add to see all of it.
    #[serde(default)]
    pub missing: Option<String>,
    /// Instead of the contracts beside this file.
    #[serde(default)]
    pub contracts: Option<String>,
    /// More documents, beside the contracts.
    #[serde(default)]
    pub more_contracts: Option<String>,
    /// Key files of the contracts, each with the name of its key.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
    /// Files of trust roots of the contracts, each with the name of its root.
    #[serde(default)]
    pub roots: BTreeMap<String, String>,
    /// How the agents answer questions by themselves; the default is that every source says `not_found`.
    #[serde(default)]
    pub answers: Answers,
    /// Since when all four agents watch everything, in seconds; absent when steps say it one by one.
    #[serde(default)]
    pub watched_since: Option<i64>,
    pub steps: Vec<Step>,
    /// How long to wait after the last step, in seconds.
    #[serde(default = "default_wait")]
    pub wait: i64,
}

fn default_wait() -> i64 {
    7200
}

#[derive(Debug, Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Answers {
    #[serde(default)]
    pub registry: Option<String>,
    #[serde(default)]
    pub ci: Option<String>,
    #[serde(default)]
    pub source: Option<String>,
}

/// One step: a time in seconds, and exactly one thing that happens then.
#[derive(Debug, Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Step {
    pub at: i64,
    /// A whole release: the steps from its review to its SBOM.
    pub release: Option<Release>,
    pub covers: Option<Covers>,
    /// Several of the same agent.
    pub reports: Option<Reports>,
    pub push: Option<Push>,
    pub moved: Option<Moved>,
    pub deleted: Option<Deleted>,
    pub resolved: Option<ResolvedStep>,
    pub attest: Option<Attest>,
    pub commits: Option<Commits>,
    pub review: Option<ReviewStep>,
    pub merge: Option<Merge>,
    pub workflow: Option<WorkflowStep>,
    pub run: Option<RunStep>,
    pub job: Option<JobStep>,
    pub started: Option<Container_>,
    pub stopped: Option<Container_>,
    pub inventory: Option<Inventory>,
    pub gap: Option<Gap>,
    pub answer: Option<AnswerStep>,
    /// From now on the agents answer in this way.
    pub answers: Option<Answers>,
    /// The contracts from now on.
    pub contracts: Option<String>,
    /// The scenario's contracts with these documents beside them, from now on.
    pub more_contracts: Option<String>,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Covers {
    pub kind: String,
    pub scope: String,
    /// Seconds relative to the start.
    pub since: i64,
    /// The report's number in its epoch; absent when it is the agent's next one.
    #[serde(default)]
    pub number: Option<u64>,
    /// When its process began, in seconds relative to the start.
    #[serde(default)]
    pub epoch: i64,
    /// How often the agent reports, in seconds. A script's agents report so rarely that it needs no more reports than it says.
    #[serde(default = "a_week")]
    pub every: u64,
}

fn a_week() -> u64 {
    7 * 24 * 3600
}

/// Reports of one agent at its interval.
#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Reports {
    /// Each of them; a number is that of the first.
    pub each: Covers,
    /// The time of the last one, in seconds relative to the start.
    pub until: i64,
    /// The numbers of those that never come.
    #[serde(default)]
    pub lost: Vec<u64>,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Push {
    #[serde(default = "image")]
    pub image: String,
    pub digest: String,
    #[serde(default)]
    pub tag: Option<String>,
    #[serde(default)]
    pub actor: Option<String>,
    /// Found by a poll, with nothing known of when it happened.
    #[serde(default)]
    pub polled: bool,
    /// Found by a poll, and the poll before was made at this time, in seconds.
    #[serde(default)]
    pub polled_since: Option<i64>,
    /// When it was pushed by the registry's clock, in seconds; the step's time by default.
    #[serde(default)]
    pub pushed: Option<i64>,
}

fn image() -> String {
    IMAGE.to_owned()
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Moved {
    #[serde(default = "image")]
    pub image: String,
    pub tag: String,
    #[serde(default)]
    pub from: Option<String>,
    pub to: String,
    #[serde(default)]
    pub actor: Option<String>,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Deleted {
    #[serde(default = "image")]
    pub image: String,
    pub tag: String,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ResolvedStep {
    #[serde(default = "image")]
    pub image: String,
    pub digest: String,
    #[serde(default)]
    pub platforms: Vec<String>,
    #[serde(default)]
    pub config: Option<String>,
    #[serde(default)]
    pub cut: bool,
}

/// Evidence that is attached, with what verification makes of it.
#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Attest {
    /// The name of the evidence: its bytes' digest.
    pub name: String,
    #[serde(default = "image")]
    pub image: String,
    /// What it is attached to.
    pub to: String,
    /// What its payload names; the same by default.
    #[serde(default)]
    pub subjects: Option<Vec<String>>,
    /// `provenance`, `signature`, `sbom` or `other`.
    pub kind: String,
    /// Found in the forge's attestation API.
    #[serde(default)]
    pub from_forge: bool,
    /// More is attached than the listing tells.
    #[serde(default)]
    pub cut: bool,
    /// Refused with this reason instead of verified.
    #[serde(default)]
    pub refused: Option<String>,
    /// Signed by a key of this fingerprint name instead of a certificate.
    #[serde(default)]
    pub key: Option<String>,
    /// A log entry for that signature verified too.
    #[serde(default)]
    pub logged: bool,
    #[serde(default)]
    pub repository: Option<String>,
    #[serde(default)]
    pub repository_id: Option<u64>,
    #[serde(default)]
    pub git_ref: Option<String>,
    #[serde(default)]
    pub commit: Option<String>,
    /// What the predicate says of the commit, when it disagrees with the certificate.
    #[serde(default)]
    pub predicate_commit: Option<String>,
    #[serde(default)]
    pub workflow: Option<String>,
    /// The workflow that signed, when it is not the one that was started: `host/owner/name/path@ref`.
    #[serde(default)]
    pub signer: Option<String>,
    /// The workflow that a delegator signed for, as `signer`.
    #[serde(default)]
    pub delegate: Option<String>,
    #[serde(default)]
    pub trigger: Option<String>,
    #[serde(default)]
    pub runner: Option<String>,
    #[serde(default)]
    pub run: Option<u64>,
    #[serde(default)]
    pub issuer: Option<String>,
    /// The trust root that it verified with; `public-good` for a certificate by default.
    #[serde(default)]
    pub root: Option<String>,
    /// Signed by a person of this e-mail address instead of a workflow.
    #[serde(default)]
    pub email: Option<String>,
    /// What a signature says beside its image.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub components: Option<u64>,
    /// When it was signed, in seconds; the step's time by default.
    #[serde(default)]
    pub signed: Option<i64>,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Commits {
    #[serde(default)]
    pub repository: Option<String>,
    #[serde(default = "main_branch")]
    pub git_ref: String,
    #[serde(default)]
    pub before: Option<String>,
    pub ids: Vec<String>,
    #[serde(default)]
    pub forced: bool,
    #[serde(default)]
    pub pusher: Option<String>,
    #[serde(default)]
    pub paths: Option<Vec<String>>,
    /// The parent of the first commit, where the report tells it.
    #[serde(default)]
    pub parent: Option<String>,
    /// Where the ref points now, when the push brings no commits, or lists only some.
    #[serde(default)]
    pub after: Option<String>,
    /// More commits came than are listed.
    #[serde(default)]
    pub cut: bool,
    /// Told by a look-up.
    #[serde(default)]
    pub looked_up: bool,
    #[serde(default)]
    pub signed: Option<bool>,
    /// When it was pushed, in seconds; the step's time by default.
    #[serde(default)]
    pub pushed: Option<i64>,
}

fn main_branch() -> String {
    "refs/heads/main".to_owned()
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ReviewStep {
    pub number: u64,
    #[serde(default = "one")]
    pub id: u64,
    pub by: String,
    pub head: String,
    #[serde(default = "approved")]
    pub state: String,
    /// When it was submitted, where that was before it is reported: a dismissal keeps the time of its review.
    #[serde(default)]
    pub submitted: Option<i64>,
    #[serde(default)]
    pub permission: Option<String>,
    #[serde(default)]
    pub bot: bool,
}

fn one() -> u64 {
    1
}

fn approved() -> String {
    "approved".to_owned()
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Merge {
    pub number: u64,
    pub commit: String,
    pub head: String,
    #[serde(default = "main_branch")]
    pub base: String,
    pub author: String,
    #[serde(default)]
    pub last_pusher: Option<String>,
    #[serde(default = "one_commit")]
    pub commits: u32,
    /// The change's own commits, where a look-up tells them.
    #[serde(default)]
    pub own: Vec<String>,
    #[serde(default)]
    pub equivalent_heads: Vec<String>,
    #[serde(default)]
    pub bypassed: Option<bool>,
    #[serde(default = "yes")]
    pub looked_up: bool,
}

fn one_commit() -> u32 {
    1
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WorkflowStep {
    pub commit: String,
    #[serde(default = "main_branch")]
    pub git_ref: String,
    #[serde(default)]
    pub paths: Option<Vec<String>>,
    #[serde(default)]
    pub author: Option<String>,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RunStep {
    pub id: u64,
    pub commit: String,
    /// Absent: the run is still going.
    #[serde(default)]
    pub conclusion: Option<String>,
    #[serde(default)]
    pub workflow: Option<String>,
    #[serde(default)]
    pub trigger: Option<String>,
    #[serde(default)]
    pub head_repository: Option<String>,
    /// When it started, in seconds; 60 before the step by default.
    #[serde(default)]
    pub began: Option<i64>,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JobStep {
    pub run: u64,
    #[serde(default = "one")]
    pub id: u64,
    #[serde(default = "release")]
    pub name: String,
    pub conclusion: String,
    #[serde(default)]
    pub runner: Option<String>,
    pub began: i64,
}

fn release() -> String {
    "release".to_owned()
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Container_ {
    pub digest: String,
    #[serde(default = "image")]
    pub image: String,
    #[serde(default)]
    pub tag: Option<String>,
    #[serde(default = "payments")]
    pub namespace: String,
    #[serde(default = "deployment")]
    pub kind: String,
    #[serde(default = "api")]
    pub name: String,
    #[serde(default = "pod")]
    pub pod: String,
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// When it started, in seconds; the step's time by default.
    #[serde(default)]
    pub began: Option<i64>,
    /// The runtime names no digest.
    #[serde(default)]
    pub without_digest: bool,
}

fn payments() -> String {
    "payments".to_owned()
}

fn deployment() -> String {
    "Deployment".to_owned()
}

fn api() -> String {
    "api".to_owned()
}

fn pod() -> String {
    "pod-1".to_owned()
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Inventory {
    pub containers: Vec<Container_>,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Gap {
    pub agent: String,
    pub scope: String,
    #[serde(default)]
    pub recovered: bool,
}

#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AnswerStep {
    /// The digest whose image is asked about.
    pub digest: String,
    #[serde(default = "image")]
    pub image: String,
    pub reason: String,
    #[serde(default)]
    pub attempt: u32,
}

/// A release as it should be: a reviewed change, a run, a push, and three attestations of that run.
#[derive(Debug, Deserialize, Clone)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Release {
    pub digest: String,
    pub commit: String,
    /// Where main stood before.
    pub before: String,
    /// The number of the run, and of the change.
    pub run: u64,
    #[serde(default)]
    pub tag: Option<String>,
    /// Steps that are left out: `review`, `merge`, `commits`, `run`, `push`, `provenance`, `signature`, `sbom`, `end`.
    #[serde(default)]
    pub without: Vec<String>,
}

impl Release {
    /// Its steps, by name, and the names that they use.
    fn steps(&self, at: i64) -> (Vec<Step>, Vec<String>) {
        let Release { digest, commit, before, run, tag, without } = self;
        let (head, provenance) = (format!("H{run}"), format!("P{run}"));
        let (signature, sbom) = (format!("S{run}"), format!("B{run}"));
        let attest = |name: &str, kind: &str| serde_json::json!({ "name": name, "to": digest, "kind": kind, "commit": commit, "run": run });
        let began = at + 5;
        let all = [
            (
                "review",
                0,
                serde_json::json!({ "review": { "number": run, "by": "bob", "head": head, "id": run } }),
            ),
            (
                "merge",
                1,
                serde_json::json!({ "merge": { "number": run, "commit": commit, "head": head, "author": "alice" } }),
            ),
            (
                "commits",
                2,
                serde_json::json!({ "commits": { "before": before, "ids": [commit], "pusher": "web-flow" } }),
            ),
            ("run", 6, serde_json::json!({ "run": { "id": run, "commit": commit, "began": began } })),
            ("push", 10, serde_json::json!({ "push": { "digest": digest, "tag": tag, "actor": "ci-bot" } })),
            ("provenance", 11, serde_json::json!({ "attest": attest(&provenance, "provenance") })),
            ("signature", 12, serde_json::json!({ "attest": attest(&signature, "signature") })),
            ("sbom", 13, serde_json::json!({ "attest": attest(&sbom, "sbom") })),
            (
                "end",
                30,
                serde_json::json!({ "run": { "id": run, "commit": commit, "began": began, "conclusion": "success" } }),
            ),
        ];
        let steps = all
            .into_iter()
            .filter(|(name, ..)| !without.iter().any(|out| out == name))
            .map(|(_, after, mut step)| {
                step["at"] = (at + after).into();
                serde_json::from_value(step).unwrap()
            })
            .collect();
        (steps, vec![head, provenance, signature, sbom])
    }
}

impl Script {
    /// Puts single events in the place of what stands for several, in the order of their times. Returns the names that
    /// these events use.
    pub fn expand(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        let mut steps = Vec::new();
        if let Some(since) = self.watched_since.take() {
            let scopes = [
                ("source", "github.com/acme"),
                ("ci", "github.com/acme"),
                ("registry", "ghcr.io"),
                ("cluster", CLUSTER),
            ];
            for (kind, scope) in scopes {
                let covers = Covers {
                    kind: kind.to_owned(),
                    scope: scope.to_owned(),
                    since,
                    number: None,
                    epoch: 0,
                    every: a_week(),
                };
                steps.push(Step { covers: Some(covers), ..Step::default() });
            }
        }
        for step in std::mem::take(&mut self.steps) {
            match (&step.release, &step.reports) {
                (Some(release), _) => {
                    let (of_release, used) = release.steps(step.at);
                    steps.extend(of_release);
                    names.extend(used);
                }
                (None, Some(reports)) => steps.extend(reports.steps(step.at)),
                (None, None) => steps.push(step),
            }
        }
        steps.sort_by_key(|step| step.at);
        number_reports(&mut steps);
        self.steps = steps;
        names
    }
}

impl Reports {
    /// One step for each that comes, from a time on.
    fn steps(&self, at: i64) -> Vec<Step> {
        let every = i64::try_from(self.each.every).unwrap();
        (at..=self.until)
            .step_by(usize::try_from(every).unwrap())
            .zip(self.each.number.unwrap_or(1)..)
            .filter(|(_, number)| !self.lost.contains(number))
            .map(|(at, number)| {
                let covers = Covers { number: Some(number), ..self.each.clone() };
                Step { at, covers: Some(covers), ..Step::default() }
            })
            .collect()
    }
}

/// Numbers the reports of each agent that say no number, in their order.
fn number_reports(steps: &mut [Step]) {
    let mut said: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for covers in steps.iter_mut().filter_map(|step| step.covers.as_mut()) {
        let last = said.entry((covers.kind.clone(), covers.epoch)).or_default();
        let number = covers.number.unwrap_or(*last + 1);
        *last = number;
        covers.number = Some(number);
    }
}

/// What a step stands for.
pub struct Happening {
    pub event: Option<Box<Envelope>>,
    /// What verification will make of the evidence that the event brings.
    pub verification: Option<(bus_schema::Digest, Outcome)>,
    pub contracts: Option<String>,
    pub more_contracts: Option<String>,
    pub answers: Option<Answers>,
}

fn time(seconds: i64) -> Timestamp {
    start().checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

pub fn repository() -> RepositoryRef {
    let repository: RepositoryRef = REPOSITORY.parse().unwrap();
    repository.with_ids(Some(REPOSITORY_ID.into()), Some(OWNER_ID.into()))
}

fn named_repository(name: Option<&String>, id: Option<u64>) -> RepositoryRef {
    match name {
        None => repository(),
        Some(name) => {
            let repository: RepositoryRef = name.parse().unwrap();
            repository.with_ids(id.map(Into::into), None)
        }
    }
}

/// What happens at a step; `index` tells apart equal steps of one source.
pub fn happening(step: &Step, index: usize) -> Happening {
    let at = time(step.at);
    let mut happening = Happening {
        event: None,
        verification: None,
        contracts: step.contracts.clone(),
        more_contracts: step.more_contracts.clone(),
        answers: step.answers.clone(),
    };
    let mut say = |agent: &str, event: Event| {
        happening.event = Some(Box::new(Envelope::new(agent.parse().unwrap(), at, at, None, event)));
    };
    let notification = Observation::Notification { event_id: format!("event-{index}") };
    if let Some(covers) = &step.covers {
        say(
            &format!("{}-agent", covers.kind),
            Event::AgentReported(AgentReported {
                agent: format!("{}-agent", covers.kind).parse().unwrap(),
                kind: covers.kind.clone(),
                version: "0.1.0".to_owned(),
                epoch: time(covers.epoch),
                sequence: covers.number.unwrap_or(index as u64),
                interval_seconds: Some(covers.every),
                coverage: vec![Coverage { scope: covers.scope.clone(), since: time(covers.since) }],
                lag_seconds: 0,
                events_published: 0,
                dead_lettered: 0,
                api_budget_left: None,
                reported_at: at,
            }),
        );
    }
    if let Some(push) = &step.push {
        say(
            "registry-agent",
            Event::ImagePushed(ImagePushed {
                repository: push.image.parse().unwrap(),
                digest: digest(&push.digest),
                media_type: Some("application/vnd.oci.image.manifest.v1+json".to_owned()),
                tag: push.tag.as_ref().map(|tag| tag.parse().unwrap()),
                actor: push.actor.as_ref().map(Actor::named),
                client: None,
                observation: match push.polled || push.polled_since.is_some() {
                    true => Observation::Poll {
                        sequence: index as u64,
                        previous: None,
                        not_before: push.polled_since.map(time),
                        not_after: at,
                    },
                    false => notification.clone(),
                },
                pushed_at: push.pushed.map_or(at, time),
            }),
        );
    }
    if let Some(moved) = &step.moved {
        say(
            "registry-agent",
            Event::RegistryTagMoved(RegistryTagMoved {
                repository: moved.image.parse().unwrap(),
                tag: moved.tag.parse().unwrap(),
                from: moved.from.as_deref().map(digest),
                to: digest(&moved.to),
                actor: moved.actor.as_ref().map(Actor::named),
                observation: notification.clone(),
                moved_at: at,
            }),
        );
    }
    if let Some(deleted) = &step.deleted {
        say(
            "registry-agent",
            Event::ImageDeleted(ImageDeleted {
                repository: deleted.image.parse().unwrap(),
                tag: Some(deleted.tag.parse().unwrap()),
                digest: None,
                actor: None,
                observation: notification,
                deleted_at: at,
            }),
        );
    }
    if let Some(resolved) = &step.resolved {
        say(
            "registry-agent",
            Event::ImageResolved(ImageResolved {
                repository: resolved.image.parse().unwrap(),
                digest: digest(&resolved.digest),
                media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
                resolved: match &resolved.config {
                    Some(config) => Resolved::Manifest { config: digest(config) },
                    None => Resolved::Index {
                        manifests: resolved
                            .platforms
                            .iter()
                            .map(|name| ListedManifest {
                                digest: digest(name),
                                media_type: None,
                                platform: Some("linux/amd64".to_owned()),
                                attestation: false,
                            })
                            .collect(),
                        cut: resolved.cut,
                    },
                },
                resolved_at: at,
            }),
        );
    }
    if let Some(attest) = &step.attest {
        say(
            "registry-agent",
            Event::AttestationAttached(AttestationAttached {
                repository: (!attest.from_forge).then(|| attest.image.parse().unwrap()),
                forge_repository: attest.from_forge.then(repository),
                subject: digest(&attest.to),
                manifest: digest(&format!("manifest of {}", attest.name)),
                place: match attest.from_forge {
                    true => EvidencePlace::Forge,
                    false => EvidencePlace::Referrers,
                },
                artifact_type: None,
                items: vec![EvidenceItem {
                    media_type: "application/vnd.dev.sigstore.bundle.v0.3+json".to_owned(),
                    blob: BlobRef { digest: digest(&attest.name), size_bytes: 1000, inline: None },
                    annotations: BTreeMap::new(),
                }],
                cut: attest.cut,
                found_at: at,
            }),
        );
    }
    if let Some(commits) = &step.commits {
        say(
            "source-agent",
            Event::CommitPushed(CommitPushed {
                repository: named_repository(commits.repository.as_ref(), None),
                git_ref: commits.git_ref.parse().unwrap(),
                before: commits.before.as_deref().map(commit),
                after: commits.after.as_ref().or(commits.ids.last()).map(|id| commit(id)),
                forced: commits.forced,
                pusher: commits.pusher.as_ref().map(Actor::named),
                commits: commits
                    .ids
                    .iter()
                    .enumerate()
                    .map(|(index, id)| PushedCommit {
                        id: commit(id),
                        author: None,
                        committer: None,
                        parents: match index {
                            0 => commits.parent.iter().map(|parent| commit(parent)).collect(),
                            later => vec![commit(&commits.ids[later - 1])],
                        },
                        signature_verified: commits.signed,
                        paths: commits.paths.clone(),
                        paths_cut: false,
                    })
                    .collect(),
                commits_cut: commits.cut,
                pushed_at: commits.pushed.map_or(at, time),
                looked_up: commits.looked_up,
            }),
        );
    }
    if let Some(review) = &step.review {
        say(
            "source-agent",
            Event::ChangeReviewed(ChangeReviewed {
                repository: repository(),
                number: review.number,
                review_id: review.id,
                reviewer: Actor { name: review.by.clone(), id: None, bot: review.bot },
                permission: match review.permission.as_deref() {
                    Some("unknown") => None,
                    permission => Some(Permission::from(permission.unwrap_or("write"))),
                },
                state: ReviewState::from(review.state.as_str()),
                head: Some(commit(&review.head)),
                submitted_at: review.submitted.map_or(at, time),
            }),
        );
    }
    if let Some(merge) = &step.merge {
        say(
            "source-agent",
            Event::ChangeMerged(ChangeMerged {
                repository: repository(),
                number: merge.number,
                merge_commit: commit(&merge.commit),
                head: commit(&merge.head),
                head_repository: None,
                base: merge.base.parse().unwrap(),
                author: Actor::named(&merge.author),
                last_pusher: Some(Actor::named(merge.last_pusher.as_ref().unwrap_or(&merge.author))),
                merged_by: None,
                commit_count: merge.commits,
                commits: merge.own.iter().map(|own| commit(own)).collect(),
                equivalent_heads: merge.equivalent_heads.iter().map(|head| commit(head)).collect(),
                bypassed_rules: merge.bypassed,
                merged_at: at,
                looked_up: merge.looked_up,
            }),
        );
    }
    if let Some(change) = &step.workflow {
        say(
            "source-agent",
            Event::WorkflowChanged(WorkflowChanged {
                repository: repository(),
                git_ref: change.git_ref.parse().unwrap(),
                commit: commit(&change.commit),
                paths: change.paths.clone().unwrap_or_else(|| vec![WORKFLOW.to_owned()]),
                author: change.author.as_ref().map(Actor::named),
                pusher: None,
                pushed_at: at,
            }),
        );
    }
    if let Some(run) = &step.run {
        let report = Run {
            run: RunId {
                host: "github.com".parse().unwrap(),
                repository_id: REPOSITORY_ID.into(),
                id: run.id,
                attempt: 1,
            },
            repository: repository(),
            workflow: run.workflow.as_deref().unwrap_or(WORKFLOW).parse().unwrap(),
            git_ref: None,
            head_commit: commit(&run.commit),
            head_repository: Some(match &run.head_repository {
                Some(name) => named_repository(Some(name), Some(666)),
                None => repository(),
            }),
            trigger: Trigger::from(run.trigger.as_deref().unwrap_or("push")),
            actor: None,
            triggering_actor: None,
            called_workflows: Vec::new(),
            started_at: time(run.began.unwrap_or(step.at - 60)),
        };
        match &run.conclusion {
            Some(conclusion) => say(
                "ci-agent",
                Event::RunFinished(RunFinished {
                    run: report,
                    conclusion: Conclusion::from(conclusion.as_str()),
                    finished_at: at,
                }),
            ),
            None => say("ci-agent", Event::RunStarted(RunStarted { run: report })),
        }
    }
    if let Some(job) = &step.job {
        say(
            "ci-agent",
            Event::JobFinished(JobFinished {
                run: RunId {
                    host: "github.com".parse().unwrap(),
                    repository_id: REPOSITORY_ID.into(),
                    id: job.run,
                    attempt: 1,
                },
                repository: repository(),
                job_id: job.id,
                name: job.name.clone(),
                conclusion: Conclusion::from(job.conclusion.as_str()),
                runner: Some(RunnerEnvironment::from(job.runner.as_deref().unwrap_or("github-hosted"))),
                runner_labels: Vec::new(),
                started_at: time(job.began),
                finished_at: at,
            }),
        );
    }
    if let Some(started) = &step.started {
        say(
            "cluster-agent",
            Event::ContainerStarted(ContainerStarted {
                cluster_name: started.cluster_name.clone().unwrap_or_else(|| "prod-1".to_owned()),
                container: container(started, step.at),
            }),
        );
    }
    if let Some(stopped) = &step.stopped {
        say(
            "cluster-agent",
            Event::ContainerStopped(ContainerStopped {
                cluster_name: stopped.cluster_name.clone().unwrap_or_else(|| "prod-1".to_owned()),
                container: container(stopped, step.at),
                reason: "Completed".to_owned(),
                exit_code: Some(0),
                stopped_at: at,
            }),
        );
    }
    if let Some(inventory) = &step.inventory {
        say(
            "cluster-agent",
            Event::InventoryObserved(InventoryObserved {
                agent: "cluster-agent".parse().unwrap(),
                cluster: CLUSTER.parse().unwrap(),
                cluster_name: "prod-1".to_owned(),
                epoch: start(),
                sequence: index as u64,
                part: 1,
                parts: 1,
                after: None,
                until: None,
                containers: inventory.containers.iter().map(|one| container(one, step.at)).collect(),
                observed_at: at,
            }),
        );
    }
    if let Some(gap) = &step.gap {
        say(
            &gap.agent,
            Event::AgentGap(AgentGap {
                agent: gap.agent.parse().unwrap(),
                epoch: start(),
                sequence: index as u64,
                scope: gap.scope.clone(),
                reason: "the watch was interrupted".to_owned(),
                from: time(step.at - 10),
                until: at,
                recovered: gap.recovered,
            }),
        );
    }
    if let Some(answer) = &step.answer {
        let question =
            Question::Image { repository: answer.image.parse().unwrap(), digest: digest(&answer.digest) };
        say(
            "registry-agent",
            Event::EvidenceUnavailable(EvidenceUnavailable {
                request: question.request_id(),
                attempt: answer.attempt,
                source: question.host().to_owned(),
                question,
                reason: Unavailable::from(answer.reason.as_str()),
                detail: "as the scenario says".to_owned(),
                found: 0,
                answered_at: at,
            }),
        );
    }
    happening.verification =
        step.attest.as_ref().map(|attest| (digest(&attest.name), outcome(attest, step.at)));
    happening
}

fn container(one: &Container_, at: i64) -> Container {
    let image = match &one.tag {
        Some(tag) => format!("{}:{tag}", one.image),
        None => format!("{}@{}", one.image, digest(&one.digest)),
    };
    Container {
        workload: format!("{CLUSTER}/{}/{}/{}", one.namespace, one.kind, one.name).parse().unwrap(),
        pod: one.pod.clone(),
        pod_uid: format!("uid-{}", one.pod),
        slot: "main".to_owned(),
        slot_kind: SlotKind::Main,
        container_id: format!("containerd://{}-{}", one.pod, one.digest),
        image: Some(image.parse().unwrap()),
        image_text: image,
        image_id: format!("{}@{}", one.image, digest(&one.digest)),
        digest: (!one.without_digest).then(|| digest(&one.digest)),
        started_at: time(one.began.unwrap_or(at)),
    }
}

/// A root by its name. Its content is its name, as it is in the files of the contracts.
fn root(name: &str) -> RootVersion {
    RootVersion { name: name.to_owned(), content: digest(name) }
}

fn outcome(attest: &Attest, at: i64) -> Outcome {
    let subjects: Vec<_> = match &attest.subjects {
        Some(names) => names.iter().map(|name| digest(name)).collect(),
        None => vec![digest(&attest.to)],
    };
    if let Some(reason) = &attest.refused {
        return Outcome::Refused(Refusal {
            reason: serde_json::from_value(serde_json::Value::String(reason.clone()))
                .unwrap_or(RefusalReason::BadSignature),
            expected: "a signature that verifies".to_owned(),
            found: "one that does not".to_owned(),
            claims: Some(match attest.kind.as_str() {
                "provenance" => correlator_core::facts::PredicateKind::Provenance,
                "signature" => correlator_core::facts::PredicateKind::ImageSignature,
                _ => correlator_core::facts::PredicateKind::Sbom,
            }),
            claimed_subjects: subjects,
        });
    }
    let repository = named_repository(attest.repository.as_ref(), attest.repository_id);
    let git_ref: GitRef = attest.git_ref.as_deref().unwrap_or("refs/heads/main").parse().unwrap();
    let workflow = attest.workflow.as_deref().unwrap_or(WORKFLOW);
    let caller = format!("https://{repository}/{workflow}@{git_ref}");
    let signer_uri =
        attest.signer.as_ref().map_or_else(|| caller.clone(), |signer| format!("https://{signer}"));
    let built = attest.commit.as_deref().unwrap_or("C1");
    let trigger = attest.trigger.as_deref().unwrap_or("push");
    let run = attest.run.unwrap_or(1);
    let github = || correlator_core::contracts::GITHUB_ISSUER.to_owned();
    let issuer = Some(attest.issuer.clone().unwrap_or_else(github));
    let signer = match (&attest.key, &attest.email) {
        (Some(key), _) => Signer::Key { fingerprint: digest(key), logged: attest.logged },
        (None, Some(email)) => Signer::Keyless(Box::new(CertificateClaims {
            issuer,
            subject: email.clone(),
            ..CertificateClaims::default()
        })),
        (None, None) => Signer::Keyless(Box::new(CertificateClaims {
            issuer,
            subject: signer_uri.clone(),
            build_signer_uri: Some(signer_uri.clone()),
            build_signer_digest: None,
            runner_environment: Some(attest.runner.clone().unwrap_or_else(|| "github-hosted".to_owned())),
            source_repository_uri: Some(format!("https://{repository}")),
            source_repository_digest: Some(commit(built).to_string()),
            source_repository_ref: Some(git_ref.to_string()),
            source_repository_id: repository.id.as_ref().map(ToString::to_string),
            source_repository_owner_uri: None,
            source_repository_owner_id: repository.owner_id.as_ref().map(ToString::to_string),
            build_config_uri: Some(caller),
            build_config_digest: None,
            build_trigger: Some(trigger.to_owned()),
            run_invocation_uri: Some(format!("https://{repository}/actions/runs/{run}/attempts/1")),
            source_repository_visibility: None,
        })),
    };
    let predicate = match attest.kind.as_str() {
        "signature" => Predicate::ImageSignature { annotations: attest.annotations.clone() },
        "sbom" => Predicate::Sbom(SbomFacts {
            format: "CycloneDX 1.6".to_owned(),
            components: attest.components.unwrap_or(12),
        }),
        "other" => Predicate::Other { predicate_type: "https://example.com/other".to_owned() },
        _ => {
            let stated = attest.predicate_commit.as_deref().unwrap_or(built);
            let disagreements = match stated == built {
                true => Vec::new(),
                false => vec![Break {
                    reason: BreakReason::WrongCommit,
                    expected: commit(built).to_string(),
                    found: commit(stated).to_string(),
                    commit: None,
                }],
            };
            Predicate::Provenance(Box::new(Provenance {
                predicate_type: "https://slsa.dev/provenance/v1".to_owned(),
                builder_id: signer_uri,
                build_type: "https://actions.github.io/buildtypes/workflow/v1".to_owned(),
                repository: Some(repository),
                source_uri: None,
                git_ref: Some(git_ref),
                commit: Some(commit(stated)),
                workflow: None,
                trigger: Some(trigger.to_owned()),
                run: Some(RunNumber { id: run, attempt: 1 }),
                delegate: attest.delegate.as_deref().map(|named| named.parse().unwrap()),
                slsa_level: 2,
                disagreements,
                ..Provenance::default()
            }))
        }
    };
    let signed_at = match attest.key {
        Some(_) => attest.signed.map(time),
        None => Some(time(attest.signed.unwrap_or(at))),
    };
    let root = match (&attest.root, &attest.key) {
        (Some(name), _) => Some(root(name)),
        (None, Some(_)) => None,
        (None, None) => Some(root("public-good")),
    };
    // Every certificate is by the authority A1, and its signature in the log L1.
    let rests_on = match root {
        Some(_) => RootParts { authorities: [digest("A1")].into(), logs: [digest("L1")].into() },
        None => RootParts::default(),
    };
    Outcome::Verified(Box::new(Statement {
        subjects,
        other_subjects: Vec::new(),
        signer,
        signed_at,
        root,
        rests_on,
        predicate,
    }))
}
