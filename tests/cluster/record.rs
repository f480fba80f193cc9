//! Writes the recording behind `custody up --sample` anew: plays five stories on the real servers, stops custody, and takes
//! what its evidence log holds of them. Into `cli/sample`, or the folder that is given.
#![allow(dead_code, unused_imports, reason = "the rest of the stories is for the tests")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::large_futures)]

mod before;
mod estate;
mod observe;
mod project;
mod stories;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bus_schema::{Digest, Event};
use correlator_core::input::Input;
use correlator_store::{Store, StoreSettings};
use harness::sample::{RecordedEvent, Recording};

/// Only the tests call it.
fn story<F: Future<Output = anyhow::Result<()>>>(_: F) {}

/// The projects of the stories that are recorded.
const PROJECTS: [&str; 5] =
    ["payments-api", "checkout", "search-indexer", "invoice-mailer", "account-service"];
/// A pause in the recording is cut to this: nobody wants to wait for a registry again.
const PAUSE_MAX: Duration = Duration::from_millis(150);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cli/sample");
    let folder = std::env::args_os().nth(1).map_or_else(default, PathBuf::from);
    // The recording tells of its own projects only.
    let estate = estate::estate_with(estate::Past::Empty).await;
    stories::s01_reviewed_release::reviewed_release().await?;
    stories::s02_release_tag_overwritten::release_tag_overwritten().await?;
    stories::s03_pushed_by_a_person::pushed_by_a_person().await?;
    stories::s04_provenance_of_something_else::provenance_for_another_digest().await?;
    stories::s07_review::workflow_changed_without_review().await?;
    let violations = estate.forge.violations();
    anyhow::ensure!(violations.is_empty(), "the forge said what GitHub would not: {violations:#?}");
    estate.custody.stop()?;
    // It drains, then gives the folder back.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let recording = take(&estate.folder.join("data/correlator"), &estate.contracts)?;
    recording.write(&folder)?;
    println!("{} events, {} pieces of evidence", recording.events.len(), recording.blobs.len());
    Ok(())
}

/// What the evidence log holds of the agents' reports. Answers to questions are left out: a player answers by itself.
fn take(data: &Path, contracts: &Path) -> anyhow::Result<Recording> {
    let store = Store::open_read_only(data, &StoreSettings::default()).context("open the evidence log")?;
    let mut recording = Recording { readme: README.to_owned(), ..Recording::default() };
    let (mut offset, mut before) = (Duration::ZERO, None);
    let mut reported = BTreeSet::new();
    for entry in store.log().read(1) {
        let Some(entry) = entry?.input()? else { continue };
        let Input::Event(envelope) = entry.input else { continue };
        match &envelope.event {
            Event::EvidenceUnavailable(_) | Event::EvidenceRequested(_) => continue,
            // The first heartbeat says what is covered; the rest is noise.
            Event::AgentReported(report) if report.coverage.is_empty() => continue,
            Event::AgentReported(report) if !reported.insert(report.agent.clone()) => continue,
            Event::AttestationAttached(attached) => {
                for item in &attached.items {
                    keep(&store, item.blob.digest, &mut recording.blobs)?;
                }
            }
            _ => {}
        }
        if let Some(before) = before.replace(entry.recorded) {
            let pause = Duration::try_from(entry.recorded.duration_since(before)).unwrap_or_default();
            offset += pause.min(PAUSE_MAX);
        }
        recording.events.push(RecordedEvent { offset, envelope: *envelope });
    }
    for name in PROJECTS.iter().map(|name| format!("{name}.yaml")).chain(ROOTS.map(str::to_owned)) {
        let text = fs::read_to_string(contracts.join(&name)).with_context(|| format!("read {name}"))?;
        // A player waits for nobody that signs, nor until what stopped is forgotten; and its agents report but once.
        let played = text
            .replace("linger: 30s", "linger: 24h")
            .replace("sourceSkew: 5m", "sourceSkew: 5m, silence: 3650d")
            .replace("settle: 10s", "settle: 4s");
        recording.contracts.insert(name, played);
    }
    Ok(recording)
}

const ROOTS: [&str; 3] = ["installation.yaml", "keyless-root.json", "servers-root.json"];

fn keep(store: &Store, digest: Digest, blobs: &mut BTreeMap<Digest, Vec<u8>>) -> anyhow::Result<()> {
    let bytes = store.blobs().get(&digest)?.with_context(|| format!("the evidence {digest} is gone"))?;
    blobs.insert(digest, bytes);
    Ok(())
}

const README: &str = include_str!("record.md");
