//! Names of the fleet's own things: agents, cases, actions, requests.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;
use crate::event::Stage;
use crate::hash::hash_fields;
use crate::parse_error::check_token;
use crate::question::Answerer;

/// What an agent watches: it may speak about this stage only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentKind {
    /// A forge's repositories.
    Source,
    /// A forge's CI.
    Ci,
    /// Registries.
    Registry,
    /// A cluster.
    Cluster,
}

impl AgentKind {
    /// Every kind.
    pub const ALL: [AgentKind; 4] =
        [AgentKind::Source, AgentKind::Ci, AgentKind::Registry, AgentKind::Cluster];

    /// The word in the settings and in the agent's reports.
    pub fn as_str(self) -> &'static str {
        self.stage().as_str()
    }

    /// The stage that it watches.
    pub fn stage(self) -> Stage {
        match self {
            AgentKind::Source => Stage::Source,
            AgentKind::Ci => Stage::Ci,
            AgentKind::Registry => Stage::Registry,
            AgentKind::Cluster => Stage::Cluster,
        }
    }

    /// The questions that it answers, where it answers any.
    pub fn answers(self) -> Option<Answerer> {
        match self {
            AgentKind::Source => Some(Answerer::Source),
            AgentKind::Ci => Some(Answerer::Ci),
            AgentKind::Registry => Some(Answerer::Registry),
            AgentKind::Cluster => None,
        }
    }
}

/// The name of one agent: a lower-case label, because it is a token of the subjects it may publish on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(String);

impl AgentId {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<AgentId, ParseError> {
        check_token(
            "agent id",
            text,
            63,
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'),
            "not a lower-case letter, digit or hyphen",
        )?;
        if text.starts_with('-') {
            return Err(ParseError::new("agent id", text, 0, "it begins with a hyphen"));
        }
        match text.ends_with('-') {
            true => Err(ParseError::new("agent id", text, text.len() - 1, "it ends with a hyphen")),
            false => Ok(AgentId(text.to_owned())),
        }
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for AgentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(AgentId, "AgentId", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", "the name of one agent");

/// Declares an id that is derived from what it names: a short prefix and 16 bytes of a hash, in hexadecimal.
macro_rules! derived_id {
    ($(#[$meta:meta])* $name:ident, $kind:literal, $prefix:literal, $pattern:literal) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The id of the thing that `fields` name. The same fields always give the same id.
            pub fn derive<'a>(fields: impl IntoIterator<Item = &'a str>) -> $name {
                let hash = hash_fields(std::iter::once($kind).chain(fields));
                $name(format!("{}{}", $prefix, hex::encode(&hash[..16])))
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<$name, ParseError> {
                let Some(hex_text) = text.strip_prefix($prefix) else {
                    return Err(ParseError::new($kind, text, 0, concat!("it does not begin with ", $prefix)));
                };
                if let Some(at) = hex_text.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                    return Err(ParseError::new($kind, text, $prefix.len() + at, "not a lower-case hex digit"));
                }
                match hex_text.len() {
                    32 => Ok($name(text.to_owned())),
                    _ => Err(ParseError::new($kind, text, text.len(), "it does not have 32 hex digits")),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        text_identity!($name, stringify!($name), $pattern, "an id derived from what it names");
    };
}

derived_id!(
    /// One problem: derived from the rule and the subject, so that a relapse is the same case.
    CaseId, "case", "case-", "^case-[0-9a-f]{32}$"
);
derived_id!(
    /// One change that the responder makes.
    ActionId, "action", "action-", "^action-[0-9a-f]{32}$"
);
derived_id!(
    /// One question to an agent: derived from the question, so that a thousand pods of one digest ask once.
    RequestId, "request", "ask-", "^ask-[0-9a-f]{32}$"
);
