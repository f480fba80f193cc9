//! The data folder: where it is, how it is divided, and which process has it.
//!
//! `bus` is the embedded bus's, `correlator` the evidence log's, `agents/<name>` each agent's own. `running.json` tells the
//! command line where the running process answers, and that of an agent's folder where an agent does that is a process of its
//! own; it proves nothing, the locks in the folders do. `last-bus.json` and `sample` outlive the process: which bus it used,
//! and that it played the recording.

mod last_bus;
mod purpose;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;

pub(crate) use last_bus::LastBus;
pub(crate) use purpose::Purpose;

const AGENTS: &str = "agents";
const RUNNING: &str = "running.json";
const RUNNING_BYTES_MAX: u64 = 4096;

/// A data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFolder(PathBuf);

/// What a running process says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Running {
    pub(crate) process: u32,
    /// Where its API answers: `http://127.0.0.1:9465`.
    pub(crate) api: String,
    /// What its answers carry, so that they are known from those of whatever else has the address.
    #[serde(default)]
    pub(crate) instance: String,
}

/// What an agent says of itself that is a process of its own. It has no API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RunningAgent {
    pub(crate) process: u32,
    /// Where its health is: `http://127.0.0.1:9464`.
    pub(crate) operations: String,
    /// As that of [`Running`].
    #[serde(default)]
    pub(crate) instance: String,
}

/// A note of who runs, which is taken back when it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Noted(PathBuf);

impl Noted {
    fn write(folder: &Path, running: &impl Serialize) -> anyhow::Result<Noted> {
        let path = folder.join(RUNNING);
        let fresh = folder.join(format!("{RUNNING}.{}", std::process::id()));
        std::fs::write(&fresh, serde_json::to_vec(running)?).context("write running.json")?;
        std::fs::rename(&fresh, &path).context("write running.json")?;
        Ok(Noted(path))
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        // It is no error when it is gone.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl DataFolder {
    /// The named folder, or the one that the system has for such things.
    pub(crate) fn find(named: Option<&Path>) -> anyhow::Result<DataFolder> {
        if let Some(named) = named {
            let full = std::path::absolute(named).with_context(|| format!("find {}", named.display()))?;
            return Ok(DataFolder(full));
        }
        let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
        let state = state.ok_or_else(|| {
            Failure::usage("neither XDG_STATE_HOME nor HOME is set: name a folder with --data")
        })?;
        Ok(DataFolder(state.join("custody")))
    }

    pub(crate) fn at(path: impl Into<PathBuf>) -> DataFolder {
        DataFolder(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn bus(&self) -> PathBuf {
        self.0.join("bus")
    }

    pub(crate) fn correlator(&self) -> PathBuf {
        self.0.join("correlator")
    }

    pub(crate) fn agent(&self, name: &str) -> PathBuf {
        self.0.join(AGENTS).join(name)
    }

    /// The folders of all agents that ever ran here.
    pub(crate) fn agents(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.0.join(AGENTS)) else { return Vec::new() };
        let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        folders.sort();
        folders
    }

    /// Makes the folder, for its owner alone.
    pub(crate) fn create(&self) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.0);
        made.map_err(|error| {
            Failure::usage(format!("the data folder {} cannot be made: {error}", self.0.display()))
        })
    }

    /// Refuses a folder in which custody never ran, and one of which nobody can tell.
    pub(crate) fn must_exist(&self) -> anyhow::Result<()> {
        match self.has(&self.bus())? || self.has(&self.correlator())? {
            true => Ok(()),
            false => Err(Failure::usage(format!(
                "there is no custody data in {}: name another folder with --data, or start custody there with `custody up`",
                self.0.display()
            ))),
        }
    }

    /// Whether something is in the folder. Where this process may not look, nobody knows.
    pub(crate) fn has(&self, path: &Path) -> anyhow::Result<bool> {
        path.try_exists().map_err(|error| self.closed(&error))
    }

    /// Says which process has the folder, until the note is dropped.
    pub(crate) fn note_running(&self, running: &Running) -> anyhow::Result<Noted> {
        Noted::write(&self.0, running)
    }

    /// The same for one agent's part of it.
    pub(crate) fn note_agent(&self, agent: &str, running: &RunningAgent) -> anyhow::Result<Noted> {
        Noted::write(&self.agent(agent), running)
    }

    /// Which process says to have the folder. It may be gone already.
    pub(crate) fn running(&self) -> anyhow::Result<Option<Running>> {
        self.noted(&self.0)
    }

    /// The agents that say to be processes of their own, by their names.
    pub(crate) fn running_agents(&self) -> anyhow::Result<Vec<(String, RunningAgent)>> {
        let mut agents = Vec::new();
        for folder in self.agents() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            agents.extend(self.noted(&folder)?.map(|running| (name, running)));
        }
        Ok(agents)
    }

    fn noted<T: DeserializeOwned>(&self, folder: &Path) -> anyhow::Result<Option<T>> {
        use std::io::Read;
        let mut bytes = Vec::new();
        let read = std::fs::File::open(folder.join(RUNNING))
            .and_then(|file| file.take(RUNNING_BYTES_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.closed(&error)),
        }
    }

    /// Somebody else's folder: what runs there, and what is in it, cannot be told.
    fn closed(&self, error: &std::io::Error) -> anyhow::Error {
        Failure::usage(format!(
            "the data folder {} cannot be read: {error}: run this as the user whose folder it is, or name another with --data",
            self.0.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn who_runs_is_told_and_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::at(folder.path());
        assert_eq!(data.running().unwrap(), None);
        let running =
            Running { process: 7, api: "http://127.0.0.1:1".to_owned(), instance: "7-1".to_owned() };
        let agent = RunningAgent {
            process: 8,
            operations: "http://127.0.0.1:2".to_owned(),
            instance: "8-1".to_owned(),
        };
        std::fs::create_dir_all(data.agent("registry")).unwrap();
        let noted = data.note_running(&running).unwrap();
        let noted_agent = data.note_agent("registry", &agent).unwrap();
        assert_eq!(data.running().unwrap(), Some(running.clone()));
        assert_eq!(data.running_agents().unwrap(), [("registry".to_owned(), agent)]);
        drop(noted_agent);
        assert_eq!(data.running().unwrap(), Some(running), "an agent took the correlator's note with it");
        assert_eq!(data.running_agents().unwrap(), []);
        drop(noted);
        assert_eq!(data.running().unwrap(), None);
    }
}
