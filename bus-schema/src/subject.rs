//! Subjects: where on the bus a message is published. Built and parsed here only; outside text is never a token.

use std::fmt;
use std::str::FromStr;

use crate::event::Stage;
use crate::hash::hash_fields;
use crate::question::{Answerer, Question};
use crate::{AgentId, Event, EventType, ParseError};

/// The longest subject that is looked at, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 512;
const SCOPE_HEX_DIGITS: usize = 16;
const KIND: &str = "subject";

/// The hash of a partition key, as a token: 16 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

impl Scope {
    /// The scope of a partition key. The key is outside text and may hold anything; its hash holds hex digits only.
    pub fn of(partition: &str) -> Scope {
        Scope(hex::encode(&hash_fields(["scope", partition])[..SCOPE_HEX_DIGITS / 2]))
    }

    /// The token's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A subject of the fleet.
#[expect(missing_docs, reason = "the pattern of each variant names its fields")]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// `custody.in.<stage>.<agent>.<scope>.<noun>.<verb>.v<n>`: what an agent reports. The stage is that of the event.
    In { agent: AgentId, scope: Scope, event_type: EventType },
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
    /// Where `agent` publishes `event`.
    pub fn event(agent: &AgentId, event: &Event) -> Subject {
        Subject::In { agent: agent.clone(), scope: event.partition().scope(), event_type: event.event_type() }
    }

    /// Where the correlator publishes `question`.
    pub fn question(question: &Question) -> Subject {
        Subject::Ask { answerer: question.answerer(), scope: question.partition().scope() }
    }

    /// Where the correlator publishes what it concludes.
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
            Subject::In { agent, scope, event_type } => {
                let EventType { stage, noun, verb, version } = event_type;
                let (stage, scope) = (stage.as_str(), &scope.0);
                write!(formatter, "custody.in.{stage}.{agent}.{scope}.{noun}.{verb}.v{version}")
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
        if text.len() > SUBJECT_BYTES_MAX {
            return Err(ParseError::new(KIND, text, SUBJECT_BYTES_MAX, "longer than 512 bytes"));
        }
        let tokens: Vec<&str> = text.split('.').collect();
        match tokens[..] {
            ["custody", "in", stage, agent, scope, noun, verb, version] => Ok(Subject::In {
                agent: agent.parse().map_err(|e: ParseError| e.inside(KIND, text, offset(text, agent)))?,
                scope: scope_token(text, scope)?,
                event_type: event_type(text, stage, noun, verb, version)?,
            }),
            ["custody", "ask", answerer, scope] => {
                let Some(answerer) = Answerer::ALL.into_iter().find(|known| known.as_str() == answerer)
                else {
                    let position = offset(text, answerer);
                    return Err(ParseError::new(KIND, text, position, "an unknown kind of agent"));
                };
                Ok(Subject::Ask { answerer, scope: scope_token(text, scope)? })
            }
            ["custody", "out", stage, scope, noun, verb, version] => Ok(Subject::Out {
                scope: scope_token(text, scope)?,
                event_type: event_type(text, stage, noun, verb, version)?,
            }),
            _ => Err(ParseError::new(KIND, text, 0, "it is none of the fleet's subjects")),
        }
    }
}

/// Where `token`, a part of `text`, begins in it.
fn offset(text: &str, token: &str) -> usize {
    token.as_ptr() as usize - text.as_ptr() as usize
}

fn scope_token(text: &str, token: &str) -> Result<Scope, ParseError> {
    let at = offset(text, token);
    if let Some(bad) = token.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(ParseError::new(KIND, text, at + bad, "not a lower-case hex digit in the scope"));
    }
    match token.len() {
        SCOPE_HEX_DIGITS => Ok(Scope(token.to_owned())),
        _ => Err(ParseError::new(KIND, text, at, "the scope is not 16 hex digits")),
    }
}

/// The event type that is spread over the tokens of a subject.
fn event_type(
    text: &str,
    stage_token: &str,
    noun: &str,
    verb: &str,
    version: &str,
) -> Result<EventType, ParseError> {
    let Some(stage) = Stage::parse(stage_token) else {
        return Err(ParseError::new(KIND, text, offset(text, stage_token), "an unknown stage"));
    };
    EventType::from_words(stage, noun, verb, version)
        .map_err(|(word, error)| error.inside(KIND, text, offset(text, word)))
}
