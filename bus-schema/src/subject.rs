//! Subjects: where on the bus a message is published. Built and parsed here only; outside text is never a token.

use std::fmt;
use std::str::FromStr;

use crate::event::Stage;
use crate::hash::hash_fields;
use crate::question::{Answerer, Question};
use crate::{AgentId, Event, EventType, ParseError};

/// The hash of a partition key, as a token: 16 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    pub fn of(partition: &str) -> Scope {
        Scope(hex::encode(&hash_fields(["scope", partition])[..8]))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A subject of the fleet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// `custody.in.<stage>.<agent>.<scope>.<noun>.<verb>.v<n>`: what an agent reports. The stage is that of the agent's
    /// own kind for everything it says about its sources, `fleet` for what it says about itself.
    In { stage: Stage, agent: AgentId, scope: Scope, event_type: EventType },
    /// `custody.ask.<answerer>.<scope>`: what the correlator asks.
    Ask { answerer: Answerer, scope: Scope },
    /// `custody.out.<stage>.<scope>.<noun>.<verb>.v<n>`: what the correlator concludes.
    Out { scope: Scope, event_type: EventType },
}

/// Everything that agents report.
pub const IN_ALL: &str = "custody.in.>";
/// Everything that the correlator asks.
pub const ASK_ALL: &str = "custody.ask.>";
/// Everything that the correlator concludes.
pub const OUT_ALL: &str = "custody.out.>";

impl Subject {
    pub fn event(agent: &AgentId, event: &Event) -> Subject {
        let event_type = event.event_type();
        Subject::In {
            stage: event_type.stage,
            agent: agent.clone(),
            scope: event.partition().scope(),
            event_type,
        }
    }

    pub fn question(question: &Question) -> Subject {
        Subject::Ask { answerer: question.answerer(), scope: question.partition().scope() }
    }

    pub fn conclusion(event: &Event) -> Subject {
        Subject::Out { scope: event.partition().scope(), event_type: event.event_type() }
    }

    /// The filter for all questions to one kind of agent.
    pub fn questions_to(answerer: Answerer) -> String {
        format!("custody.ask.{}.>", answerer.as_str())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::In { stage, agent, scope, event_type } => {
                let EventType { noun, verb, version, .. } = event_type;
                write!(
                    formatter,
                    "custody.in.{}.{agent}.{}.{noun}.{verb}.v{version}",
                    stage.as_str(),
                    scope.0
                )
            }
            Subject::Ask { answerer, scope } => {
                write!(formatter, "custody.ask.{}.{}", answerer.as_str(), scope.0)
            }
            Subject::Out { scope, event_type } => {
                let EventType { stage, noun, verb, version } = event_type;
                write!(formatter, "custody.out.{}.{}.{noun}.{verb}.v{version}", stage.as_str(), scope.0)
            }
        }
    }
}

impl FromStr for Subject {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Subject, ParseError> {
        let refuse = |reason: &'static str| ParseError::new("subject", text, 0, reason);
        let scope = |token: &str| {
            let fits =
                token.len() == 16 && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            fits.then(|| Scope(token.to_owned())).ok_or_else(|| refuse("the scope is not 16 hex digits"))
        };
        let event_type = |stage: &str, noun: &str, verb: &str, version: &str| {
            format!("dev.custody.{stage}.{noun}.{verb}.{version}")
                .parse::<EventType>()
                .map_err(|error| error.inside("subject", text, 0))
        };
        let tokens: Vec<&str> = text.split('.').collect();
        match tokens[..] {
            ["custody", "in", stage, agent, scope_token, noun, verb, version] => {
                let event_type = event_type(stage, noun, verb, version)?;
                Ok(Subject::In {
                    stage: event_type.stage,
                    agent: agent.parse().map_err(|e: ParseError| e.inside("subject", text, 0))?,
                    scope: scope(scope_token)?,
                    event_type,
                })
            }
            ["custody", "ask", answerer, scope_token] => {
                let answerer = [Answerer::Registry, Answerer::Ci, Answerer::Source]
                    .into_iter()
                    .find(|known| known.as_str() == answerer)
                    .ok_or_else(|| refuse("an unknown kind of agent"))?;
                Ok(Subject::Ask { answerer, scope: scope(scope_token)? })
            }
            ["custody", "out", stage, scope_token, noun, verb, version] => Ok(Subject::Out {
                scope: scope(scope_token)?,
                event_type: event_type(stage, noun, verb, version)?,
            }),
            _ => Err(refuse("it is none of the fleet's subjects")),
        }
    }
}
