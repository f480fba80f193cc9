//! The bytes of a segment: a header, then one frame per entry.
//!
//! A frame is: the header (108 bytes), the header's SHA-256 (32 bytes, the entry's hash), one byte that says whether
//! the payload is present or erased, a random salt (16 bytes) and the payload. The header holds the SHA-256 of salt and
//! payload, so the chain does not need the payload; with the salt erased too, nobody can guess a short payload from
//! its hash. Every frame begins with its segment's random marker: no payload can be made to look like a frame.
//! Two bytes of the header are flags; a reader refuses a flag that it does not know.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::entry::{ENTRY_PAYLOAD_BYTES_MAX, EntryKind};
use super::error::Fault;

pub(super) const SEGMENT_HEADER_BYTES: usize = 112;
pub(super) const FRAME_HEADER_BYTES: usize = 108;
/// The header, its hash and the payload's state.
pub(super) const FRAME_PREFIX_BYTES: usize = FRAME_HEADER_BYTES + 32 + 1;
pub(super) const SALT_BYTES: usize = 16;
pub(super) const STATE_PRESENT: u8 = 0;
pub(super) const STATE_ERASED: u8 = 1;

const SEGMENT_MAGIC: [u8; 8] = *b"CUSTLOG1";
/// The flag of an entry that is judged together with the one before it.
const FLAG_JOINED: u16 = 1;

pub(super) type Hash = [u8; 32];
pub(super) type Marker = [u8; 8];

/// The start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) log: [u8; 16],
    pub(super) generation: u64,
    pub(super) first_position: u64,
    /// The hash of the entry before the first; in the first segment, the hash of the log's identity.
    pub(super) previous: Hash,
    pub(super) marker: Marker,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend(SEGMENT_MAGIC);
        bytes.extend(self.log);
        bytes.extend(self.generation.to_be_bytes());
        bytes.extend(self.first_position.to_be_bytes());
        bytes.extend(self.previous);
        bytes.extend(self.marker);
        let checksum = sha256(&[&bytes]);
        bytes.extend(checksum);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<SegmentHeader, Fault> {
        let cut_off = || Fault::new("segment header", format!("{SEGMENT_HEADER_BYTES} bytes"), bytes.len());
        let mut rest = bytes.get(..SEGMENT_HEADER_BYTES).ok_or_else(cut_off)?;
        let magic: [u8; 8] = take(&mut rest).ok_or_else(cut_off)?;
        let header = SegmentHeader {
            log: take(&mut rest).ok_or_else(cut_off)?,
            generation: u64::from_be_bytes(take(&mut rest).ok_or_else(cut_off)?),
            first_position: u64::from_be_bytes(take(&mut rest).ok_or_else(cut_off)?),
            previous: take(&mut rest).ok_or_else(cut_off)?,
            marker: take(&mut rest).ok_or_else(cut_off)?,
        };
        if magic != SEGMENT_MAGIC {
            return Err(Fault::new("segment magic", hex::encode(SEGMENT_MAGIC), hex::encode(magic)));
        }
        let computed = sha256(&[&bytes[..SEGMENT_HEADER_BYTES - 32]]);
        check_hash("segment header checksum", &computed, rest)?;
        Ok(header)
    }
}

/// The part of an entry that the chain covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) marker: Marker,
    pub(super) position: u64,
    /// The position of the first entry that was written and fsynced together with this one.
    pub(super) batch_first: u64,
    pub(super) recorded: Timestamp,
    pub(super) kind: EntryKind,
    /// See [`super::entry::NewEntry::joined`].
    pub(super) joined: bool,
    pub(super) payload_bytes: u32,
    pub(super) previous: Hash,
    pub(super) payload_hash: Hash,
}

impl FrameHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES);
        bytes.extend(self.marker);
        bytes.extend(self.position.to_be_bytes());
        bytes.extend(self.batch_first.to_be_bytes());
        bytes.extend(self.recorded.as_second().to_be_bytes());
        bytes.extend(self.recorded.subsec_nanosecond().to_be_bytes());
        bytes.extend(self.kind.number().to_be_bytes());
        let flags = if self.joined { FLAG_JOINED } else { 0 };
        bytes.extend(flags.to_be_bytes());
        bytes.extend(self.payload_bytes.to_be_bytes());
        bytes.extend(self.previous);
        bytes.extend(self.payload_hash);
        bytes
    }

    /// Decodes a header and its hash.
    pub(super) fn decode(bytes: &[u8]) -> Result<(FrameHeader, Hash), Fault> {
        let cut_off =
            || Fault::new("entry header", format!("{} bytes", FRAME_HEADER_BYTES + 32), bytes.len());
        let covered = bytes.get(..FRAME_HEADER_BYTES).ok_or_else(cut_off)?;
        let mut rest = bytes.get(..FRAME_HEADER_BYTES + 32).ok_or_else(cut_off)?;
        let marker = take(&mut rest).ok_or_else(cut_off)?;
        let position = u64::from_be_bytes(take(&mut rest).ok_or_else(cut_off)?);
        let batch_first = u64::from_be_bytes(take(&mut rest).ok_or_else(cut_off)?);
        let seconds = i64::from_be_bytes(take(&mut rest).ok_or_else(cut_off)?);
        let nanoseconds = i32::from_be_bytes(take(&mut rest).ok_or_else(cut_off)?);
        let kind = EntryKind::from_number(u16::from_be_bytes(take(&mut rest).ok_or_else(cut_off)?));
        let flags = u16::from_be_bytes(take(&mut rest).ok_or_else(cut_off)?);
        let payload_bytes = u32::from_be_bytes(take(&mut rest).ok_or_else(cut_off)?);
        let previous = take(&mut rest).ok_or_else(cut_off)?;
        let payload_hash = take(&mut rest).ok_or_else(cut_off)?;
        let hash = sha256(&[covered]);
        check_hash("entry hash", &hash, rest)?;
        if flags & !FLAG_JOINED != 0 {
            return Err(Fault::new("flags", "0000 or 0001", format!("{flags:04x}")));
        }
        if payload_bytes as usize > ENTRY_PAYLOAD_BYTES_MAX {
            return Err(Fault::new(
                "payload bytes",
                format!("at most {ENTRY_PAYLOAD_BYTES_MAX}"),
                payload_bytes,
            ));
        }
        let recorded = Timestamp::new(seconds, nanoseconds)
            .map_err(|_| Fault::new("recorded time", "a time", format!("{seconds} s {nanoseconds} ns")))?;
        let header = FrameHeader {
            marker,
            position,
            batch_first,
            recorded,
            kind,
            joined: flags & FLAG_JOINED != 0,
            payload_bytes,
            previous,
            payload_hash,
        };
        Ok((header, hash))
    }
}

/// The size of a frame with a payload of this size.
pub(super) fn frame_bytes(payload_bytes: usize) -> usize {
    FRAME_PREFIX_BYTES + SALT_BYTES + payload_bytes
}

pub(super) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn check_hash(what: &'static str, computed: &Hash, stated: &[u8]) -> Result<(), Fault> {
    match stated == computed {
        true => Ok(()),
        false => Err(Fault::new(what, hex::encode(computed), hex::encode(stated))),
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*chunk)
}
