//! Deadlines: when a unit must be judged again though nothing happens to it.

use bus_schema::TraceParent;
use jiff::Timestamp;

use super::{Work, sweep};
use crate::records::{Draft, RecordsError, Table};
use crate::state::source::sortable;
use crate::state::unit::{self, Kept, Unit, UnitRecord};

/// The most units that one tick judges; the rest is due at once and takes the next tick. What is said meanwhile waits no
/// longer than for one.
pub(super) const DUE_UNITS_MAX: usize = 500;

fn deadline_key(deadline: Timestamp, unit: &Unit) -> String {
    unit::key_before(&sortable(deadline), unit)
}

/// The earliest deadline of a state; the next page of a sweep is due since it began.
pub(super) fn earliest(draft: &Draft<'_>) -> Result<Option<Timestamp>, RecordsError> {
    let of_units = earliest_of_units(draft)?;
    Ok(sweep::since(draft)?.into_iter().chain(of_units).min())
}

fn earliest_of_units(draft: &Draft<'_>) -> Result<Option<Timestamp>, RecordsError> {
    let Some(key) = draft.keys(Table::Deadlines, "", 1)?.pop() else { return Ok(None) };
    let unit_key = unit::parts_before(&key).map(|(_, unit_key)| unit_key).unwrap_or_default();
    let record: Option<UnitRecord> = draft.get(Table::Units, unit_key)?;
    Ok(record.and_then(|record| record.deadline))
}

impl Work<'_> {
    /// Marks every unit whose deadline has come, and the next page of a sweep.
    pub(super) fn take_tick(&mut self) -> Result<(), RecordsError> {
        let due_until = sortable(self.now);
        for (key, unit) in self.draft.scan::<Kept>(Table::Deadlines, "", DUE_UNITS_MAX)? {
            let (due_at, unit_key) = unit::parts_before(&key).unwrap_or_default();
            if due_at > due_until.as_str() {
                break;
            }
            self.draft.remove(Table::Deadlines, &key);
            if let Some(unit) = unit.unit(unit_key) {
                self.touch_unit(unit);
            }
        }
        self.sweeps = true;
        self.forget_seen_events()
    }

    /// Lets the next ticks judge a unit, for what marked it.
    pub(super) fn make_due(&mut self, unit: &Unit, trace: Option<TraceParent>) -> Result<(), RecordsError> {
        let key = unit.key();
        let Some(mut record) = self.draft.get::<UnitRecord>(Table::Units, &key)? else { return Ok(()) };
        if record.deadline.is_none_or(|deadline| deadline > self.now) {
            if let Some(later) = record.deadline {
                self.draft.remove(Table::Deadlines, &deadline_key(later, unit));
            }
            record.deadline = Some(self.now);
            self.draft.put(Table::Deadlines, deadline_key(self.now, unit), Kept::of(unit));
        }
        record.trace = trace.or(record.trace);
        self.draft.put(Table::Units, key, record);
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
            self.draft.put(Table::Deadlines, deadline_key(deadline, unit), Kept::of(unit));
        }
        Ok(())
    }

    /// The earliest deadline of all.
    pub(super) fn next_deadline(&self) -> Result<Option<Timestamp>, RecordsError> {
        earliest(&self.draft)
    }
}
