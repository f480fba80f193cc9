//! A project of one story: a repository at the forge, an image repository, a namespace and a pipeline; and what people and
//! CI do with them.

use std::fs;

use anyhow::Context;
use harness::github::run::RunFacts;
use harness::github::{Delivery, MergeMethod, Person};
use harness::servers::github_run::GithubRun;
use harness::servers::keyless::{CertificateIdentity, SigningRequest};
use harness::servers::oci::{Descriptor, OciClient};
use harness::servers::pods::{self, ContainerReport, PodPlan};
use harness::servers::workloads;
use serde_json::{Value, json};

use crate::estate::{Estate, REGISTRY, WEBHOOK_SECRET, acme, alice, bob, estate};

pub(crate) const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
pub(crate) const SBOM: &str = "https://cyclonedx.org/bom";
pub(crate) const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
pub(crate) const WORKFLOW: &str = ".github/workflows/release.yml";

pub(crate) struct Project {
    pub(crate) estate: &'static Estate,
    pub(crate) name: &'static str,
    pub(crate) repository_id: u64,
    /// `host/acme/<name>`
    pub(crate) image: String,
    /// The registry's repository: `acme/<name>`.
    pub(crate) path: String,
    /// Where the registry really is.
    pub(crate) address: String,
}

/// What a run builds and signs.
#[derive(Clone)]
pub(crate) struct Build {
    pub(crate) run: GithubRun,
    pub(crate) commit: String,
}

impl Project {
    /// A project in the registry with notifications, its pipeline loaded.
    pub(crate) async fn new(name: &'static str) -> anyhow::Result<Project> {
        Project::with_pipeline(name, REGISTRY, |yaml| yaml).await
    }

    /// A project in any registry of the estate; `change` edits the pipeline's text.
    pub(crate) async fn with_pipeline(
        name: &'static str,
        registry: &str,
        change: impl FnOnce(String) -> String,
    ) -> anyhow::Result<Project> {
        let estate = estate().await;
        let repository_id = {
            let mut model = estate.forge.model();
            let id = 7000 + model.fresh_id();
            model.add_repository(acme(), name, id);
            let repository = model.repository("acme", name);
            for (login, permission) in [("alice", "write"), ("bob", "write"), ("root", "admin")] {
                repository.permissions.insert(login.to_owned(), permission.to_owned());
            }
            id
        };
        let address = match registry {
            REGISTRY => estate.distribution.host(),
            _ => estate.refreg.host(),
        };
        let path = format!("acme/{name}");
        let image = format!("{registry}/{path}");
        let project = Project { estate, name, repository_id, image, path, address: address.to_owned() };
        pods::ensure_namespace(&estate.kubernetes, name).await?;
        fs::write(
            estate.contracts.join(format!("{name}.yaml")),
            change(pipeline(name, &project.image, repository_id)),
        )?;
        estate.custody.wait_for_pipeline(name).await?;
        Ok(project)
    }

    pub(crate) fn key(&self) -> (&'static str, &'static str) {
        ("acme", self.name)
    }

    /// Sends webhooks as GitHub does.
    pub(crate) async fn deliver(&self, deliveries: impl IntoIterator<Item = Delivery>) -> anyhow::Result<()> {
        for delivery in deliveries {
            let url = self.estate.custody.webhook_url();
            let status = self.estate.forge.deliver(&url, WEBHOOK_SECRET, &delivery).await?;
            anyhow::ensure!((200..300).contains(&status), "the webhook was answered with {status}");
        }
        Ok(())
    }

    /// The head of `main`, which is made by somebody's first push where there is none.
    pub(crate) async fn main(&self) -> anyhow::Result<String> {
        let known =
            self.estate.forge.model().repository("acme", self.name).refs.get("refs/heads/main").cloned();
        match known {
            Some(head) => Ok(head),
            None => {
                // From before custody watched: nobody delivers it.
                let mut model = self.estate.forge.model();
                let first = model.commit(self.key(), &[], &bob(), &["README.md"]);
                let repository = model.repository("acme", self.name);
                repository.refs.insert("refs/heads/main".to_owned(), first.clone());
                Ok(first)
            }
        }
    }

    /// A change by alice, approved by bob and merged. Answers the commit on main.
    pub(crate) async fn reviewed_change(
        &self,
        method: MergeMethod,
        files: &[&str],
    ) -> anyhow::Result<String> {
        let deliveries = self.merged_change(method, files, Some(bob())).await?;
        self.deliver(deliveries).await?;
        self.main().await
    }

    /// The same without sending the webhooks: a test may lose or reorder them.
    pub(crate) async fn merged_change(
        &self,
        method: MergeMethod,
        files: &[&str],
        reviewer: Option<Person>,
    ) -> anyhow::Result<Vec<Delivery>> {
        let main = self.main().await?;
        let mut model = self.estate.forge.model();
        let branch = format!("change-{}", model.fresh_id());
        let commit = model.commit(self.key(), &[&main], &alice(), files);
        let mut deliveries = vec![model.push(self.key(), &branch, &commit, &alice())];
        let number = model.open_pull(self.key(), (&branch, &commit), "main", &alice());
        if let Some(reviewer) = reviewer {
            deliveries.push(model.review(self.key(), number, &reviewer, "APPROVED"));
        }
        deliveries.extend(model.merge(self.key(), number, method, &alice()));
        Ok(deliveries)
    }

    /// A commit pushed straight to a branch.
    pub(crate) async fn direct_push(
        &self,
        branch: &str,
        by: &Person,
        files: &[&str],
    ) -> anyhow::Result<String> {
        let main = self.main().await?;
        let (commit, delivery) = {
            let mut model = self.estate.forge.model();
            let commit = model.commit(self.key(), &[&main], by, files);
            let delivery = model.push(self.key(), branch, &commit, by);
            (commit, delivery)
        };
        self.deliver([delivery]).await?;
        Ok(commit)
    }

    /// A run of the release workflow that has started and is still going.
    pub(crate) async fn run(&self, commit: &str) -> anyhow::Result<Build> {
        self.run_of(commit, "main", WORKFLOW, "push", None).await
    }

    pub(crate) async fn run_of(
        &self,
        commit: &str,
        branch: &str,
        workflow: &str,
        event: &str,
        head_repository: Option<(&str, &str)>,
    ) -> anyhow::Result<Build> {
        let (run_id, delivery) = {
            let mut model = self.estate.forge.model();
            model.start_run(
                self.key(),
                RunFacts {
                    workflow: workflow.to_owned(),
                    event: event.to_owned(),
                    head_branch: Some(branch.to_owned()),
                    head_sha: commit.to_owned(),
                    head_repository: head_repository.map(|(owner, name)| (owner.to_owned(), name.to_owned())),
                    actor: alice(),
                },
            )
        };
        self.deliver([delivery]).await?;
        Ok(self.build(commit, branch, workflow, event, run_id))
    }

    /// A run that the forge knows and nobody reports.
    pub(crate) async fn unreported_run(&self, commit: &str) -> anyhow::Result<Build> {
        let run_id = {
            let mut model = self.estate.forge.model();
            let facts = RunFacts {
                workflow: WORKFLOW.to_owned(),
                event: "push".to_owned(),
                head_branch: Some("main".to_owned()),
                head_sha: commit.to_owned(),
                head_repository: None,
                actor: alice(),
            };
            model.start_run(self.key(), facts).0
        };
        Ok(self.build(commit, "main", WORKFLOW, "push", run_id))
    }

    fn build(&self, commit: &str, branch: &str, workflow: &str, event: &str, run_id: u64) -> Build {
        Build {
            run: GithubRun {
                owner_id: acme().id,
                repository: self.name.to_owned(),
                repository_id: self.repository_id,
                workflow_path: workflow.to_owned(),
                git_ref: format!("refs/heads/{branch}"),
                sha: commit.to_owned(),
                event: event.to_owned(),
                run_id,
                ..GithubRun::default()
            },
            commit: commit.to_owned(),
        }
    }

    pub(crate) async fn finish(&self, build: &Build) -> anyhow::Result<()> {
        let deliveries = {
            let mut model = self.estate.forge.model();
            let run = (build.run.run_id, 1);
            let mut deliveries = model.finish_jobs(self.key(), run, "success");
            deliveries.push(model.finish_run(self.key(), run, "success"));
            deliveries
        };
        self.deliver(deliveries).await
    }

    pub(crate) fn registry_as(&self, user: &str) -> anyhow::Result<OciClient> {
        match self.address == self.estate.distribution.host() {
            true => self.estate.registry_as(user),
            false => OciClient::new(&self.address, None),
        }
    }

    /// Pushes an image of its own content.
    pub(crate) async fn push(&self, user: &str, tag: &str, content: &str) -> anyhow::Result<Descriptor> {
        let content = format!("{} {content}", self.name);
        self.registry_as(user)?.push_image(&self.path, Some(tag), ("linux", "amd64"), &content).await
    }

    /// Points a tag at a manifest that is there.
    pub(crate) async fn retag(&self, user: &str, digest: &str, tag: &str) -> anyhow::Result<()> {
        let registry = self.registry_as(user)?;
        let found = registry.manifest(&self.path, digest).await?;
        let (content, media_type) = found.with_context(|| format!("{digest} is not there"))?;
        registry.push_manifest(&self.path, Some(tag), &media_type, content).await?;
        Ok(())
    }

    /// Signs provenance, signature and SBOM of a digest and attaches all three.
    pub(crate) async fn sign(&self, build: &Build, image: &Descriptor) -> anyhow::Result<()> {
        self.attach(build, image, PROVENANCE, &provenance(build, &image.digest)).await?;
        self.attach(build, image, SIGNATURE, &signature(&image.digest)).await?;
        self.attach(build, image, SBOM, &sbom(&image.digest)).await
    }

    /// Signs one statement as the build's run and attaches it to an image.
    pub(crate) async fn attach(
        &self,
        build: &Build,
        image: &Descriptor,
        predicate_type: &str,
        statement: &Value,
    ) -> anyhow::Result<()> {
        let bundle = self.bundle(build, statement).await?;
        self.registry_as("ci-bot")?.attach_bundle(&self.path, image, predicate_type, &bundle).await?;
        Ok(())
    }

    pub(crate) async fn bundle(&self, build: &Build, statement: &Value) -> anyhow::Result<Vec<u8>> {
        let identity = CertificateIdentity::of_run(&build.run);
        let signed = self.estate.keyless.sign(SigningRequest::statement(identity, statement)).await?;
        Ok(signed.bundle_bytes())
    }

    /// A whole good release: change, run, image, evidence. Answers the image and its build.
    pub(crate) async fn release(&self, tag: &str) -> anyhow::Result<(Descriptor, Build)> {
        let commit = self.reviewed_change(MergeMethod::Merge, &["src/main.rs"]).await?;
        let build = self.run(&commit).await?;
        let image = self.push("ci-bot", tag, &format!("release {tag} of {commit}")).await?;
        self.sign(&build, &image).await?;
        Ok((image, build))
    }

    /// Runs a digest in a pod that nobody owns, named by digest in the spec.
    pub(crate) async fn deploy(&self, pod: &str, digest: &str) -> anyhow::Result<()> {
        self.deploy_as(pod, &format!("{}@{digest}", self.image), digest).await
    }

    /// Runs a digest under any reference.
    pub(crate) async fn deploy_as(&self, pod: &str, reference: &str, digest: &str) -> anyhow::Result<()> {
        self.run_pod(PodPlan { name: pod.to_owned(), ..PodPlan::default() }, reference, digest).await
    }

    /// Runs a digest in a pod of a Deployment: each digest has a ReplicaSet of its own between the two. Answers the pod.
    pub(crate) async fn deploy_in(
        &self,
        deployment: &str,
        pod: &str,
        digest: &str,
    ) -> anyhow::Result<String> {
        let hash: String = digest.chars().skip("sha256:".len()).take(10).collect();
        let owner = workloads::deployment(&self.estate.kubernetes, self.name, deployment, &hash).await?;
        let name = format!("{deployment}-{hash}-{pod}");
        let plan = PodPlan {
            name: name.clone(),
            labels: owner.labels,
            owners: vec![owner.reference],
            ..PodPlan::default()
        };
        self.run_pod(plan, &format!("{}@{digest}", self.image), digest).await?;
        Ok(name)
    }

    /// Runs a digest in the pod of a Job that a CronJob has made. Answers the pod.
    pub(crate) async fn run_job(&self, cron_job: &str, job: &str, digest: &str) -> anyhow::Result<String> {
        let owner = workloads::cron_job(&self.estate.kubernetes, self.name, cron_job, job).await?;
        let name = format!("{job}-pod");
        let plan = PodPlan { name: name.clone(), owners: vec![owner.reference], ..PodPlan::default() };
        self.run_pod(plan, &format!("{}@{digest}", self.image), digest).await?;
        Ok(name)
    }

    async fn run_pod(&self, plan: PodPlan, reference: &str, digest: &str) -> anyhow::Result<()> {
        let plan = PodPlan {
            namespace: self.name.to_owned(),
            containers: vec![("main".to_owned(), reference.to_owned())],
            ..plan
        };
        let report = ContainerReport::containerd("main", reference, &self.image, digest);
        pods::run_pod(&self.estate.kubernetes, &plan, &[report]).await?;
        Ok(())
    }
}

/// Provenance as GitHub's own generator writes it.
pub(crate) fn provenance(build: &Build, digest: &str) -> Value {
    provenance_of(build, &build.commit, digest)
}

/// Provenance whose predicate names any commit.
pub(crate) fn provenance_of(build: &Build, commit: &str, digest: &str) -> Value {
    let run = &build.run;
    let repository = format!("{}/{}", run.forge_url, run.full_name());
    statement(
        digest,
        PROVENANCE,
        json!({
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {
                    "workflow": { "ref": run.git_ref, "repository": repository, "path": run.workflow_path },
                },
                "internalParameters": {
                    "github": {
                        "event_name": run.event,
                        "repository_id": run.repository_id.to_string(),
                        "repository_owner_id": run.owner_id.to_string(),
                        "runner_environment": run.runner_environment,
                    },
                },
                "resolvedDependencies": [{
                    "uri": format!("git+{repository}@{}", run.git_ref),
                    "digest": { "gitCommit": commit },
                }],
            },
            "runDetails": {
                "builder": { "id": run.certificate_subject() },
                "metadata": { "invocationId": run.invocation_url() },
            },
        }),
    )
}

pub(crate) fn signature(digest: &str) -> Value {
    statement(digest, SIGNATURE, json!({}))
}

pub(crate) fn sbom(digest: &str) -> Value {
    statement(
        digest,
        SBOM,
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "version": 1,
            "components": [
                { "type": "library", "name": "serde", "version": "1.0.229", "purl": "pkg:cargo/serde@1.0.229" },
            ],
        }),
    )
}

fn statement(digest: &str, predicate_type: &str, predicate: Value) -> Value {
    let hex = digest.trim_start_matches("sha256:");
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "image", "digest": { "sha256": hex } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

/// The pipeline of a project.
pub(crate) fn pipeline(name: &str, image: &str, repository_id: u64) -> String {
    format!(
        r#"apiVersion: custody.dev/v1
kind: Pipeline
metadata: {{ name: {name} }}
spec:
  images: ["{image}"]
  require: [source, build, provenance, artifact, signature, sbom]
  source:
    repository: github.com/acme/{name}
    repositoryId: "{repository_id}"
    refs: [refs/heads/main, "refs/tags/v*"]
    reviews: 1
  build:
    workflows: [{WORKFLOW}]
    triggers: [push, workflow_dispatch]
    runners: github-hosted
  provenance: {{ builders: [github-hosted], slsaLevel: 2 }}
  artifact: {{ pushers: [ci-bot], immutableTags: ["v*"] }}
  sbom: required
  deploy: {{ byDigest: true, namespaces: ["{name}"] }}
  settle: 10s
"#
    )
}

/// The same pipeline for images that need no SBOM: one attestation proves all that it demands.
pub(crate) fn without_sbom(pipeline: String) -> String {
    pipeline.replace("signature, sbom]", "signature]").replace("  sbom: required\n", "")
}
