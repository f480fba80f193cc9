//! Pushes, changes, reviews and runs of the forge.

use std::sync::Arc;

use bus_schema::ci::{Conclusion, JobFinished, Run};
use bus_schema::source::{ChangeMerged, ChangeReviewed, CommitPushed, SourceTagMoved, WorkflowChanged};
use bus_schema::{CommitId, GitRef, RepositoryRef};
use jiff::Timestamp;

use super::Work;
use crate::records::{RecordsError, Table};
use crate::state::run::{self, JobRecord, RunRecord};
use crate::state::source::{
    self, ChangeRecord, CommitRecord, Merge, PushRecord, Review, SourceKey, WorkflowChangeRecord,
};
use crate::state::unit::{Unit, fact};
use crate::state::{GROUND_EVENTS_MAX, Occasion, insert_bounded};

/// The most reports of one change or review that are remembered.
const REPORTS_MAX: usize = 16;
/// The most changed workflow paths of one commit that are remembered.
const WORKFLOW_PATHS_MAX: usize = 200;

impl Work<'_> {
    pub(super) fn take_commit_pushed(
        &mut self,
        occasion: &Occasion,
        push: &CommitPushed,
    ) -> Result<(), RecordsError> {
        let commits = push
            .commits
            .iter()
            .map(|commit| CommitRecord {
                id: commit.id.clone(),
                committer: commit.committer.clone(),
                parents: commit.parents.clone(),
                signature_verified: commit.signature_verified,
                paths: if commit.paths_cut { None } else { commit.paths.clone() },
            })
            .collect();
        let record = PushRecord {
            repository: push.repository.clone(),
            git_ref: push.git_ref.clone(),
            before: push.before.clone(),
            after: push.after.clone(),
            forced: push.forced,
            pusher: push.pusher.clone(),
            commits,
            commits_cut: push.commits_cut,
            pushed_at: push.pushed_at,
            recorded: occasion.recorded,
            ground: occasion.ground(),
        };
        self.learn_push(record)
    }

    pub(super) fn take_source_tag_moved(
        &mut self,
        occasion: &Occasion,
        moved: &SourceTagMoved,
    ) -> Result<(), RecordsError> {
        let record = PushRecord {
            repository: moved.repository.clone(),
            git_ref: moved.git_ref.clone(),
            before: moved.before.clone(),
            after: moved.commit.clone().or_else(|| moved.after.clone()),
            forced: false,
            pusher: moved.pusher.clone(),
            commits: Vec::new(),
            commits_cut: false,
            pushed_at: moved.pushed_at,
            recorded: occasion.recorded,
            ground: occasion.ground(),
        };
        self.learn_push(record)
    }

    /// The key of a repository that an event tells of: the id that it has is known from then on, and where it is.
    fn learn_source(&mut self, repository: &RepositoryRef) -> Result<SourceKey, RecordsError> {
        let Some(known_as) = source::known_as_key(repository) else {
            return SourceKey::of(&self.draft, repository);
        };
        let path = SourceKey::of_path(repository);
        if !self.draft.contains(Table::Source, &known_as)? {
            // Contracts that have the id and another name looked for it elsewhere.
            let contracts = Arc::clone(&self.contracts);
            let of_pipelines = contracts.pipelines.values().filter_map(|pipeline| pipeline.source.as_ref());
            for contract in of_pipelines.map(|source| &source.repository) {
                if contract.id.is_some() && contract.is_same(repository) {
                    // Another may have taken its path since it was judged.
                    let elsewhere = SourceKey::of(&self.draft, contract)?;
                    self.touch_source(&elsewhere);
                    self.touch_source(&SourceKey::of_path(contract));
                }
            }
            let key = SourceKey::of(&self.draft, repository)?;
            if let (true, Some(id)) = (key == path, &repository.id) {
                self.draft.put(Table::Source, source::held_by_key(path.as_str()), id.as_str().to_owned());
            }
            self.draft.put(Table::Source, known_as, key.as_str().to_owned());
        }
        let key = SourceKey::of(&self.draft, repository)?;
        let known_at = source::known_at_key(path.as_str());
        let at_path: Option<String> = self.draft.get(Table::Source, &known_at)?;
        if at_path.as_deref().unwrap_or(path.as_str()) != key.as_str() {
            self.touch_source(&at_path.map_or(path, SourceKey::from_known));
            self.draft.put(Table::Source, known_at, key.as_str().to_owned());
        }
        Ok(key)
    }

    fn touch_source(&mut self, source: &SourceKey) {
        self.walked.forget(source);
        for prefix in fact::source_prefixes(source) {
            self.touch_facts_from(prefix.clone(), prefix);
        }
    }

    fn learn_push(&mut self, record: PushRecord) -> Result<(), RecordsError> {
        let source = self.learn_source(&record.repository)?;
        let key = source::push_key(&source, &record.git_ref, record.pushed_at, record.after.as_ref());
        let known: Option<PushRecord> = self.draft.get(Table::Source, &key)?;
        let record = match known.clone() {
            Some(known) => joined(known, record),
            None => record,
        };
        if known.as_ref() == Some(&record) {
            return Ok(());
        }
        let named = record.commits.iter().map(|commit| &commit.id).chain(&record.after);
        for commit in named {
            if record.git_ref.as_branch().is_some() {
                let index = source::commit_push_key(&source, commit, record.pushed_at, &key);
                self.draft.put(Table::Source, index, key.clone());
            }
            self.touch_fact(fact::commit(&source, commit));
            self.touch_workflow(&source, commit)?;
        }
        // A forced push may drop anything that the ref had before; any other push matters to what comes after it.
        let from = if record.forced { Timestamp::MIN } else { record.pushed_at };
        self.touch_history(&source, &record.git_ref, from);
        self.draft.put(Table::Source, key, record);
        Ok(())
    }

    /// Everything whose history on the ref reaches up to a time or beyond.
    fn touch_history(&mut self, source: &SourceKey, git_ref: &GitRef, from: Timestamp) {
        self.walked.changed(source, git_ref, from);
        let prefix = fact::history_prefix(source, git_ref);
        self.touch_facts_from(prefix, fact::history(source, git_ref, from));
    }

    fn touch_workflow(&mut self, source: &SourceKey, commit: &CommitId) -> Result<(), RecordsError> {
        let key = source::workflow_key(source, commit);
        let known: Option<WorkflowChangeRecord> = self.draft.get(Table::Source, &key)?;
        if let Some(repository) = known.and_then(|known| known.repository) {
            self.touch_unit(Unit::Workflow { repository, commit: commit.clone() });
        }
        Ok(())
    }

    pub(super) fn take_change_reviewed(
        &mut self,
        occasion: &Occasion,
        review: &ChangeReviewed,
    ) -> Result<(), RecordsError> {
        let source = self.learn_source(&review.repository)?;
        let key = source::change_key(&source, review.number);
        let report = Review {
            submitted_at: review.submitted_at,
            permission: review.permission.clone(),
            reviewer: review.reviewer.clone(),
            state: review.state.clone(),
            head: review.head.clone(),
        };
        let changed = self.draft.update::<ChangeRecord>(Table::Source, &key, |record| {
            insert_bounded(record.reviews.entry(review.review_id).or_default(), report, REPORTS_MAX);
            insert_bounded(&mut record.ground, occasion.ground(), GROUND_EVENTS_MAX);
        })?;
        match changed {
            true => self.touch_change(&source, &key),
            false => Ok(()),
        }
    }

    pub(super) fn take_change_merged(
        &mut self,
        occasion: &Occasion,
        change: &ChangeMerged,
    ) -> Result<(), RecordsError> {
        let source = self.learn_source(&change.repository)?;
        let key = source::change_key(&source, change.number);
        let merge = Merge {
            looked_up: change.looked_up,
            merge_commit: change.merge_commit.clone(),
            head: change.head.clone(),
            base: change.base.clone(),
            author: change.author.clone(),
            last_pusher: change.last_pusher.clone(),
            commit_count: change.commit_count,
            commits: change.commits.clone(),
            equivalent_heads: change.equivalent_heads.clone(),
            bypassed_rules: change.bypassed_rules,
            merged_at: change.merged_at,
            repository: change.repository.clone(),
        };
        self.draft.update::<ChangeRecord>(Table::Source, &key, |record| {
            insert_bounded(&mut record.merges, merge, REPORTS_MAX);
            insert_bounded(&mut record.ground, occasion.ground(), GROUND_EVENTS_MAX);
        })?;
        let merge_key = source::merge_key(&source, &change.merge_commit, change.number);
        self.draft.put(Table::Source, merge_key, key.clone());
        let merged_at = source::merged_at_key(
            &source,
            &change.base,
            change.merged_at,
            &change.merge_commit,
            change.number,
        );
        self.draft.put(Table::Source, merged_at, key.clone());
        self.touch_change(&source, &key)
    }

    /// Marks what a change may have reviewed: its merge commit, the push that brought it, and what came after.
    fn touch_change(&mut self, source: &SourceKey, change_key: &str) -> Result<(), RecordsError> {
        let record: ChangeRecord = self.draft.get(Table::Source, change_key)?.unwrap_or_default();
        for merge in &record.merges {
            self.touch_fact(fact::commit(source, &merge.merge_commit));
            self.touch_workflow(source, &merge.merge_commit)?;
            let mut from = merge.merged_at;
            let prefix = source::commit_pushes_prefix(source, &merge.merge_commit);
            for (_, key) in self.draft.scan::<String>(Table::Source, &prefix, 64)? {
                let Some(push) = self.draft.get::<PushRecord>(Table::Source, &key)? else { continue };
                from = from.min(push.pushed_at);
                for commit in &push.commits {
                    self.touch_fact(fact::commit(source, &commit.id));
                    self.touch_workflow(source, &commit.id)?;
                }
            }
            self.touch_history(source, &merge.base, from);
        }
        Ok(())
    }

    pub(super) fn take_workflow_changed(
        &mut self,
        occasion: &Occasion,
        change: &WorkflowChanged,
    ) -> Result<(), RecordsError> {
        let source = self.learn_source(&change.repository)?;
        let key = source::workflow_key(&source, &change.commit);
        let changed = self.draft.update::<WorkflowChangeRecord>(Table::Source, &key, |record| {
            if record.repository.as_ref().is_none_or(|known| known.id.is_none()) {
                record.repository = Some(change.repository.clone());
            }
            record.refs.insert(change.git_ref.clone());
            for path in change.paths.iter().take(WORKFLOW_PATHS_MAX) {
                record.paths.insert(path.clone());
            }
            record.author = record.author.take().or_else(|| change.author.clone());
            let recorded = occasion.recorded;
            record.first_recorded = Some(record.first_recorded.map_or(recorded, |known| known.min(recorded)));
            record.pushed_at =
                Some(record.pushed_at.map_or(change.pushed_at, |known| known.min(change.pushed_at)));
            insert_bounded(&mut record.ground, occasion.ground(), GROUND_EVENTS_MAX);
        })?;
        match changed {
            true => self.touch_workflow(&source, &change.commit),
            false => Ok(()),
        }
    }

    pub(super) fn take_run(
        &mut self,
        occasion: &Occasion,
        run: &Run,
        end: Option<(Conclusion, Timestamp)>,
    ) -> Result<(), RecordsError> {
        let known: Option<RunRecord> = self.draft.get(Table::Runs, &run::key(&run.run))?;
        let known_began = known.and_then(|record| record.run).map(|run| run.started_at);
        let changed = self.draft.update::<RunRecord>(Table::Runs, &run::key(&run.run), |record| {
            record.learn(run, end);
            insert_bounded(&mut record.ground, occasion.ground(), GROUND_EVENTS_MAX);
        })?;
        if changed {
            self.touch_fact(fact::run(&run.run));
            // An image does not look at runs that began long after its push.
            let (host, repository) = (&run.run.host, &run.run.repository_id);
            let began = known_began.map_or(run.started_at, |known| known.min(run.started_at));
            let from = fact::runs_of(host, repository, began);
            self.touch_facts_from(fact::runs_of_prefix(host, repository), from);
            let began = run::began_key(&run.run, run.started_at);
            self.draft.put(Table::Source, began, run::key(&run.run));
        }
        Ok(())
    }

    pub(super) fn take_job(&mut self, occasion: &Occasion, job: &JobFinished) -> Result<(), RecordsError> {
        let changed = self.draft.update::<RunRecord>(Table::Runs, &run::key(&job.run), |record| {
            let report = JobRecord {
                name: job.name.clone(),
                conclusion: job.conclusion.clone(),
                runner: job.runner.clone(),
                started_at: job.started_at,
                finished_at: job.finished_at,
            };
            record.learn_job(job.job_id, report);
            insert_bounded(&mut record.ground, occasion.ground(), GROUND_EVENTS_MAX);
        })?;
        if changed {
            self.touch_fact(fact::run(&job.run));
        }
        Ok(())
    }
}

/// Two reports of one push, by two agents or by a webhook and a look-up: whatever comes first, the fuller one stays, with what
/// the other knows of its commits beside; ties by the smaller ground.
fn joined(one: PushRecord, other: PushRecord) -> PushRecord {
    let rank = |push: &PushRecord| {
        let parents: usize = push.commits.iter().map(|commit| commit.parents.len()).sum();
        let paths = push.commits.iter().filter(|commit| commit.paths.is_some()).count();
        // Where a branch was made and nothing else was told, a look-up makes up a list of what was asked about.
        let tells_all = push.before.is_some() || !push.commits_cut;
        (tells_all, push.commits.len(), parents, paths, std::cmp::Reverse(push.ground.clone()))
    };
    let (mut fuller, other) = if rank(&one) >= rank(&other) { (one, other) } else { (other, one) };
    for commit in &mut fuller.commits {
        let Some(known) = other.commits.iter().find(|known| known.id == commit.id) else { continue };
        if commit.parents.is_empty() {
            commit.parents.clone_from(&known.parents);
        }
        commit.committer = commit.committer.take().or_else(|| known.committer.clone());
        commit.signature_verified = commit.signature_verified.or(known.signature_verified);
        commit.paths = commit.paths.take().or_else(|| known.paths.clone());
    }
    fuller
}
