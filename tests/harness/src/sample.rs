//! The recording behind `custody up --sample`: its format, and how one is written.
//!
//! In: envelopes with the moment at which a player publishes them, the evidence they name, contracts and a trust root. Out:
//! a folder as `cli/sample` is one: `events.jsonl`, `blobs/<sha256>`, `contracts/*.yaml` with `contracts/trusted_root.json`,
//! and `README.md`. What is written is checked first: every envelope reads back as itself, every blob that one names is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use bus_schema::{Digest, Envelope, Event};
use serde_json::json;

const EVENTS: &str = "events.jsonl";
const BLOBS: &str = "blobs";
const CONTRACTS: &str = "contracts";

/// A recording, whole.
#[derive(Debug, Default)]
pub struct Recording {
    /// In the order in which they are published.
    pub events: Vec<RecordedEvent>,
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// File names below `contracts` and their texts, the trust root among them.
    pub contracts: BTreeMap<String, String>,
    /// What the recording is and how it was made.
    pub readme: String,
}

/// An envelope and when a player publishes it, counted from the start.
#[derive(Debug)]
pub struct RecordedEvent {
    pub offset: Duration,
    pub envelope: Envelope,
}

impl Recording {
    /// Replaces the recording in the folder.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        self.check()?;
        for part in [BLOBS, CONTRACTS] {
            let part = folder.join(part);
            if part.exists() {
                fs::remove_dir_all(&part).with_context(|| format!("empty {}", part.display()))?;
            }
            fs::create_dir_all(&part).with_context(|| format!("make {}", part.display()))?;
        }
        let mut lines = String::new();
        for event in &self.events {
            let offset = u64::try_from(event.offset.as_millis()).context("an offset")?;
            lines.push_str(&json!({ "offsetMillis": offset, "envelope": event.envelope }).to_string());
            lines.push('\n');
        }
        write(&folder.join(EVENTS), lines.as_bytes())?;
        for (digest, bytes) in &self.blobs {
            write(&folder.join(BLOBS).join(digest.hex()), bytes)?;
        }
        for (name, text) in &self.contracts {
            write(&folder.join(CONTRACTS).join(name), text.as_bytes())?;
        }
        write(&folder.join("README.md"), self.readme.as_bytes())
    }

    fn check(&self) -> anyhow::Result<()> {
        for event in &self.events {
            let bytes = event.envelope.to_json().context("write an envelope")?;
            let read = Envelope::from_json(&bytes).context("read an envelope back")?;
            ensure!(read == event.envelope, "{} does not read back as itself", event.envelope.id);
            let Event::AttestationAttached(attached) = &event.envelope.event else { continue };
            for item in &attached.items {
                let is_there = item.blob.inline.is_some() || self.blobs.contains_key(&item.blob.digest);
                ensure!(is_there, "the evidence {} is not in the recording", item.blob.digest);
            }
        }
        let ordered = self.events.is_sorted_by_key(|event| event.offset);
        ensure!(ordered, "events are not in the order of their offsets");
        Ok(())
    }
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}
