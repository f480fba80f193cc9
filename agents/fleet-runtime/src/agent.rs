//! What every agent is given to run, whatever it watches.
//!
//! An agent is opened once with it, gives its HTTP routes to the process's listener where it has some, and runs under
//! [`crate::run::Tasks::supervise`] until the stop.

use std::path::PathBuf;
use std::sync::Arc;

use bus_schema::AgentId;
use tokio_util::sync::CancellationToken;

use crate::bus::Bus;
use crate::dead_letters::DeadLetters;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::publisher::Publisher;

/// An agent's place in its process.
#[derive(Clone, Debug)]
pub struct AgentContext {
    /// Speaks in the agent's name. It also knows the bus, the agent's id and the agent's counters.
    pub publisher: Publisher,
    /// The folder that is this agent's alone; the agent makes it where it needs one.
    pub data: PathBuf,
    /// The process's metrics, for what only this agent counts.
    pub metrics: Metrics,
    /// The process's checks.
    pub health: Health,
    /// Cancelled when the process is to end.
    pub stop: CancellationToken,
}

impl AgentContext {
    pub fn bus(&self) -> &Arc<dyn Bus> {
        self.publisher.bus()
    }

    pub fn agent(&self) -> &AgentId {
        self.publisher.agent()
    }

    pub fn dead_letters(&self) -> DeadLetters {
        self.publisher.dead_letters()
    }
}
