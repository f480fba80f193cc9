//! A forge, both of its agents, one intake for both, and a way to ask them.

use std::sync::Arc;
use std::time::Duration;

use bus_schema::fleet::{EvidenceRequested, EvidenceUnavailable, Unavailable};
use bus_schema::question::Question;
use bus_schema::{AgentId, Envelope, Event, RepositoryRef, Subject};
use ci_agent::CiAgent;
use fleet_runtime::agent::AgentContext;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::{Bus, Stream};
use fleet_runtime::dead_letters::{DeadLetters, Listed};
use fleet_runtime::health::Health;
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use fleet_runtime::publisher::Publisher;
use fleet_runtime::run::Tasks;
use fleet_runtime::settings::{Checked, Problems};
use github_client::intake::{self, WEBHOOK_PATH, WebhookIntake};
use harness::github::{Delivery, GithubStandIn, Person};
use jiff::Timestamp;
use serde_json::{Value, json};
use source_agent::SourceAgent;

pub(crate) const SECRET: &str = "webhook-secret-0123456789abcdef";
pub(crate) const REPOSITORY: (&str, &str) = ("acme", "api");
const REPOSITORY_ID: u64 = 42;
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) forge: GithubStandIn,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) metrics: Metrics,
    webhook_url: String,
    correlator: Publisher,
    tasks: Tasks,
    data: tempfile::TempDir,
}

/// What an answer brought.
pub(crate) struct Answered {
    pub(crate) events: Vec<Event>,
    pub(crate) end: EvidenceUnavailable,
}

impl World {
    pub(crate) async fn new() -> World {
        World::with(json!({})).await
    }

    /// With more settings for the forge.
    pub(crate) async fn with(more: Value) -> World {
        World::below("", more).await
    }

    /// On a bus that holds little.
    pub(crate) async fn on_a_small_bus(limits: EmbeddedLimits) -> World {
        World::limited("", json!({}), limits).await
    }

    /// With the API below a path.
    pub(crate) async fn below(path: &str, more: Value) -> World {
        World::limited(path, more, EmbeddedLimits::default()).await
    }

    async fn limited(path: &str, more: Value, limits: EmbeddedLimits) -> World {
        let data = tempfile::tempdir().unwrap();
        let forge = GithubStandIn::start().await.unwrap();
        {
            let mut model = forge.model();
            model.add_repository(Person::organization("acme", 7), "api", REPOSITORY_ID);
            let api = model.repository("acme", "api");
            for (login, permission) in
                [("ann", "write"), ("bob", "write"), ("eve", "read"), ("root", "admin")]
            {
                api.permissions.insert(login.to_owned(), permission.to_owned());
            }
        }
        let bus: Arc<dyn Bus> = EmbeddedBus::open(data.path(), limits).await.unwrap();
        World::on(bus, forge, path, data, more).await
    }

    /// The agents of a new process on the same bus; the old ones are gone without a word.
    pub(crate) async fn start_again(self, more: Value) -> World {
        let World { forge, bus, data, tasks, .. } = self;
        drop(tasks);
        World::on(bus, forge, "", data, more).await
    }

    async fn on(
        bus: Arc<dyn Bus>,
        forge: GithubStandIn,
        path: &str,
        data: tempfile::TempDir,
        mut more: Value,
    ) -> World {
        let metrics = Metrics::new();
        let fleet = FleetMetrics::new(&metrics);
        let mut settings = json!({
            "api_url": format!("{}{path}", forge.api_url()), "watch": ["acme"], "webhooks": [{ "secret": SECRET }],
            "request_timeout": "5s",
        });
        let own = more.as_object_mut().unwrap().remove("own").unwrap_or(json!({}));
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let raw = |own_table: &str| json!({ "github": [settings], own_table: own });
        let mut tasks = Tasks::new(Health::default());
        let place = |agent: &AgentId| AgentContext {
            publisher: Publisher::new(bus.clone(), agent.clone(), fleet.of(agent)),
            data: data.path().join(agent.as_str()),
            metrics: metrics.clone(),
            health: Health::default(),
            stop: tasks.stop(),
        };
        let (source, ci): (source_agent::settings::Settings, ci_agent::settings::Settings) =
            (checked(&raw("source")), checked(&raw("ci")));
        let (source_place, ci_place) = (place(&source.agent), place(&ci.agent));
        let source = SourceAgent::new(source, &source_place).unwrap();
        let ci = CiAgent::new(ci, &ci_place).unwrap();
        source.spawn(&mut tasks);
        ci.spawn(&mut tasks);
        let intake = WebhookIntake::new(
            source.webhook_secrets(),
            source.receiver(),
            vec![ci.receiver()],
            intake::limits(),
            DeadLetters::new(bus.clone()),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let webhook_url = format!("http://{}{WEBHOOK_PATH}", listener.local_addr().unwrap());
        let router = intake.routes();
        tasks.spawn("intake", async move { Ok(axum::serve(listener, router).await?) });
        let correlator =
            Publisher::new(bus.clone(), "correlator".parse().unwrap(), fleet.agent("correlator"));
        World { forge, bus, metrics, webhook_url, correlator, tasks, data }
    }

    pub(crate) fn repository(&self) -> RepositoryRef {
        let path: RepositoryRef = "github.com/acme/api".parse().unwrap();
        path.with_ids(Some(REPOSITORY_ID.into()), None)
    }

    pub(crate) fn webhook_url(&self) -> &str {
        &self.webhook_url
    }

    /// Sends a webhook as GitHub does; answers the status.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> u16 {
        self.forge.deliver(&self.webhook_url, SECRET, delivery).await.unwrap()
    }

    /// Everything that the agents have reported about the forge so far, in order.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let envelopes = self.envelopes().await;
        let is_report = |event: &Event| !matches!(event, Event::AgentReported(_) | Event::AgentGap(_));
        envelopes.into_iter().map(|envelope| envelope.event).filter(is_report).collect()
    }

    pub(crate) async fn envelopes(&self) -> Vec<Envelope> {
        let stored = self.bus.read(Stream::Events, 0, 1000).await.unwrap();
        stored.iter().map(|stored| Envelope::from_json(&stored.message.payload).unwrap()).collect()
    }

    pub(crate) async fn dead_letters(&self) -> Vec<Listed> {
        DeadLetters::new(self.bus.clone()).list(0, 100).await.unwrap()
    }

    /// Asks as the correlator does, and waits for the end of the answer.
    pub(crate) async fn ask(&self, question: Question) -> Answered {
        self.ask_again(question, 1).await
    }

    pub(crate) async fn ask_again(&self, question: Question, attempt: u32) -> Answered {
        let before = self.events().await.len();
        let now = Timestamp::now();
        let asked = EvidenceRequested {
            request: question.request_id(),
            attempt,
            question: question.clone(),
            why: "a test wants to know".to_owned(),
            until: now.checked_add(jiff::SignedDuration::from_mins(5)).unwrap(),
        };
        let envelope = self.correlator.envelope(now, None, Event::EvidenceRequested(asked));
        self.correlator.publish_on(Subject::question(&question), &envelope).await.unwrap();
        let waited = async {
            loop {
                let mut events = self.events().await.split_off(before);
                let end = events.iter().position(|event| is_end(event, &question, attempt));
                if let Some(end) = end {
                    let Event::EvidenceUnavailable(end) = events.remove(end) else { unreachable!() };
                    return Answered { events, end };
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(ANSWER_WITHIN, waited).await.expect("an answer has an end")
    }

    /// The stand-in has said nothing that GitHub would not.
    pub(crate) fn end(self) {
        assert_eq!(self.forge.violations(), Vec::<String>::new());
    }
}

impl Answered {
    pub(crate) fn check_end(&self, reason: Unavailable, detail: &str) {
        assert_eq!(self.end.reason, reason, "{:?}", self.end);
        assert!(self.end.detail.contains(detail), "{:?}", self.end);
        assert_eq!(self.end.found as usize, self.events.len(), "{:?}", self.events);
    }
}

fn is_end(event: &Event, question: &Question, attempt: u32) -> bool {
    matches!(event, Event::EvidenceUnavailable(end) if end.question == *question && end.attempt == attempt)
}

fn checked<S: Checked>(raw: &Value) -> S {
    let mut problems = Problems::default();
    let settings = S::check(serde_json::from_value(raw.clone()).unwrap(), &mut problems);
    let found = problems.into_found();
    assert!(found.is_empty(), "{found:?}");
    settings.unwrap()
}

pub(crate) fn person(login: &str) -> Person {
    let id = match login {
        "ann" => 10,
        "bob" => 11,
        "eve" => 12,
        "root" => 13,
        _ => 99,
    };
    Person::user(login, id)
}

pub(crate) fn agent(name: &str) -> AgentId {
    name.parse().unwrap()
}
