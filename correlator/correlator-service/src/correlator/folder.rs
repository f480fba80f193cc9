//! Answers from a data folder on which no correlator runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use correlator_core::ledger::Ledger;
use correlator_store::{LogSettings, Store, StoreSettings};
use fleet_runtime::health::Health;
use tokio::sync::watch;

use super::{OpenError, RECORDS_FORMAT};
use crate::metrics::CorrelatorMetrics;
use crate::query::Answers;
use crate::recorder::{Desk, OpenTrouble, shared_of};
use crate::shared::Shared;

impl Answers {
    /// Opens a data folder for questions. Nothing is taken, ticked, verified or told; an index that lacks entries of the
    /// log, after a crash, gets them first. While this lives no correlator can open the folder.
    pub async fn of_folder(data: &Path, log_key_file: Option<PathBuf>) -> Result<Answers, OpenError> {
        let data = data.to_owned();
        let (store, shared) = tokio::task::spawn_blocking(move || open(&data, log_key_file)).await??;
        Ok(Answers {
            store,
            shared,
            health: Health::default(),
            agents: Arc::new(BTreeMap::new()),
            head: Arc::new(watch::Sender::new(None)),
        })
    }
}

fn open(data: &Path, log_key_file: Option<PathBuf>) -> Result<(Arc<Store>, Arc<Shared>), OpenError> {
    let settings = StoreSettings {
        log: LogSettings { key_file: log_key_file, ..LogSettings::default() },
        records_format: RECORDS_FORMAT,
        ..StoreSettings::default()
    };
    let store = Store::open_read_only(data, &settings)?;
    let is_whole = store.index().is_ok_and(|index| index.position() == store.log().head().position);
    if is_whole {
        let shared = shared_as_it_is(&store)?;
        return Ok((Arc::new(store), Arc::new(shared)));
    }
    drop(store);
    let desk = Desk::open(Arc::new(Store::open(data, settings)?), CorrelatorMetrics::default())?;
    Ok((Arc::clone(desk.store()), Arc::clone(desk.shared())))
}

fn shared_as_it_is(store: &Store) -> Result<Shared, OpenTrouble> {
    let index = store.index().map_err(|error| OpenTrouble::NoIndex(error.to_string()))?;
    let snapshot = index.snapshot()?;
    let ledger = Ledger::open(&snapshot)?;
    shared_of(&ledger, &snapshot)
}
