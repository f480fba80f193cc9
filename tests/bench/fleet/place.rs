//! A bus and a correlator as processes of their own, and what they tell of themselves.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fleet_runtime::bus::Message;
use harness::custody::Custody;
use harness::servers::nats::Nats;
use serde_json::Value;

use crate::load::AGENTS;
use crate::wire::Wire;

/// How long anything may take that is waited for.
const DONE_WITHIN: Duration = Duration::from_secs(1800);
/// A start that builds the index anew reads the whole log.
const STARTED_WITHIN: Duration = Duration::from_secs(1800);
const LOOK_EVERY: Duration = Duration::from_millis(25);
const SETTINGS: &str = r#"
[log]
format = "json"
filter = "warn"
[operations]
listen = "127.0.0.1:0"
[api]
listen = "127.0.0.1:0"
[correlator]
contracts = "contracts"
[bus]
servers = ["nats://127.0.0.1:9"]
[bus.limits]
events_mib_max = 16384
questions_mib_max = 16384
verdicts_mib_max = 16384
key_value_mib_max = 16384
"#;

/// How the server writes to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Every two minutes, as servers do that are told nothing.
    Default,
    /// Before each confirmation.
    Always,
}

pub(crate) struct Place {
    root: PathBuf,
    pub(crate) server: Nats,
    pub(crate) wire: Wire,
    /// Last, so that the server is gone when it goes.
    _folder: tempfile::TempDir,
}

impl Place {
    pub(crate) async fn new(sync: Sync) -> anyhow::Result<Place> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().to_path_buf();
        let more = match sync {
            Sync::Default => "",
            // The last block counts.
            Sync::Always => "jetstream { store_dir: js, max_file_store: 10TB, sync_interval: always }\n",
        };
        let server = Nats::start_with(&root, more).await?;
        let said: Value = reqwest::get(format!("{}/jsz", server.monitoring_url())).await?.json().await?;
        let is_synced = said["config"]["sync_always"].as_bool().unwrap_or(false);
        ensure!(is_synced == (sync == Sync::Always), "the server does not sync as told: {}", said["config"]);
        let wire = Wire::connect(server.url()).await?;
        Ok(Place { root, server, wire, _folder: folder })
    }

    pub(crate) fn contracts(&self) -> PathBuf {
        self.root.join("contracts")
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.root
    }

    /// Starts a correlator that takes what the load's agents say; alerts go to the address, if any.
    pub(crate) async fn correlator(&self, alerts: Option<&str>) -> anyhow::Result<Correlator> {
        let mut settings = SETTINGS.to_owned();
        for agent in AGENTS {
            let kind = agent.trim_end_matches("-agent");
            settings += &format!("[[agent]]\nid = \"{agent}\"\nkind = \"{kind}\"\nscopes = [\"**\"]\n");
        }
        if let Some(url) = alerts {
            settings += &format!(
                "[[alert]]\nname = \"on-call\"\nurl = \"{url}\"\nallow_loopback = true\n\
                 secret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n"
            );
        }
        std::fs::write(self.root.join("custody.toml"), settings)?;
        let arguments =
            ["correlator", "--config", "custody.toml", "--data", "correlator", "--bus", self.server.url()];
        let process = Custody::start("correlator", &self.root, &arguments)?;
        let mut correlator = Correlator { process, client: reqwest::Client::new() };
        correlator.started().await?;
        Ok(correlator)
    }
}

/// A running correlator.
pub(crate) struct Correlator {
    process: Custody,
    /// One for all questions: making one each time would cost more than the answers.
    client: reqwest::Client,
}

/// What it has done since its process began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Done {
    pub(crate) events: f64,
    pub(crate) verified: f64,
    pub(crate) to_verify: f64,
    pub(crate) published: f64,
    pub(crate) to_publish: f64,
    /// Questions, changes of cases, and messages to people that were decided.
    pub(crate) asked: f64,
    pub(crate) cases: f64,
    pub(crate) alerts: f64,
    pub(crate) position: f64,
    /// Evidence that did not verify: there must be none, or another thing is measured.
    pub(crate) refused: f64,
}

impl Done {
    /// From the text of its metrics.
    pub(crate) fn read(text: &str) -> Done {
        let value = |series: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(series));
            line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or(0.0)
        };
        let decided = |kind: &str| value(&format!("custody_ledger_decisions_total{{kind=\"{kind}\"}}"));
        Done {
            events: value("custody_ledger_inputs_total{kind=\"event\"}"),
            verified: value("custody_dispatched_total{kind=\"verification\"}"),
            to_verify: decided("verify"),
            published: value("custody_dispatched_total{kind=\"bus\"}"),
            to_publish: decided("publish_verdict") + decided("publish_case") + decided("ask"),
            asked: decided("ask"),
            cases: decided("publish_case"),
            alerts: decided("deliver"),
            position: value("custody_log_position"),
            refused: value("custody_verifications_total{kind=\"refused\"}"),
        }
    }

    /// Whether so many events are judged since, with everything that they bring verified.
    pub(crate) fn has_judged(&self, before: &Done, events: usize) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let events = before.events + events as f64;
        self.events >= events && self.verified >= self.to_verify
    }

    /// Whether nothing that was decided waits to be published.
    pub(crate) fn has_published(&self) -> bool {
        self.published >= self.to_publish
    }
}

impl Correlator {
    async fn started(&mut self) -> anyhow::Result<()> {
        let started = self.process.started_within(STARTED_WITHIN).await?;
        ensure!(started, "the correlator ended: {}", self.process.process().log_tail());
        Ok(())
    }

    /// Asks it to end, and starts it again. Returns the time from the start to its readiness.
    pub(crate) async fn restart(&mut self, between: impl FnOnce()) -> anyhow::Result<Duration> {
        self.process.stop().await?;
        between();
        let began = Instant::now();
        self.process.start_again()?;
        self.started().await?;
        Ok(began.elapsed())
    }

    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop().await
    }

    pub(crate) async fn done(&self) -> anyhow::Result<Done> {
        let url = format!("{}/metrics", self.process.address("operations"));
        let text = self.client.get(url).send().await?.text().await?;
        Ok(Done::read(&text))
    }

    /// Publishes events, and returns the time until all of them are judged.
    pub(crate) async fn judge(&mut self, wire: &Wire, messages: Vec<Message>) -> anyhow::Result<Duration> {
        let (before, events) = (self.done().await?, messages.len());
        let began = Instant::now();
        let (published, judged) = tokio::join!(wire.publish(messages), self.judged(before, events));
        published?;
        judged?;
        Ok(began.elapsed())
    }

    /// Waits until so many events are judged since `before`, with everything that they bring verified.
    pub(crate) async fn judged(&mut self, before: Done, events: usize) -> anyhow::Result<()> {
        self.wait_until("judge", |done| done.has_judged(&before, events)).await
    }

    /// Waits until nothing that was decided waits to be published.
    pub(crate) async fn published(&mut self) -> anyhow::Result<()> {
        self.wait_until("publish", Done::has_published).await
    }

    async fn wait_until(&mut self, what: &str, is_done: impl Fn(&Done) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let done = self.done().await.with_context(|| self.process.process().log_tail())?;
            ensure!(done.refused == 0.0, "evidence of the load was refused: {done:?}");
            if is_done(&done) {
                return Ok(());
            }
            ensure!(began.elapsed() < DONE_WITHIN, "the correlator did not {what} in time: {done:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether it is judging everything again under changed contracts.
    pub(crate) async fn is_judging_again(&self) -> anyhow::Result<bool> {
        let url = format!("{}/api/v1/status", self.process.address("api"));
        let status: Value = self.client.get(url).send().await?.error_for_status()?.json().await?;
        Ok(!status["waiting"]["judgedAgainSince"].is_null())
    }

    /// Verdicts of a state, as many as one page has.
    pub(crate) async fn verdicts(&self, state: &str) -> anyhow::Result<Vec<Value>> {
        let url = format!("{}/api/v1/verdicts?state={state}", self.process.address("api"));
        let page: Value = self.client.get(url).send().await?.error_for_status()?.json().await?;
        Ok(page["verdicts"].as_array().context("no verdicts")?.clone())
    }

    /// The last position of the log that it has applied.
    pub(crate) async fn position(&self) -> anyhow::Result<f64> {
        Ok(self.done().await?.position)
    }

    /// What the process holds in memory now, in MB, and at most so far.
    pub(crate) fn memory(&mut self) -> anyhow::Result<Memory> {
        Memory::of(self.process.process().pid()?)
    }
}

/// The resident memory of a process, its program included, in MB (10^6 bytes).
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) most: f64,
    /// The part of `now` that is the program's own file, which a machine has once for all processes of it.
    pub(crate) program: f64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| -> anyhow::Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.trim().split(' ').next()).context("no such field")?;
            Ok(kib.parse::<f64>()? * 1024.0 / 1e6)
        };
        Ok(Memory { now: field("VmRSS:")?, most: field("VmHWM:")?, program: field("RssFile:")? })
    }
}
