//! Questions to agents: asked once per attempt, whoever wants to know, and so many at once of each lane.

use bus_schema::RequestId;
use bus_schema::fleet::EvidenceRequested;
use bus_schema::question::Question;

use super::Work;
use crate::decision::Decision;
use crate::ledger::judge::Conclusion;
use crate::records::{RecordsError, Table};
use crate::state::lane::{self, LANES_TRIED_MAX, LaneRecord, Queued};
use crate::state::question::{self, QuestionRecord};
use crate::state::unit::{Kept, Unit, UnitRecord, fact};

/// A question that a unit wants answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wanted {
    pub(crate) question: Question,
    pub(crate) why: String,
    /// The attempt that is wanted; asked only if it was not asked before.
    pub(crate) attempt: u32,
}

impl Work<'_> {
    /// Asks for a unit, or has the question wait until its lane has a place.
    pub(super) fn ask(&mut self, unit: &Unit, wanted: Wanted) -> Result<(), RecordsError> {
        let Wanted { question, why, attempt } = wanted;
        let key = question::key(&question.request_id());
        let known: Option<QuestionRecord> = self.draft.get(Table::Questions, &key)?;
        let is_known = |record: &QuestionRecord| {
            record.attempts >= attempt
                || record.queued.as_ref().is_some_and(|queued| queued.attempt >= attempt)
        };
        if known.as_ref().is_some_and(is_known) {
            return Ok(());
        }
        let name = match known.as_ref().and_then(|record| record.lane.clone()) {
            // An attempt that is still out keeps its place for the next one.
            Some(lane) => lane,
            None => self.lane_of(unit, &question)?,
        };
        let mut record = known.unwrap_or_else(|| QuestionRecord {
            question,
            attempts: 0,
            first_asked: self.now,
            last_asked: self.now,
            asked_before: None,
            failing_since: None,
            lane: None,
            queued: None,
            answers: Vec::new(),
        });
        let mut lane = self.lane(&name)?;
        lane.expire(self.now);
        let request = record.question.request_id();
        let queued = Queued { lane: name.clone(), since: self.now, attempt, why };
        if lane.out.contains_key(&request) || lane.has_room() {
            self.send(&mut record, queued, &mut lane);
        } else {
            self.draft.put(Table::Lanes, lane::waiting_key(&name, self.now, &request), request);
            record.queued = Some(queued);
            lane.waiting += 1;
        }
        self.draft.put(Table::Questions, key, record);
        self.keep_lane(&name, &lane)
    }

    /// Publishes an attempt, which takes a place.
    fn send(&mut self, record: &mut QuestionRecord, queued: Queued, lane: &mut LaneRecord) {
        let Queued { lane: name, attempt, why, .. } = queued;
        if record.attempts == 0 {
            record.first_asked = self.now;
        }
        record.asked_before = Some(record.last_asked).filter(|_| record.attempts > 0);
        record.attempts = attempt;
        record.last_asked = self.now;
        record.failing_since = record.failing_since.or(Some(self.now));
        record.lane = Some(name);
        let question = record.question.clone();
        let request = question.request_id();
        let until = self.contracts.installation.windows.evidence.after(self.now);
        lane.out.insert(request.clone(), until);
        let request = EvidenceRequested { request, attempt, question, why, until };
        self.decisions.push(Decision::Ask { request: Box::new(request) });
    }

    /// An answer came: its place is free for what waits.
    pub(super) fn free_place(&mut self, name: &str, request: &RequestId) -> Result<(), RecordsError> {
        let mut lane = self.lane(name)?;
        lane.out.remove(request);
        self.release(name, &mut lane)?;
        self.keep_lane(name, &lane)
    }

    /// Frees the places of what nobody waits for any more. It is judged before all others: what it asks is a fact to them.
    pub(super) fn judge_lane(&mut self, name: &str) -> Result<Conclusion, RecordsError> {
        let mut lane = self.lane(name)?;
        lane.expire(self.now);
        self.release(name, &mut lane)?;
        self.put_lane(name, &lane)?;
        Ok(Conclusion::without_findings(lane.next_expiry()))
    }

    /// Asks what waits, as long as there are places.
    fn release(&mut self, name: &str, lane: &mut LaneRecord) -> Result<(), RecordsError> {
        while lane.waiting > 0 && lane.has_room() {
            let prefix = lane::waiting_prefix(name);
            let first = self.draft.scan::<RequestId>(Table::Lanes, &prefix, 1)?.into_iter().next();
            let Some((place, request)) = first else {
                lane.waiting = 0;
                return Ok(());
            };
            self.draft.remove(Table::Lanes, &place);
            lane.waiting -= 1;
            let key = question::key(&request);
            let record: Option<QuestionRecord> = self.draft.get(Table::Questions, &key)?;
            let Some(mut record) = record else { continue };
            if let Some(queued) = record.queued.take() {
                self.send(&mut record, queued, lane);
                self.draft.put(Table::Questions, key, record);
                self.touch_fact(fact::request(&request));
            }
        }
        Ok(())
    }

    /// The lane of a question: of a namespace in which its digest runs, one with a place if there is any; else of its
    /// repository.
    fn lane_of(&self, unit: &Unit, question: &Question) -> Result<String, RecordsError> {
        let mut namespaces: Vec<String> = Vec::new();
        if let Unit::Image { digest, .. } = unit {
            for (_, placement) in self.placements_of(digest)? {
                let namespace =
                    lane::of_namespace(&placement.workload.cluster, &placement.workload.namespace);
                if placement.is_running() && !namespaces.contains(&namespace) {
                    namespaces.push(namespace);
                }
                if namespaces.len() == LANES_TRIED_MAX {
                    break;
                }
            }
        }
        for namespace in &namespaces {
            let mut lane = self.lane(namespace)?;
            lane.expire(self.now);
            if lane.has_room() {
                return Ok(namespace.clone());
            }
        }
        let of_repository = || lane::of_repository(question.partition().as_str());
        Ok(namespaces.into_iter().next().unwrap_or_else(of_repository))
    }

    fn lane(&self, name: &str) -> Result<LaneRecord, RecordsError> {
        Ok(self.draft.get(Table::Lanes, &lane::key(name))?.unwrap_or_default())
    }

    /// Keeps a lane, and has it looked at when a place is free at the latest.
    fn keep_lane(&mut self, name: &str, lane: &LaneRecord) -> Result<(), RecordsError> {
        let unit = Unit::Lane { lane: name.to_owned() };
        let key = unit.key();
        let before: Option<UnitRecord> = self.draft.get(Table::Units, &key)?;
        let deadline = lane.next_expiry();
        if before.as_ref().and_then(|record| record.deadline) != deadline {
            self.move_deadline(&unit, before.as_ref(), deadline)?;
            let record = UnitRecord {
                unit: Kept::of(&unit),
                deadline,
                depends_on: Vec::new(),
                cases: Vec::new(),
                trace: None,
            };
            self.draft.put(Table::Units, key, record);
        }
        self.put_lane(name, lane)
    }

    fn put_lane(&mut self, name: &str, lane: &LaneRecord) -> Result<(), RecordsError> {
        match *lane == LaneRecord::default() {
            true => self.draft.remove(Table::Lanes, &lane::key(name)),
            false => self.draft.put(Table::Lanes, lane::key(name), lane.clone()),
        }
        Ok(())
    }
}
