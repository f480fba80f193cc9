//! How much one piece of evidence may cost: the costly steps are counted, and there is a most.

use correlator_core::facts::RefusalReason;

use crate::bounds::STEPS_MAX;
use crate::refusal::{Failed, Step, refusal};

/// The costly steps so far. One step checks one bundle, one certificate chain or one signature, and each of these is
/// bounded by the certificates, entries and timestamps that a signature may have.
#[derive(Debug, Default)]
pub(crate) struct Work {
    steps: usize,
}

impl Work {
    /// Counts one more step, if there may be one.
    pub(crate) fn step(&mut self) -> Result<(), Failed> {
        if self.steps == STEPS_MAX {
            let expected = format!("at most {STEPS_MAX} steps of verification");
            return Err(Failed::at(Step::Shape, refusal(RefusalReason::TooLarge, expected, "more")));
        }
        self.steps += 1;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }
}
