//! What the tests stand on: a bus, an agent and a registry, and what was said.

use std::sync::Arc;
use std::time::Duration;

use bus_schema::fleet::{EvidenceRequested, EvidenceUnavailable};
use bus_schema::question::Question;
use bus_schema::registry::AttestationAttached;
use bus_schema::{Digest, Envelope, Event, ImageRepository, Tag};
use fleet_runtime::agent::AgentContext;
use fleet_runtime::asked::Answer as _;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::{Bus, Stream};
use fleet_runtime::health::Health;
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use fleet_runtime::publisher::Publisher;
use fleet_runtime::run::Supervised;
use fleet_runtime::settings::{Sources, load};
use fleet_runtime::worker::Handled;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::RegistryAgent;
use crate::api::fake::Fake;
use crate::poll::{PollError, Polled};
use crate::state::disk::Disk;

pub(super) const TOKEN: &str = "notify-token";

#[derive(Debug)]
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) fake: Fake,
    pub(super) agent: RegistryAgent,
    settings: String,
}

impl Bench {
    pub(super) async fn start() -> Bench {
        Bench::with("").await
    }

    /// With more lines in the registry's section.
    pub(super) async fn with(registry_lines: &str) -> Bench {
        let fake = Fake::start().await;
        let settings = section(&fake.host, registry_lines);
        Bench::of(fake, settings).await
    }

    pub(super) async fn of(fake: Fake, settings: String) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let bus: Arc<dyn Bus> =
            EmbeddedBus::open(&folder.path().join("bus"), EmbeddedLimits::default()).await.unwrap();
        let agent = open(&bus, folder.path(), &settings);
        Bench { folder, bus, fake, agent, settings }
    }

    /// The same agent, its state on a disk that can be full.
    pub(super) async fn on(disk: &Disk) -> Bench {
        let Bench { folder, bus, fake, agent, settings } = Bench::start().await;
        drop(agent);
        let (checked, context) = given(&bus, folder.path(), &settings);
        let state = disk.open(&context.data).unwrap();
        let agent = RegistryAgent::with(checked, &context, state).unwrap();
        Bench { folder, bus, fake, agent, settings }
    }

    /// The same agent after the end of its process.
    pub(super) fn restarted(self) -> Bench {
        let Bench { folder, bus, fake, agent, settings } = self;
        drop(agent);
        let agent = open(&bus, folder.path(), &settings);
        Bench { folder, bus, fake, agent, settings }
    }

    /// The same, with other lines in the registry's section.
    pub(super) fn restarted_with(mut self, registry_lines: &str) -> Bench {
        self.settings = section(&self.fake.host, registry_lines);
        self.restarted()
    }

    /// The same agent, on another way to the same bus.
    pub(super) fn behind(self, way: Arc<dyn Bus>) -> Bench {
        let Bench { folder, bus, fake, agent, settings } = self;
        drop(agent);
        let agent = open(&way, folder.path(), &settings);
        Bench { folder, bus, fake, agent, settings }
    }

    /// The same agent and bus after the end of their process.
    pub(super) async fn reopened(self) -> Bench {
        let Bench { folder, bus, fake, agent, settings } = self;
        drop(agent);
        bus.close().await.unwrap();
        drop(bus);
        let bus: Arc<dyn Bus> =
            EmbeddedBus::open(&folder.path().join("bus"), EmbeddedLimits::default()).await.unwrap();
        let agent = open(&bus, folder.path(), &settings);
        Bench { folder, bus, fake, agent, settings }
    }

    pub(super) fn checked(&self) -> crate::Settings {
        load(&Sources { file: Some(self.folder.path().join("custody.toml")), variables: Vec::new() }).unwrap()
    }

    pub(super) async fn said(&self) -> Vec<Envelope> {
        let mut said = Vec::new();
        let mut from = 0;
        loop {
            let page = self.bus.read(Stream::Events, from, 500).await.unwrap();
            let Some(last) = page.last() else { return said };
            from = last.sequence + 1;
            said.extend(page.iter().map(|stored| Envelope::from_json(&stored.message.payload).unwrap()));
        }
    }

    pub(super) async fn dead_letters(&self) -> usize {
        self.bus.read(Stream::DeadLetters, 0, 500).await.unwrap().len()
    }

    /// What was said about pushes, tags and deletions, in short.
    pub(super) async fn told(&self) -> Vec<String> {
        self.said().await.iter().filter_map(|envelope| told(&envelope.event)).collect()
    }

    pub(super) async fn attached(&self) -> Vec<AttestationAttached> {
        let attached = self.said().await.into_iter().filter_map(|envelope| match envelope.event {
            Event::AttestationAttached(event) => Some(event),
            _ => None,
        });
        attached.collect()
    }

    /// Asks about a digest and gives the closing answer.
    pub(super) async fn ask(&self, repository: &ImageRepository, digest: Digest) -> EvidenceUnavailable {
        let question = Question::Image { repository: repository.clone(), digest };
        let attempt = u32::try_from(self.said().await.len()).unwrap() + 1;
        let request = EvidenceRequested {
            request: question.request_id(),
            attempt,
            question,
            why: "a test".to_owned(),
            until: Timestamp::now() + Duration::from_secs(60),
        };
        assert_eq!(self.agent.agent.answer(&request, None).await, Handled::Done);
        let answers = self.said().await.into_iter().filter_map(|envelope| match envelope.event {
            Event::EvidenceUnavailable(event) if event.attempt == attempt => Some(event),
            _ => None,
        });
        let answers: Vec<_> = answers.collect();
        let [answer] = &answers[..] else { panic!("{answers:?}") };
        answer.clone()
    }

    pub(super) async fn poll(&self) -> Result<Polled, PollError> {
        let watched = self.agent.agent.registries.values().next().unwrap();
        let poll = watched.settings.poll.as_ref().unwrap();
        crate::poll::once(&self.agent.agent, watched, poll, &CancellationToken::new()).await
    }

    /// Runs the agent until `is_done` or for ten seconds.
    pub(super) async fn run_until(&self, is_done: impl AsyncFn() -> bool) {
        let stop = CancellationToken::new();
        let check = Health::default().check("test");
        let (agent, given) = (self.agent.clone(), Supervised { stop: stop.clone(), check });
        let running = tokio::spawn(async move { agent.run(given).await });
        for _ in 0..200 {
            if is_done().await || running.is_finished() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.cancel();
        running.await.unwrap().unwrap();
    }
}

pub(super) fn section(host: &str, lines: &str) -> String {
    format!(
        "[[registry]]\nhost = \"{host}\"\nurl = \"http://{host}\"\nnotification_token = \"{TOKEN}\"\n\
         request_timeout = \"500ms\"\npoll_requests_per_second = 10000\n{lines}\n\
         [registry_agent]\nlook_up_backoff = \"20ms\"\npoll_grace = \"0s\"\n\
         report_interval = \"50ms\"\nlook_up_timeout = \"20s\"\ngap_after = \"1ms\"\n"
    )
}

fn open(bus: &Arc<dyn Bus>, folder: &std::path::Path, settings: &str) -> RegistryAgent {
    let (settings, context) = given(bus, folder, settings);
    RegistryAgent::open(settings, &context).unwrap()
}

fn given(bus: &Arc<dyn Bus>, folder: &std::path::Path, settings: &str) -> (crate::Settings, AgentContext) {
    let file = folder.join("custody.toml");
    std::fs::write(&file, settings).unwrap();
    let settings = load(&Sources { file: Some(file), variables: Vec::new() }).unwrap();
    let metrics = Metrics::new();
    let counters = FleetMetrics::new(&metrics).agent("registry-agent");
    let context = AgentContext {
        publisher: Publisher::new(bus.clone(), "registry-1".parse().unwrap(), counters),
        data: folder.join("registry-agent"),
        metrics,
        health: Health::default(),
        stop: CancellationToken::new(),
    };
    (settings, context)
}

fn told(event: &Event) -> Option<String> {
    match event {
        Event::ImagePushed(event) => {
            let tag = event.tag.as_ref().map_or(String::new(), |tag| format!(":{tag}"));
            Some(format!("pushed {}{tag}@{}", event.repository.name(), event.digest.short()))
        }
        Event::RegistryTagMoved(event) => {
            let from = event.from.map_or_else(|| "-".to_owned(), |from| from.short());
            Some(format!("moved {}:{} {from}>{}", event.repository.name(), event.tag, event.to.short()))
        }
        Event::ImageDeleted(event) => {
            let tag = event.tag.as_ref().map_or("-", Tag::as_str);
            let digest = event.digest.map_or_else(|| "-".to_owned(), |digest| digest.short());
            Some(format!("deleted {}:{tag}@{digest}", event.repository.name()))
        }
        _ => None,
    }
}
