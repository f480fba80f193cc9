//! What agents say about themselves: coverage, gaps, and the ends of look-ups.

use bus_schema::AgentId;
use bus_schema::fleet::{AgentGap, AgentReported, EvidenceUnavailable};
use jiff::Timestamp;

use super::Work;
use crate::records::{RecordsError, Table};
use crate::state::Occasion;
use crate::state::agent::{self, AgentRecord, CoverageRecord, GAPS_MAX, GapRecord};
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
        let AgentGap { agent, scope, until, .. } = gap;
        let recovered_key = agent::recovered_key(agent, scope);
        let known: Option<Timestamp> = self.draft.get(Table::Agents, &recovered_key)?;
        // A recovery makes up for every gap that ends by its own end, whichever is heard of first, and for its own gap
        // where a clock was set back in between.
        let recovered_until = match gap.recovered {
            true => known.max(Some(*until)).max(self.end_of_gap(gap)?),
            false => known,
        };
        if let Some(recovered_until) = recovered_until.filter(|_| recovered_until != known) {
            self.draft.put(Table::Agents, recovered_key, recovered_until);
        }
        if !gap.recovered && recovered_until < Some(*until) {
            let key = agent::gap_key(agent, scope, *until, gap.epoch, gap.sequence);
            let record = GapRecord {
                reason: gap.reason.clone(),
                from: gap.from,
                until: *until,
                ground: occasion.ground(),
            };
            self.draft.put(Table::Agents, key, record);
        }
        self.forget_gaps(agent, scope, recovered_until)?;
        self.touch_unit(Unit::Completeness { agent: agent.clone(), scope: scope.clone() });
        Ok(())
    }

    fn end_of_gap(&self, gap: &AgentGap) -> Result<Option<Timestamp>, RecordsError> {
        let end = agent::gap_key_end(gap.epoch, gap.sequence);
        let keys = self.draft.keys(Table::Agents, &agent::gaps_prefix(&gap.agent, &gap.scope), GAPS_MAX)?;
        let Some(key) = keys.iter().find(|key| key.ends_with(&end)) else { return Ok(None) };
        let known: Option<GapRecord> = self.draft.get(Table::Agents, key)?;
        Ok(known.map(|known| known.until))
    }

    /// Forgets the gaps that were made up for, and beyond the bound those that end first.
    fn forget_gaps(
        &mut self,
        agent: &AgentId,
        scope: &str,
        recovered_until: Option<Timestamp>,
    ) -> Result<(), RecordsError> {
        let behind = recovered_until.map(|until| agent::behind_gaps_until(agent, scope, until));
        let keys = self.draft.keys(Table::Agents, &agent::gaps_prefix(agent, scope), GAPS_MAX + 1)?;
        let too_many = keys.len().saturating_sub(GAPS_MAX);
        for (index, key) in keys.iter().enumerate() {
            if index < too_many || behind.as_ref().is_some_and(|behind| key < behind) {
                self.draft.remove(Table::Agents, key);
            }
        }
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
