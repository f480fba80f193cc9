//! Erasing the payload of an entry: the record first, then the bytes.
//!
//! The record is an entry of the log. Nothing is appended between it and the end of the erasure, so that after a crash
//! an unfinished erasure is the last entry, and opening the log finishes it; after a failure the next append does.

use std::fs::OpenOptions;
use std::path::Path;

use super::entry::EntryKind;
use super::error::{LogError, io_error};
use super::frame::{FRAME_HEADER_BYTES, SALT_BYTES, STATE_ERASED};
use super::medium::Medium;
use super::segment::{self, Frame, SegmentReader};

/// An entry's place, found by walking its segment.
#[derive(Debug)]
pub(super) struct Place {
    segment: u64,
    frame: Frame,
}

impl Place {
    pub(super) fn kind(&self) -> EntryKind {
        self.frame.header.kind
    }

    pub(super) fn is_erased(&self) -> bool {
        self.frame.is_erased
    }
}

/// Finds the entry at `position`, which is at most the log's last.
pub(super) fn find(folder: &Path, segments: &[u64], position: u64, end: u64) -> Result<Place, LogError> {
    let missing = || LogError::NoSuchEntry { position, end };
    let index = segments.partition_point(|first| *first <= position).checked_sub(1).ok_or_else(missing)?;
    let segment = segments.get(index).copied().ok_or_else(missing)?;
    let mut reader = SegmentReader::open(folder, segment, None)?;
    loop {
        let frame = reader.next(false).map_err(|error| reader.error(folder, error))?.ok_or_else(missing)?;
        if frame.header.position == position {
            return Ok(Place { segment, frame });
        }
    }
}

/// Overwrites the payload and its salt with zeros and marks the frame. Safe to repeat.
pub(super) fn overwrite(folder: &Path, place: &Place, medium: &dyn Medium) -> Result<(), LogError> {
    let path = segment::path(folder, place.segment);
    let payload_bytes = place.frame.header.payload_bytes as usize;
    let mut erased = vec![0; 1 + SALT_BYTES + payload_bytes];
    erased[0] = STATE_ERASED;
    let state_offset = place.frame.offset + FRAME_HEADER_BYTES as u64 + 32;
    let write = || {
        let file = OpenOptions::new().write(true).open(&path)?;
        medium.write_at(&file, &erased, state_offset)?;
        medium.sync(&file)
    };
    write().map_err(io_error("erase a payload in", &path))
}
