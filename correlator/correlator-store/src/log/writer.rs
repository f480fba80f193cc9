//! The end of the log while it is open: appending, and putting right what a failed append left.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use bus_schema::Digest;

use super::entry::{ENTRY_PAYLOAD_BYTES_MAX, NewEntry};
use super::erase::{self, Place};
use super::error::{LogError, io_error};
use super::frame::{
    FrameHeader, Hash, Marker, SALT_BYTES, SEGMENT_HEADER_BYTES, STATE_PRESENT, SegmentHeader, frame_bytes,
    sha256,
};
use super::heads::Head;
use super::identity::{self, Identity};
use super::medium::Medium;
use super::segment;
use super::tail::Tail;
use crate::durable;

/// The largest batch, frames included.
pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is appended to.
#[derive(Debug)]
pub(super) struct Writer {
    /// The first positions of all segments, ascending.
    pub(super) segments: Vec<u64>,
    open: Option<OpenSegment>,
    pub(super) head: Head,
    pub(super) head_hash: Hash,
    /// An erasure whose record is the last entry and whose bytes could not be overwritten.
    pub(super) unfinished_erasure: Option<Place>,
    /// An append failed half-way: the file may hold bytes after `good_bytes`, and a segment of the next position.
    unclean: bool,
}

#[derive(Debug)]
struct OpenSegment {
    file: File,
    marker: Marker,
    /// The bytes of the whole, fsynced entries.
    good_bytes: u64,
}

impl Writer {
    /// The end of a log that has no entry yet.
    pub(super) fn empty(identity: &Identity) -> Result<Writer, LogError> {
        let genesis = identity.genesis()?;
        let head = Head {
            log: identity.log,
            generation: identity.generation,
            position: 0,
            hash: Digest::Sha256(genesis),
            recorded: None,
        };
        Ok(Writer {
            segments: Vec::new(),
            open: None,
            head,
            head_hash: genesis,
            unfinished_erasure: None,
            unclean: false,
        })
    }

    /// The end of a log as it was found; `for_writing` cuts what is torn.
    pub(super) fn at(
        folder: &Path,
        identity: &Identity,
        segments: Vec<u64>,
        tail: &Tail,
        for_writing: Option<&dyn Medium>,
    ) -> Result<Writer, LogError> {
        let mut writer = Writer::empty(identity)?;
        let Some(&last) = segments.last() else { return Ok(writer) };
        writer.segments = segments;
        writer.head.position = tail.last_position;
        writer.head.hash = Digest::Sha256(tail.last_hash);
        writer.head.recorded = tail.last_recorded;
        writer.head_hash = tail.last_hash;
        let path = segment::path(folder, last);
        let failed = |error| io_error("open", &path)(error);
        let file = OpenOptions::new().read(true).write(for_writing.is_some()).open(&path).map_err(failed)?;
        if let Some(medium) = for_writing
            && tail.torn.is_some()
        {
            medium.set_len(&file, tail.good_bytes).map_err(failed)?;
            medium.sync(&file).map_err(failed)?;
        }
        writer.open = Some(OpenSegment { file, marker: tail.marker, good_bytes: tail.good_bytes });
        Ok(writer)
    }

    /// The bytes of the last segment that may be read.
    pub(super) fn good_bytes(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.good_bytes)
    }

    /// Appends a batch: one write, one fsync. After an error nothing of it is in the log.
    pub(super) fn append(
        &mut self,
        folder: &Path,
        batch: &[NewEntry],
        segment_bytes_max: u64,
        medium: &dyn Medium,
    ) -> Result<Vec<u64>, LogError> {
        let batch_bytes = check_sizes(batch)? as u64;
        self.put_right(folder, medium)?;
        self.unclean = true;
        let is_full = |open: &OpenSegment| {
            open.good_bytes > SEGMENT_HEADER_BYTES as u64 && open.good_bytes + batch_bytes > segment_bytes_max
        };
        if self.open.as_ref().is_none_or(is_full) {
            self.begin_segment(folder, medium)?;
        }
        let Some(open) = &mut self.open else { return Err(LogError::ReadOnly) };
        let encoded = encode(batch, open.marker, self.head.position + 1, self.head_hash)?;
        let path = segment::path(folder, self.segments.last().copied().unwrap_or(1));
        medium
            .write_at(&open.file, &encoded.bytes, open.good_bytes)
            .and_then(|()| medium.sync(&open.file))
            .map_err(io_error("append to", &path))?;
        open.good_bytes += encoded.bytes.len() as u64;
        let first = self.head.position + 1;
        self.head.position += batch.len() as u64;
        self.head.hash = Digest::Sha256(encoded.last_hash);
        self.head.recorded = batch.last().map(|entry| entry.recorded).or(self.head.recorded);
        self.head_hash = encoded.last_hash;
        self.unclean = false;
        Ok((first..=self.head.position).collect())
    }

    /// Removes what a failed append left, and finishes an erasure. Until that works nothing can be appended.
    pub(super) fn put_right(&mut self, folder: &Path, medium: &dyn Medium) -> Result<(), LogError> {
        if let Some(place) = &self.unfinished_erasure {
            erase::overwrite(folder, place, medium)?;
            self.unfinished_erasure = None;
        }
        if !self.unclean {
            return Ok(());
        }
        let next = self.head.position + 1;
        if self.segments.last() != Some(&next) {
            let stray = segment::path(folder, next);
            remove_if_there(&stray).map_err(io_error("remove", &stray))?;
            durable::sync_folder(folder).map_err(io_error("sync", folder))?;
        }
        if let Some(open) = &self.open {
            let path = segment::path(folder, self.segments.last().copied().unwrap_or(next));
            medium
                .set_len(&open.file, open.good_bytes)
                .and_then(|()| medium.sync(&open.file))
                .map_err(io_error("cut", &path))?;
        }
        self.unclean = false;
        Ok(())
    }

    pub(super) fn begin_segment(&mut self, folder: &Path, medium: &dyn Medium) -> Result<(), LogError> {
        let first_position = self.head.position + 1;
        let header = SegmentHeader {
            log: self.head.log.0,
            generation: self.head.generation,
            first_position,
            previous: self.head_hash,
            marker: identity::random()?,
        };
        let path = segment::path(folder, first_position);
        medium.create(&path, &header.encode()).map_err(io_error("create", &path))?;
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io_error("open", &path))?;
        let good_bytes = SEGMENT_HEADER_BYTES as u64;
        self.open = Some(OpenSegment { file, marker: header.marker, good_bytes });
        self.segments.push(first_position);
        Ok(())
    }
}

struct Encoded {
    bytes: Vec<u8>,
    last_hash: Hash,
}

fn encode(batch: &[NewEntry], marker: Marker, first: u64, previous: Hash) -> Result<Encoded, LogError> {
    let mut bytes = Vec::new();
    let mut last_hash = previous;
    for (position, entry) in (first..).zip(batch) {
        let salt: [u8; SALT_BYTES] = identity::random()?;
        let too_large =
            || LogError::EntryTooLarge { bytes: entry.payload.len(), bytes_max: ENTRY_PAYLOAD_BYTES_MAX };
        let header = FrameHeader {
            marker,
            position,
            batch_first: first,
            recorded: entry.recorded,
            kind: entry.kind,
            joined: entry.joined,
            payload_bytes: u32::try_from(entry.payload.len()).map_err(|_| too_large())?,
            previous: last_hash,
            payload_hash: sha256(&[&salt, &entry.payload]),
        };
        let encoded = header.encode();
        last_hash = sha256(&[&encoded]);
        if FrameHeader::decode(&[encoded.as_slice(), &last_hash].concat()).is_err() {
            return Err(LogError::Time { recorded: entry.recorded });
        }
        bytes.extend(encoded);
        bytes.extend(last_hash);
        bytes.push(STATE_PRESENT);
        bytes.extend(salt);
        bytes.extend(&entry.payload);
    }
    Ok(Encoded { bytes, last_hash })
}

fn check_sizes(batch: &[NewEntry]) -> Result<usize, LogError> {
    let mut batch_bytes = 0;
    for entry in batch {
        if entry.payload.len() > ENTRY_PAYLOAD_BYTES_MAX {
            let (bytes, bytes_max) = (entry.payload.len(), ENTRY_PAYLOAD_BYTES_MAX);
            return Err(LogError::EntryTooLarge { bytes, bytes_max });
        }
        batch_bytes += frame_bytes(entry.payload.len());
    }
    match batch_bytes > BATCH_BYTES_MAX {
        true => Err(LogError::BatchTooLarge { bytes: batch_bytes, bytes_max: BATCH_BYTES_MAX }),
        false => Ok(batch_bytes),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
