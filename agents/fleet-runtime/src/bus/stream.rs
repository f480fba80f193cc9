//! The streams of the bus and the subjects that each keeps: one table.

use std::fmt;

use super::BusError;

/// A durable sequence of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// What agents report: `custody.in.>`.
    Events,
    /// What the correlator asks agents: `custody.ask.>`.
    Questions,
    /// What the correlator concluded: `custody.out.>`.
    Verdicts,
    /// What could not be understood or did not succeed: `custody.dead.>`.
    DeadLetters,
}

impl Stream {
    pub const ALL: [Stream; 4] = [Stream::Events, Stream::Questions, Stream::Verdicts, Stream::DeadLetters];

    pub fn name(self) -> &'static str {
        match self {
            Stream::Events => "events",
            Stream::Questions => "questions",
            Stream::Verdicts => "verdicts",
            Stream::DeadLetters => "dead-letters",
        }
    }

    /// Every subject of the stream begins with this.
    pub fn subject_prefix(self) -> &'static str {
        match self {
            Stream::Events => "custody.in.",
            Stream::Questions => "custody.ask.",
            Stream::Verdicts => "custody.out.",
            Stream::DeadLetters => "custody.dead.",
        }
    }

    /// The stream that keeps a subject.
    pub fn of_subject(subject: &str) -> Result<Stream, BusError> {
        Stream::ALL
            .into_iter()
            .find(|stream| subject.starts_with(stream.subject_prefix()))
            .ok_or_else(|| BusError::NoStream { subject: subject.to_owned() })
    }

    /// The number under which files hold the stream. Never changes for a stream.
    pub(crate) fn number(self) -> u8 {
        match self {
            Stream::Events => 1,
            Stream::Questions => 2,
            Stream::Verdicts => 3,
            Stream::DeadLetters => 4,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Stream> {
        Stream::ALL.into_iter().find(|stream| stream.number() == number)
    }

    /// Whether a message waits for a consumer even when none is known yet. Work must be taken by somebody;
    /// a conclusion is only shown to who looks.
    pub(crate) fn waits_for_consumer(self) -> bool {
        matches!(self, Stream::Events | Stream::Questions)
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
