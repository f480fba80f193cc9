//! Who wrote a letter: told by the subject on which it lies, which the servers bind to the writer's credential.
//!
//! In: a subject. Out: the writer, and which messages that writer can have had in hand. A letter is handed back to the bus
//! with the correlator's rights, so that a letter must not say what its writer could not have said.

use std::collections::BTreeMap;
use std::fmt;

use bus_schema::{AgentId, AgentKind, Subject};

/// Letters of agents lie below this, each agent's under its own name.
const OF_AGENTS: &str = "custody.dead.agent.";
const OF_FLEET: &str = "custody.dead.fleet";

/// What each agent of the settings watches.
pub type Kinds = BTreeMap<AgentId, AgentKind>;

/// The writer of a letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Writer {
    /// The correlator, or whatever else may write every letter.
    Fleet,
    Agent(AgentId),
    /// Nobody who writes letters.
    #[default]
    Unknown,
}

impl Writer {
    /// Where it writes.
    pub(crate) fn subject(&self) -> String {
        match self {
            Writer::Agent(agent) => subject_of(agent.as_str()),
            Writer::Fleet | Writer::Unknown => OF_FLEET.to_owned(),
        }
    }

    /// Who alone may write there.
    pub(super) fn of_subject(subject: &str) -> Writer {
        match subject.strip_prefix(OF_AGENTS) {
            Some(agent) => agent.parse().map(Writer::Agent).unwrap_or_default(),
            None if subject == OF_FLEET => Writer::Fleet,
            None => Writer::Unknown,
        }
    }

    /// Whether it can have had a message of this subject in hand. Agents are handed the questions of their kind, and what
    /// they say themselves is theirs to say again. Without the kinds every agent is of this process.
    pub(super) fn may_have_had(&self, subject: &str, kinds: Option<&Kinds>) -> bool {
        match (self, subject.parse::<Subject>()) {
            (Writer::Fleet, _) => true,
            (Writer::Agent(writer), Ok(Subject::Ask { answerer, .. })) => kinds.is_none_or(|kinds| {
                kinds.get(writer).and_then(|kind| kind.answers()).is_some_and(|own| own == answerer)
            }),
            (Writer::Agent(writer), Ok(Subject::In { agent, .. })) => *writer == agent,
            _ => false,
        }
    }
}

/// The one subject on which an agent may write letters.
pub(crate) fn subject_of(id: &str) -> String {
    format!("{OF_AGENTS}{id}")
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Writer::Fleet => f.write_str("the fleet"),
            Writer::Agent(agent) => write!(f, "agent {agent}"),
            Writer::Unknown => f.write_str("nobody known"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_writer_is_found_again_on_its_subject() {
        let agent = Writer::Agent("ci-agent".parse().unwrap());
        for writer in [Writer::Fleet, agent] {
            assert_eq!(Writer::of_subject(&writer.subject()), writer);
        }
        for odd in
            ["custody.dead.agent.A b", "custody.dead.agent.a.b", "custody.dead.other", "custody.dead.fleet.x"]
        {
            assert_eq!(Writer::of_subject(odd), Writer::Unknown, "{odd}");
        }
    }

    #[test]
    fn a_letter_hands_back_only_what_its_writer_can_have_had() {
        let agent = Writer::Agent("ci".parse().unwrap());
        let own = "custody.in.ci.ci.0123456789abcdef.run.finished.v1";
        let others = "custody.in.ci.other.0123456789abcdef.run.finished.v1";
        let kinds = |kind| Kinds::from([("ci".parse().unwrap(), kind)]);
        let question = "custody.ask.ci.0123456789abcdef";
        for (kinds, expected) in [
            (None, true),
            (Some(kinds(AgentKind::Ci)), true),
            (Some(kinds(AgentKind::Source)), false),
            (Some(kinds(AgentKind::Cluster)), false),
            (Some(Kinds::new()), false),
        ] {
            assert_eq!(agent.may_have_had(question, kinds.as_ref()), expected, "{kinds:?}");
        }
        for (writer, subject, expected) in [
            (&agent, own, true),
            (&agent, others, false),
            (&agent, "custody.out.verdict.0123456789abcdef.verdict.changed.v1", false),
            (&agent, "anything", false),
            (&Writer::Fleet, others, true),
            (&Writer::Unknown, own, false),
        ] {
            assert_eq!(
                writer.may_have_had(subject, Some(&kinds(AgentKind::Ci))),
                expected,
                "{writer}: {subject}"
            );
        }
    }
}
