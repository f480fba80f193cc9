//! Deadlines: when a unit must be judged again though nothing happens to it.

use jiff::Timestamp;

use super::Work;
use crate::records::{self, RecordsError, Table};
use crate::state::source::sortable;
use crate::state::unit::{Unit, UnitRecord};

/// The most units that one tick judges; the rest is due at once and takes the next tick.
const DUE_UNITS_MAX: usize = 5000;

fn deadline_key(deadline: Timestamp, unit: &Unit) -> String {
    records::key([sortable(deadline).as_str(), &unit.key()])
}

impl Work<'_> {
    /// Marks every unit whose deadline has come.
    pub(super) fn take_tick(&mut self) -> Result<(), RecordsError> {
        let due_until = sortable(self.now);
        for (key, unit) in self.draft.scan::<Unit>(Table::Deadlines, "", DUE_UNITS_MAX)? {
            let due_at = records::parts(&key).first().copied().unwrap_or_default();
            if due_at > due_until.as_str() {
                break;
            }
            self.draft.remove(Table::Deadlines, &key);
            self.touch_unit(unit);
        }
        self.forget_seen_events()?;
        Ok(())
    }

    pub(super) fn move_deadline(
        &mut self,
        unit: &Unit,
        before: Option<&UnitRecord>,
        after: Option<Timestamp>,
    ) -> Result<(), RecordsError> {
        let known = before.and_then(|record| record.deadline);
        // One that has come was taken by a tick.
        if known == after && known.is_none_or(|deadline| deadline > self.now) {
            return Ok(());
        }
        if let Some(deadline) = known {
            self.draft.remove(Table::Deadlines, &deadline_key(deadline, unit));
        }
        if let Some(deadline) = after {
            self.draft.put(Table::Deadlines, deadline_key(deadline, unit), unit)?;
        }
        Ok(())
    }

    /// The earliest deadline of all.
    pub(super) fn next_deadline(&self) -> Result<Option<Timestamp>, RecordsError> {
        let Some((_, unit)) = self.draft.scan::<Unit>(Table::Deadlines, "", 1)?.into_iter().next() else {
            return Ok(None);
        };
        let record: Option<UnitRecord> = self.draft.get(Table::Units, &unit.key())?;
        Ok(record.and_then(|record| record.deadline))
    }
}
