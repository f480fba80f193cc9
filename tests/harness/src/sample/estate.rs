//! The made-up estate of the first recording: two services with good releases, and five things that go wrong.
//!
//! In: a folder for the keys. Out: the recording. The images, people and commits are invented; the signatures are real
//! and verify against the recording's trust root with every proof that a contract demands by default.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bus_schema::ci::{Conclusion, Run, RunFinished, RunStarted, Trigger};
use bus_schema::cluster::{Container, ContainerStarted, SlotKind};
use bus_schema::fleet::{AgentReported, Coverage};
use bus_schema::registry::{
    AttestationAttached, BlobRef, EvidenceItem, EvidencePlace, ImagePushed, ImageResolved, ListedManifest,
    Observation, RegistryTagMoved, Resolved,
};
use bus_schema::source::{
    ChangeMerged, ChangeReviewed, CommitPushed, Permission, PushedCommit, ReviewState, WorkflowChanged,
};
use bus_schema::{Actor, CommitId, Digest, Envelope, Event, RepositoryRef, RunId};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::evidence::{BUNDLE, Wanted, provenance, sbom, signature};
use super::{RecordedEvent, Recording};
use crate::servers::github_run::GithubRun;
use crate::servers::keyless::Keyless;

const CLUSTER: &str = "6f1d7c52-3b0a-4f5e-9a77-2d1f0c9be001";
const CLUSTER_NAME: &str = "prod-eu";
const PAYMENTS: &str = "ghcr.io/acme/payments-api";
const SHOP: &str = "ghcr.io/acme/web-shop";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MAIN: &str = "refs/heads/main";
const RELEASE_WORKFLOW: &str = ".github/workflows/release.yml";
/// Between two events of one scene, so that they are seen to arrive in an order.
const STEP: Duration = Duration::from_millis(20);

/// Plays the estate and signs what it attests.
pub async fn estate(keys: &Path) -> anyhow::Result<Recording> {
    let keyless = Keyless::new(keys)?;
    let mut story = Story::new()?;
    agents_report(&mut story)?;
    reviewed_release(&mut story)?;
    release_for_two_platforms(&mut story)?;
    pushed_by_a_person_and_deployed(&mut story)?;
    release_tag_overwritten(&mut story)?;
    provenance_of_another_commit(&mut story)?;
    workflow_changed_without_review(&mut story)?;
    images_that_nobody_claims(&mut story)?;
    story.record(&keyless).await
}

/// Something that happens: an event, or evidence that is still to be signed.
enum Step {
    Event(Box<Envelope>),
    Attach { repository: String, wanted: Box<Wanted>, at: Timestamp },
}

struct Story {
    start: Timestamp,
    steps: Vec<(Duration, Step)>,
    offset: Duration,
    sequence: u64,
}

impl Story {
    fn new() -> anyhow::Result<Story> {
        // In the past of every machine that plays it: times ahead of a machine's clock are refused.
        let start = "2025-11-03T09:00:00Z".parse().context("a time")?;
        Ok(Story { start, steps: Vec::new(), offset: Duration::ZERO, sequence: 0 })
    }

    /// Begins a scene: what follows is published from this moment on.
    fn scene(&mut self, offset_millis: u64) {
        self.offset = Duration::from_millis(offset_millis);
    }

    fn minute(&self, minutes: i64) -> anyhow::Result<Timestamp> {
        Ok(self.start.checked_add(SignedDuration::from_mins(minutes))?)
    }

    fn say(&mut self, agent: &str, at: Timestamp, event: Event) -> anyhow::Result<()> {
        let envelope = Envelope::new(agent.parse()?, at, at, None, event);
        self.push(Step::Event(Box::new(envelope)));
        Ok(())
    }

    fn push(&mut self, step: Step) {
        self.steps.push((self.offset, step));
        self.offset += STEP;
    }

    fn notification(&mut self) -> Observation {
        self.sequence += 1;
        Observation::Notification { event_id: format!("notification-{}", self.sequence) }
    }

    async fn record(self, keyless: &Keyless) -> anyhow::Result<Recording> {
        let requests: Vec<_> = self
            .steps
            .iter()
            .filter_map(|(_, step)| match step {
                Step::Attach { wanted, .. } => Some(wanted.request.clone()),
                Step::Event(_) => None,
            })
            .collect();
        let mut signed = keyless.sign_all(&requests).await?.into_iter();
        let mut recording = Recording::default();
        for (offset, step) in self.steps {
            let envelope = match step {
                Step::Event(envelope) => *envelope,
                Step::Attach { repository, wanted, at } => {
                    let bundle = signed.next().context("a signature for each request")?.bundle_bytes();
                    let event = attached(&repository, &wanted, &bundle, at)?;
                    recording.blobs.insert(Digest::sha256_of(&bundle), bundle);
                    Envelope::new("registry-agent".parse()?, at, at, None, event)
                }
            };
            recording.events.push(RecordedEvent { offset, envelope });
        }
        recording.events.sort_by_key(|event| event.offset);
        let root = keyless.trusted_root().await?;
        recording.contracts = BTreeMap::from([
            ("estate.yaml".to_owned(), include_str!("estate.yaml").to_owned()),
            ("trusted_root.json".to_owned(), format!("{root:#}\n")),
        ]);
        recording.readme = include_str!("readme.md").to_owned();
        Ok(recording)
    }
}

/// Every agent says since when it has been watching: since long before the story.
fn agents_report(story: &mut Story) -> anyhow::Result<()> {
    let since = "2025-10-01T00:00:00Z".parse().context("a time")?;
    let at = story.minute(0)?;
    for (kind, scope) in [
        ("source", "github.com/acme"),
        ("ci", "github.com/acme"),
        ("registry", "ghcr.io"),
        ("cluster", CLUSTER),
    ] {
        let agent = format!("{kind}-agent");
        let report = AgentReported {
            agent: agent.parse()?,
            kind: kind.to_owned(),
            version: "0.1.0".to_owned(),
            epoch: since,
            sequence: 1,
            coverage: vec![Coverage { scope: scope.to_owned(), since }],
            lag_seconds: 0,
            events_published: 0,
            dead_lettered: 0,
            api_budget_left: None,
            reported_at: at,
        };
        story.say(&agent, at, Event::AgentReported(report))?;
    }
    Ok(())
}

/// A reviewed change, built, signed, deployed by digest.
fn reviewed_release(story: &mut Story) -> anyhow::Result<()> {
    story.scene(300);
    let code = Repository::payments()?;
    let commit = code.merged(story, 10, 481, "erin", "bob", "v1.4.0")?;
    let run = code.run(story, 20, 9001, &commit)?;
    let image = Image::new(PAYMENTS, "payments-api 1.4.0");
    image.pushed(story, 24, "v1.4.0", "ci-bot")?;
    image.resolved(story, 24)?;
    image.evidence(story, 25, &run, &commit)?;
    image.started(story, 30, "payments", "api", None)?;
    code.finished(story, 40, 9001, &commit)
}

/// An index with two platforms: the proof lies with the index, the pods report a platform's manifest.
fn release_for_two_platforms(story: &mut Story) -> anyhow::Result<()> {
    story.scene(1_500);
    let code = Repository::shop()?;
    let commit = code.merged(story, 50, 77, "frank", "grace", "v2.0.0")?;
    let run = code.run(story, 60, 9101, &commit)?;
    let index = Image::new(SHOP, "web-shop 2.0.0");
    let amd64 = Image::new(SHOP, "web-shop 2.0.0 linux/amd64");
    let arm64 = Image::new(SHOP, "web-shop 2.0.0 linux/arm64");
    index.pushed(story, 64, "v2.0.0", "ci-bot")?;
    let listed = |image: &Image, platform: &str| ListedManifest {
        digest: image.digest,
        media_type: Some(MANIFEST.to_owned()),
        platform: Some(platform.to_owned()),
        attestation: false,
    };
    let manifests = vec![listed(&amd64, "linux/amd64"), listed(&arm64, "linux/arm64")];
    let at = story.minute(64)?;
    story.say(
        "registry-agent",
        at,
        Event::ImageResolved(ImageResolved {
            repository: SHOP.parse()?,
            digest: index.digest,
            media_type: INDEX.to_owned(),
            resolved: Resolved::Index { manifests, cut: false },
            resolved_at: at,
        }),
    )?;
    amd64.resolved(story, 64)?;
    arm64.resolved(story, 64)?;
    index.evidence(story, 65, &run, &commit)?;
    amd64.started(story, 70, "shop", "web", None)?;
    code.finished(story, 75, 9101, &commit)
}

/// A person pushes an image from a laptop and deploys it.
fn pushed_by_a_person_and_deployed(story: &mut Story) -> anyhow::Result<()> {
    story.scene(3_000);
    let image = Image::new(PAYMENTS, "payments-api hotfix from a laptop");
    image.pushed(story, 90, "hotfix", "alice")?;
    image.resolved(story, 90)?;
    image.started(story, 95, "payments", "api-hotfix", None)
}

/// The tag of a release suddenly names something else.
fn release_tag_overwritten(story: &mut Story) -> anyhow::Result<()> {
    story.scene(4_000);
    let image = Image::new(PAYMENTS, "payments-api 1.4.0, another one");
    let released = Image::new(PAYMENTS, "payments-api 1.4.0");
    image.pushed(story, 120, "v1.4.0", "alice")?;
    image.resolved(story, 120)?;
    let at = story.minute(120)?;
    let observation = story.notification();
    story.say(
        "registry-agent",
        at,
        Event::RegistryTagMoved(RegistryTagMoved {
            repository: PAYMENTS.parse()?,
            tag: "v1.4.0".parse()?,
            from: Some(released.digest),
            to: image.digest,
            actor: Some(Actor::named("alice")),
            observation,
            moved_at: at,
        }),
    )
}

/// A release whose provenance names another commit than the one that the run was for.
fn provenance_of_another_commit(story: &mut Story) -> anyhow::Result<()> {
    story.scene(5_000);
    let code = Repository::payments()?;
    let commit = code.merged(story, 150, 482, "erin", "bob", "v1.4.1")?;
    let run = code.run(story, 155, 9002, &commit)?;
    let image = Image::new(PAYMENTS, "payments-api 1.4.1");
    image.pushed(story, 159, "v1.4.1", "ci-bot")?;
    image.resolved(story, 159)?;
    let elsewhere = commit_of("a commit that was never reviewed")?;
    image.evidence(story, 160, &run, &elsewhere)?;
    image.started(story, 165, "payments", "api-canary", None)?;
    code.finished(story, 170, 9002, &commit)
}

/// Somebody pushes a changed release workflow straight to main, and the next release is built by it.
fn workflow_changed_without_review(story: &mut Story) -> anyhow::Result<()> {
    story.scene(6_000);
    let code = Repository::payments()?;
    let commit = code.pushed(story, 200, "mallory", "v1.5.0", RELEASE_WORKFLOW)?;
    let at = story.minute(200)?;
    story.say(
        "source-agent",
        at,
        Event::WorkflowChanged(WorkflowChanged {
            repository: code.repository.clone(),
            git_ref: MAIN.parse()?,
            commit: commit.clone(),
            paths: vec![RELEASE_WORKFLOW.to_owned()],
            author: Some(Actor::named("mallory")),
            pusher: Some(Actor::named("mallory")),
            pushed_at: at,
        }),
    )?;
    let run = code.run(story, 205, 9003, &commit)?;
    let image = Image::new(PAYMENTS, "payments-api 1.5.0");
    image.pushed(story, 209, "v1.5.0", "ci-bot")?;
    image.resolved(story, 209)?;
    image.evidence(story, 210, &run, &commit)?;
    image.started(story, 215, "payments", "api-next", None)?;
    code.finished(story, 220, 9003, &commit)
}

/// What every cluster has: images of others, which no pipeline claims yet.
fn images_that_nobody_claims(story: &mut Story) -> anyhow::Result<()> {
    story.scene(7_000);
    for (repository, namespace, workload) in [
        ("docker.io/library/redis", "caches", "cache"),
        ("docker.io/library/postgres", "databases", "orders-db"),
        ("quay.io/prometheus/node-exporter", "monitoring", "node-exporter"),
        ("docker.io/library/redis", "caches", "sessions"),
    ] {
        let image = Image::new(repository, repository);
        image.started(story, 0, namespace, workload, Some("stable"))?;
    }
    Ok(())
}

/// A repository of the forge and the runs in it.
struct Repository {
    repository: RepositoryRef,
    run: GithubRun,
}

impl Repository {
    fn payments() -> anyhow::Result<Repository> {
        Repository::new(GithubRun::default())
    }

    fn shop() -> anyhow::Result<Repository> {
        let repository = "web-shop".to_owned();
        Repository::new(GithubRun { repository, repository_id: 700_000_002, ..GithubRun::default() })
    }

    fn new(run: GithubRun) -> anyhow::Result<Repository> {
        let repository: RepositoryRef = format!("github.com/{}", run.full_name()).parse()?;
        let repository = repository.with_ids(Some(run.repository_id.into()), Some(run.owner_id.into()));
        Ok(Repository { repository, run })
    }

    /// A change that was reviewed before it was merged into main.
    fn merged(
        &self,
        story: &mut Story,
        minute: i64,
        number: u64,
        author: &str,
        reviewer: &str,
        release: &str,
    ) -> anyhow::Result<CommitId> {
        let commit = self.commit(release)?;
        let head = commit_of(&format!("head of {number} in {}", self.repository))?;
        let (reviewed_at, merged_at) = (story.minute(minute - 5)?, story.minute(minute)?);
        story.say(
            "source-agent",
            reviewed_at,
            Event::ChangeReviewed(ChangeReviewed {
                repository: self.repository.clone(),
                number,
                review_id: number * 10,
                reviewer: Actor::named(reviewer),
                permission: Some(Permission::Write),
                state: ReviewState::Approved,
                head: Some(head.clone()),
                submitted_at: reviewed_at,
            }),
        )?;
        story.say(
            "source-agent",
            merged_at,
            Event::ChangeMerged(ChangeMerged {
                repository: self.repository.clone(),
                number,
                merge_commit: commit.clone(),
                head,
                head_repository: Some(self.repository.clone()),
                base: MAIN.parse()?,
                author: Actor::named(author),
                last_pusher: Some(Actor::named(author)),
                merged_by: Some(Actor::named(reviewer)),
                commit_count: 1,
                equivalent_heads: Vec::new(),
                bypassed_rules: Some(false),
                merged_at,
                looked_up: true,
            }),
        )?;
        self.pushed(story, minute, "web-flow", release, "src/main.rs")
    }

    /// A push of one commit to main.
    fn pushed(
        &self,
        story: &mut Story,
        minute: i64,
        pusher: &str,
        release: &str,
        path: &str,
    ) -> anyhow::Result<CommitId> {
        let (commit, before) = (self.commit(release)?, self.commit(before(release))?);
        let at = story.minute(minute)?;
        let pushed = PushedCommit {
            id: commit.clone(),
            author: None,
            committer: None,
            parents: vec![before.clone()],
            signature_verified: Some(true),
            paths: Some(vec![path.to_owned()]),
            paths_cut: false,
        };
        story.say(
            "source-agent",
            at,
            Event::CommitPushed(CommitPushed {
                repository: self.repository.clone(),
                git_ref: MAIN.parse()?,
                before: Some(before),
                after: Some(commit.clone()),
                forced: false,
                pusher: Some(Actor::named(pusher)),
                commits: vec![pushed],
                commits_cut: false,
                pushed_at: at,
            }),
        )?;
        Ok(commit)
    }

    fn commit(&self, release: &str) -> anyhow::Result<CommitId> {
        commit_of(&format!("{} {release}", self.repository))
    }

    fn run(&self, story: &mut Story, minute: i64, id: u64, commit: &CommitId) -> anyhow::Result<GithubRun> {
        let at = story.minute(minute)?;
        let run = self.report(id, commit, at)?;
        story.say("ci-agent", at, Event::RunStarted(RunStarted { run }))?;
        Ok(GithubRun { sha: commit.to_string(), run_id: id, ..self.run.clone() })
    }

    fn finished(&self, story: &mut Story, minute: i64, id: u64, commit: &CommitId) -> anyhow::Result<()> {
        let at = story.minute(minute)?;
        let started_at = at.checked_sub(SignedDuration::from_mins(15))?;
        let run = self.report(id, commit, started_at)?;
        let finished = RunFinished { run, conclusion: Conclusion::Success, finished_at: at };
        story.say("ci-agent", at, Event::RunFinished(finished))
    }

    fn report(&self, id: u64, commit: &CommitId, started_at: Timestamp) -> anyhow::Result<Run> {
        Ok(Run {
            run: RunId {
                host: "github.com".parse()?,
                repository_id: self.run.repository_id.into(),
                id,
                attempt: 1,
            },
            repository: self.repository.clone(),
            workflow: RELEASE_WORKFLOW.parse()?,
            git_ref: Some(MAIN.parse()?),
            head_commit: commit.clone(),
            head_repository: Some(self.repository.clone()),
            trigger: Trigger::Push,
            actor: Some(Actor::named("web-flow")),
            triggering_actor: None,
            called_workflows: Vec::new(),
            started_at,
        })
    }
}

/// The release whose commit is the parent of this one's.
fn before(release: &str) -> &'static str {
    match release {
        "v1.4.1" => "v1.4.0",
        "v1.5.0" => "v1.4.1",
        _ => "the beginning",
    }
}

/// An invented image; its digest is that of an invented manifest.
struct Image {
    repository: String,
    digest: Digest,
    config: Digest,
}

impl Image {
    fn new(repository: &str, what: &str) -> Image {
        let config = Digest::sha256_of(format!("configuration of {what}").as_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 512 },
            "layers": [],
            "annotations": { "org.opencontainers.image.title": what },
        });
        let digest = Digest::sha256_of(manifest.to_string().as_bytes());
        Image { repository: repository.to_owned(), digest, config }
    }

    fn pushed(&self, story: &mut Story, minute: i64, tag: &str, actor: &str) -> anyhow::Result<()> {
        let (at, observation) = (story.minute(minute)?, story.notification());
        story.say(
            "registry-agent",
            at,
            Event::ImagePushed(ImagePushed {
                repository: self.repository.parse()?,
                digest: self.digest,
                media_type: Some(MANIFEST.to_owned()),
                tag: Some(tag.parse()?),
                actor: Some(Actor::named(actor)),
                client: None,
                observation,
                pushed_at: at,
            }),
        )
    }

    fn resolved(&self, story: &mut Story, minute: i64) -> anyhow::Result<()> {
        let at = story.minute(minute)?;
        story.say(
            "registry-agent",
            at,
            Event::ImageResolved(ImageResolved {
                repository: self.repository.parse()?,
                digest: self.digest,
                media_type: MANIFEST.to_owned(),
                resolved: Resolved::Manifest { config: self.config },
                resolved_at: at,
            }),
        )
    }

    /// Provenance whose predicate names `commit`, a signature and a bill of materials, all by the run.
    fn evidence(
        &self,
        story: &mut Story,
        minute: i64,
        run: &GithubRun,
        commit: &CommitId,
    ) -> anyhow::Result<()> {
        let at = story.minute(minute)?;
        let packages = [("axum", "0.8.9"), ("tokio", "1.54.1"), ("serde", "1.0.229"), ("rustls", "0.23.46")];
        for wanted in [
            provenance(&self.repository, self.digest, run, commit.as_str(), at),
            signature(&self.repository, self.digest, run, at),
            sbom(&self.repository, self.digest, run, &packages, at),
        ] {
            let repository = self.repository.clone();
            story.push(Step::Attach { repository, wanted: Box::new(wanted), at });
        }
        Ok(())
    }

    /// A container of a Deployment; by digest, or by a tag.
    fn started(
        &self,
        story: &mut Story,
        minute: i64,
        namespace: &str,
        workload: &str,
        tag: Option<&str>,
    ) -> anyhow::Result<()> {
        let at = story.minute(minute)?;
        let by_digest = format!("{}@{}", self.repository, self.digest);
        let image_text = tag.map_or_else(|| by_digest.clone(), |tag| format!("{}:{tag}", self.repository));
        let pod = format!("{workload}-7c9f{:04x}", workload.len() * 577 + namespace.len());
        let container = Container {
            workload: format!("{CLUSTER}/{namespace}/Deployment/{workload}").parse()?,
            pod_uid: format!("uid-of-{namespace}-{pod}"),
            slot: "main".to_owned(),
            slot_kind: SlotKind::Main,
            container_id: format!("containerd://{}", self.config.hex()),
            image: Some(image_text.parse()?),
            image_text,
            image_id: by_digest,
            digest: Some(self.digest),
            started_at: at,
            pod,
        };
        let cluster_name = CLUSTER_NAME.to_owned();
        story.say("cluster-agent", at, Event::ContainerStarted(ContainerStarted { cluster_name, container }))
    }
}

fn attached(repository: &str, wanted: &Wanted, bundle: &[u8], at: Timestamp) -> anyhow::Result<Event> {
    let digest = Digest::sha256_of(bundle);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": BUNDLE,
        "layers": [{ "mediaType": BUNDLE, "digest": digest, "size": bundle.len() }],
        "subject": { "digest": wanted.subject },
        "annotations": { "dev.sigstore.bundle.predicateType": wanted.predicate_type },
    });
    Ok(Event::AttestationAttached(AttestationAttached {
        repository: Some(repository.parse()?),
        forge_repository: None,
        subject: wanted.subject,
        manifest: Digest::sha256_of(manifest.to_string().as_bytes()),
        place: EvidencePlace::Referrers,
        artifact_type: Some(BUNDLE.to_owned()),
        items: vec![EvidenceItem {
            media_type: BUNDLE.to_owned(),
            blob: BlobRef::stored(digest, bundle.len() as u64),
            annotations: BTreeMap::new(),
        }],
        cut: false,
        found_at: at,
    }))
}

/// The id of an invented commit.
fn commit_of(what: &str) -> anyhow::Result<CommitId> {
    let digest = Digest::sha256_of(what.as_bytes());
    Ok(digest.hex()[..40].parse()?)
}
