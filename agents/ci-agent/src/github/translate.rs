//! From GitHub's words to the fleet's, purely: a delivery in, the events that it reports or the reason why not.
//!
//! Nothing is looked up and no clock is read, so the same body gives the same events, whenever it arrives. What the body
//! leaves open stays open: a ref that may be a branch or a tag is absent, a runner that nobody names is absent.

pub mod job;
pub mod run;

use bus_schema::{ForgeHost, ParseError};
use github_client::json::{self, JsonError};
use github_client::report::{Translate, Translated};

use super::payload::{WorkflowJobEvent, WorkflowRunEvent};

/// The events of GitHub that this agent reads.
pub const READ_EVENTS: [&str; 2] = ["workflow_run", "workflow_job"];

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
    #[error("the run is said to be of repository {found}, the body is about {expected}")]
    OtherRepository { expected: String, found: String },
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
        "workflow_run" => run_event(host, &read::<WorkflowRunEvent>("workflow_run", body)?),
        "workflow_job" => job_event(host, &read::<WorkflowJobEvent>("workflow_job", body)?),
        _ => Ok(Translated::NothingToSay("this agent does not read the event")),
    }
}

fn run_event(host: &ForgeHost, event: &WorkflowRunEvent) -> Result<Translated, TranslateRefusal> {
    let repository = event.repository.reference(host).map_err(TranslateRefusal::identity("repository"))?;
    let run = run::run(&repository, &event.workflow_run)?;
    match event.action.as_str() {
        "requested" | "in_progress" => Ok(Translated::Reports(vec![run::started(run)])),
        "completed" => Ok(Translated::Reports(vec![run::finished(run, &event.workflow_run)?])),
        other => Err(TranslateRefusal::unknown_action("workflow_run", other)),
    }
}

fn job_event(host: &ForgeHost, event: &WorkflowJobEvent) -> Result<Translated, TranslateRefusal> {
    let repository = event.repository.reference(host).map_err(TranslateRefusal::identity("repository"))?;
    match event.action.as_str() {
        "completed" => Ok(Translated::Reports(vec![job::finished(&repository, &event.workflow_job)?])),
        "queued" | "in_progress" | "waiting" => Ok(Translated::NothingToSay("the job has not ended")),
        other => Err(TranslateRefusal::unknown_action("workflow_job", other)),
    }
}

fn read<T: serde::de::DeserializeOwned>(event: &'static str, body: &[u8]) -> Result<T, TranslateRefusal> {
    json::read_object(body).map_err(|source| TranslateRefusal::Body { event, source })
}

#[cfg(test)]
mod tests;
