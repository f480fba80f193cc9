//! Judging what is marked: each unit again from its facts, and what is new against its last conclusion.

mod fleet;

use std::collections::BTreeSet;

use bus_schema::verdict::VerdictChanged;
use bus_schema::{Digest, TraceParent};
use jiff::Timestamp;

use super::Work;
use super::touched::{Marks, Resolved};
use crate::chain::artifact;
use crate::chain::image_facts::ImageFacts;
use crate::chain::inquiry::{Inquiry, Notes};
use crate::chain::memo::Memo;
use crate::contracts::pipeline::Pipeline;
use crate::contracts::{Claim, DEFAULT_PIPELINE};
use crate::decision::Decision;
use crate::records::{self, RecordsError, Table};
use crate::rules::{self, Raised, context};
use crate::state::placement::{self, PlacementRecord};
use crate::state::source::WorkflowChangeRecord;
use crate::state::tag::{self, TagRecord};
use crate::state::unit::{Kept, Unit, UnitRecord, fact, key_before};
use crate::verdict::{self, VerdictRecord, Whereabouts};

/// The most placements of one namespace that are looked at for a claimed neighbour.
const NEIGHBOURS_MAX: usize = 2000;
/// The most workloads that a finding names.
const WORKLOADS_SHOWN_MAX: usize = 20;

/// What judging one unit concluded.
pub(super) struct Conclusion {
    raised: Vec<Raised>,
    /// What was found before stands beside it, whether or not it is raised now.
    keeps_findings: bool,
    notes: Notes,
    /// Why findings that are gone are gone, in one line.
    because: String,
}

impl Conclusion {
    /// Of a unit that is no problem in itself and is looked at again at a time.
    pub(super) fn without_findings(deadline: Option<Timestamp>) -> Conclusion {
        let notes = Notes { deadline, ..Notes::default() };
        Conclusion { raised: Vec::new(), keeps_findings: false, notes, because: String::new() }
    }
}

impl Work<'_> {
    /// Judges everything that is marked: images first, because the rest looks at their verdicts.
    pub(super) fn judge_touched(&mut self) -> Result<(), RecordsError> {
        let mut changed_cases = BTreeSet::new();
        let memo = Memo::with(std::mem::take(&mut self.walked));
        self.judge_lanes(&mut changed_cases)?;
        let mut resolved = self.resolve_touched()?;
        self.mark_images_not_swept(&mut resolved)?;
        let Resolved { images, mut others } = resolved;
        for (unit, trace) in self.running_first(images)? {
            if let Unit::Image { digest, pipeline } = &unit {
                self.trace = trace;
                let first = self.decisions.len();
                let conclusion = self.judge_image(digest, pipeline, &memo)?;
                self.conclude(&unit, conclusion, first, &mut changed_cases)?;
            }
        }
        for (unit, by_verdict) in self.resolve_touched_by_verdicts()?.others {
            let trace = others.entry(unit).or_default();
            *trace = trace.take().or(by_verdict);
        }
        for (unit, trace) in others {
            self.trace = trace;
            let first = self.decisions.len();
            let conclusion = match &unit {
                Unit::Image { .. } | Unit::Lane { .. } => continue,
                Unit::Placement { key } => self.judge_placement(key, &memo)?,
                Unit::Tag { repository, tag } => self.judge_tag(repository, tag, &memo)?,
                Unit::Workflow { repository, commit } => self.judge_workflow(repository, commit, &memo)?,
                Unit::Completeness { agent, scope } => self.judge_completeness(agent, scope)?,
                Unit::RemovedPipeline { pipeline } => self.judge_removed_pipeline(pipeline)?,
                Unit::Agent { agent } => self.judge_agent(agent, &memo)?,
            };
            self.conclude(&unit, conclusion, first, &mut changed_cases)?;
        }
        self.walked = memo.into_walked();
        self.update_cases(changed_cases)
    }

    fn judge_lanes(&mut self, changed_cases: &mut BTreeSet<super::cases::Touch>) -> Result<(), RecordsError> {
        for (unit, trace) in self.touched_lanes() {
            if let Unit::Lane { lane } = &unit {
                self.trace = trace;
                let first = self.decisions.len();
                let conclusion = self.judge_lane(lane)?;
                self.conclude(&unit, conclusion, first, changed_cases)?;
            }
        }
        Ok(())
    }

    /// Running images are judged before others, so that a changed cause reaches what runs first.
    fn running_first(&self, images: Marks<Unit>) -> Result<Vec<(Unit, Option<TraceParent>)>, RecordsError> {
        let (mut running, mut rest) = (Vec::new(), Vec::new());
        for (unit, trace) in images {
            let Unit::Image { digest, .. } = &unit else { continue };
            let runs = !self.draft.keys(Table::Digests, &placement::by_digest_prefix(digest), 1)?.is_empty();
            let ranked = if runs { &mut running } else { &mut rest };
            ranked.push((unit, trace));
        }
        running.append(&mut rest);
        Ok(running)
    }

    fn judge_image(
        &mut self,
        digest: &Digest,
        pipeline: &str,
        memo: &Memo,
    ) -> Result<Conclusion, RecordsError> {
        let contracts = std::sync::Arc::clone(&self.contracts);
        let claiming = contracts.pipelines.get(pipeline);
        let inquiry = Inquiry::new(&self.draft, &contracts, self.now, memo);
        let is_default = pipeline == DEFAULT_PIPELINE;
        let image = match claiming.is_some() || is_default {
            true => ImageFacts::gather(&inquiry, *digest, claiming)?,
            false => None,
        };
        let Some(image) = image else {
            let notes = inquiry.into_notes();
            self.withdraw_verdict(digest, pipeline)?;
            return Ok(Conclusion {
                raised: Vec::new(),
                keeps_findings: false,
                notes,
                because: "no pipeline claims it any more".to_owned(),
            });
        };
        let mut record = match claiming {
            Some(pipeline) => verdict::judge(&inquiry, &image, pipeline)?,
            None => verdict::judge_unclaimed(&inquiry, &image),
        };
        let placed = image.is_placed(&inquiry);
        if let (true, Some(ended)) = (placed, last_end(&image)) {
            inquiry.look_again_at(contracts.installation.windows.linger.after(ended));
        }
        // What ended lately counts as well, so that neither severity nor text follows every run of a cron job.
        let there: Vec<&PlacementRecord> = image
            .placements
            .iter()
            .map(|(_, placement)| placement)
            .filter(|placement| image.is_there(&inquiry, placement))
            .collect();
        record.whereabouts = self.whereabouts(&inquiry, &image, &record, &there);
        record.verdict.roots = self.root_versions();
        let because = match !placed && !image.placements.is_empty() {
            true => format!("it runs nowhere any more; {}", describe(&record)),
            false => describe(&record),
        };
        let run_around = match claiming {
            Some(pipeline) if record.settled && !record.has_provenance => {
                artifact::any_run_around(&inquiry, &image, pipeline)?
            }
            _ => None,
        };
        let notes = inquiry.into_notes();
        record.verdict.rests_on = notes.ground.iter().copied().collect();
        let keeps_findings = record.is_open_again();
        let raised = match claiming {
            Some(pipeline) if !record.verified_again => {
                let unreachable: Vec<(String, String)> = notes.unreachable.clone().into_iter().collect();
                rules::image(&context::ImageContext {
                    image: &image,
                    pipeline,
                    record: &record,
                    run_around,
                    unreachable: &unreachable,
                })
            }
            _ => Vec::new(),
        };
        self.keep_verdict(record)?;
        Ok(Conclusion { raised, keeps_findings, notes, because })
    }

    /// Where the placements of an image are.
    fn whereabouts(
        &self,
        inquiry: &Inquiry<'_>,
        image: &ImageFacts,
        record: &VerdictRecord,
        there: &[&PlacementRecord],
    ) -> Whereabouts {
        let namespaces: BTreeSet<&String> = there.iter().map(|one| &one.workload.namespace).collect();
        let workloads: BTreeSet<String> = there.iter().map(|one| context::shown_workload(one)).collect();
        Whereabouts {
            namespaces: namespaces
                .into_iter()
                .map(|namespace| (namespace.clone(), verdict::waived_in(inquiry, image, record, namespace)))
                .collect(),
            production: there.iter().any(|placement| self.is_production(placement)),
            workloads: workloads.into_iter().take(WORKLOADS_SHOWN_MAX).collect(),
        }
    }

    /// Keeps a verdict, and publishes it when it says something new.
    fn keep_verdict(&mut self, mut record: VerdictRecord) -> Result<(), RecordsError> {
        let key = verdict::key(&record.verdict.digest, &record.verdict.pipeline);
        let before: Option<VerdictRecord> = self.draft.get(Table::Verdicts, &key)?;
        let says_the_same = before.as_ref().is_some_and(|before| {
            before.verdict.state == record.verdict.state && before.verdict.links == record.verdict.links
        });
        if let (true, Some(before)) = (says_the_same, &before) {
            record.verdict.reached_at = before.verdict.reached_at;
        }
        if before.as_ref() == Some(&record) {
            return Ok(());
        }
        self.touch_fact(fact::verdict(&record.verdict.digest, &record.verdict.pipeline));
        if !says_the_same {
            let change = VerdictChanged {
                verdict: record.verdict.clone(),
                previous: before.map(|before| before.verdict.state.as_str().to_owned()),
                because: describe(&record),
                log_position: self.position,
            };
            self.decisions.push(Decision::PublishVerdict { change: Box::new(change) });
        }
        self.draft.put(Table::Verdicts, key, record);
        Ok(())
    }

    /// Forgets a verdict, and says so to whoever keeps the last one: what no pipeline claims is trusted under none.
    fn withdraw_verdict(&mut self, digest: &Digest, pipeline: &str) -> Result<(), RecordsError> {
        let key = verdict::key(digest, pipeline);
        let Some(before) = self.draft.get::<VerdictRecord>(Table::Verdicts, &key)? else { return Ok(()) };
        self.draft.remove(Table::Verdicts, &key);
        self.touch_fact(fact::verdict(digest, pipeline));
        let because = format!("pipeline {pipeline} claims {} no more", before.verdict.image);
        let previous = before.verdict.state.as_str().to_owned();
        let mut verdict = verdict::withdrawn(before.verdict, &because);
        verdict.policy = self.contracts.hash;
        verdict.roots = self.root_versions();
        verdict.reached_at = self.now;
        let change =
            VerdictChanged { verdict, previous: Some(previous), because, log_position: self.position };
        self.decisions.push(Decision::PublishVerdict { change: Box::new(change) });
        Ok(())
    }

    fn judge_placement(&mut self, key: &str, memo: &Memo) -> Result<Conclusion, RecordsError> {
        let contracts = std::sync::Arc::clone(&self.contracts);
        let inquiry = Inquiry::new(&self.draft, &contracts, self.now, memo);
        let Some(record) = self.draft.get::<PlacementRecord>(Table::Placements, key)? else {
            return Ok(Conclusion {
                raised: Vec::new(),
                keeps_findings: false,
                notes: inquiry.into_notes(),
                because: "the placement is gone".to_owned(),
            });
        };
        let linger = contracts.installation.windows.linger;
        if let Some(ended) = record.ended_recorded {
            let over_at = linger.after(ended);
            inquiry.look_again_at(over_at);
            if self.now >= over_at {
                let because = format!("{} no longer runs it", context::shown_workload(&record));
                return Ok(Conclusion {
                    raised: Vec::new(),
                    keeps_findings: false,
                    notes: inquiry.into_notes(),
                    because,
                });
            }
        }
        let pipeline = record.image.as_ref().and_then(|image| match contracts.claim(&image.repository) {
            Claim::Claimed(pipeline) => Some(pipeline),
            Claim::Unclaimed => None,
        });
        let verdict = match (record.digest, pipeline) {
            (Some(digest), Some(pipeline)) => {
                inquiry.depend_on(fact::verdict(&digest, &pipeline.name));
                self.draft.get::<VerdictRecord>(Table::Verdicts, &verdict::key(&digest, &pipeline.name))?
            }
            _ => None,
        };
        let is_stranger = pipeline.is_none() && !record.image_text.is_empty();
        let newly_beside_claimed = is_stranger && self.is_newly_beside_claimed(&inquiry, &record)?;
        let because = match (&verdict, pipeline) {
            (Some(verdict), _) => describe(verdict),
            (None, Some(_)) => "nothing is known of its digest any more".to_owned(),
            (None, None) => "no pipeline claims it any more".to_owned(),
        };
        let raised = rules::placement(&context::PlacementContext {
            inquiry: &inquiry,
            placement: &record,
            pipeline,
            verdict: verdict.as_ref(),
            production: self.is_production(&record),
            newly_beside_claimed,
        });
        let keeps_findings = verdict.is_some_and(|verdict| verdict.is_open_again());
        Ok(Conclusion { raised, keeps_findings, notes: inquiry.into_notes(), because })
    }

    /// Whether an unclaimed placement began under the agent's eyes in a namespace where claimed images run.
    fn is_newly_beside_claimed(
        &self,
        inquiry: &Inquiry<'_>,
        record: &PlacementRecord,
    ) -> Result<bool, RecordsError> {
        let workload = &record.workload;
        inquiry.depend_on(fact::claimed_in(&workload.cluster, &workload.namespace));
        let Some(since) = inquiry.covered_since("cluster", workload.cluster.as_str())? else {
            return Ok(false);
        };
        let first_start_key = placement::first_start_key(workload, record.image.as_ref());
        let first_start: Option<Timestamp> = self.draft.get(Table::Placements, &first_start_key)?;
        inquiry.depend_on(first_start_key);
        if record.first_started().is_none() || first_start.is_some_and(|first| first <= since) {
            return Ok(false);
        }
        let prefix = records::prefix(["placement", workload.cluster.as_str(), &workload.namespace]);
        // What ended in a namespace may be many times what runs in it.
        let running = placement::running_key(&workload.cluster, &prefix);
        let beside = running.len() - prefix.len();
        for key in self.draft.keys(Table::Placements, &running, NEIGHBOURS_MAX)? {
            let neighbour: Option<PlacementRecord> = self.draft.get(Table::Placements, &key[beside..])?;
            let image = neighbour.and_then(|neighbour| neighbour.image);
            if image.is_some_and(|image| self.pipeline_of(&image.repository) != DEFAULT_PIPELINE) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn judge_tag(
        &mut self,
        repository: &bus_schema::ImageRepository,
        tag: &bus_schema::Tag,
        memo: &Memo,
    ) -> Result<Conclusion, RecordsError> {
        let contracts = std::sync::Arc::clone(&self.contracts);
        let inquiry = Inquiry::new(&self.draft, &contracts, self.now, memo);
        let record: TagRecord = self.draft.get(Table::Tags, &tag::key(repository, tag))?.unwrap_or_default();
        let raised = match contracts.claim(repository) {
            Claim::Claimed(pipeline) => rules::tag(&context::TagContext {
                inquiry: &inquiry,
                repository,
                tag,
                record: &record,
                pipeline,
            })?,
            Claim::Unclaimed => Some(Vec::new()),
        };
        let keeps_findings = raised.is_none();
        let because = match record.current() {
            Some(digest) => format!("the tag points at {digest}, which is as it should be"),
            None => "the tag is deleted".to_owned(),
        };
        let raised = raised.unwrap_or_default();
        Ok(Conclusion { raised, keeps_findings, notes: inquiry.into_notes(), because })
    }

    fn judge_workflow(
        &mut self,
        repository: &bus_schema::RepositoryRef,
        commit: &bus_schema::CommitId,
        memo: &Memo,
    ) -> Result<Conclusion, RecordsError> {
        let contracts = std::sync::Arc::clone(&self.contracts);
        let inquiry = Inquiry::new(&self.draft, &contracts, self.now, memo);
        let source = inquiry.source_key(repository)?;
        inquiry.depend_on(fact::commit(&source, commit));
        let key = crate::state::source::workflow_key(&source, commit);
        let record: WorkflowChangeRecord = self.draft.get(Table::Source, &key)?.unwrap_or_default();
        let is_concerned = |pipeline: &&Pipeline| {
            pipeline.source.as_ref().is_some_and(|source| {
                record.repository.as_ref().is_some_and(|known| source.repository.is_same(known))
                    && record
                        .refs
                        .iter()
                        .any(|git_ref| source.refs.iter().any(|glob| glob.matches(git_ref.as_str())))
            })
        };
        let pipelines: Vec<&Pipeline> = contracts.pipelines.values().filter(is_concerned).collect();
        let raised = match pipelines.is_empty() {
            true => Vec::new(),
            false => rules::workflow(&context::WorkflowContext {
                inquiry: &inquiry,
                commit,
                record: &record,
                pipelines,
            })?,
        };
        Ok(Conclusion {
            raised,
            keeps_findings: false,
            notes: inquiry.into_notes(),
            because: "no contract asks about the commit any more".to_owned(),
        })
    }

    fn judge_removed_pipeline(&mut self, pipeline: &str) -> Result<Conclusion, RecordsError> {
        let was_loaded = self.draft.contains(Table::Globals, &known_pipeline_key(pipeline))?;
        let is_loaded = self.contracts.pipelines.contains_key(pipeline);
        Ok(Conclusion {
            raised: rules::removed_pipeline(pipeline, was_loaded, is_loaded),
            keeps_findings: false,
            notes: Notes::default(),
            because: "the pipeline is loaded again".to_owned(),
        })
    }

    /// Remembers that a pipeline was in force once, so that its removal is noticed.
    pub(super) fn remember_pipeline(&mut self, pipeline: &str) {
        self.draft.put(Table::Globals, known_pipeline_key(pipeline), ());
    }

    pub(super) fn is_production(&self, placement: &PlacementRecord) -> bool {
        let cluster = placement.workload.cluster.as_str();
        self.contracts.installation.is_production(cluster, &placement.cluster_name)
    }

    /// Keeps what was concluded about a unit: its dependencies, its deadline, its questions, and its findings. What was
    /// decided from the place `first` on, and what is decided here, belongs to the unit's trace.
    fn conclude(
        &mut self,
        unit: &Unit,
        conclusion: Conclusion,
        first: usize,
        changed_cases: &mut BTreeSet<super::cases::Touch>,
    ) -> Result<(), RecordsError> {
        let Conclusion { mut raised, keeps_findings, notes, because } = conclusion;
        let key = unit.key();
        let before: Option<UnitRecord> = self.draft.get(Table::Units, &key)?;
        let depends_on: Vec<String> = notes.depends_on.into_iter().collect();
        let known: BTreeSet<&String> = before.iter().flat_map(|record| &record.depends_on).collect();
        for fact in &depends_on {
            if !known.contains(fact) {
                self.draft.put(Table::Dependents, key_before(fact, unit), Kept::of(unit));
            }
        }
        let current: BTreeSet<&String> = depends_on.iter().collect();
        for fact in known.difference(&current) {
            self.draft.remove(Table::Dependents, &key_before(fact, unit));
        }
        self.move_deadline(unit, before.as_ref(), notes.deadline)?;
        let trace = self.trace_of_unit(before.as_ref(), &notes.ground)?;
        let cases_before = before.as_ref().map(|record| record.cases.as_slice()).unwrap_or_default();
        if keeps_findings {
            self.add_findings_of_before(&key, cases_before, &mut raised)?;
        }
        let cases =
            self.keep_findings(&key, cases_before, raised, &because, trace.as_ref(), changed_cases)?;
        let record = UnitRecord {
            unit: Kept::of(unit),
            deadline: notes.deadline,
            depends_on,
            cases,
            trace: trace.clone(),
        };
        if before.as_ref() != Some(&record) {
            self.draft.put(Table::Units, key, record);
        }
        for wanted in notes.wanted {
            self.ask(unit, wanted)?;
        }
        self.trace_from(first, trace.as_ref());
        Ok(())
    }
}

fn known_pipeline_key(pipeline: &str) -> String {
    records::key(["known-pipeline", pipeline])
}

/// When the last placement ended, if none runs.
fn last_end(image: &ImageFacts) -> Option<Timestamp> {
    if image.placements.iter().any(|(_, placement)| placement.is_running()) {
        return None;
    }
    image.placements.iter().filter_map(|(_, placement)| placement.ended_recorded).max()
}

/// A verdict in one line.
pub(crate) fn describe(record: &VerdictRecord) -> String {
    let state = record.verdict.state.as_str();
    let links: Vec<String> = record
        .verdict
        .links
        .iter()
        .filter(|link| link.state != bus_schema::verdict::LinkState::NotRequired)
        .map(|link| format!("{} {}", link.kind, link.state.as_str()))
        .collect();
    format!("{} is {state}: {}", record.verdict.digest.short(), links.join(", "))
}
