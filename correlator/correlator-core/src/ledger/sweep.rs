//! Judging everything again under changed contracts, a page at a time: what is said meanwhile waits for one page.
//!
//! The input that changes the contracts begins a sweep and takes its first page; each tick takes another, and the next tick
//! is due at once for as long as one is left. What runs comes first. A digest comes with everything that is judged of it, so
//! that its placements look at verdicts under the same contracts. What is marked out of turn while a sweep is under way
//! brings with it the images that it looks at (see [`Work::mark_images_not_swept`]).

use bus_schema::Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Work;
use super::touched::Resolved;
use crate::contracts::Claim;
use crate::records::{self, Change, Draft, RecordsError, Table};
use crate::state::digest::{self, DigestRecord};
use crate::state::evidence::{self, EVIDENCE_PER_DIGEST_MAX};
use crate::state::placement::{self, PlacementRecord};
use crate::state::tag::{self, TagRecord};
use crate::state::unit::{Unit, UnitRecord};
use crate::verdict::{self, VerdictRecord};

/// The most units and pieces of evidence that one page marks, but for those of one digest.
const MARKED_MAX: usize = 500;
/// The most rows that one page looks at.
const LOOKED_AT_MAX: usize = 5000;
const KEY: &str = "sweep";

/// How far a sweep has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sweep {
    since: Timestamp,
    /// The trust set changed too, so that evidence is verified again.
    verifies: bool,
    stage: Stage,
    /// The first key of the stage's table that was not looked at.
    from: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    /// Digests that run, or ran.
    Placed,
    OtherDigests,
    Tags,
    /// Units that are of no digest and no tag.
    OtherUnits,
    /// Evidence of what was not swept by then: what came meanwhile, or lies further above.
    Evidence,
}

impl Stage {
    fn next(self) -> Option<Stage> {
        match self {
            Stage::Placed => Some(Stage::OtherDigests),
            Stage::OtherDigests => Some(Stage::Tags),
            Stage::Tags => Some(Stage::OtherUnits),
            Stage::OtherUnits => Some(Stage::Evidence),
            Stage::Evidence => None,
        }
    }
}

/// What a page may still do.
struct Room {
    marked: usize,
    looked_at: usize,
}

impl Room {
    fn is_left(&self) -> bool {
        self.marked < MARKED_MAX && self.looked_at < LOOKED_AT_MAX
    }
}

/// Since when a sweep is under way: until it is over, its next page is due.
pub(super) fn since(draft: &Draft<'_>) -> Result<Option<Timestamp>, RecordsError> {
    Ok(draft.get::<Sweep>(Table::Globals, KEY)?.map(|sweep| sweep.since))
}

/// Whether a change moves a sweep on.
pub(super) fn is_moved_by(change: &Change) -> bool {
    change.table == Table::Globals && change.key == KEY
}

impl Work<'_> {
    /// Begins to judge everything again, from the start.
    pub(super) fn begin_sweep(&mut self, trust_changed: bool) -> Result<(), RecordsError> {
        let under_way: Option<Sweep> = self.draft.get(Table::Globals, KEY)?;
        let verifies = trust_changed || under_way.is_some_and(|sweep| sweep.verifies);
        let sweep = Sweep { since: self.now, verifies, stage: Stage::Placed, from: String::new() };
        self.draft.put(Table::Globals, KEY.to_owned(), sweep);
        self.sweeps = true;
        Ok(())
    }

    /// Marks the next page of the sweep that is under way, where an input asks for one.
    pub(super) fn sweep(&mut self) -> Result<(), RecordsError> {
        if !std::mem::take(&mut self.sweeps) {
            return Ok(());
        }
        let Some(mut sweep) = self.draft.get::<Sweep>(Table::Globals, KEY)? else { return Ok(()) };
        // What is judged again belongs to what marked it before, not to the input in hand.
        self.trace = None;
        let mut room = Room { marked: 0, looked_at: 0 };
        while room.is_left() {
            room.looked_at += 1;
            if self.sweep_row(&mut sweep, &mut room)? {
                continue;
            }
            match sweep.stage.next() {
                Some(stage) => (sweep.stage, sweep.from) = (stage, String::new()),
                None => {
                    self.draft.remove(Table::Globals, KEY);
                    return Ok(());
                }
            }
        }
        self.draft.put(Table::Globals, KEY.to_owned(), sweep);
        Ok(())
    }

    /// Marks what the next row of the stage stands for; whether there was one.
    fn sweep_row(&mut self, sweep: &mut Sweep, room: &mut Room) -> Result<bool, RecordsError> {
        match sweep.stage {
            Stage::Placed | Stage::OtherDigests => self.sweep_digest(sweep, room),
            Stage::Tags => self.sweep_tag(sweep, room),
            Stage::OtherUnits => self.sweep_unit(sweep, room),
            Stage::Evidence if sweep.verifies => {
                let Some(key) = self.draft.first_key(Table::Evidence, &sweep.from)? else { return Ok(false) };
                if let Ok(id) = key.parse() {
                    room.marked += usize::from(self.verify_again(&id, sweep.since)?);
                }
                sweep.from = key + "\0";
                Ok(true)
            }
            Stage::Evidence => Ok(false),
        }
    }

    fn sweep_digest(&mut self, sweep: &mut Sweep, room: &mut Room) -> Result<bool, RecordsError> {
        let Some(key) = self.draft.first_key(Table::Digests, &sweep.from)? else { return Ok(false) };
        sweep.from = digest::behind(&key);
        let Some(digest) = records::parts(&key).first().and_then(|digest| digest.parse::<Digest>().ok())
        else {
            return Ok(true);
        };
        let is_placed =
            !self.draft.keys(Table::Digests, &placement::by_digest_prefix(&digest), 1)?.is_empty();
        if is_placed != (sweep.stage == Stage::Placed) {
            return Ok(true);
        }
        if sweep.verifies {
            room.marked += self.verify_again_all_of(&digest, sweep.since)?;
        }
        for unit in self.units_of_digest(&digest)? {
            self.touch_unit(unit);
            room.marked += 1;
        }
        Ok(true)
    }

    /// The evidence of a digest, and of what lies directly above it.
    fn verify_again_all_of(&mut self, digest: &Digest, since: Timestamp) -> Result<usize, RecordsError> {
        let record: Option<DigestRecord> = self.draft.get(Table::Digests, &digest::key(digest))?;
        let parents = record.map(|record| record.parents).unwrap_or_default();
        let mut marked = 0;
        for carrier in parents.iter().chain([digest]) {
            for prefix in [evidence::subject_prefix(carrier), evidence::attached_prefix(carrier)] {
                for key in self.draft.keys(Table::Digests, &prefix, EVIDENCE_PER_DIGEST_MAX)? {
                    if let Some(id) = records::parts(&key).last().and_then(|id| id.parse().ok()) {
                        marked += usize::from(self.verify_again(&id, since)?);
                    }
                }
            }
        }
        Ok(marked)
    }

    fn sweep_tag(&mut self, sweep: &mut Sweep, room: &mut Room) -> Result<bool, RecordsError> {
        let Some(key) = self.draft.first_key(Table::Tags, &sweep.from)? else { return Ok(false) };
        if let [repository, tag] = records::parts(&key)[..]
            && let (Ok(repository), Ok(tag)) = (repository.parse(), tag.parse())
        {
            self.touch_unit(Unit::Tag { repository, tag });
            room.marked += 1;
        }
        sweep.from = key + "\0";
        Ok(true)
    }

    /// Rows of digests, placements and tags are never removed, so what is of one of them was marked with it.
    fn sweep_unit(&mut self, sweep: &mut Sweep, room: &mut Room) -> Result<bool, RecordsError> {
        let rows = self.draft.scan_from::<UnitRecord>(Table::Units, "", &sweep.from, 1)?;
        let Some((key, record)) = rows.into_iter().next() else { return Ok(false) };
        sweep.from = format!("{key}\0");
        let Some(unit) = record.unit.unit(&key) else { return Ok(true) };
        let was_marked = match &unit {
            Unit::Image { .. } | Unit::Tag { .. } => {
                // Over all of its kind at once.
                let kind = key.split('\u{1f}').next().unwrap_or_default();
                sweep.from = format!("{kind}\u{20}");
                true
            }
            Unit::Placement { key } => {
                let record: Option<PlacementRecord> = self.draft.get(Table::Placements, key)?;
                record.is_some_and(|record| record.digest.is_some())
            }
            Unit::Workflow { .. }
            | Unit::Completeness { .. }
            | Unit::RemovedPipeline { .. }
            | Unit::Agent { .. }
            | Unit::Lane { .. } => false,
        };
        if !was_marked {
            self.touch_unit(unit);
            room.marked += 1;
        }
        Ok(true)
    }

    /// Marks, while a sweep is under way, the images whose verdicts marked placements and tags look at and that it has not
    /// come to: their verdicts are of the contracts before.
    pub(super) fn mark_images_not_swept(&self, resolved: &mut Resolved) -> Result<(), RecordsError> {
        if since(&self.draft)?.is_none() {
            return Ok(());
        }
        for (unit, trace) in &resolved.others {
            let Some((digests, pipeline)) = self.looks_at(unit)? else { continue };
            for digest in digests {
                let known: Option<VerdictRecord> =
                    self.draft.get(Table::Verdicts, &verdict::key(&digest, &pipeline))?;
                if known.is_none_or(|known| known.verdict.policy != self.contracts.hash) {
                    let image = Unit::Image { digest, pipeline: pipeline.clone() };
                    resolved.images.entry(image).or_insert_with(|| trace.clone());
                }
            }
        }
        Ok(())
    }

    /// The digests and the pipeline of the verdicts that a unit looks at.
    fn looks_at(&self, unit: &Unit) -> Result<Option<(Vec<Digest>, String)>, RecordsError> {
        let (digests, repository): (Vec<Digest>, _) = match unit {
            Unit::Placement { key } => {
                let record: Option<PlacementRecord> = self.draft.get(Table::Placements, key)?;
                let image = record.as_ref().and_then(|record| record.image.as_ref());
                let repository = image.map(|image| image.repository.clone());
                (record.and_then(|record| record.digest).into_iter().collect(), repository)
            }
            Unit::Tag { repository, tag } => {
                let record: Option<TagRecord> = self.draft.get(Table::Tags, &tag::key(repository, tag))?;
                let moves = record.into_iter().flat_map(|record| record.moves);
                (moves.filter_map(|a_move| a_move.to).collect(), Some(repository.clone()))
            }
            _ => (Vec::new(), None),
        };
        let Some(repository) = repository else { return Ok(None) };
        Ok(match self.contracts.claim(&repository) {
            Claim::Claimed(pipeline) => Some((digests, pipeline.name.clone())),
            Claim::Unclaimed => None,
        })
    }
}

#[cfg(test)]
mod tests;
