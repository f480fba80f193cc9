//! `custody log verify`: reads the whole evidence log and proves it.

use correlator_store::{LogError, Report, Store, StoreError, StoreSettings};
use serde::Serialize;

use crate::data::DataFolder;
use crate::exit::{Exit, Failure};
use crate::house::store_failure;
use crate::output::Output;
use crate::output::outside_text::harmless;

/// What a verification says to scripts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    verified: bool,
    entries: u64,
    segments: u64,
    signed_heads: u64,
    erased: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    notes: Vec<String>,
}

pub(crate) async fn verify(data: &DataFolder, output: Output) -> anyhow::Result<Exit> {
    data.must_exist()?;
    let folder = data.correlator();
    let verified = tokio::task::spawn_blocking(move || {
        let store = Store::open_read_only(&folder, &StoreSettings::default())?;
        Ok::<_, StoreError>(store.log().verify())
    });
    let verified = match verified.await? {
        Ok(Ok(report)) => of_report(report),
        Ok(Err(error)) => of_problem(error)?,
        Err(StoreError::Log { source, .. }) => of_problem(*source)?,
        Err(error) => return Err(store_failure(&error)),
    };
    output.either(&verified, |paint| match &verified.problem {
        None => {
            let Verified { entries, segments, signed_heads, .. } = &verified;
            let what = format!("{entries} entries in {segments} segments, {signed_heads} signed heads");
            let mut text = format!("{}  {what}\n", paint.good("the log holds"));
            text.extend(verified.head.iter().map(|head| format!("head  {head}\n")));
            text.extend(verified.notes.iter().map(|note| format!("note  {}\n", harmless(note))));
            text
        }
        Some(problem) => format!("{}  {}\n", paint.bad("the log does not hold"), harmless(problem)),
    })?;
    Ok(if verified.verified { Exit::Fine } else { Exit::Finding })
}

fn of_report(report: Report) -> Verified {
    Verified {
        verified: true,
        entries: report.entries,
        segments: report.segments,
        signed_heads: report.signed_heads,
        erased: report.erased,
        head: Some(format!("{} {}", report.head.position, report.head.hash)),
        problem: None,
        notes: report.notes,
    }
}

/// A log that does not hold is a finding; a disk that does not read is a failure.
fn of_problem(error: LogError) -> anyhow::Result<Verified> {
    match error {
        LogError::Io { .. } | LogError::DiskFull { .. } => {
            Err(Failure::unreachable(fleet_runtime::error_chain(&error)))
        }
        _ => Ok(Verified {
            verified: false,
            entries: 0,
            segments: 0,
            signed_heads: 0,
            erased: 0,
            head: None,
            problem: Some(fleet_runtime::error_chain(&error)),
            notes: Vec::new(),
        }),
    }
}
