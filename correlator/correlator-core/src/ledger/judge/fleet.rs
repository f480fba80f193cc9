//! Judging the fleet: agents that are silent, and what is missing of what they said.

use bus_schema::AgentId;
use jiff::Timestamp;

use super::{Conclusion, Work};
use crate::chain::inquiry::{Inquiry, Notes};
use crate::chain::memo::Memo;
use crate::contracts::duration::Span;
use crate::records::{RecordsError, Table};
use crate::rules::{self, context};
use crate::state::agent::{self, AgentRecord, GapRecord, InventoriesRecord};
use crate::state::unit::{Unit, UnitRecord};

/// A deadline that is found so long after it came was missed because nobody was there to see it.
const AWAY: Span = Span::from_secs(10);

impl Work<'_> {
    pub(super) fn judge_completeness(
        &mut self,
        agent: &AgentId,
        scope: &str,
    ) -> Result<Conclusion, RecordsError> {
        let vouched_until = self.vouched_until(agent);
        let prefix = agent::gaps_prefix(agent, scope);
        let begin = vouched_until.map(|until| agent::behind_gaps_until(agent, scope, until));
        let begin = begin.as_ref().unwrap_or(&prefix);
        let open: Vec<(String, GapRecord)> = self.draft.scan_from(Table::Agents, &prefix, begin, 1)?;
        let gap = open.first().map(|(_, gap)| gap);
        Ok(Conclusion {
            raised: gap.map(|gap| rules::completeness(agent, scope, gap)).into_iter().collect(),
            keeps_findings: false,
            notes: Notes::default(),
            because: why_complete(vouched_until),
        })
    }

    pub(super) fn judge_agent(&mut self, agent: &AgentId, memo: &Memo) -> Result<Conclusion, RecordsError> {
        let contracts = std::sync::Arc::clone(&self.contracts);
        let mut record: AgentRecord = self.draft.get(Table::Agents, &agent::key(agent))?.unwrap_or_default();
        let silence = contracts.installation.windows.silence;
        if record.excused.is_none() && record.is_silent(silence, self.now) && self.was_away(agent)? {
            record.excused = Some(self.now);
            self.draft.put(Table::Agents, agent::key(agent), record.clone());
        }
        let vouched_until = self.vouched_until(agent);
        let inquiry = Inquiry::new(&self.draft, &contracts, self.now, memo);
        let raised = rules::agent(&context::AgentContext {
            inquiry: &inquiry,
            agent,
            record: &record,
            is_retired: contracts.installation.agents.get(agent).is_some_and(|contract| contract.retired),
            found_again_until: self.listed_until(agent, &record)?.max(vouched_until),
        });
        Ok(Conclusion {
            raised,
            keeps_findings: false,
            notes: inquiry.into_notes(),
            because: why_complete(vouched_until),
        })
    }

    /// Whether the deadline of an agent passed while nobody looked: then it was the correlator that was away, and what the
    /// agent said in the meantime may still be on its way.
    fn was_away(&self, agent: &AgentId) -> Result<bool, RecordsError> {
        let unit = Unit::Agent { agent: agent.clone() };
        let known: Option<UnitRecord> = self.draft.get(Table::Units, &unit.key())?;
        Ok(known.and_then(|known| known.deadline).is_some_and(|deadline| self.now > AWAY.after(deadline)))
    }

    /// Until when everything that an agent watches has been listed again: where one scope was not, nothing was. Only an
    /// inventory says everything again. A poll says what is new to the agent, and it has said before what was lost.
    fn listed_until(&self, agent: &AgentId, record: &AgentRecord) -> Result<Option<Timestamp>, RecordsError> {
        let mut earliest: Option<Timestamp> = None;
        for scope in record.newest.iter().flat_map(|newest| &newest.scopes) {
            let inventories: Option<InventoriesRecord> =
                self.draft.get(Table::Agents, &agent::inventories_key(agent, scope))?;
            let whole_at = inventories.and_then(|inventories| inventories.whole_at);
            let Some(until) = whole_at else { return Ok(None) };
            earliest = Some(earliest.map_or(until, |known| known.min(until)));
        }
        Ok(earliest)
    }

    /// Until when somebody says that nothing is missing. Nobody can say it of a time to come.
    fn vouched_until(&self, agent: &AgentId) -> Option<Timestamp> {
        let contract = self.contracts.installation.agents.get(agent)?;
        contract.complete_until.filter(|until| *until <= self.now)
    }
}

fn why_complete(vouched_until: Option<Timestamp>) -> String {
    match vouched_until {
        Some(until) => format!("somebody vouches that nothing from before {until} is missing"),
        None => "what was missed has been found".to_owned(),
    }
}

#[cfg(test)]
mod tests;
