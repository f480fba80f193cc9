//! What a release costs that is built from a long branch: the correlator asks for the review of all that lies below.

use std::time::Duration;

use anyhow::ensure;
use bus_schema::fleet::{AgentReported, Coverage};
use bus_schema::source::{ChangeMerged, ChangeReviewed, CommitPushed, Permission, PushedCommit, ReviewState};
use bus_schema::{Actor, CommitId, Digest, Event, GitRef, ImageRepository, RepositoryRef};
use fleet_runtime::bus::Message;
use harness::servers::github_run::{GITHUB_ISSUER, GithubRun};
use harness::servers::keyless::{CertificateIdentity, Keyless, SigningRequest};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::json;

use crate::load::{self, AGENTS, message};
use crate::place::{Correlator, Place, Sync};

/// Pushes below the releases that are measured.
const PUSHES: [u64; 3] = [100, 2_000, 20_000];
/// Releases that are measured at each length: with the first as many as one page of verdicts has.
const RELEASES: u64 = 199;
const EVENTS_PER_RELEASE: u64 = 6;
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";

/// Releases from a branch with so many pushes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Releases {
    pub(crate) pushes: u64,
    /// The first one walks the branch, in milliseconds.
    pub(crate) first_ms: f64,
    /// Events of those that follow, judged per second.
    pub(crate) judged: f64,
    /// Time per event, to that from the shortest branch.
    pub(crate) cost: f64,
}

pub(crate) async fn measure() -> anyhow::Result<Vec<Releases>> {
    let mut rows: Vec<Releases> = Vec::new();
    for pushes in PUSHES {
        let mut forge = Forge::new().await?;
        forge.feed(forge.coverage()?).await?;
        while forge.commits < pushes {
            let changes = 1_000.min(pushes - forge.commits);
            let messages: Vec<Message> =
                (0..changes).map(|_| forge.change()).collect::<anyhow::Result<Vec<_>>>()?.concat();
            forge.feed(messages).await?;
        }
        let first = forge.releases(1).await?;
        let first = forge.feed(first).await?;
        let releases = forge.releases(RELEASES).await?;
        let took = forge.feed(releases).await?;
        forge.all_are_trusted().await?;
        forge.correlator.stop().await?;
        let judged = (RELEASES * EVENTS_PER_RELEASE) as f64 / took.as_secs_f64();
        let cost = rows.first().map_or(1.0, |shortest| shortest.judged / judged);
        rows.push(Releases { pushes, first_ms: first.as_secs_f64() * 1e3, judged, cost });
    }
    Ok(rows)
}

/// A branch to which reviewed changes are merged, and what is built from it.
struct Forge {
    place: Place,
    keyless: Keyless,
    run: GithubRun,
    correlator: Correlator,
    began: Timestamp,
    commits: u64,
    released: u64,
}

impl Forge {
    async fn new() -> anyhow::Result<Forge> {
        let place = Place::new(Sync::Default).await?;
        let run = GithubRun::default();
        let contracts = place.contracts();
        std::fs::create_dir_all(&contracts)?;
        let keyless = Keyless::new(place.folder().join("keyless"))?;
        keyless.write_trusted_root(&contracts.join("trusted_root.json")).await?;
        let contract = format!(
            "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: {{ name: releases }}\nspec:\n  \
             images: [\"registry.example/acme/releases\"]\n  require: [source, provenance]\n  \
             source: {{ repository: github.com/{}, repositoryId: \"{}\", refs: [{}], reviews: 1 }}\n  \
             build: {{ workflows: [{}] }}\n---\napiVersion: custody.dev/v1\nkind: TrustRoot\n\
             metadata: {{ name: own }}\nspec:\n  file: trusted_root.json\n  \
             forges: [{{ host: github.com, issuer: \"{GITHUB_ISSUER}\" }}]\n",
            run.full_name(),
            run.repository_id,
            run.git_ref,
            run.workflow_path
        );
        std::fs::write(contracts.join("releases.yaml"), contract)?;
        let correlator = place.correlator(None).await?;
        let began = Timestamp::now() - SignedDuration::from_hours(24 * 365);
        Ok(Forge { place, keyless, run, correlator, began, commits: 0, released: 0 })
    }

    /// Publishes events, and returns the time until all is judged.
    async fn feed(&mut self, messages: Vec<Message>) -> anyhow::Result<Duration> {
        let took = self.correlator.judge(&self.place.wire, messages).await?;
        self.correlator.published().await?;
        Ok(took)
    }

    /// The forge is watched since before its first push.
    fn coverage(&self) -> anyhow::Result<Vec<Message>> {
        let report = AgentReported {
            agent: AGENTS[2].parse()?,
            kind: "source".to_owned(),
            version: "0.0.0".to_owned(),
            epoch: Timestamp::now(),
            sequence: 1,
            interval_seconds: Some(86_400),
            coverage: vec![Coverage {
                scope: format!("github.com/{}", self.run.owner),
                since: self.began - SignedDuration::from_hours(1),
            }],
            lag_seconds: 0,
            events_published: 0,
            dead_lettered: 0,
            api_budget_left: None,
            reported_at: Timestamp::now(),
        };
        Ok(vec![message(AGENTS[2], Event::AgentReported(report))?])
    }

    fn repository(&self) -> anyhow::Result<RepositoryRef> {
        let repository: RepositoryRef = format!("github.com/{}", self.run.full_name()).parse()?;
        Ok(repository.with_ids(Some(self.run.repository_id.into()), Some(self.run.owner_id.into())))
    }

    /// The next reviewed change, merged and pushed, some minutes after the one before.
    fn change(&mut self) -> anyhow::Result<Vec<Message>> {
        let (before, number) = (commit(self.commits)?, self.commits + 1);
        self.commits = number;
        let at = self.began + SignedDuration::from_mins(i64::try_from(number)? * 20);
        let (head, main): (CommitId, GitRef) = (commit(1_000_000 + number)?, self.run.git_ref.parse()?);
        let review = ChangeReviewed {
            repository: self.repository()?,
            number,
            review_id: number,
            reviewer: Actor::named("bob"),
            permission: Some(Permission::Write),
            state: ReviewState::Approved,
            head: Some(head.clone()),
            submitted_at: at - SignedDuration::from_mins(5),
        };
        let merge = ChangeMerged {
            repository: self.repository()?,
            number,
            merge_commit: commit(number)?,
            head,
            head_repository: None,
            base: main.clone(),
            author: Actor::named("alice"),
            last_pusher: Some(Actor::named("alice")),
            merged_by: Some(Actor::named("bob")),
            commit_count: 1,
            commits: Vec::new(),
            equivalent_heads: Vec::new(),
            bypassed_rules: Some(false),
            merged_at: at,
            looked_up: true,
        };
        let pushed = PushedCommit {
            id: commit(number)?,
            author: Some(Actor::named("alice")),
            committer: Some(Actor::named("alice")),
            parents: vec![before.clone()],
            signature_verified: Some(true),
            paths: Some(vec!["src/main.rs".to_owned()]),
            paths_cut: false,
        };
        let push = CommitPushed {
            repository: self.repository()?,
            git_ref: main,
            before: Some(before),
            after: Some(commit(number)?),
            forced: false,
            pusher: Some(Actor::named("bob")),
            commits: vec![pushed],
            commits_cut: false,
            pushed_at: at,
            looked_up: false,
        };
        let events = [Event::ChangeReviewed(review), Event::ChangeMerged(merge), Event::CommitPushed(push)];
        events.into_iter().map(|event| message(AGENTS[2], event)).collect()
    }

    /// As many changes, each with an image that is built from it: six events each.
    async fn releases(&mut self, count: u64) -> anyhow::Result<Vec<Message>> {
        let mut requests = Vec::new();
        let mut digests = Vec::new();
        let mut messages: Vec<Vec<Message>> = Vec::new();
        for _ in 0..count {
            messages.push(self.change()?);
            self.released += 1;
            let digest = Digest::sha256_of(format!("release {}", self.released).as_bytes());
            let run = GithubRun { sha: commit(self.commits)?.to_string(), ..self.run.clone() };
            let statement = json!({
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{ "name": repository(), "digest": { "sha256": digest.hex() } }],
                "predicateType": PROVENANCE,
                "predicate": {
                    "buildDefinition": {
                        "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                        "externalParameters": {},
                    },
                    "runDetails": { "builder": { "id": "https://github.com/actions/runner/github-hosted" } },
                },
            });
            requests.push(SigningRequest::statement(CertificateIdentity::of_run(&run), &statement));
            digests.push(digest);
        }
        let signed = self.keyless.sign_all(&requests).await?;
        for ((of_release, digest), signed) in messages.iter_mut().zip(digests).zip(signed) {
            of_release.extend(image(digest, &signed.bundle_bytes())?);
        }
        Ok(messages.concat())
    }

    /// Otherwise another thing is measured.
    async fn all_are_trusted(&self) -> anyhow::Result<()> {
        for state in ["pending", "untrusted"] {
            let others = self.correlator.verdicts(state).await?;
            ensure!(others.is_empty(), "{} of the releases are {state}: {}", others.len(), others[0]);
        }
        let trusted = self.correlator.verdicts("trusted").await?.len() as u64;
        ensure!(trusted == self.released, "{trusted} of {} releases are trusted", self.released);
        Ok(())
    }
}

/// The events about an image and its provenance.
fn image(digest: Digest, bundle: &[u8]) -> anyhow::Result<Vec<Message>> {
    let config = Digest::sha256_of(digest.to_string().as_bytes());
    let events = [
        load::pushed(repository(), digest, None, "ci-bot", digest.to_string()),
        load::resolved(repository(), digest, config),
        load::attached(repository(), digest, Digest::sha256_of(bundle), bundle)?,
    ];
    events.into_iter().map(|event| message(AGENTS[0], event)).collect()
}

fn repository() -> ImageRepository {
    #[expect(clippy::unwrap_used, reason = "a name of this program")]
    "registry.example/acme/releases".parse().unwrap()
}

fn commit(number: u64) -> anyhow::Result<CommitId> {
    Ok(format!("{:040x}", number + 1).parse()?)
}
