//! The evidence log: append-only, hash-chained, signed. It is the truth; everything else is derived from it.
//!
//! In: entries with the time they are recorded at. Out: positions, once the entries are durable; entries in order;
//! signed heads; proofs that nothing was changed. It never judges an entry, never rewrites one, and never cuts anything
//! that was fsynced.
//!
//! On disk, in one folder: `identity` (log id, generation, public key), `key` (Ed25519, PKCS#8, for the owner alone),
//! segments named by their first position (see [`frame`]), `heads` (signed heads, one per line), and
//! `generations` where the log began another one.

mod entry;
mod erase;
mod error;
mod frame;
mod generations;
mod heads;
mod identity;
mod medium;
mod reader;
mod segment;
mod tail;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

pub use entry::{ENTRY_PAYLOAD_BYTES_MAX, ERASURE_REASON_BYTES_MAX, EntryKind, Logged, NewEntry, Payload};
pub use error::{Fault, LogError};
pub use heads::{Head, SignedHead};
pub use identity::LogId;
pub use reader::Entries;
pub use verify::Report;
pub use writer::BATCH_BYTES_MAX;

use entry::Erasure;
use error::io_error;
use generations::Generations;
use heads::HeadsFile;
pub(crate) use identity::Identity;
use identity::LogKey;
use medium::{Disk, Medium};
use segment::SegmentReader;
use tail::Tail;
use writer::Writer;

use crate::durable;

const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// A segment that a batch would make larger than this is followed by another.
    pub segment_bytes_max: u64,
    /// Where the log's private key is, when not in the log's folder. A key that is there is used for a new log.
    pub key_file: Option<PathBuf>,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { segment_bytes_max: SEGMENT_BYTES_MAX, key_file: None }
    }
}

/// The evidence log of one folder. Cloning gives another handle to the same log.
#[derive(Debug, Clone)]
pub struct EvidenceLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    settings: LogSettings,
    identity: Identity,
    generations: Mutex<Generations>,
    medium: Box<dyn Medium>,
    /// What only a log that is open for writing has.
    signing: Option<Signing>,
    writer: Mutex<Writer>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Signing {
    key: LogKey,
    heads: Mutex<HeadsFile>,
}

impl Shared {
    /// The end of the log. A thread that panicked while it held this left `unclean` set, which the next append puts right.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_segment(&self, reader: &SegmentReader) -> Result<(), LogError> {
        check_segment(&self.identity, reader)
    }

    fn signing(&self) -> Result<&Signing, LogError> {
        self.signing.as_ref().ok_or(LogError::ReadOnly)
    }
}

impl EvidenceLog {
    /// Opens (or begins) the log in `folder`. `durable_position` is a position that is known to have been durable; a log
    /// that ends before it has lost entries.
    ///
    /// The caller holds the lock of the data folder: two logs open on one folder destroy it.
    pub(crate) fn open(
        folder: &Path,
        settings: LogSettings,
        durable_position: u64,
    ) -> Result<EvidenceLog, LogError> {
        EvidenceLog::open_on(Box::new(Disk), folder, settings, durable_position)
    }

    fn open_on(
        medium: Box<dyn Medium>,
        folder: &Path,
        settings: LogSettings,
        durable_position: u64,
    ) -> Result<EvidenceLog, LogError> {
        let identity = EvidenceLog::identity_for_writing(folder, &settings)?;
        let key = LogKey::load(&key_file(folder, &settings), &identity)?;
        let generations = Mutex::new(Generations::load(folder)?);
        segment::remove_unfinished(folder)?;
        let (heads, heads_note) = HeadsFile::open(folder, &*medium)?;
        let found = find_end(folder, &identity)?;
        check_witnesses(&found, heads.last_position, durable_position)?;
        let mut notes: Vec<String> = heads_note.into_iter().collect();
        notes.extend(found.torn_note("cut"));
        for note in &notes {
            tracing::warn!(folder = %folder.display(), "the evidence log was not closed properly: {note}");
        }
        let writer = found.into_writer(folder, &identity, Some(&*medium))?;
        let signing = Some(Signing { key, heads: Mutex::new(heads) });
        let writer = Mutex::new(writer);
        let folder = folder.to_owned();
        let log = EvidenceLog {
            shared: Arc::new(Shared {
                folder,
                settings,
                identity,
                generations,
                medium,
                signing,
                writer,
                notes,
            }),
        };
        log.finish_erasure()?;
        Ok(log)
    }

    /// Opens the log to be read; nothing in the folder is changed, and a torn end is left where it is and not read.
    pub(crate) fn open_read_only(folder: &Path, durable_position: u64) -> Result<EvidenceLog, LogError> {
        let missing = || LogError::Incomplete { folder: folder.to_owned(), missing: "identity" };
        let identity = Identity::load(folder)?.ok_or_else(missing)?;
        let found = find_end(folder, &identity)?;
        check_witnesses(&found, heads::last_position(folder)?, durable_position)?;
        let notes = found.torn_note("left out").into_iter().collect();
        let writer = Mutex::new(found.into_writer(folder, &identity, None)?);
        let generations = Mutex::new(Generations::load(folder)?);
        let (folder, settings, medium) = (folder.to_owned(), LogSettings::default(), Box::new(Disk));
        let shared = Shared { folder, settings, identity, generations, medium, signing: None, writer, notes };
        Ok(EvidenceLog { shared: Arc::new(shared) })
    }

    /// The identity of the log in `folder`, begun when there is none.
    pub(crate) fn identity_for_writing(folder: &Path, settings: &LogSettings) -> Result<Identity, LogError> {
        durable::create_folder(folder).map_err(io_error("create", folder))?;
        match Identity::load(folder)? {
            Some(identity) => Ok(identity),
            None => identity::create(folder, &key_file(folder, settings), Timestamp::now()),
        }
    }

    /// Looks at the beginnings of all segments, and changes nothing: whether this is a log that an index can
    /// be built from.
    pub(crate) fn check_segments(folder: &Path, identity: &Identity) -> Result<(), LogError> {
        find_segments(folder, identity).map(|_| ())
    }

    /// Appends a batch with one write and one fsync, and returns the positions of its entries.
    ///
    /// After an error nothing of the batch is in the log, and the same append may be tried again.
    pub fn append(&self, batch: &[NewEntry]) -> Result<Vec<u64>, LogError> {
        self.shared.signing()?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.append_locked(&mut self.shared.writer(), batch)
    }

    fn append_locked(&self, writer: &mut Writer, batch: &[NewEntry]) -> Result<Vec<u64>, LogError> {
        let Shared { folder, settings, medium, .. } = &*self.shared;
        writer.append(folder, batch, settings.segment_bytes_max, &**medium)
    }

    /// Where the log ends.
    pub fn head(&self) -> Head {
        let generation = self.generation();
        Head { generation, ..self.shared.writer().head }
    }

    /// The id of this log, which with its generation makes its positions unique.
    pub fn id(&self) -> LogId {
        self.shared.identity.log
    }

    /// Higher in a log that was begun later, or that went on from an older copy.
    pub fn generation(&self) -> u64 {
        self.shared.generations().current(&self.shared.identity)
    }

    /// Begins a generation above this one and all of its own: for a log that goes on although what was
    /// published is further than it, or of another. Somebody has to have said so.
    pub fn begin_generation(&self, above: u64, at: Timestamp) -> Result<u64, LogError> {
        self.shared.signing()?;
        let position = self.head().position;
        let mut generations = self.shared.generations();
        let next = generations.with_next(&self.shared.identity, above, position, at);
        next.store(&self.shared.folder)?;
        *generations = next;
        Ok(generations.current(&self.shared.identity))
    }

    /// The Ed25519 public key that the heads are signed with, as hexadecimal.
    pub fn public_key(&self) -> &str {
        &self.shared.identity.key
    }

    /// What had to be put right when the log was opened, for people.
    pub fn notes(&self) -> &[String] {
        &self.shared.notes
    }

    /// The entries from this position (counted from 1) to the end that the log has now.
    pub fn read(&self, from_position: u64) -> Entries {
        Entries::open(self.shared.clone(), from_position)
    }

    /// Proves that the log is whole, or names the first position that is not.
    pub fn verify(&self) -> Result<Report, LogError> {
        verify::verify(&self.shared)
    }

    /// Signs where the log ends, and keeps the signed head when the log went on since the last one.
    pub fn sign_head(&self, at: Timestamp) -> Result<SignedHead, LogError> {
        let signing = self.shared.signing()?;
        let mut heads = signing.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = SignedHead::sign(&self.head(), at, &self.shared.identity, &signing.key);
        heads.append(&self.shared.folder, &signed, &*self.shared.medium)?;
        Ok(signed)
    }

    /// Signs bytes with the log's key (Ed25519). Never for bytes that somebody else chose whole: heads are signed with it.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, LogError> {
        Ok(self.shared.signing()?.key.sign(bytes))
    }

    /// Erases the payload of an input for good. The record of it, with the reason, is an entry of its own; the chain
    /// goes on to hold. Returns the record's position, or nothing when the payload was erased before.
    pub fn erase(&self, position: u64, reason: &str, at: Timestamp) -> Result<Option<u64>, LogError> {
        self.shared.signing()?;
        if reason.len() > ERASURE_REASON_BYTES_MAX {
            let (bytes, bytes_max) = (reason.len(), ERASURE_REASON_BYTES_MAX);
            return Err(LogError::ReasonTooLong { bytes, bytes_max });
        }
        let mut writer = self.shared.writer();
        let folder = &self.shared.folder;
        writer.put_right(folder, &*self.shared.medium)?;
        let place = erase::find(folder, &writer.segments, position, writer.head.position)?;
        if place.kind() != EntryKind::Input {
            return Err(LogError::NotErasable { position, kind: place.kind() });
        }
        if place.is_erased() {
            return Ok(None);
        }
        let record = NewEntry::erasure(at, &Erasure { position, reason: reason.to_owned() })?;
        let positions = self.append_locked(&mut writer, &[record])?;
        writer.unfinished_erasure = Some(place);
        writer.put_right(folder, &*self.shared.medium)?;
        Ok(positions.first().copied())
    }

    /// Finishes an erasure whose record is the last entry. Doing it again changes nothing.
    fn finish_erasure(&self) -> Result<(), LogError> {
        let last = self.head().position;
        let Some(entry) = self.read(last.max(1)).next().transpose()? else { return Ok(()) };
        let Some(erasure) = entry.erasure()? else { return Ok(()) };
        let folder = &self.shared.folder;
        let writer = self.shared.writer();
        let place = erase::find(folder, &writer.segments, erasure.position, last)?;
        erase::overwrite(folder, &place, &*self.shared.medium)
    }
}

fn key_file(folder: &Path, settings: &LogSettings) -> PathBuf {
    settings.key_file.clone().unwrap_or_else(|| folder.join(identity::KEY_FILE))
}

/// The segments, each of this log, and the first of them where the log begins.
fn find_segments(folder: &Path, identity: &Identity) -> Result<Vec<u64>, LogError> {
    let segments = segment::list(folder)?;
    for (place, &first) in segments.iter().enumerate() {
        let reader = SegmentReader::open(folder, first, None)?;
        check_segment(identity, &reader)?;
        if place == 0 {
            verify::check_first(&reader, identity.genesis()?)?;
        }
    }
    Ok(segments)
}

/// The segments that were found, and how the last one ends.
struct Found {
    segments: Vec<u64>,
    tail: Option<Tail>,
}

fn find_end(folder: &Path, identity: &Identity) -> Result<Found, LogError> {
    let segments = find_segments(folder, identity)?;
    let Some(&last) = segments.last() else { return Ok(Found { segments, tail: None }) };
    let mut tail = tail::scan(folder, last)?;
    if tail.last_recorded.is_none()
        && let Some(&before) = segments.iter().rev().nth(1)
    {
        // The last segment has no entry yet: the last entry is in the one before.
        tail.last_recorded = tail::scan_whole(folder, before, &tail)?.last_recorded;
    }
    Ok(Found { segments, tail: Some(tail) })
}

impl Found {
    fn last_position(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.last_position)
    }

    fn torn_note(&self, done: &str) -> Option<String> {
        let tail = self.tail.as_ref()?;
        let fault = tail.torn.as_ref()?;
        let (bytes, position) = (tail.file_bytes - tail.good_bytes, tail.last_position);
        Some(format!("{done} {bytes} bytes of a torn batch after position {position} ({fault})"))
    }

    fn into_writer(
        self,
        folder: &Path,
        identity: &Identity,
        for_writing: Option<&dyn Medium>,
    ) -> Result<Writer, LogError> {
        match &self.tail {
            Some(tail) => Writer::at(folder, identity, self.segments, tail, for_writing),
            None => Writer::empty(identity),
        }
    }
}

/// Refuses a log that ends before what is known to have been durable.
fn check_witnesses(found: &Found, signed: u64, durable_position: u64) -> Result<(), LogError> {
    let have = found.last_position();
    let (expected, witness) = match signed >= durable_position {
        true => (signed, "a signed head"),
        false => (durable_position, "the index"),
    };
    if have >= expected {
        return Ok(());
    }
    // A torn entry that was durable is damage, and more precise than "too short".
    match (&found.tail, found.segments.last()) {
        (Some(Tail { torn: Some(fault), good_bytes, last_position, .. }), Some(first)) => {
            Err(LogError::Corrupt {
                file: segment::file_name(*first),
                position: last_position + 1,
                offset: *good_bytes,
                fault: Box::new(fault.clone()),
            })
        }
        _ => Err(LogError::Shortened { have, expected, witness }),
    }
}

fn check_segment(identity: &Identity, reader: &SegmentReader) -> Result<(), LogError> {
    let header = &reader.header;
    if (header.log, header.generation) == (identity.log.0, identity.generation) {
        return Ok(());
    }
    let expected = format!("{} generation {}", identity.log, identity.generation);
    let found = format!("{} generation {}", hex::encode(header.log), header.generation);
    Err(LogError::Corrupt {
        file: segment::file_name(header.first_position),
        position: header.first_position,
        offset: 0,
        fault: Box::new(Fault::new("log of the segment", expected, found)),
    })
}
