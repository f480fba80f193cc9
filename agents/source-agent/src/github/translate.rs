//! From GitHub's words to the fleet's, purely: a delivery in, the events that it reports or the reason why not.
//!
//! Nothing is looked up and no clock is read, so the same body gives the same events, whenever it arrives. Everything
//! that the body leaves open stays open: a permission that nobody looked up is absent, not assumed.

pub mod change;
pub mod commits;
pub mod fit;
pub mod push;
pub mod workflow_files;

use bus_schema::{ForgeHost, ParseError};
use github_client::json::{self, JsonError};
use github_client::report::{Translate, Translated};

use super::payload::{PullRequestEvent, Push, ReviewEvent};

/// The events of GitHub that this agent reads.
pub const READ_EVENTS: [&str; 3] = ["push", "pull_request", "pull_request_review"];

/// Why a delivery is not understood: it goes to the dead letter with this text.
#[derive(Debug, thiserror::Error)]
pub enum TranslateRefusal {
    #[error("the body of {event} cannot be read")]
    Body { event: &'static str, source: JsonError },
    #[error("the action {action:?} of {event} is unknown")]
    UnknownAction { event: &'static str, action: String },
    #[error("{field} is refused")]
    Identity { field: &'static str, source: ParseError },
    #[error("{field} is missing")]
    Missing { field: &'static str },
    #[error("{what}: {why}")]
    Contradiction { what: &'static str, why: &'static str },
}

impl TranslateRefusal {
    fn identity(field: &'static str) -> impl Fn(ParseError) -> TranslateRefusal {
        move |source| TranslateRefusal::Identity { field, source }
    }

    fn unknown_action(event: &'static str, action: &str) -> TranslateRefusal {
        let action = action.chars().filter(|c| !c.is_control()).take(64).collect();
        TranslateRefusal::UnknownAction { event, action }
    }
}

/// The pure half of the agent, as the intake sees it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Translation;

impl Translate for Translation {
    type Refusal = TranslateRefusal;

    fn read_events(&self) -> &'static [&'static str] {
        &READ_EVENTS
    }

    fn translate(&self, event: &str, host: &ForgeHost, body: &[u8]) -> Result<Translated, TranslateRefusal> {
        translate(event, host, body)
    }
}

/// Translates the body of one delivery.
pub fn translate(event: &str, host: &ForgeHost, body: &[u8]) -> Result<Translated, TranslateRefusal> {
    match event {
        "push" => push::translate(host, &read::<Push>("push", body)?),
        "pull_request" => change::merged(host, &read::<PullRequestEvent>("pull_request", body)?),
        "pull_request_review" => change::reviewed(host, &read::<ReviewEvent>("pull_request_review", body)?),
        _ => Ok(Translated::NothingToSay("this agent does not read the event")),
    }
}

fn read<T: serde::de::DeserializeOwned>(event: &'static str, body: &[u8]) -> Result<T, TranslateRefusal> {
    json::read_object(body).map_err(|source| TranslateRefusal::Body { event, source })
}

#[cfg(test)]
mod tests;
