//! Whether this version can read a data folder: the marks of every part, before anything in it is written.
//!
//! In: a data folder, or the place for one. Out: nothing, or the first part that another version wrote. The index is not
//! asked: it is derived, and one of another format is built anew from the log.

use std::path::Path;

use correlator_store::Store;
use fleet_runtime::bus::embedded;
use fleet_runtime::kept_file::KeptFileError;
use github_client::heartbeat;

use crate::data::{DataFolder, LastBus};
use crate::exit::Failure;
use crate::house::{bus_failure, store_failure};

/// Refuses a folder in which any part is another version's. Touches nothing.
pub(crate) fn check(data: &DataFolder) -> anyhow::Result<()> {
    embedded::check_format(&data.bus()).map_err(|error| bus_failure(&error))?;
    Store::check_format(&data.correlator()).map_err(|error| store_failure(&error))?;
    LastBus::of(data)?;
    for folder in data.agents() {
        agent(&folder)?;
    }
    Ok(())
}

/// An agent's folder holds what its kind keeps, whoever it is now.
fn agent(folder: &Path) -> anyhow::Result<()> {
    // Whatever else is wrong with it, its agent says when it opens it.
    if let Err(error @ registry_agent::StateError::Format { .. }) = registry_agent::check_format(folder) {
        return Err(Failure::usage(error.to_string()));
    }
    if let Err(cluster_agent::CoverageError::File(error @ KeptFileError::Format { .. })) =
        cluster_agent::check_format(folder)
    {
        return Err(Failure::usage(error.to_string()));
    }
    match heartbeat::check_format(folder) {
        Err(error @ KeptFileError::Format { .. }) => Err(Failure::usage(error.to_string())),
        Ok(()) | Err(_) => Ok(()),
    }
}
