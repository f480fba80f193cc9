//! Which entries of a batch are judged together: events and results of verification that follow each other. What a burst says
//! of one digest is judged once and told once, and a result is judged with the event that it came with.

use correlator_core::input::Input;

use super::Record;

/// An event begins anew when so many entries are judged together: they and what they change are in memory at once.
pub(super) const JUDGED_TOGETHER_MAX: usize = 512;
/// So does a result of verification.
const WITH_RESULTS_MAX: usize = 2 * JUDGED_TOGETHER_MAX;

/// The entries of one batch, one after the other.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    /// How many entries are judged together so far.
    together: usize,
}

impl Joiner {
    /// Whether the next entry is judged together with the one before it.
    pub(super) fn joins(&mut self, record: &Record) -> bool {
        let Some(together_max) = together_max(record) else {
            self.together = 0;
            return false;
        };
        let joins = (1..together_max).contains(&self.together);
        self.together = if joins { self.together + 1 } else { 1 };
        joins
    }
}

/// What only adds to what is known is judged together. Contracts and time change how it is judged.
fn together_max(record: &Record) -> Option<usize> {
    let Record::Input(input) = record else { return None };
    match **input {
        Input::Event(_) => Some(JUDGED_TOGETHER_MAX),
        Input::Verified(_) => Some(WITH_RESULTS_MAX),
        Input::Tick | Input::ContractLoaded(_) | Input::TrustRootLoaded(_) => None,
    }
}
