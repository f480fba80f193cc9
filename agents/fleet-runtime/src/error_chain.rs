//! One error with all its causes on one line.

use std::error::Error;

const CAUSES_MAX: usize = 16;

/// `failed to x: because y: because z`. The one place that prints causes; each error speaks for its own level.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..CAUSES_MAX {
        let Some(inner) = cause else { break };
        let said = inner.to_string();
        // A transparent error repeats what its cause says.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}
