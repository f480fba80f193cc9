//! Opening: the store, the ledger as the log has it, and the contracts.

use std::path::Path;
use std::sync::Arc;

use correlator_store::{LogSettings, Started, Store, StoreSettings};
use jiff::Timestamp;

use super::{Context, OpenError, RECORDS_FORMAT};
use crate::contracts::{self, Copies, Which};
use crate::heads;
use crate::metrics::CorrelatorMetrics;
use crate::recorder::Desk;
use crate::settings::{CorrelatorSettings, Settings};
use crate::shared::ContractProblems;

/// Opens the store, applies what the index lacks, and loads the contracts of the folder.
pub(super) async fn open_desk(
    settings: &Settings,
    context: &Context,
    metrics: CorrelatorMetrics,
) -> Result<Desk, OpenError> {
    let store_settings = StoreSettings {
        log: LogSettings { key_file: settings.correlator.log_key_file.clone(), ..LogSettings::default() },
        index_cache_bytes: settings.correlator.index_cache_bytes,
        records_format: RECORDS_FORMAT,
    };
    let (data, contracts) = (context.data.clone(), settings.correlator.contracts.clone());
    let copies = Copies::of_data(&data);
    for problem in contracts::refresh_roots(&contracts, &copies, Which::Missing).await {
        tracing::warn!(problem, "a trust root cannot be used yet");
    }
    let store = tokio::task::spawn_blocking(move || open_store(&data, store_settings)).await??;
    // Before the log goes on: what is appended to an older copy is another history.
    let CorrelatorSettings { id, supersedes, .. } = &settings.correlator;
    let superseded = heads::check_before_taking(&context.bus, &store, id, *supersedes).await?;
    let (opened, known) = (Arc::clone(&store), metrics);
    let desk = tokio::task::spawn_blocking(move || {
        let mut desk = Desk::open(opened, known)?;
        load_contracts(&mut desk, &contracts, &copies)?;
        Ok::<_, OpenError>(desk)
    });
    let desk = desk.await??;
    if let Some(revision) = superseded {
        heads::put_over(&context.bus, &store, revision).await?;
    }
    Ok(desk)
}

fn open_store(data: &Path, settings: StoreSettings) -> Result<Arc<Store>, OpenError> {
    let store = Store::open(data, settings)?;
    for note in store.log().notes() {
        tracing::warn!(note, "the evidence log was put right");
    }
    match store.index().map(|index| index.started().clone()) {
        Ok(Started::Deleted { reason }) => {
            tracing::warn!(reason, "the index is built anew from the evidence log")
        }
        Ok(Started::Absent | Started::Continued) | Err(_) => {}
    }
    Ok(Arc::new(store))
}

/// The contracts are in force before the first event is taken. A folder that is refused is no reason not to go on with the
/// set that was in force; without any it is.
fn load_contracts(desk: &mut Desk, folder: &Path, copies: &Copies) -> Result<(), OpenError> {
    let in_force = desk.shared().in_force.borrow().clone();
    let is_first = in_force.contracts.pipelines.is_empty();
    match contracts::load(folder, Some(copies), Timestamp::now()) {
        Ok((loaded, set)) => {
            let records = contracts::records(loaded, &set, &in_force);
            desk.begin(records).map_err(|error| OpenError::Replay(format!("{error:#}")))
        }
        Err(_) if is_first && !folder.exists() => {
            tracing::warn!(folder = %folder.display(), "there are no contracts, so no image is claimed");
            Ok(())
        }
        Err(problems) if is_first => Err(OpenError::Contracts { problems }),
        Err(problems) => {
            for problem in &problems {
                tracing::error!(problem, "the contracts are refused, those before stay in force");
            }
            let since = Some(Timestamp::now());
            desk.shared().contract_problems.send_replace(ContractProblems { problems, since });
            Ok(())
        }
    }
}
