//! The proof that the log is whole: every entry against its hash and the one before, every erased payload against a
//! record of its erasure, every signed head against the chain.

use std::collections::BTreeSet;
use std::sync::Arc;

use bus_schema::Digest;

use super::Shared;
use super::entry::Payload;
use super::error::{Fault, LogError};
use super::heads::{HEADS_FILE, Head, Heads, SignedHead};
use super::reader::{Entries, check_continues, logged, missing_entries, read_frame};
use super::segment::{self, SegmentReader};

/// What a verification looked at. All of it held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub entries: u64,
    pub segments: u64,
    /// Where the log ends.
    pub head: Head,
    /// The signed heads that were checked: signature, and hash at their position.
    pub signed_heads: u64,
    /// Entries whose payload was erased, each with a record of it.
    pub erased: u64,
    /// What is worth knowing and proves nothing: bytes that were cut at the end, erasures that are not finished.
    pub notes: Vec<String>,
}

pub(super) fn verify(shared: &Arc<Shared>) -> Result<Report, LogError> {
    let (segments, head, genesis, good_bytes) = {
        let writer = shared.writer();
        (writer.segments.clone(), writer.head, shared.identity.genesis()?, writer.good_bytes())
    };
    let mut checks = Checks::new(shared)?;
    let mut before: Option<SegmentReader> = None;
    for &first in &segments {
        let end = good_bytes.filter(|_| segments.last() == Some(&first));
        let mut reader = SegmentReader::open(&shared.folder, first, end)?;
        shared.check_segment(&reader)?;
        match &before {
            Some(before) => check_continues(before, &reader)?,
            None => check_first(&reader, genesis)?,
        }
        while let Some(frame) = read_frame(shared, &mut reader, true)? {
            let (offset, hash, position) = (frame.offset, frame.hash, frame.header.position);
            if let Some(entry) = logged(frame) {
                match &entry.payload {
                    Payload::Erased => checks.erased.push((position, first, offset)),
                    Payload::Present(_) => {}
                }
                if let Some(erasure) = entry.erasure()? {
                    checks.erasures.insert(erasure.position);
                }
            }
            checks.heads_at(position, hash)?;
        }
        before = Some(reader);
    }
    if let Some(last) = &before
        && last.next_position != head.position + 1
    {
        return Err(missing_entries(last, head.position + 1));
    }
    checks.finish(head, segments.len() as u64)
}

/// The first segment begins with entry 1 and with the hash of the log's identity.
pub(super) fn check_first(reader: &SegmentReader, genesis: [u8; 32]) -> Result<(), LogError> {
    let fault = match reader.header.first_position {
        1 if reader.header.previous == genesis => return Ok(()),
        1 => Fault::new("hash of the identity", hex::encode(genesis), hex::encode(reader.header.previous)),
        other => Fault::new("first position of the log", 1, other),
    };
    Err(LogError::Corrupt {
        file: segment::file_name(reader.header.first_position),
        position: 1,
        offset: 0,
        fault: Box::new(fault),
    })
}

/// What is compared with the chain while it is read.
struct Checks<'a> {
    shared: &'a Arc<Shared>,
    heads: Heads,
    next_head: Option<(SignedHead, u64)>,
    signed_heads: u64,
    /// Position, segment and offset of each entry whose payload is erased.
    erased: Vec<(u64, u64, u64)>,
    /// The positions that erasure entries name.
    erasures: BTreeSet<u64>,
}

impl<'a> Checks<'a> {
    fn new(shared: &'a Arc<Shared>) -> Result<Checks<'a>, LogError> {
        let mut heads = Heads::open(&shared.folder)?;
        let next_head = heads.next(&shared.folder, &shared.identity, &shared.generations())?;
        let (erased, erasures) = (Vec::new(), BTreeSet::new());
        Ok(Checks { shared, heads, next_head, signed_heads: 0, erased, erasures })
    }

    /// Compares the signed heads of this position with the hash of its entry.
    fn heads_at(&mut self, position: u64, hash: [u8; 32]) -> Result<(), LogError> {
        while let Some((head, line)) = self.next_head.take_if(|(head, _)| head.position <= position) {
            let corrupt = |fault| LogError::Corrupt {
                file: HEADS_FILE.to_owned(),
                position: head.position,
                offset: line,
                fault: Box::new(fault),
            };
            if head.position != position {
                let expected = format!("above {position}");
                return Err(corrupt(Fault::new("position of a signed head", expected, head.position)));
            }
            if head.hash != Digest::Sha256(hash) {
                let hash = Digest::Sha256(hash);
                return Err(corrupt(Fault::new("hash of the entry under a signed head", head.hash, hash)));
            }
            self.signed_heads += 1;
            self.next_head = {
                let Checks { shared, heads, .. } = self;
                heads.next(&shared.folder, &shared.identity, &shared.generations())?
            };
        }
        Ok(())
    }

    fn finish(mut self, head: Head, segments: u64) -> Result<Report, LogError> {
        // A head that was signed while this ran is further than what was read.
        if let Some((signed, _)) = &self.next_head
            && signed.position > self.shared.writer().head.position
        {
            return Err(LogError::Shortened {
                have: head.position,
                expected: signed.position,
                witness: "a signed head",
            });
        }
        if self.erased.iter().any(|(position, ..)| !self.erasures.contains(position)) {
            // An erasure that was made while this ran has its record after the head that was read to.
            for entry in Entries::open(self.shared.clone(), head.position + 1) {
                self.erasures.extend(entry?.erasure()?.map(|erasure| erasure.position));
            }
        }
        if let Some((position, first, offset)) =
            self.erased.iter().find(|(position, ..)| !self.erasures.contains(position))
        {
            return Err(LogError::Corrupt {
                file: segment::file_name(*first),
                position: *position,
                offset: *offset,
                fault: Box::new(Fault::new("erased payload", "a record of its erasure", "none")),
            });
        }
        let erased = self.erased.len() as u64;
        let mut notes = self.shared.notes.clone();
        for (position, ..) in &self.erased {
            self.erasures.remove(position);
        }
        if let Some(position) = self.erasures.first() {
            let count = self.erasures.len();
            notes.push(format!(
                "{count} erasures are recorded whose payload is there, the first at {position}"
            ));
        }
        if self.heads.unfinished_bytes > 0 {
            let bytes = self.heads.unfinished_bytes;
            notes.push(format!("the heads file ends with {bytes} bytes of an unfinished line"));
        }
        Ok(Report { entries: head.position, segments, head, signed_heads: self.signed_heads, erased, notes })
    }
}
