//! Questions to agents: asked once per attempt, whoever wants to know.

use bus_schema::fleet::EvidenceRequested;
use bus_schema::question::Question;

use super::Work;
use crate::decision::Decision;
use crate::records::{RecordsError, Table};
use crate::state::question::{self, QuestionRecord};

/// A question that a unit wants answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) question: Question,
    pub(crate) why: String,
    /// The attempt that is wanted; asked only if it was not asked before.
    pub(crate) attempt: u32,
}

impl Work<'_> {
    pub(super) fn ask(&mut self, wanted: Wanted) -> Result<(), RecordsError> {
        let Wanted { question, why, attempt } = wanted;
        let request = question.request_id();
        let key = question::key(&request);
        let known: Option<QuestionRecord> = self.draft.get(Table::Questions, &key)?;
        if known.as_ref().is_some_and(|record| record.attempts >= attempt) {
            return Ok(());
        }
        let record = QuestionRecord {
            question: question.clone(),
            attempts: attempt,
            first_asked: known
                .as_ref()
                .filter(|record| record.attempts > 0)
                .map_or(self.now, |record| record.first_asked),
            last_asked: self.now,
            failing_since: known.as_ref().and_then(|record| record.failing_since).or(Some(self.now)),
            answers: known.map(|record| record.answers).unwrap_or_default(),
        };
        self.draft.put(Table::Questions, key, &record)?;
        let until = self.contracts.installation.windows.evidence.after(self.now);
        let request = EvidenceRequested { request, attempt, question, why, until };
        self.decisions.push(Decision::Ask { request: Box::new(request) });
        Ok(())
    }
}
