//! A fleet as in production: a registry's agent and the correlator, each a process with a folder of its own, on a real bus.
//!
//! In: the load's images. Out: running processes that a test may kill, stop and cut off, and make whole again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use harness::servers::listener::Listener;
use harness::servers::login::Login;
use harness::servers::nats::{Nats, NatsCluster};
use harness::servers::nats_wire::NatsWire;
use jiff::SignedDuration;
use tempfile::TempDir;

use crate::clock::{self, Clock};
use crate::images::{CONTRACT, HOST, Images, NAMES};
use crate::proxy::{Network, Proxy};
use crate::registry::Registry;
use harness::custody::Custody;

/// What the registry sends with its notifications.
pub(crate) const TOKEN: &str = "a-token-of-the-registry";
/// How often a server is started anew that found its port taken.
const STARTS_MAX: usize = 20;
/// Small, so that a test can fill it.
const EVENTS_MIB_MAX: u64 = 2;
const SETTINGS: &str = r#"
[log]
format = "json"
filter = "warn"
[intake]
listen = "127.0.0.1:0"
[operations]
listen = "127.0.0.1:0"
[api]
listen = "127.0.0.1:0"
[correlator]
contracts = "contracts"
head_interval = "5s"
[registry_agent]
report_interval = "4s"
# Longer than a clock jumps. An agent that is started after its clock was set cannot tell that from a time without it: it says that it
# may have missed something, which is right, and not what a calm run says.
gap_after = "12h"
look_up_backoff = "100ms"
[[registry]]
host = "HOST"
url = "REGISTRY"
repositories = ["NAMES"]
notification_token = "TOKEN"
poll_interval = "0s"
[[alert]]
name = "on-call"
url = "ALERTS/custody"
allow_loopback = true
secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
backoff_first = "50ms"
backoff_max = "1s"
"#;

/// The servers of the bus.
pub(crate) enum Bus {
    /// One, and the network between it and the agent and the correlator.
    One { server: Box<Nats>, to_agent: Proxy, to_correlator: Proxy },
    /// Three with copies of every stream, reached without a proxy: they tell their clients of each other.
    Three(NatsCluster),
}

/// Whom a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Agent,
    Correlator,
    /// The server, or the node of this number.
    Server(usize),
}

pub(crate) struct Fleet {
    pub(crate) bus: Bus,
    pub(crate) agent: Custody,
    pub(crate) correlator: Custody,
    pub(crate) alerts: Listener,
    /// Where the registry's notifications go; another address after each start.
    pub(crate) intake: Arc<Mutex<String>>,
    _registry: Registry,
    agent_clock: Clock,
    correlator_clock: Clock,
    /// What this test killed since the fleet was whole.
    struck: Vec<Who>,
    /// The servers that can write nothing.
    read_only: Vec<usize>,
    /// Last, so that nobody writes there any more when it goes.
    folder: Option<TempDir>,
}

impl Fleet {
    pub(crate) async fn on_one_server(images: Arc<Images>, outbox_mib_max: u64) -> Fleet {
        let folder = folder();
        let server = Box::new(Nats::start(folder.path()).await.unwrap());
        let to_agent = Proxy::start(server.url()).await;
        let to_correlator = Proxy::start(server.url()).await;
        let bus = Bus::One { server, to_agent, to_correlator };
        Fleet::start(folder, bus, ["", ""], images, outbox_mib_max).await
    }

    /// The same, with spans for a collector.
    pub(crate) async fn traced(images: Arc<Images>, collector: &str) -> Fleet {
        let folder = folder();
        let server = Box::new(Nats::start(folder.path()).await.unwrap());
        let (to_agent, to_correlator) = (Proxy::start(server.url()).await, Proxy::start(server.url()).await);
        let bus = Bus::One { server, to_agent, to_correlator };
        let traces = format!("[traces]\notlp = \"{collector}\"\n");
        Fleet::start(folder, bus, ["", &traces], images, 64).await
    }

    pub(crate) async fn on_three_servers(images: Arc<Images>) -> Fleet {
        let folder = folder();
        let user = login();
        let cluster = NatsCluster::start(folder.path(), std::slice::from_ref(&user)).await.unwrap();
        let login = format!("user = \"{}\"\npassword = \"{}\"\n", user.name, user.password);
        Fleet::start(folder, Bus::Three(cluster), [&login, ""], images, 64).await
    }

    async fn start(
        folder: TempDir,
        bus: Bus,
        [login, more]: [&str; 2],
        images: Arc<Images>,
        outbox_mib_max: u64,
    ) -> Fleet {
        let (registry, alerts) =
            (Registry::start(Arc::clone(&images)).await, Listener::start().await.unwrap());
        let place = folder.path();
        fs::create_dir_all(place.join("contracts")).unwrap();
        fs::write(place.join("contracts/release.pub"), images.public_key()).unwrap();
        fs::write(place.join("contracts/api.yaml"), CONTRACT).unwrap();
        let [agents, correlators] = bus.addresses();
        let settings = SETTINGS
            .replace("HOST", HOST)
            .replace("NAMES", NAMES)
            .replace("REGISTRY", &registry.url())
            .replace("ALERTS", &alerts.url())
            .replace("TOKEN", TOKEN);
        let bus_settings = format!(
            "[bus]\nservers = [\"nats://127.0.0.1:9\"]\npublish_within = \"5s\"\nanswer_within = \"5s\"\n{login}\
             [bus.limits]\nevents_mib_max = {EVENTS_MIB_MAX}\n"
        );
        fs::write(place.join("custody.toml"), format!("{bus_settings}{settings}{more}")).unwrap();
        let mib = outbox_mib_max.to_string();
        let correlator =
            ["correlator", "--config", "custody.toml", "--data", "correlator", "--bus", &correlators];
        let library = clock::build_library(place);
        let clock = |name: &str| Clock::new(&library, place, name);
        let (agent_clock, correlator_clock) = (clock("agent"), clock("correlator"));
        let environment = correlator_clock.environment();
        let mut correlator = Custody::start_with("correlator", place, &correlator, &environment).unwrap();
        assert!(correlator.started().await.unwrap());
        let agent = ["agent", "registry", "--config", "custody.toml", "--data", "agent", "--bus", &agents];
        let agent = [&agent[..], &["--outbox-mib-max", &mib]].concat();
        let mut agent = Custody::start_with("agent", place, &agent, &agent_clock.environment()).unwrap();
        assert!(agent.started().await.unwrap());
        let intake = Arc::new(Mutex::new(agent.address("webhooks").to_owned()));
        Fleet {
            bus,
            agent,
            correlator,
            alerts,
            intake,
            _registry: registry,
            agent_clock,
            correlator_clock,
            struck: Vec::new(),
            read_only: Vec::new(),
            folder: Some(folder),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// The data folder of the correlator.
    pub(crate) fn log_folder(&self) -> PathBuf {
        self.folder().join("correlator")
    }

    pub(crate) fn kill(&mut self, who: Who) {
        self.struck.push(who);
        match who {
            Who::Agent => self.agent.kill(),
            Who::Correlator => self.correlator.kill(),
            Who::Server(number) => self.bus.node(number).process.kill(),
        }
    }

    /// The clock of one of our processes.
    pub(crate) fn clock(&self, who: Who) -> &Clock {
        match who {
            Who::Agent => &self.agent_clock,
            _ => &self.correlator_clock,
        }
    }

    /// A server can write nothing more.
    pub(crate) fn make_read_only(&mut self, number: usize) {
        self.read_only.push(number);
        self.bus.node(number).process.limit_files(Some(0)).unwrap();
    }

    /// Starts what was killed, whether or not the others are there. A correlator without a bus ends again.
    pub(crate) async fn start_again(&mut self, who: Who) {
        match who {
            Who::Agent => {
                self.agent.start_again().unwrap();
                assert!(self.agent.started().await.unwrap(), "the agent does not start");
                *self.intake.lock().unwrap() = self.agent.address("webhooks").to_owned();
            }
            Who::Correlator => self.correlator.start_again().unwrap(),
            Who::Server(number) => self.bus.start_again(number).await,
        }
    }

    /// Sends `STOP` or `CONT` to what runs.
    pub(crate) fn signal(&mut self, who: Who, name: &str) {
        let process = match who {
            Who::Agent => self.agent.process(),
            Who::Correlator => self.correlator.process(),
            Who::Server(number) => &mut self.bus.node(number).process,
        };
        if process.exit_status().unwrap().is_none() {
            process.signal(name).unwrap();
        }
    }

    /// Everything runs and reaches everything again. What was not killed has not ended.
    pub(crate) async fn make_whole(&mut self) {
        self.alerts.answer(axum::http::StatusCode::ACCEPTED);
        if let Bus::One { to_agent, to_correlator, .. } = &self.bus {
            to_agent.set(Network::Whole);
            to_correlator.set(Network::Whole);
        }
        self.agent.limit_files(None).unwrap();
        self.correlator.limit_files(None).unwrap();
        for clock in [&self.agent_clock, &self.correlator_clock] {
            clock.set(SignedDuration::ZERO);
        }
        for number in std::mem::take(&mut self.read_only) {
            self.kill(Who::Server(number));
        }
        for number in 0..self.bus.nodes() {
            if self.bus.node(number).process.exit_status().unwrap().is_some() {
                self.bus.start_again(number).await;
            }
        }
        if let Bus::Three(cluster) = &mut self.bus {
            cluster.healthy().await.unwrap();
        }
        if !self.agent.is_running().unwrap() {
            self.has_not_ended_by_itself(Who::Agent);
            self.start_again(Who::Agent).await;
        }
        // One that was begun while the bus was away may end only now.
        while !self.correlator.started().await.unwrap() {
            self.has_not_ended_by_itself(Who::Correlator);
            self.correlator.start_again().unwrap();
        }
        self.struck.clear();
    }

    fn has_not_ended_by_itself(&self, who: Who) {
        assert!(self.struck.contains(&who), "the {who:?} ended by itself");
    }

    /// A connection to the bus of the test's own.
    pub(crate) async fn wire(&mut self) -> NatsWire {
        let login = login();
        let login = matches!(self.bus, Bus::Three(_)).then_some(&login);
        NatsWire::connect(self.bus.node(0).url(), login).await.unwrap()
    }
}

impl Bus {
    pub(crate) fn nodes(&self) -> usize {
        match self {
            Bus::One { .. } => 1,
            Bus::Three(cluster) => cluster.nodes.len(),
        }
    }

    fn node(&mut self, number: usize) -> &mut Nats {
        match self {
            Bus::One { server, .. } => server,
            Bus::Three(cluster) => &mut cluster.nodes[number],
        }
    }

    /// Somebody may have taken its port meanwhile, for a moment.
    async fn start_again(&mut self, number: usize) {
        for start in 1.. {
            match self.node(number).start_again().await {
                Ok(()) => return,
                Err(error) => assert!(start < STARTS_MAX, "{error:#}"),
            }
        }
    }

    /// For the agent, and for the correlator.
    fn addresses(&self) -> [String; 2] {
        match self {
            Bus::One { to_agent, to_correlator, .. } => [to_agent.url(), to_correlator.url()],
            Bus::Three(cluster) => [cluster.urls().join(","), cluster.urls().join(",")],
        }
    }
}

impl Drop for Fleet {
    /// What a failure left is kept for whoever looks for its cause.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let kept = self.folder.take().map(TempDir::keep);
            eprintln!("the fleet's folder is kept: {kept:?}");
        }
    }
}

fn login() -> Login {
    Login::new("custody".to_owned(), "a-password-of-the-fleet".to_owned())
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}
