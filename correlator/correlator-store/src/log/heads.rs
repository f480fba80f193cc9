//! Signed heads: how far the log was at some time, signed with the log's key, one per line of the `heads` file.
//!
//! A head that was published elsewhere proves that nothing before it was changed or taken away since. The file keeps
//! those that were signed here, so that the log can be checked against them.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bus_schema::Digest;
use bus_schema::hash::hash_fields;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{Fault, LogError, io_error};
use super::generations::Generations;
use super::identity::{self, Identity, LogId, LogKey};
use super::medium::Medium;
use crate::durable;

pub(super) const HEADS_FILE: &str = "heads";
const HEAD_LINE_BYTES_MAX: usize = 1024;

/// Where a log ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub log: LogId,
    pub generation: u64,
    /// The position of the last entry; 0 in an empty log.
    pub position: u64,
    /// The hash of the last entry.
    pub hash: Digest,
    /// When the last entry was recorded.
    pub recorded: Option<Timestamp>,
}

/// A head, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    pub log: LogId,
    pub generation: u64,
    pub position: u64,
    pub hash: Digest,
    /// When it was signed.
    pub at: Timestamp,
    /// The Ed25519 public key, as hexadecimal.
    pub key: String,
    /// The Ed25519 signature, as hexadecimal.
    pub signature: String,
}

impl SignedHead {
    pub(super) fn sign(head: &Head, at: Timestamp, identity: &Identity, key: &LogKey) -> SignedHead {
        let mut signed = SignedHead {
            log: head.log,
            generation: head.generation,
            position: head.position,
            hash: head.hash,
            at,
            key: identity.key.clone(),
            signature: String::new(),
        };
        signed.signature = hex::encode(key.sign(&signed.message()));
        signed
    }

    fn message(&self) -> [u8; 32] {
        let fields = [
            "custody-log-head-v1".to_owned(),
            self.log.to_string(),
            self.generation.to_string(),
            self.position.to_string(),
            self.hash.to_string(),
            self.at.to_string(),
        ];
        hash_fields(fields.iter().map(String::as_str))
    }

    /// Whether whoever has the key that this head names signed it. Whose that is, is another question.
    pub fn is_signed(&self) -> bool {
        let signature = hex::decode(&self.signature).unwrap_or_default();
        // One spelling only: a line of the file that was changed in any way is not the line that was written.
        let is_as_written = hex::encode(&signature) == self.signature;
        is_as_written && identity::verifies(&self.key, &self.message(), &signature)
    }

    /// What is wrong with this head as one of the log `identity`, if anything is.
    pub(super) fn check(&self, identity: &Identity, generations: &Generations) -> Result<(), Fault> {
        if self.log != identity.log || !generations.hold(identity, self.generation) {
            let expected = format!("{} generation {}", identity.log, generations.current(identity));
            let found = format!("{} generation {}", self.log, self.generation);
            return Err(Fault::new("log of a signed head", expected, found));
        }
        if self.key != identity.key {
            return Err(Fault::new("key of a signed head", &identity.key, &self.key));
        }
        match self.is_signed() {
            true => Ok(()),
            false => Err(Fault::new("signature of a signed head", "one that verifies", &self.signature)),
        }
    }

    fn line(&self) -> Result<Vec<u8>, LogError> {
        let mut line = serde_json::to_vec(self).map_err(LogError::Encode)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Parses a line without its line feed. Only the spelling that [`SignedHead::line`] gives is a head.
    fn parse(line: &[u8]) -> Result<SignedHead, Fault> {
        let refuse =
            |found: String| Fault::new("line of the heads file", "a signed head as it was written", found);
        let head: SignedHead = serde_json::from_slice(line).map_err(|error| refuse(error.to_string()))?;
        match serde_json::to_vec(&head) {
            Ok(spelled) if spelled == line => Ok(head),
            _ => Err(refuse("another spelling of it".to_owned())),
        }
    }
}

/// The `heads` file, open for appending.
#[derive(Debug)]
pub(super) struct HeadsFile {
    file: File,
    /// The bytes of the whole lines.
    good_bytes: u64,
    pub(super) last_position: u64,
}

impl HeadsFile {
    /// Opens the file and cuts a line that a crash left unfinished; says so in the second value.
    pub(super) fn open(folder: &Path, medium: &dyn Medium) -> Result<(HeadsFile, Option<String>), LogError> {
        let path = folder.join(HEADS_FILE);
        let failed = |error| io_error("open", &path)(error);
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(durable::PUBLIC_MODE)
            .open(&path)
            .map_err(failed)?;
        if is_new {
            durable::sync_parent(&path).map_err(failed)?;
        }
        let end = read_end(&file).map_err(failed)?;
        let mut note = None;
        if end.good_bytes != end.file_bytes {
            medium.set_len(&file, end.good_bytes).map_err(failed)?;
            medium.sync(&file).map_err(failed)?;
            let cut_bytes = end.file_bytes - end.good_bytes;
            note = Some(format!("cut {cut_bytes} bytes of an unfinished line at the end of the heads file"));
        }
        let last_position = end.last.map_or(0, |head| head.position);
        Ok((HeadsFile { file, good_bytes: end.good_bytes, last_position }, note))
    }

    /// Appends a head that is further than the last one.
    pub(super) fn append(
        &mut self,
        folder: &Path,
        head: &SignedHead,
        medium: &dyn Medium,
    ) -> Result<(), LogError> {
        if head.position <= self.last_position {
            return Ok(());
        }
        let path = folder.join(HEADS_FILE);
        let line = head.line()?;
        let written =
            medium.write_at(&self.file, &line, self.good_bytes).and_then(|()| medium.sync(&self.file));
        if let Err(error) = written {
            // What is left over is overwritten by the next head, or cut at the next start.
            let _ = medium.set_len(&self.file, self.good_bytes);
            return Err(io_error("append to", &path)(error));
        }
        self.good_bytes += line.len() as u64;
        self.last_position = head.position;
        Ok(())
    }
}

/// The position of the last signed head in the file, for a reader that changes nothing.
pub(super) fn last_position(folder: &Path) -> Result<u64, LogError> {
    let path = folder.join(HEADS_FILE);
    let end = match File::open(&path) {
        Ok(file) => read_end(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => Err(error),
    };
    Ok(end.map_err(io_error("read", &path))?.last.map_or(0, |head| head.position))
}

struct End {
    good_bytes: u64,
    file_bytes: u64,
    last: Option<SignedHead>,
}

/// The last whole line. A last line that is no head was torn by a power loss, like one without a line feed.
fn read_end(mut file: &File) -> io::Result<End> {
    let file_bytes = file.metadata()?.len();
    let window_bytes = file_bytes.min(2 * HEAD_LINE_BYTES_MAX as u64 + 2);
    let window_start = file_bytes - window_bytes;
    file.seek(SeekFrom::Start(window_start))?;
    let mut window = Vec::new();
    file.take(window_bytes).read_to_end(&mut window)?;
    let last_feed = window.iter().rposition(|byte| *byte == b'\n');
    let good_at = |bytes: usize, last| Ok(End { good_bytes: window_start + bytes as u64, file_bytes, last });
    let Some(last_feed) = last_feed else {
        return match window_start {
            0 => good_at(0, None),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the last line is longer than any head")),
        };
    };
    let line_start =
        |feed: usize| window[..feed].iter().rposition(|byte| *byte == b'\n').map_or(0, |f| f + 1);
    let start = line_start(last_feed);
    if let Ok(head) = SignedHead::parse(&window[start..last_feed]) {
        return good_at(last_feed + 1, Some(head));
    }
    if start == 0 && window_start == 0 {
        return good_at(0, None);
    }
    let before = start.checked_sub(1).map(|feed| SignedHead::parse(&window[line_start(feed)..feed]));
    match before {
        Some(Ok(head)) => good_at(start, Some(head)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the last two lines are not signed heads")),
    }
}

/// Reads the heads one by one, each checked by itself.
#[derive(Debug)]
pub(super) struct Heads {
    lines: Option<BufReader<File>>,
    line_number: u64,
    /// Bytes at the end that are no whole line.
    pub(super) unfinished_bytes: usize,
}

impl Heads {
    pub(super) fn open(folder: &Path) -> Result<Heads, LogError> {
        let path = folder.join(HEADS_FILE);
        let lines = match File::open(&path) {
            Ok(file) => Some(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        Ok(Heads { lines, line_number: 0, unfinished_bytes: 0 })
    }

    /// The next head and the number of its line, from 1.
    pub(super) fn next(
        &mut self,
        folder: &Path,
        identity: &Identity,
        generations: &Generations,
    ) -> Result<Option<(SignedHead, u64)>, LogError> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        let mut line = Vec::new();
        lines
            .by_ref()
            .take(HEAD_LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(io_error("read", &folder.join(HEADS_FILE)))?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.pop_if(|byte| *byte == b'\n').is_none() && line.len() <= HEAD_LINE_BYTES_MAX {
            self.unfinished_bytes = line.len();
            return Ok(None);
        }
        self.line_number += 1;
        let corrupt = |position, fault| LogError::Corrupt {
            file: HEADS_FILE.to_owned(),
            position,
            offset: self.line_number,
            fault: Box::new(fault),
        };
        let head = SignedHead::parse(&line).map_err(|fault| corrupt(0, fault))?;
        head.check(identity, generations).map_err(|fault| corrupt(head.position, fault))?;
        Ok(Some((head, self.line_number)))
    }
}
