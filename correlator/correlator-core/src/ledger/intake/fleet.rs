//! What agents say about themselves: coverage, gaps, and the ends of look-ups.

use bus_schema::fleet::{AgentGap, AgentReported, EvidenceUnavailable};

use super::Work;
use crate::records::{RecordsError, Table};
use crate::state::Occasion;
use crate::state::agent::{self, AgentRecord, CoverageRecord, GapRecord};
use crate::state::question::{self, ANSWERS_MAX, Answer, QuestionRecord};
use crate::state::unit::{Unit, fact};

impl Work<'_> {
    pub(super) fn take_agent_reported(
        &mut self,
        occasion: &Occasion,
        report: &AgentReported,
    ) -> Result<(), RecordsError> {
        self.draft.update::<AgentRecord>(Table::Agents, &agent::key(&report.agent), |record| {
            record.hear(report, occasion.recorded);
        })?;
        self.touch_unit(Unit::Agent { agent: report.agent.clone() });
        for coverage in &report.coverage {
            let key = agent::coverage_key(&report.kind, &coverage.scope);
            let changed = self.draft.update::<CoverageRecord>(Table::Agents, &key, |record| {
                record.since = Some(record.since.map_or(coverage.since, |known| known.min(coverage.since)));
            })?;
            if changed {
                self.touch_fact(fact::coverage(&report.kind, &coverage.scope));
                let within = fact::coverage_within_prefix(&report.kind, &coverage.scope);
                self.touch_facts_from(within.clone(), within);
            }
        }
        Ok(())
    }

    pub(super) fn take_agent_gap(&mut self, occasion: &Occasion, gap: &AgentGap) -> Result<(), RecordsError> {
        let key = agent::gap_key(&gap.agent, &gap.scope, gap.epoch, gap.sequence);
        self.draft.update::<GapRecord>(Table::Agents, &key, |record| {
            record.scope.clone_from(&gap.scope);
            // The report that opened the gap says why; its recovery may say something else.
            if !gap.recovered || record.reason.is_empty() {
                record.reason.clone_from(&gap.reason);
            }
            record.from = Some(record.from.map_or(gap.from, |known| known.min(gap.from)));
            record.until = Some(record.until.map_or(gap.until, |known| known.max(gap.until)));
            record.opened |= !gap.recovered;
            record.recovered |= gap.recovered;
            record.ground = Some(occasion.ground());
        })?;
        self.touch_unit(Unit::Completeness { agent: gap.agent.clone(), scope: gap.scope.clone() });
        Ok(())
    }

    pub(super) fn take_answer(
        &mut self,
        occasion: &Occasion,
        answer: &EvidenceUnavailable,
    ) -> Result<(), RecordsError> {
        // The request's id must be that of the question, or an agent could end a question that it was not asked.
        if answer.question.request_id() != answer.request {
            return Ok(());
        }
        let key = question::key(&answer.request);
        let known: Option<QuestionRecord> = self.draft.get(Table::Questions, &key)?;
        let mut record = known.unwrap_or_else(|| QuestionRecord {
            question: answer.question.clone(),
            attempts: 0,
            first_asked: occasion.recorded,
            last_asked: occasion.recorded,
            asked_before: None,
            failing_since: None,
            lane: None,
            queued: None,
            answers: Vec::new(),
        });
        record.failing_since = match question::is_failure(&answer.reason) {
            true => record.failing_since.or(Some(occasion.recorded)),
            false => None,
        };
        record.answers.push(Answer {
            attempt: answer.attempt,
            reason: answer.reason.clone(),
            source: answer.source.clone(),
            detail: answer.detail.clone(),
            found: answer.found,
            recorded: occasion.recorded,
            ground: occasion.ground(),
        });
        record.answers.sort_by_key(|answer| (answer.attempt, answer.recorded));
        if record.answers.len() > ANSWERS_MAX {
            record.answers.remove(0);
        }
        let freed = if record.is_answered() { record.lane.take() } else { None };
        self.draft.put(Table::Questions, key, record);
        if let Some(lane) = freed {
            self.free_place(&lane, &answer.request)?;
        }
        self.touch_fact(fact::request(&answer.request));
        Ok(())
    }
}
