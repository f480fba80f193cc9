//! The contracts folder: read, checked, and recorded when it says something new.
//!
//! In: a folder of YAML files and the keys and trust roots that they name. Out: `ContractLoaded` in the log when the whole
//! set is right and not the one in force. A set that is wrong is refused with every problem, shown as such, and the one
//! before stays in force.

mod folder;
pub(crate) mod trust;
mod tuf;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus_schema::Digest;
use correlator_core::contracts::trust_root::TrustRootContract;
use correlator_core::contracts::{ContractSet, parse};
use correlator_core::facts::RootVersion;
use correlator_core::input::{ContractLoaded, Input};
use evidence::TrustSet;
use fleet_runtime::error_chain;
use fleet_runtime::health::Check;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::metrics::CorrelatorMetrics;
use crate::recorder::{Record, RecordError, Recorder};
use crate::shared::{ContractProblems, InForce, Shared};

pub(crate) use folder::read_tuf_sources;
pub use folder::{LoadError, read_folder, read_path};
pub use tuf::Copies;

/// A changed folder is read again after this pause, so that a file that is being written is not taken half.
const STILL_AFTER: Duration = Duration::from_millis(150);
/// Problems that are shown; a set with more is another kind of file.
const PROBLEMS_SHOWN_MAX: usize = 100;

/// Reads and checks a folder in every part: a set that may come into force now, or every problem.
pub fn load(
    folder: &Path,
    copies: Option<&Copies>,
    now: Timestamp,
) -> Result<(ContractLoaded, ContractSet), Vec<String>> {
    let loaded = read_folder(folder, copies).map_err(|error| vec![error_chain(&error)])?;
    let set = check(&loaded, now)?;
    Ok((loaded, set))
}

/// Checks a set in every part that a start of it needs.
pub(crate) fn check(loaded: &ContractLoaded, now: Timestamp) -> Result<ContractSet, Vec<String>> {
    check_with_trust(loaded, now).map(|(set, _)| set)
}

/// Checks a set, and gives what evidence is verified against under it.
pub(crate) fn check_with_trust(
    loaded: &ContractLoaded,
    now: Timestamp,
) -> Result<(ContractSet, TrustSet), Vec<String>> {
    let mut set = parse::parse(loaded)
        .map_err(|problems| problems.0.iter().map(ToString::to_string).collect::<Vec<String>>())?;
    let trust = trust::set_of(&set, &loaded.files)?;
    let (unknown, ended) = (trust::unknown_parts(&set, &trust), ended_exceptions(&set, now));
    set.warnings.extend(unknown.into_iter().chain(ended));
    let late = set.problems_at(now);
    match late.is_empty() {
        true => Ok((set, trust)),
        false => Err(late),
    }
}

/// No problem: an exception that has ended does nothing, and a set that was right does not become wrong by itself.
fn ended_exceptions(set: &ContractSet, now: Timestamp) -> Vec<String> {
    let ended = set.exceptions.values().filter(|exception| exception.expires <= now);
    let said = ended.map(|exception| {
        format!("exception {} ended at {} and covers nothing", exception.name, exception.expires)
    });
    said.collect()
}

/// What must be recorded so that `set` is in force instead of what is: nothing when it is already.
pub(crate) fn records(loaded: ContractLoaded, set: &ContractSet, in_force: &InForce) -> Vec<Record> {
    if set.hash == in_force.contracts.hash {
        return Vec::new();
    }
    let is_new = |root: &&TrustRootContract| {
        in_force.contracts.roots.get(&root.name).is_none_or(|known| known.content != root.content)
    };
    let roots = set.roots.values().filter(is_new);
    let roots = roots.map(|root| {
        let version = RootVersion { name: root.name.clone(), content: root.content };
        Record::input(Input::TrustRootLoaded(version))
    });
    roots.chain([Record::input(Input::ContractLoaded(Box::new(loaded)))]).collect()
}

/// Asks the repositories of trust roots: all that the contracts name, or those without a good copy only. What went wrong is
/// said, one text for each.
pub(crate) async fn refresh_roots(folder: &Path, copies: &Copies, which: Which) -> Vec<String> {
    let reading = folder.to_owned();
    let sources = tokio::task::spawn_blocking(move || read_tuf_sources(&reading)).await;
    // A folder that cannot be read is said by who reads it for the contracts themselves.
    let Ok(Ok(sources)) = sources else { return Vec::new() };
    let mut problems = Vec::new();
    for (source, first_root) in sources {
        if which == Which::Missing && copies.path(&source, &first_root).exists() {
            continue;
        }
        if let Err(error) = copies.refresh(&source, &first_root, Timestamp::now()).await {
            problems.push(tuf::said(&source, &error));
        }
    }
    problems
}

/// Asks the repositories of trust roots that there is no good copy of, before a folder is loaded. What went wrong is said.
pub async fn refresh_missing_roots(folder: &Path, copies: &Copies) -> Vec<String> {
    refresh_roots(folder, copies, Which::Missing).await
}

/// Which repositories are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    Missing,
}

/// Looks at the folder again and again, and at the repositories of trust roots.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) folder: std::path::PathBuf,
    pub(crate) every: Duration,
    pub(crate) copies: Copies,
    /// Repositories of trust roots are asked this often.
    pub(crate) roots_every: Duration,
    pub(crate) recorder: Recorder,
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: CorrelatorMetrics,
}

impl Watch {
    /// Runs until the stop.
    pub(crate) async fn run(&self, check: Check, stop: CancellationToken) -> anyhow::Result<()> {
        let mut seen: Option<Result<Digest, Vec<String>>> = None;
        let mut asked: Option<Instant> = None;
        let mut stale = Vec::new();
        loop {
            let is_due = asked.is_none_or(|asked| asked.elapsed() >= self.roots_every);
            // A repository that never gave anything is asked at every look: nothing can be verified with it until then.
            let which = if is_due { Which::All } else { Which::Missing };
            if is_due {
                asked = Some(Instant::now());
            }
            let problems = tokio::select! {
                problems = refresh_roots(&self.folder, &self.copies, which) => problems,
                () = stop.cancelled() => return Ok(()),
            };
            if is_due || !problems.is_empty() {
                say_anew(&stale, &problems);
                stale = problems;
            }
            match self.look(&mut seen).await {
                Ok(()) => {}
                Err(RecordError::Ending) => return Ok(()),
                Err(error) => self.show_problems(vec![error_chain(&error)]),
            }
            let problems = self.shared.contract_problems.borrow().problems.clone();
            match problems.first() {
                // An old set is in force and judging goes on: the part works, and says what a person must mend.
                Some(problem) => check.failing(format!("the contracts folder is refused: {problem}")),
                // The last good copy is in force: as above.
                None => match stale.first() {
                    Some(problem) => check.failing(problem.clone()),
                    None => check.ready(),
                },
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn look(&self, seen: &mut Option<Result<Digest, Vec<String>>>) -> Result<(), RecordError> {
        let first = self.load().await;
        let found = outline(&first);
        if seen.as_ref() == Some(&found) {
            return Ok(());
        }
        tokio::time::sleep(STILL_AFTER).await;
        let again = self.load().await;
        if outline(&again) != found {
            // Still being written: the next look sees what became of it.
            return Ok(());
        }
        match again {
            Ok((loaded, set)) => {
                let warnings = set.warnings.clone();
                let records = records(loaded, &set, &self.shared.in_force.borrow());
                if !records.is_empty() {
                    self.recorder.record(records).await?;
                    tracing::info!(contracts = %set.hash, pipelines = set.pipelines.len(), "loaded the contracts");
                    for warning in warnings {
                        tracing::warn!(warning, "a contract deserves a look");
                    }
                }
                self.show_problems(Vec::new());
            }
            Err(problems) => {
                for problem in &problems {
                    tracing::error!(problem, "the contracts are refused, those before stay in force");
                }
                self.show_problems(problems);
            }
        }
        *seen = Some(found);
        Ok(())
    }

    async fn load(&self) -> Result<(ContractLoaded, ContractSet), Vec<String>> {
        let (folder, copies) = (self.folder.clone(), self.copies.clone());
        let loading = tokio::task::spawn_blocking(move || load(&folder, Some(&copies), Timestamp::now()));
        loading.await.unwrap_or_else(|error| Err(vec![error_chain(&error)]))
    }

    fn show_problems(&self, mut problems: Vec<String>) {
        self.metrics.set_contract_problems(problems.len());
        problems.truncate(PROBLEMS_SHOWN_MAX);
        self.shared.contract_problems.send_if_modified(|shown| {
            if shown.problems == problems {
                return false;
            }
            let since = (!problems.is_empty()).then(Timestamp::now);
            *shown = ContractProblems { problems, since };
            true
        });
    }
}

/// Once for each new problem, not at every look.
fn say_anew(before: &[String], problems: &[String]) {
    for problem in problems.iter().filter(|problem| !before.contains(problem)) {
        tracing::warn!(problem, "a trust root is not fresh, its last good copy stays in force");
    }
}

fn outline(loaded: &Result<(ContractLoaded, ContractSet), Vec<String>>) -> Result<Digest, Vec<String>> {
    match loaded {
        Ok((_, set)) => Ok(set.hash),
        Err(problems) => Err(problems.clone()),
    }
}

#[cfg(test)]
mod tests;
