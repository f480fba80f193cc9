//! Which log this is: its id, its generation and its key.
//!
//! A position in a log is (log id, generation, position). The id is random. The generation is the second at which the
//! log was created, so that a log begun after a data folder was lost has a higher one than the log that was
//! lost. A log that goes on from an older copy begins a higher one (see [`super::generations`]).

use std::fmt;
use std::io;
use std::path::Path;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::error::{Fault, LogError, io_error};
use super::frame::{Hash, sha256};
use crate::durable;

pub(super) const IDENTITY_FILE: &str = "identity";
pub(super) const KEY_FILE: &str = "key";
const IDENTITY_BYTES_MAX: u64 = 4096;
const KEY_BYTES_MAX: u64 = 4096;

/// The id of a log: 16 random bytes, printed as hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogId(pub(super) [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for LogId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LogId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LogId, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 16];
        hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(LogId(bytes))
    }
}

/// The `identity` file. The chain begins with the hash of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) log: LogId,
    pub(crate) generation: u64,
    pub(super) created: Timestamp,
    /// The Ed25519 public key that heads are signed with, as hexadecimal.
    pub(super) key: String,
}

impl Identity {
    /// Reads the identity of a log, if there is one.
    pub(crate) fn load(folder: &Path) -> Result<Option<Identity>, LogError> {
        let path = folder.join(IDENTITY_FILE);
        let bytes = match durable::read_small_file(&path, IDENTITY_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LogError::Io { doing: "read", path, source }),
        };
        let corrupt = |found: String| LogError::Corrupt {
            file: IDENTITY_FILE.to_owned(),
            position: 0,
            offset: 0,
            fault: Box::new(Fault::new("log identity", "the identity as it was written", found)),
        };
        let identity: Identity =
            serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
        match identity.encode()? == bytes {
            true => Ok(Some(identity)),
            false => Err(corrupt("another spelling of it".to_owned())),
        }
    }

    fn encode(&self) -> Result<Vec<u8>, LogError> {
        serde_json::to_vec(self).map_err(LogError::Encode)
    }

    /// The hash that the first entry names as the one before it.
    pub(super) fn genesis(&self) -> Result<Hash, LogError> {
        Ok(sha256(&[b"custody-log-v1\n", &self.encode()?]))
    }
}

/// Whether `signature` over `message` was made with the private half of `key` (hexadecimal).
pub(super) fn verifies(key: &str, message: &[u8], signature: &[u8]) -> bool {
    hex::decode(key).is_ok_and(|key| UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok())
}

/// The private key of a log.
pub(super) struct LogKey(Ed25519KeyPair);

impl fmt::Debug for LogKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LogKey(***)")
    }
}

impl LogKey {
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }

    fn public(&self) -> String {
        hex::encode(self.0.public_key().as_ref())
    }

    /// Reads the key of `identity`.
    pub(super) fn load(path: &Path, identity: &Identity) -> Result<LogKey, LogError> {
        let key = LogKey::read(path)?.ok_or_else(|| LogError::Incomplete {
            folder: path.parent().unwrap_or(path).to_owned(),
            missing: "log key",
        })?;
        match key.public() == identity.key {
            true => Ok(key),
            false => Err(LogError::Key { path: path.to_owned(), reason: "its public half is another" }),
        }
    }

    fn read(path: &Path) -> Result<Option<LogKey>, LogError> {
        let bytes = match durable::read_small_file(path, KEY_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(LogError::Io { doing: "read", path: path.to_owned(), source }),
        };
        let refuse =
            |_| LogError::Key { path: path.to_owned(), reason: "it is not an Ed25519 key in PKCS#8" };
        Ed25519KeyPair::from_pkcs8(&bytes).map(|pair| Some(LogKey(pair))).map_err(refuse)
    }

    fn create(path: &Path) -> Result<LogKey, LogError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| LogError::Random)?;
        let document = pair.to_pkcs8().map_err(|_| LogError::Random)?;
        durable::write_file(path, document.as_ref(), durable::SECRET_MODE)
            .map_err(io_error("write", path))?;
        Ok(LogKey(pair))
    }
}

/// Begins a new log in `folder`: the key first (one that is there is used), then the identity that names it.
pub(super) fn create(folder: &Path, key_file: &Path, created: Timestamp) -> Result<Identity, LogError> {
    let heads = folder.join(super::heads::HEADS_FILE);
    if heads.exists() || !super::segment::list(folder)?.is_empty() {
        return Err(LogError::Incomplete { folder: folder.to_owned(), missing: "identity" });
    }
    let key = match LogKey::read(key_file)? {
        Some(key) => key,
        None => LogKey::create(key_file)?,
    };
    let generation = u64::try_from(created.as_second()).unwrap_or(0).max(1);
    let identity = Identity { log: LogId(random()?), generation, created, key: key.public() };
    let path = folder.join(IDENTITY_FILE);
    durable::write_file(&path, &identity.encode()?, durable::PUBLIC_MODE)
        .map_err(io_error("write", &path))?;
    Ok(identity)
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], LogError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| LogError::Random)?;
    Ok(bytes)
}
