//! What a delivery or an answer comes to, in the fleet's words.

use bus_schema::{Event, ForgeHost};
use jiff::Timestamp;

/// One thing that happened and when, as the forge says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub occurred: Timestamp,
    pub event: Event,
}

/// What a delivery comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Translated {
    Reports(Vec<Report>),
    /// Understood, and nothing of it is reported.
    NothingToSay(&'static str),
}

/// An agent's pure half: a body in, reports out.
pub trait Translate: std::fmt::Debug + Send + Sync {
    type Refusal: std::error::Error + Send + Sync + 'static;

    /// The events of GitHub that the agent reads.
    fn read_events(&self) -> &'static [&'static str];

    fn translate(&self, event: &str, host: &ForgeHost, body: &[u8]) -> Result<Translated, Self::Refusal>;
}
