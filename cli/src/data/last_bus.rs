//! Which bus the last process of a data folder used. What waits on it outlives the process: whoever asks later must not be
//! answered from another.

use anyhow::Context;
use fleet_runtime::kept_file::{KeptFile, KeptFileError};
use serde::{Deserialize, Serialize};

use super::DataFolder;
use crate::exit::Failure;

const FILE: &str = "last-bus.json";
const FORMAT: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum LastBus {
    /// The one inside the folder.
    Folder,
    /// One on NATS servers.
    Servers,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    bus: LastBus,
}

impl LastBus {
    /// What the folder says, where a process has noted it.
    pub(crate) fn of(data: &DataFolder) -> anyhow::Result<Option<LastBus>> {
        let read = file(data).read::<Note>().map_err(|error| failure(&error))?;
        Ok(read.map(|note| note.bus))
    }

    /// Notes it, once a process has the folder for itself.
    pub(crate) fn note(self, data: &DataFolder) -> anyhow::Result<()> {
        file(data).write(&Note { bus: self }).context("note the bus in the data folder")
    }
}

fn file(data: &DataFolder) -> KeptFile {
    KeptFile::new(data.path(), FILE, FORMAT)
}

fn failure(error: &KeptFileError) -> anyhow::Error {
    Failure::usage(fleet_runtime::error_chain(error))
}
