//! The registry agent: reports what happens in image registries and what is attached to their images.
//!
//! In: notifications of distribution over HTTP, the registries' APIs, questions of the correlator. Out: `image.pushed`,
//! `registry.tag.moved`, `image.deleted`, `image.resolved`, `attestation.attached`, and `evidence.unavailable` where
//! something could not be looked at. It calls configured hosts only, verifies no signature, and judges nothing: that a
//! registry denied, throttled or broke off an answer is never reported as "there is none".

mod agent;
mod answer;
mod api;
mod change;
mod collect;
mod contents;
mod distribution;
pub mod layout;
mod look_once;
mod look_up;
mod media_type;
mod metrics;
mod poll;
mod probe;
mod queue;
mod report;
mod resolve;
pub mod settings;
mod sink;
mod state;
mod tags;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use bus_schema::question::Answerer;
use fleet_runtime::agent::AgentContext;
use fleet_runtime::run::Supervised;
use futures::future::try_join_all;

pub use api::client::ClientError;
pub use distribution::listen::PATH as NOTIFICATIONS_PATH;
pub use look_once::{Collected, LookError, Unread, look_once};
pub use probe::{Outcome, Probed, probe};
pub use settings::{RawRegistry, RawSettings, RawTuning, Settings};
pub use state::StateError;

use agent::{Agent, Watched};
use api::client::RegistryClient;
use settings::Poll;

/// The name of the agent's check.
const CHECK: &str = "registry-agent";

/// The agent, opened: its state is locked for it, nothing runs yet.
#[derive(Clone, Debug)]
pub struct RegistryAgent {
    agent: Arc<Agent>,
}

/// Why the agent cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the registry agent's state cannot be opened")]
    State(#[from] StateError),
    #[error("a registry cannot be called")]
    Client(#[from] ClientError),
}

/// Refuses the agent's folder when another version wrote the state in it. Touches nothing.
pub fn check_format(folder: &Path) -> Result<(), StateError> {
    state::State::check_format(folder)
}

impl RegistryAgent {
    /// Opens the state in the agent's folder. Once per folder: a second one is refused.
    pub fn open(settings: Settings, context: &AgentContext) -> Result<RegistryAgent, OpenError> {
        RegistryAgent::with(settings, context, state::State::open(&context.data)?)
    }

    fn with(
        settings: Settings,
        context: &AgentContext,
        state: state::State,
    ) -> Result<RegistryAgent, OpenError> {
        let mut registries = BTreeMap::new();
        for registry in settings.registries {
            let client = RegistryClient::new(&registry)?;
            let (poll_soon, poll_from) = (tokio::sync::Notify::new(), std::sync::Mutex::default());
            let watched = Watched { settings: registry, client, poll_soon, poll_from };
            registries.insert(watched.settings.host.clone(), watched);
        }
        let metrics = metrics::Metrics::new(&context.metrics);
        let publisher = context.publisher.clone();
        let agent =
            Agent::new(registries, settings.tuning, publisher, context.dead_letters(), state, metrics);
        Ok(RegistryAgent { agent: Arc::new(agent) })
    }

    /// The intake of notifications, under [`NOTIFICATIONS_PATH`]: for any listener, shared or not. It works whether or
    /// not [`RegistryAgent::run`] does; what it takes in is durable.
    pub fn routes(&self) -> Router {
        distribution::listen::routes(self.agent.clone())
    }

    /// Polls, looks, answers and reports until the stop. Made to be supervised: it fails where its own disk does at the
    /// beginning, and can be run again. Each part begins again by itself, so that a bus or a blob store that fails one of
    /// them holds up none of the others.
    pub async fn run(&self, given: Supervised) -> anyhow::Result<()> {
        report::begin(&self.agent).await?;
        given.check.ready();
        let polls = try_join_all(self.agent.registries.values().filter_map(|watched| {
            let poll = watched.settings.poll.as_ref()?;
            Some(self.poll(watched, poll, &given))
        }));
        let (answered, looked, reported, polled) = tokio::join!(
            given.part("questions", |part| self.answer(part)),
            given.part("looks", |part| self.look(part)),
            given.part("heartbeat", |part| self.report(part)),
            polls,
        );
        answered.and(looked).and(reported).and(polled.map(drop))
    }

    async fn answer(&self, part: Supervised) -> anyhow::Result<()> {
        let publisher = &self.agent.publisher;
        let reader =
            fleet_runtime::asked::reader(publisher.bus(), publisher.agent(), Answerer::Registry).await?;
        part.check.ready();
        let in_hand_max = self.agent.tuning.questions_in_hand_max;
        Ok(fleet_runtime::asked::run(&reader, self.agent.as_ref(), in_hand_max, &part.stop).await?)
    }

    async fn look(&self, part: Supervised) -> anyhow::Result<()> {
        part.check.ready();
        Ok(queue::run(&self.agent, &part.stop).await?)
    }

    async fn report(&self, part: Supervised) -> anyhow::Result<()> {
        part.check.ready();
        Ok(report::run(&self.agent, &part.stop).await?)
    }

    async fn poll(&self, watched: &Watched, poll: &Poll, given: &Supervised) -> anyhow::Result<()> {
        let name = format!("polls of {}", watched.settings.host);
        let polling = |part: Supervised| async move {
            part.check.ready();
            Ok(poll::run(&self.agent, watched, poll, &part.stop).await?)
        };
        given.part(&name, polling).await
    }
}

/// Opens the agent and runs it until the context's stop, without a listener for notifications.
pub async fn run(settings: Settings, context: AgentContext) -> anyhow::Result<()> {
    let agent = RegistryAgent::open(settings, &context)?;
    let check = context.health.check(CHECK);
    agent.run(Supervised { stop: context.stop.clone(), check }).await
}

#[cfg(test)]
mod tests;
