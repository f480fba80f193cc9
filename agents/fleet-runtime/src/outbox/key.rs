//! The secret of one outbox, from which the ids on the wire are made.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;

use crate::bus::BusError;

const FILE_NAME: &str = "wire-key";
pub(super) const KEY_BYTES: usize = 32;

/// The key. It never leaves the folder; another folder is another outbox.
#[derive(Debug)]
pub(super) struct WireKey(SecretBox<[u8; KEY_BYTES]>);

impl WireKey {
    pub(super) fn new(key: [u8; KEY_BYTES]) -> WireKey {
        WireKey(SecretBox::new(Box::new(key)))
    }

    /// Reads the folder's key, or makes one.
    pub(super) fn of_folder(folder: &Path) -> Result<WireKey, BusError> {
        let path = folder.join(FILE_NAME);
        let failed = |error| BusError::storage("read or make the key of the outbox", error);
        match File::open(&path) {
            Ok(file) => read(file).map_err(failed),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(&path).map_err(failed)?;
                File::open(&path).and_then(read).map_err(failed)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The id on the wire: HMAC-SHA-256 (RFC 2104) of the message's own id.
    pub(super) fn wire_id(&self, id: &str) -> String {
        match Hmac::<Sha256>::new_from_slice(self.0.expose_secret()) {
            Ok(mac) => hex::encode(mac.chain_update(id).finalize().into_bytes()),
            // HMAC takes keys of every length.
            Err(_) => id.to_owned(),
        }
    }
}

fn read(mut file: File) -> std::io::Result<WireKey> {
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(WireKey::new(key))
}

/// Whole or not at all: a key that was cut off would be another key after the next start.
fn make(path: &Path) -> std::io::Result<()> {
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&key)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
