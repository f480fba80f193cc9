//! `custody up --sample`: the project's own recording, played through the whole program from the bus on.
//!
//! In: a recording, and a data folder (a fresh one, unless it is named). Out: verdicts and alerts on the screen as they are
//! judged, and with `--once` an end when everything is judged and delivered. Nothing outside this machine is called.

mod answers;
mod console;
mod player;
mod receiver;
mod recording;
mod report;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bus_schema::AgentId;
use bus_schema::question::Answerer;
use correlator_service::{
    AgentGrant, AgentKind, Correlator, Handle, RawAlert, RawApi, RawCorrelator, RawSettings,
};
use fleet_runtime::http::{self, HttpLimits};
use fleet_runtime::run::Tasks;
use fleet_runtime::settings::{Checked, Problems, Secret};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::correlator::{open_failure, place};
use crate::data::{DataFolder, Purpose};
use crate::exit::{Exit, Failure};
use crate::house::House;
use crate::output::Output;
use crate::screen::Screen;
use receiver::Receiver;
use recording::Recording;

/// The part of the data folder in which the recording's contracts lie.
const CONTRACTS: &str = "contracts";
/// Windows that end sooner than this are waited for; those of the recording are seconds, the others hours.
const WINDOWS_WAITED_FOR: Duration = Duration::from_secs(90);
/// How long nothing may be under way before everything counts as judged.
const QUIET: Duration = Duration::from_millis(600);
/// How long `--once` may take at most.
const ONCE_TIME_MAX: Duration = Duration::from_secs(180);
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
const PROBE_TIME_MAX: Duration = Duration::from_secs(1);

/// How the sample is played.
#[derive(Debug)]
pub(crate) struct Play<'a> {
    pub(crate) once: bool,
    /// Another recording than the embedded one.
    pub(crate) recording: Option<&'a Path>,
    /// Another data folder than a fresh one.
    pub(crate) data: Option<&'a Path>,
}

pub(crate) async fn run(play: Play<'_>, output: Output) -> anyhow::Result<Exit> {
    let screen = Screen::new(output);
    let recording = match play.recording {
        Some(folder) => Recording::read(folder).map_err(|error| {
            Failure::usage(format!("the recording in {} cannot be played: {error:#}", folder.display()))
        })?,
        None => Recording::embedded().context("read the embedded recording")?,
    };
    // Removed at the end, unless it was named.
    let fresh = match play.data {
        Some(_) => None,
        None => {
            Some(tempfile::Builder::new().prefix("custody-sample-").tempdir().context("make a data folder")?)
        }
    };
    let data = match &fresh {
        Some(fresh) => DataFolder::at(fresh.path()),
        None => DataFolder::find(play.data)?,
    };
    let house = House::open(data, Purpose::Sample).await?;
    say_what_it_is(screen, &recording, &house.data);
    let ended = run_in(house, Arc::new(recording), play.once, output, screen).await;
    drop(fresh);
    ended
}

fn say_what_it_is(screen: Screen, recording: &Recording, data: &DataFolder) {
    let paint = screen.paint;
    screen.say(&format!(
        "{}: {} events of five stories on real servers, with real signatures. Nothing outside this machine is called.",
        paint.strong("This is a recording"),
        recording.events.len()
    ));
    screen.say(&paint.faint(&format!("data  {}\n", data.path().display())));
}

async fn run_in(
    mut house: House,
    recording: Arc<Recording>,
    once: bool,
    output: Output,
    screen: Screen,
) -> anyhow::Result<Exit> {
    write_contracts(&house.data, &recording)?;
    let receiver = open_receiver(&mut house, screen).await?;
    let settings = settings(&house.data, &recording, receiver.as_ref())?;
    let console = console::open(&house.bus).await?;
    let correlator = Correlator::open(settings, place(&house)).await.map_err(open_failure)?;
    let handle = correlator.handle();
    house.note_running(format!("http://{}", handle.api_address()))?;
    house.tasks.listen()?;
    house.tasks.spawn("correlator", correlator.run());
    let tells_cases = receiver.is_none();
    house
        .tasks
        .spawn("console", console::run(console, handle.clone(), screen, tells_cases, house.tasks.stop()));
    let (published, is_published) = watch::channel(false);
    answers::spawn(&mut house.tasks, &house.bus, &asked_agents(&recording), &house.fleet, &is_published);
    let (result, played) = tokio::sync::oneshot::channel();
    let player = Player {
        recording,
        published,
        bus: house.bus.clone(),
        metrics: house.fleet.clone(),
        handle,
        once,
        output,
        screen,
    };
    let stop = house.tasks.stop();
    house.tasks.spawn("recording", async move {
        let outcome = player.run(&stop).await;
        let failed = outcome.is_err();
        // The receiver waits until the house has ended.
        let _ = result.send(outcome);
        if once || failed {
            stop.cancel();
        }
        Ok(())
    });
    let House { noted, bus, tasks, .. } = house;
    let ended = tasks.run(DRAIN_TIME_MAX).await;
    drop(noted);
    bus.close().await.context("close the bus")?;
    let played = played.await;
    // What the play met comes first: parts that fail with it say less.
    if let (Ok(Ok(_)) | Err(_), Some((task, error))) = (&played, ended.failed) {
        return Err(error.context(format!("{task} failed")));
    }
    let report = match played {
        Ok(outcome) => outcome?,
        // Ended by a signal before everything was judged.
        Err(_) => None,
    };
    match report {
        Some(report) => {
            if once {
                report.print(output, screen)?;
            }
            Ok(Exit::Fine)
        }
        None if once => bail!("ended before everything was judged"),
        None => Ok(Exit::Fine),
    }
}

/// Publishes the recording and waits for what comes of it.
struct Player {
    recording: Arc<Recording>,
    published: watch::Sender<bool>,
    bus: Arc<dyn fleet_runtime::bus::Bus>,
    metrics: fleet_runtime::metrics::FleetMetrics,
    handle: Handle,
    once: bool,
    output: Output,
    screen: Screen,
}

impl Player {
    /// The report when all is judged and delivered; nothing when the stop came first.
    async fn run(&self, stop: &CancellationToken) -> anyhow::Result<Option<report::Report>> {
        if !player::play(&self.recording, &self.bus, &self.metrics, stop).await? {
            return Ok(None);
        }
        self.published.send_replace(true);
        let judged = tokio::select! {
            judged = tokio::time::timeout(ONCE_TIME_MAX, until_judged(&self.handle)) => judged,
            () = stop.cancelled() => return Ok(None),
        };
        match judged {
            Ok(judged) => judged?,
            Err(_) => bail!("not everything was judged and delivered within {} s", ONCE_TIME_MAX.as_secs()),
        }
        let report = report::Report::of(&self.handle).await?;
        if !self.once {
            report.print(self.output, self.screen)?;
            self.screen.say(&self.screen.paint.faint(
                "\nEverything is judged. The process goes on: ask it with `custody trace`, `custody cases` (with the same \
                 --data), or end it with Ctrl-C.",
            ));
        }
        Ok(Some(report))
    }
}

/// Waits until nothing is under way for a while. A question that an agent answers leads to new work; one that nobody
/// answers is asked again for ever, which is not waited for.
async fn until_judged(handle: &Handle) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        handle.until_idle(WINDOWS_WAITED_FOR.saturating_sub(began.elapsed())).await?;
        let before = handle.answers().log_head().position;
        tokio::time::sleep(QUIET).await;
        handle.until_idle(WINDOWS_WAITED_FOR.saturating_sub(began.elapsed())).await?;
        if handle.answers().log_head().position == before {
            return Ok(());
        }
    }
}

fn write_contracts(data: &DataFolder, recording: &Recording) -> anyhow::Result<()> {
    let folder = data.path().join(CONTRACTS);
    std::fs::create_dir_all(&folder).context("make the folder of the contracts")?;
    for (name, bytes) in &recording.contracts {
        let path = folder.join(name);
        if std::fs::read(&path).is_ok_and(|known| known == *bytes) {
            continue;
        }
        // Whole or not at all, so that a kill leaves no half contract behind.
        let fresh = folder.join(format!(".{name}.new"));
        std::fs::write(&fresh, bytes).with_context(|| format!("write {name}"))?;
        std::fs::rename(&fresh, &path).with_context(|| format!("write {name}"))?;
    }
    Ok(())
}

/// The receiver and its address, where this machine has a loopback that can be called.
async fn open_receiver(house: &mut House, screen: Screen) -> anyhow::Result<Option<(Receiver, SocketAddr)>> {
    let listener = match http::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await {
        Ok(listener) => listener,
        Err(_) => return Ok(None),
    };
    let address = listener.local_addr()?;
    let receiver = Receiver::new(&house.data, screen)?;
    let serving = http::serve(listener, receiver.routes(), HttpLimits::default(), house.tasks.stop());
    spawn_serving(&mut house.tasks, serving);
    let probe = tokio::time::timeout(PROBE_TIME_MAX, tokio::net::TcpStream::connect(address)).await;
    if !matches!(probe, Ok(Ok(_))) {
        screen.say("loopback cannot be called here: alerts are shown, not delivered");
        return Ok(None);
    }
    Ok(Some((receiver, address)))
}

fn spawn_serving(
    tasks: &mut Tasks,
    serving: impl Future<Output = Result<(), http::HttpError>> + Send + 'static,
) {
    tasks.spawn("receiver", async move { Ok(serving.await?) });
}

/// The correlator's settings, as a file would have them.
fn settings(
    data: &DataFolder,
    recording: &Recording,
    receiver: Option<&(Receiver, SocketAddr)>,
) -> anyhow::Result<correlator_service::Settings> {
    let alert = receiver.map(|(receiver, address)| RawAlert {
        name: Some("sample".to_owned()),
        url: Some(format!("http://{address}{}", receiver::PATH)),
        secret: Some(Secret::new(receiver.secret())),
        allow_loopback: true,
        ..RawAlert::default()
    });
    let raw = RawSettings {
        correlator: RawCorrelator {
            contracts: Some(data.path().join(CONTRACTS)),
            ..RawCorrelator::default()
        },
        api: RawApi { listen: Some("127.0.0.1:0".to_owned()), ..RawApi::default() },
        alert: alert.into_iter().collect(),
        agent: Vec::new(),
    };
    let mut problems = Problems::default();
    let settings = correlator_service::Settings::check(raw, &mut problems);
    let Some(mut settings) = settings else {
        let found: Vec<String> = problems.into_found().iter().map(ToString::to_string).collect();
        bail!("the sample's settings are refused: {}", found.join("; "));
    };
    for agent in player::agents(recording) {
        if let Some(kind) = kind_of(&agent) {
            settings.agents.insert(agent, AgentGrant::everything(kind));
        }
    }
    Ok(settings)
}

/// What a recorded agent watches, by its name: `registry-agent`, `cluster-1`.
fn kind_of(agent: &AgentId) -> Option<AgentKind> {
    AgentKind::ALL.into_iter().find(|kind| agent.as_str().starts_with(kind.as_str()))
}

/// The recorded agents that are asked.
fn asked_agents(recording: &Recording) -> Vec<(AgentId, Answerer)> {
    let answerer =
        |agent: &AgentId| Answerer::ALL.into_iter().find(|kind| agent.as_str().starts_with(kind.as_str()));
    player::agents(recording)
        .into_iter()
        .filter_map(|agent| Some((agent.clone(), answerer(&agent)?)))
        .collect()
}
