//! `custody log verify`: reads the whole evidence log and proves it.

use std::time::Duration;

use correlator_service::api::types::LogVerified;
use correlator_store::{LogError, Store, StoreError, StoreSettings};

use crate::client::Api;
use crate::data::DataFolder;
use crate::exit::{Exit, Failure};
use crate::house::store_failure;
use crate::output::Output;
use fleet_runtime::outside_text::shown;

/// A log of years takes its time.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(3600);

pub(crate) async fn verify(data: &DataFolder, output: Output) -> anyhow::Result<Exit> {
    let verified = match Api::of_running(data).await? {
        Some(api) => api.with_time(VERIFY_TIME_MAX).get("/log/verify", &()).await?,
        None => of_folder(data).await?,
    };
    output.either(&verified, |paint| match &verified.problem {
        None => {
            let LogVerified { entries, segments, signed_heads, .. } = &verified;
            let what = format!("{entries} entries in {segments} segments, {signed_heads} signed heads");
            let mut text = format!("{}  {what}\n", paint.good("the log holds"));
            text.extend(verified.head.iter().map(|head| format!("head  {head}\n")));
            text.extend(verified.notes.iter().map(|note| format!("note  {}\n", shown(note))));
            text
        }
        Some(problem) => format!("{}  {}\n", paint.bad("the log does not hold"), shown(problem)),
    })?;
    Ok(if verified.verified { Exit::Fine } else { Exit::Finding })
}

/// A folder on which nothing runs. The index is not needed for it.
async fn of_folder(data: &DataFolder) -> anyhow::Result<LogVerified> {
    data.must_exist()?;
    let folder = data.correlator();
    let verified = tokio::task::spawn_blocking(move || {
        let store = Store::open_read_only(&folder, &StoreSettings::default())?;
        Ok::<_, StoreError>(store.log().verify())
    });
    match verified.await? {
        Ok(Ok(report)) => Ok(LogVerified::holds(report)),
        Ok(Err(error)) => of_problem(&error),
        Err(StoreError::Log { source, .. }) => of_problem(&source),
        Err(error) => Err(store_failure(&error)),
    }
}

/// A log that does not hold is a finding; a disk that does not read is a failure.
fn of_problem(error: &LogError) -> anyhow::Result<LogVerified> {
    let said = fleet_runtime::error_chain(error);
    match error {
        LogError::Io { .. } | LogError::DiskFull { .. } => Err(Failure::unreachable(said)),
        _ => Ok(LogVerified::does_not_hold(said)),
    }
}
