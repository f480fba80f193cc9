//! Which entries of a batch are judged together: events and results of verification that follow each other. What a burst says
//! of one digest is judged once and told once.

use correlator_core::input::Input;

use super::Record;

/// The most entries that are judged together: they and what they change are in memory at once.
pub(super) const JUDGED_TOGETHER_MAX: usize = 256;

/// The entries of one batch, one after the other.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    /// How many entries are judged together so far.
    together: usize,
}

impl Joiner {
    /// Whether the next entry is judged together with the one before it.
    pub(super) fn joins(&mut self, record: &Record) -> bool {
        if !is_fact(record) {
            self.together = 0;
            return false;
        }
        let joins = (1..JUDGED_TOGETHER_MAX).contains(&self.together);
        self.together = if joins { self.together + 1 } else { 1 };
        joins
    }
}

/// What only adds to what is known. Contracts and time change how it is judged.
fn is_fact(record: &Record) -> bool {
    match record {
        Record::Input(input) => matches!(**input, Input::Event(_) | Input::Verified(_)),
        Record::Receipt(_) => false,
    }
}
