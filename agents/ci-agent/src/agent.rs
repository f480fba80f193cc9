//! The running agent: its intake, its loop of answers, its heartbeat.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use bus_schema::question::Answerer;
use fleet_runtime::agent::AgentContext;
use fleet_runtime::asked;
use fleet_runtime::publisher::Publisher;
use fleet_runtime::run::{BackOff, Tasks};
use github_client::answering::{AskedForge, AskedForges};
use github_client::api::{ApiClient, ClientError};
use github_client::heartbeat::{self, HeartbeatConfig};
use github_client::intake::{self, Receiver, WebhookIntake};
use github_client::webhook::WebhookSecret;

use crate::github::answer::Answers;
use crate::github::listen;
use crate::settings::Settings;

/// The kind of this agent, as its loops are named.
pub const AGENT_KIND: &str = "ci-agent";

/// An agent that is ready to run.
#[derive(Debug, Clone)]
pub struct CiAgent {
    settings: Settings,
    publisher: Publisher,
    folder: PathBuf,
    forges: AskedForges,
}

impl CiAgent {
    /// Builds the agent and its clients. Must be called inside a tokio runtime.
    pub fn new(settings: Settings, context: &AgentContext) -> Result<CiAgent, ClientError> {
        let mut forges = Vec::new();
        for forge in &settings.forges {
            let api = ApiClient::new(forge.api.clone())?;
            forges.push(AskedForge { scope: forge.scope.clone(), api });
        }
        Ok(CiAgent {
            settings,
            publisher: context.publisher.clone(),
            folder: context.data.clone(),
            forges: AskedForges::new(forges),
        })
    }

    /// The secrets of its webhooks.
    pub fn webhook_secrets(&self) -> Vec<WebhookSecret> {
        self.settings.forges.iter().flat_map(|forge| forge.webhooks.clone()).collect()
    }

    /// Its side of an intake that it shares with other agents of the process.
    pub fn receiver(&self) -> Arc<dyn Receiver> {
        listen::receiver(self.publisher.clone())
    }

    /// An intake of its own.
    pub fn routes(&self) -> Router {
        let dead_letters = self.publisher.dead_letters();
        let secrets = self.webhook_secrets();
        WebhookIntake::new(secrets, self.receiver(), Vec::new(), intake::limits(), dead_letters).routes()
    }

    /// Starts the loop of answers and the heartbeat.
    pub fn spawn(&self, tasks: &mut Tasks) {
        let agent = self.clone();
        tasks.supervise(format!("{AGENT_KIND} questions"), BackOff::default(), move |supervised| {
            let agent = agent.clone();
            async move {
                let bus = agent.publisher.bus();
                let reader = asked::reader(bus, &agent.settings.agent, Answerer::Ci).await?;
                let answers = Answers::new(agent.publisher.clone(), agent.forges.clone());
                supervised.check.ready();
                let in_hand_max = agent.settings.questions_in_hand_max;
                asked::run(&reader, &answers, in_hand_max, &supervised.stop).await?;
                Ok(())
            }
        });
        let agent = self.clone();
        tasks.supervise(format!("{AGENT_KIND} heartbeat"), BackOff::default(), move |supervised| {
            let (publisher, forges) = (agent.publisher.clone(), agent.forges.clone());
            let config = agent.heartbeat();
            async move {
                let budget_left = move || forges.budget_left();
                heartbeat::run(publisher, config, budget_left, supervised.check, supervised.stop).await;
                Ok(())
            }
        });
    }

    fn heartbeat(&self) -> HeartbeatConfig {
        HeartbeatConfig {
            kind: Answerer::Ci.as_str(),
            scopes: self.settings.forges.iter().flat_map(|forge| forge.scope.coverage_scopes()).collect(),
            interval: self.settings.report_interval,
            gap_after: self.settings.gap_after,
            folder: self.folder.clone(),
        }
    }
}
