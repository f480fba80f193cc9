//! Reading entries in order, one in memory at a time.

use std::sync::Arc;

use super::Shared;
use super::entry::{Logged, Payload};
use super::error::{Fault, LogError};
use super::segment::{self, Frame, ReadError, SegmentReader};

/// Entries from a position to the end that the log had when reading began. Every entry is checked against its hash and
/// the one before it; the first that does not fit is the error, and the last item.
#[derive(Debug)]
pub struct Entries {
    shared: Arc<Shared>,
    /// Segments still to be opened, the next one last.
    segments: Vec<u64>,
    reader: Option<SegmentReader>,
    from: u64,
    end_position: u64,
    /// The bytes that may be read of the last segment.
    last_segment: Option<(u64, u64)>,
    done: bool,
}

impl Entries {
    pub(super) fn open(shared: Arc<Shared>, from: u64) -> Entries {
        let (mut segments, end_position, last_segment) = {
            let writer = shared.writer();
            let first = writer.segments.partition_point(|first| *first <= from).saturating_sub(1);
            let segments: Vec<u64> = writer.segments.iter().skip(first).copied().collect();
            (segments, writer.head.position, writer.segments.last().copied().zip(writer.good_bytes()))
        };
        segments.reverse();
        Entries { shared, segments, reader: None, from, end_position, last_segment, done: false }
    }

    fn advance(&mut self) -> Result<Option<Logged>, LogError> {
        loop {
            let Some(reader) = &mut self.reader else {
                match self.segments.pop() {
                    Some(first) => self.reader = Some(self.open_segment(first)?),
                    None => return Ok(None),
                }
                continue;
            };
            if reader.next_position > self.end_position {
                return Ok(None);
            }
            let wanted = reader.next_position >= self.from;
            match read_frame(&self.shared, reader, wanted)? {
                Some(frame) => {
                    if let Some(entry) = logged(frame) {
                        return Ok(Some(entry));
                    }
                }
                None => self.next_segment()?,
            }
        }
    }

    fn open_segment(&self, first: u64) -> Result<SegmentReader, LogError> {
        let end = self.last_segment.filter(|(last, _)| *last == first).map(|(_, end)| end);
        let reader = SegmentReader::open(&self.shared.folder, first, end)?;
        self.shared.check_segment(&reader)?;
        Ok(reader)
    }

    /// Goes to the next segment, which must continue where this one ends.
    fn next_segment(&mut self) -> Result<(), LogError> {
        let Some(done) = self.reader.take() else { return Ok(()) };
        let Some(first) = self.segments.pop() else {
            if done.next_position <= self.end_position {
                return Err(missing_entries(&done, self.end_position + 1));
            }
            return Ok(());
        };
        let next = self.open_segment(first)?;
        check_continues(&done, &next)?;
        self.reader = Some(next);
        Ok(())
    }
}

impl Iterator for Entries {
    type Item = Result<Logged, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Reads the next frame. One that does not fit is read again while nothing is being written: an erasure may have been
/// at work on it.
pub(super) fn read_frame(
    shared: &Shared,
    reader: &mut SegmentReader,
    want_payload: bool,
) -> Result<Option<Frame>, LogError> {
    let error = match reader.next(want_payload) {
        Ok(frame) => return Ok(frame),
        Err(error) => error,
    };
    if matches!(error, ReadError::Broken { .. }) {
        let _quiet = shared.writer();
        let again = reader.rewind().map_err(ReadError::Io).and_then(|()| reader.next(want_payload));
        return again.map_err(|error| reader.error(&shared.folder, error));
    }
    Err(reader.error(&shared.folder, error))
}

/// Whether a segment begins with the entry after the last one of the segment before.
pub(super) fn check_continues(done: &SegmentReader, next: &SegmentReader) -> Result<(), LogError> {
    if next.header.first_position != done.next_position {
        return Err(missing_entries(done, next.header.first_position));
    }
    if next.header.previous != done.previous {
        return Err(LogError::Corrupt {
            file: segment::file_name(next.header.first_position),
            position: next.header.first_position,
            offset: 0,
            fault: Box::new(Fault::new(
                "hash of the entry before the segment",
                hex::encode(done.previous),
                hex::encode(next.header.previous),
            )),
        });
    }
    Ok(())
}

pub(super) fn missing_entries(done: &SegmentReader, found: u64) -> LogError {
    LogError::Corrupt {
        file: segment::file_name(done.header.first_position),
        position: done.next_position,
        offset: done.offset,
        fault: Box::new(Fault::new("position of the next entry", done.next_position, found)),
    }
}

/// The entry of a frame whose payload was read.
pub(super) fn logged(frame: Frame) -> Option<Logged> {
    let payload: Payload = frame.payload?;
    Some(Logged {
        position: frame.header.position,
        recorded: frame.header.recorded,
        kind: frame.header.kind,
        joined: frame.header.joined,
        payload,
        hash: frame.hash,
    })
}
