//! The end of the log after a crash: where the last whole entry ends, and whether what follows may be cut.
//!
//! Only what was never fsynced may be cut. Every batch is fsynced before the next is written, so a broken entry that is
//! followed by a frame of a later batch was durable once: that is damage, not a torn write. The last batch is
//! protected by the witnesses that the caller brings: a signed head, and the position of the index.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;

use super::error::{Fault, LogError, io_error};
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, Hash, Marker};
use super::reader;
use super::segment::{self, ReadError, SegmentReader};

const SEARCH_CHUNK_BYTES: usize = 1024 * 1024;

/// The last segment as it was found.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) marker: Marker,
    /// The bytes of the whole entries.
    pub(super) good_bytes: u64,
    pub(super) file_bytes: u64,
    pub(super) last_position: u64,
    pub(super) last_hash: Hash,
    pub(super) last_recorded: Option<Timestamp>,
    /// What is wrong with the bytes after the whole entries.
    pub(super) torn: Option<Fault>,
}

/// Reads the last segment to the end of its whole entries.
pub(super) fn scan(folder: &Path, first_position: u64) -> Result<Tail, LogError> {
    let path = segment::path(folder, first_position);
    let mut reader = SegmentReader::open(folder, first_position, None)?;
    let file_bytes = path.metadata().map_err(io_error("read", &path))?.len();
    let mut last_recorded = None;
    let torn = loop {
        match reader.next(true) {
            Ok(Some(frame)) => last_recorded = Some(frame.header.recorded),
            Ok(None) => break None,
            Err(ReadError::Io(error)) => return Err(reader.error(folder, ReadError::Io(error))),
            Err(ReadError::Broken { position, offset, fault }) => {
                if erasure_was_at_work(folder, first_position, position)? {
                    skip_payload(folder, &mut reader)?;
                    continue;
                }
                if later_batch_follows(&path, offset, position, reader.header.marker)? {
                    return Err(reader.error(folder, ReadError::Broken { position, offset, fault }));
                }
                break Some(fault);
            }
        }
    };
    Ok(Tail {
        marker: reader.header.marker,
        good_bytes: reader.offset,
        file_bytes,
        last_position: reader.next_position - 1,
        last_hash: reader.previous,
        last_recorded,
        torn,
    })
}

/// Reads the segment before `after`, which has no entry yet: it must be whole, and `after` must continue it.
pub(super) fn scan_whole(folder: &Path, first_position: u64, after: &Tail) -> Result<Tail, LogError> {
    let tail = scan(folder, first_position)?;
    let fault = match &tail.torn {
        Some(fault) => fault.clone(),
        None if tail.last_position != after.last_position => {
            Fault::new("position before the next segment", after.last_position, tail.last_position)
        }
        None if tail.last_hash != after.last_hash => Fault::new(
            "hash of the entry before the next segment",
            hex::encode(after.last_hash),
            hex::encode(tail.last_hash),
        ),
        None => return Ok(tail),
    };
    let (file, position) = (segment::file_name(first_position), tail.last_position + 1);
    Err(LogError::Corrupt { file, position, offset: tail.good_bytes, fault: Box::new(fault) })
}

/// Whether the payload at `position` was being erased when the process died: then the last entry is the record of it.
fn erasure_was_at_work(folder: &Path, first_position: u64, position: u64) -> Result<bool, LogError> {
    let mut walk = SegmentReader::open(folder, first_position, None)?;
    while let Ok(Some(_)) = walk.next(false) {}
    let last = walk.next_position - 1;
    let mut walk = SegmentReader::open(folder, first_position, None)?;
    while walk.next_position < last {
        walk.next(false).map_err(|error| walk.error(folder, error))?;
    }
    let Ok(Some(record)) = walk.next(true) else { return Ok(false) };
    let erasure = reader::logged(record).and_then(|entry| entry.erasure().ok().flatten());
    Ok(erasure.is_some_and(|erasure| erasure.position == position))
}

/// Steps over a frame whose payload does not fit.
fn skip_payload(folder: &Path, reader: &mut SegmentReader) -> Result<(), LogError> {
    let skipped = reader.rewind().map_err(ReadError::Io).and_then(|()| reader.next(false));
    skipped.map(|_| ()).map_err(|error| reader.error(folder, error))
}

/// Whether after byte `offset` there is a frame that was written after the entry at `position` was fsynced.
fn later_batch_follows(path: &Path, offset: u64, position: u64, marker: Marker) -> Result<bool, LogError> {
    const FRAME_START_BYTES: usize = FRAME_HEADER_BYTES + 32;
    let failed = |error| io_error("read", path)(error);
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut window = Vec::new();
    loop {
        let read = file.by_ref().take(SEARCH_CHUNK_BYTES as u64).read_to_end(&mut window).map_err(failed)?;
        let starts = window.windows(FRAME_START_BYTES).filter(|start| start.starts_with(&marker));
        let later = starts
            .filter_map(|start| FrameHeader::decode(start).ok())
            .any(|(header, _)| header.batch_first > position);
        if later {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        // A frame may begin in this chunk and end in the next.
        let keep = window.len().min(FRAME_START_BYTES - 1);
        window.drain(..window.len() - keep);
    }
}
