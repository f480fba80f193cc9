//! Segments: which there are, and reading one from its start.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::entry::Payload;
use super::error::{Fault, LogError, io_error};
use super::frame::{
    FRAME_HEADER_BYTES, FRAME_PREFIX_BYTES, FrameHeader, Hash, SALT_BYTES, SEGMENT_HEADER_BYTES,
    STATE_ERASED, STATE_PRESENT, SegmentHeader, frame_bytes, sha256,
};
use crate::durable;

const ENDING: &str = ".segment";
const READ_BUFFER_BYTES: usize = 256 * 1024;

/// The file of the segment that begins at this position.
pub(super) fn path(folder: &Path, first_position: u64) -> PathBuf {
    folder.join(file_name(first_position))
}

pub(super) fn file_name(first_position: u64) -> String {
    format!("{first_position:020}{ENDING}")
}

/// The first positions of all segments, ascending. Files of other names are none of the log's business.
pub(super) fn list(folder: &Path) -> Result<Vec<u64>, LogError> {
    let failed = |error| io_error("list", folder)(error);
    let mut firsts = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if let Some(first) = name.to_str().and_then(parse_file_name) {
            firsts.push(first);
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn parse_file_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING)?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// Removes segments that a crash left unfinished: nothing was ever appended to them.
pub(super) fn remove_unfinished(folder: &Path) -> Result<(), LogError> {
    let failed = |error| io_error("clear", folder)(error);
    let ending = format!("{ENDING}.{}", durable::UNFINISHED);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(|name| name.ends_with(&ending)) {
            fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// One frame as read.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) header: FrameHeader,
    pub(super) hash: Hash,
    /// Where the frame begins in its file.
    pub(super) offset: u64,
    /// Whether the frame says that its payload was erased.
    pub(super) is_erased: bool,
    /// The payload; absent when it was skipped.
    pub(super) payload: Option<Payload>,
}

/// Why the next frame of a segment could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The bytes are not the frame that must be here.
    Broken {
        position: u64,
        offset: u64,
        fault: Fault,
    },
    Io(io::Error),
}

/// Reads one segment frame by frame, each checked against the one before.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: BufReader<File>,
    pub(super) header: SegmentHeader,
    pub(super) next_position: u64,
    /// The hash of the entry before the next one.
    pub(super) previous: Hash,
    /// Where the next frame begins.
    pub(super) offset: u64,
    /// Where reading ends.
    end: u64,
    batch_first: u64,
}

impl SegmentReader {
    /// Opens the segment that is said to begin at `first_position`, up to byte `end` of its file (or all of it).
    pub(super) fn open(
        folder: &Path,
        first_position: u64,
        end: Option<u64>,
    ) -> Result<SegmentReader, LogError> {
        let path = path(folder, first_position);
        let failed = |error| io_error("read", &path)(error);
        let file = File::open(&path).map_err(failed)?;
        let end = match end {
            Some(end) => end,
            None => file.metadata().map_err(failed)?.len(),
        };
        let mut file = BufReader::with_capacity(READ_BUFFER_BYTES, file);
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        file.by_ref().take(SEGMENT_HEADER_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
        let header = SegmentHeader::decode(&bytes).and_then(|header| match header.first_position {
            first if first == first_position => Ok(header),
            other => Err(Fault::new("first position of the segment", first_position, other)),
        });
        let header = header.map_err(|fault| LogError::Corrupt {
            file: file_name(first_position),
            position: first_position,
            offset: 0,
            fault: Box::new(fault),
        })?;
        Ok(SegmentReader {
            file,
            header,
            next_position: first_position,
            previous: header.previous,
            offset: SEGMENT_HEADER_BYTES as u64,
            end,
            batch_first: 0,
        })
    }

    /// The next frame, or nothing at the end. With `want_payload` its payload is read and checked, else it is skipped.
    pub(super) fn next(&mut self, want_payload: bool) -> Result<Option<Frame>, ReadError> {
        if self.offset == self.end {
            return Ok(None);
        }
        let left = self.end.saturating_sub(self.offset);
        let mut prefix = [0; FRAME_PREFIX_BYTES];
        self.need(left, FRAME_PREFIX_BYTES)?;
        self.fill(&mut prefix)?;
        let (header, hash) = FrameHeader::decode(&prefix).map_err(|fault| self.broken(fault))?;
        self.check_place(&header)?;
        let payload_bytes = header.payload_bytes as usize;
        self.need(left, frame_bytes(payload_bytes))?;
        let state = prefix[FRAME_HEADER_BYTES + 32];
        if state != STATE_PRESENT && state != STATE_ERASED {
            return Err(self.broken(Fault::new("payload state", "0 or 1", state)));
        }
        let payload = match want_payload {
            true => Some(self.payload(&header, state)?),
            false => {
                // A frame is at most a little over 16 MiB.
                let skipped = i64::try_from(SALT_BYTES + payload_bytes).unwrap_or(i64::MAX);
                self.file.seek_relative(skipped).map_err(ReadError::Io)?;
                None
            }
        };
        let frame = Frame { header, hash, offset: self.offset, is_erased: state == STATE_ERASED, payload };
        self.offset += frame_bytes(payload_bytes) as u64;
        self.next_position += 1;
        self.previous = hash;
        self.batch_first = header.batch_first;
        Ok(Some(frame))
    }

    /// Goes back to the start of the frame that could not be read, and forgets what was buffered.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.offset)).map(|_| ())
    }

    fn check_place(&self, header: &FrameHeader) -> Result<(), ReadError> {
        if header.marker != self.header.marker {
            let (expected, found) = (hex::encode(self.header.marker), hex::encode(header.marker));
            return Err(self.broken(Fault::new("segment marker", expected, found)));
        }
        if header.position != self.next_position {
            return Err(self.broken(Fault::new("position", self.next_position, header.position)));
        }
        if header.previous != self.previous {
            let (expected, found) = (hex::encode(self.previous), hex::encode(header.previous));
            return Err(self.broken(Fault::new("hash of the entry before", expected, found)));
        }
        if header.batch_first != header.position && header.batch_first != self.batch_first {
            let expected = format!("{} or {}", self.batch_first, header.position);
            return Err(self.broken(Fault::new("first position of the batch", expected, header.batch_first)));
        }
        Ok(())
    }

    fn payload(&mut self, header: &FrameHeader, state: u8) -> Result<Payload, ReadError> {
        let mut area = vec![0; SALT_BYTES + header.payload_bytes as usize];
        self.fill(&mut area)?;
        if state == STATE_ERASED {
            return match area.iter().all(|byte| *byte == 0) {
                true => Ok(Payload::Erased),
                false => Err(self.broken(Fault::new("erased payload", "zeros", "other bytes"))),
            };
        }
        let found = sha256(&[&area]);
        if found != header.payload_hash {
            let (expected, found) = (hex::encode(header.payload_hash), hex::encode(found));
            return Err(self.broken(Fault::new("payload hash", expected, found)));
        }
        area.drain(..SALT_BYTES);
        Ok(Payload::Present(area))
    }

    fn need(&self, left: u64, bytes: usize) -> Result<(), ReadError> {
        match left < bytes as u64 {
            true => Err(self.broken(Fault::new("bytes of the entry", bytes, left))),
            false => Ok(()),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ReadError> {
        match self.file.read_exact(bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.broken(Fault::new("bytes of the entry", bytes.len(), "the end of the file")))
            }
            Err(error) => Err(ReadError::Io(error)),
            Ok(()) => Ok(()),
        }
    }

    fn broken(&self, fault: Fault) -> ReadError {
        ReadError::Broken { position: self.next_position, offset: self.offset, fault }
    }

    /// The error that names this segment.
    pub(super) fn error(&self, folder: &Path, error: ReadError) -> LogError {
        let first = self.header.first_position;
        match error {
            ReadError::Broken { position, offset, fault } => {
                LogError::Corrupt { file: file_name(first), position, offset, fault: Box::new(fault) }
            }
            ReadError::Io(source) => LogError::Io { doing: "read", path: path(folder, first), source },
        }
    }
}
