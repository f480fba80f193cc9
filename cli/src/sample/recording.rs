//! A recording as it lies in the binary or in a folder: `events.jsonl`, `blobs/<sha256>`, `contracts/*`.
//!
//! In: files. Out: envelopes with their moments, blobs and contracts, all checked: an envelope whose id is not its own, or a
//! blob under another's name, is refused.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bus_schema::envelope::ENVELOPE_BYTES_MAX;
use bus_schema::{Digest, Envelope};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/sample_files.rs"));
}

const EVENTS: &str = "events.jsonl";
const BLOBS: &str = "blobs/";
const CONTRACTS: &str = "contracts/";
/// The most files of a recording.
const FILES_MAX: usize = 10_000;
/// The largest file of a recording.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const EVENTS_MAX: usize = 100_000;
/// Offsets beyond this are a mistake: nobody watches that long.
const OFFSET_MILLIS_MAX: u64 = 10 * 60 * 1000;

/// A recording that was read.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// In the order of their offsets.
    pub(crate) events: Vec<Recorded>,
    pub(crate) blobs: BTreeMap<Digest, Bytes>,
    /// By file name.
    pub(crate) contracts: BTreeMap<String, Bytes>,
}

/// One envelope and when it is published, from the start of the play.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) offset: Duration,
    pub(crate) envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Line<'a> {
    offset_millis: u64,
    #[serde(borrow)]
    envelope: &'a RawValue,
}

impl Recording {
    /// The recording that comes with the program.
    pub(crate) fn embedded() -> anyhow::Result<Recording> {
        let files =
            embedded::FILES.iter().map(|(name, bytes)| ((*name).to_owned(), Bytes::from_static(bytes)));
        Recording::from_files(files.collect())
    }

    /// A recording in a folder.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Recording> {
        let mut files = BTreeMap::new();
        for part in ["", BLOBS, CONTRACTS] {
            read_folder(&folder.join(part), part, &mut files)?;
        }
        Recording::from_files(files)
    }

    fn from_files(files: BTreeMap<String, Bytes>) -> anyhow::Result<Recording> {
        let mut recording = Recording::default();
        for (name, bytes) in files {
            if let Some(hex) = name.strip_prefix(BLOBS) {
                let digest =
                    Digest::from_parts("sha256", hex).with_context(|| format!("the name of {name}"))?;
                ensure!(digest.matches(&bytes), "{name} holds other bytes than its name says");
                recording.blobs.insert(digest, bytes);
            } else if let Some(file) = name.strip_prefix(CONTRACTS) {
                recording.contracts.insert(file.to_owned(), bytes);
            } else if name == EVENTS {
                recording.events = read_events(&bytes)?;
            }
        }
        ensure!(!recording.events.is_empty(), "there is no {EVENTS}, or nothing in it");
        Ok(recording)
    }
}

fn read_events(bytes: &[u8]) -> anyhow::Result<Vec<Recorded>> {
    let text = std::str::from_utf8(bytes).with_context(|| format!("read {EVENTS}"))?;
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = || format!("{EVENTS}, line {}", number + 1);
        ensure!(events.len() < EVENTS_MAX, "more than {EVENTS_MAX} events");
        ensure!(line.len() <= 2 * ENVELOPE_BYTES_MAX, "{} is too long", at());
        let line: Line<'_> = serde_json::from_str(line).with_context(at)?;
        ensure!(line.offset_millis <= OFFSET_MILLIS_MAX, "{} comes later than {OFFSET_MILLIS_MAX} ms", at());
        let envelope = Envelope::from_json(line.envelope.get().as_bytes()).with_context(at)?;
        events.push(Recorded { offset: Duration::from_millis(line.offset_millis), envelope });
    }
    events.sort_by_key(|event| event.offset);
    Ok(events)
}

fn read_folder(folder: &Path, part: &str, files: &mut BTreeMap<String, Bytes>) -> anyhow::Result<()> {
    let shown = folder.display();
    for entry in std::fs::read_dir(folder).with_context(|| format!("read the folder {shown}"))? {
        let entry = entry.with_context(|| format!("read the folder {shown}"))?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let Ok(name) = entry.file_name().into_string() else { continue };
        ensure!(files.len() < FILES_MAX, "more than {FILES_MAX} files in the recording");
        let mut bytes = Vec::new();
        let file = std::fs::File::open(entry.path()).with_context(|| format!("open {name}"))?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("read {name}"))?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            bail!("{name} is larger than {FILE_BYTES_MAX} bytes");
        }
        files.insert(format!("{part}{name}"), bytes.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_embedded_recording_is_whole() {
        let recording = Recording::embedded().unwrap();
        assert!(recording.events.len() > 20);
        assert!(recording.contracts.contains_key("keyless-root.json"));
        for event in &recording.events {
            let bus_schema::Event::AttestationAttached(attached) = &event.envelope.event else { continue };
            for item in &attached.items {
                assert!(item.blob.inline.is_some() || recording.blobs.contains_key(&item.blob.digest));
            }
        }
    }

    #[test]
    fn a_blob_under_a_name_of_another_is_refused() {
        let mut files = BTreeMap::new();
        files.insert(format!("{BLOBS}{}", Digest::sha256_of(b"one").hex()), Bytes::from_static(b"two"));
        let refused = Recording::from_files(files).unwrap_err();
        assert!(refused.to_string().contains("other bytes"), "{refused}");
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let files = BTreeMap::from([(EVENTS.to_owned(), Bytes::from_static(b"\n{\"offsetMillis\": 1}\n"))]);
        let refused = Recording::from_files(files).unwrap_err();
        assert!(refused.to_string().contains("line 2"), "{refused}");
    }
}
