//! Names for digests and commits: `D1` is the digest of the text `D1`.

use bus_schema::{CommitId, Digest};

pub fn digest(name: &str) -> Digest {
    match name.parse() {
        Ok(digest) => digest,
        Err(_) => Digest::sha256_of(name.as_bytes()),
    }
}

pub fn commit(name: &str) -> CommitId {
    match name.parse() {
        Ok(commit) => commit,
        Err(_) => Digest::sha256_of(name.as_bytes()).hex()[..40].parse().unwrap(),
    }
}

/// Replaces every derived digest and commit in a text by its name, so that expectations can be read.
pub fn read_back(text: &str, names: &[String]) -> String {
    let mut text = text.to_owned();
    for name in names {
        let digest = digest(name);
        text = text.replace(&digest.to_string(), name).replace(&digest.hex(), name);
        text = text.replace(commit(name).as_str(), name);
        text = text.replace(&digest.short(), name);
    }
    text
}
