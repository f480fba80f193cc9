//! Runs of workflows and what they leave behind, in the words of a story.

use jiff::Timestamp;
use serde_json::Value;

use super::deliver::Delivery;
use super::model::{Job, Model, Person, Run};
use super::shape;

/// What a run is of.
#[derive(Debug, Clone)]
pub struct RunFacts {
    pub workflow: String,
    pub event: String,
    /// Branch or tag, by its short name.
    pub head_branch: Option<String>,
    pub head_sha: String,
    /// Owner and name of a fork.
    pub head_repository: Option<(String, String)>,
    pub actor: Person,
}

impl Model {
    /// Starts a run with one job on GitHub's runners. Answers its id and the `workflow_run` delivery.
    pub fn start_run(&mut self, (owner, name): (&str, &str), facts: RunFacts) -> (u64, Delivery) {
        let id = self.fresh_id();
        self.start_run_as((owner, name), id, facts)
    }

    /// The same with an id that the story has chosen.
    pub fn start_run_as(&mut self, (owner, name): (&str, &str), id: u64, facts: RunFacts) -> (u64, Delivery) {
        if let Some((fork_owner, fork)) = &facts.head_repository {
            // A fork that is not there would be reported as the repository itself.
            self.repository(fork_owner, fork);
        }
        let job_id = self.fresh_id();
        let now = Timestamp::now();
        let job = Job {
            id: job_id,
            name: "build".to_owned(),
            labels: vec!["ubuntu-latest".to_owned()],
            runner_group: Some("GitHub Actions".to_owned()),
            started_at: now,
            ended: None,
        };
        let run = Run {
            id,
            attempt: 1,
            workflow: facts.workflow,
            head_branch: facts.head_branch,
            head_sha: facts.head_sha,
            head_repository: facts.head_repository,
            event: facts.event,
            actor: facts.actor,
            started_at: now,
            ended: None,
            called: Vec::new(),
            jobs: vec![job],
        };
        self.repository(owner, name).runs.insert((id, 1), run);
        (id, self.run_delivery((owner, name), (id, 1), "requested"))
    }

    /// Ends the run's jobs: `workflow_job` for each.
    pub fn finish_jobs(
        &mut self,
        (owner, name): (&str, &str),
        run: (u64, u32),
        conclusion: &str,
    ) -> Vec<Delivery> {
        let now = Timestamp::now();
        let found = self.repository(owner, name);
        if let Some(run) = found.runs.get_mut(&run) {
            for job in &mut run.jobs {
                job.ended = Some((now, conclusion.to_owned()));
            }
        }
        let found = found.clone();
        let Some(run) = found.runs.get(&run) else { return Vec::new() };
        let deliver =
            |job: &Job| Delivery::new("workflow_job", shape::job_event(self, &found, run, job, "completed"));
        run.jobs.iter().map(deliver).collect()
    }

    /// Ends the run: `workflow_run` completed.
    pub fn finish_run(&mut self, (owner, name): (&str, &str), run: (u64, u32), conclusion: &str) -> Delivery {
        if let Some(run) = self.repository(owner, name).runs.get_mut(&run) {
            run.ended = Some((Timestamp::now(), conclusion.to_owned()));
        }
        self.run_delivery((owner, name), run, "completed")
    }

    /// Keeps a Sigstore bundle for a digest, as `actions/attest-build-provenance` does.
    pub fn attest(&mut self, (owner, name): (&str, &str), digest: &str, bundle: Value) {
        self.repository(owner, name).attestations.entry(digest.to_owned()).or_default().push(bundle);
    }

    fn run_delivery(&mut self, (owner, name): (&str, &str), run: (u64, u32), action: &str) -> Delivery {
        let found = self.repository(owner, name).clone();
        let body = found.runs.get(&run).map(|run| shape::run_event(self, &found, run, action));
        Delivery::new("workflow_run", body.unwrap_or_default())
    }
}
