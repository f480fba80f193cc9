//! The valid samples as events, for the tests that need one of every kind.

use super::agreement::{crate_path, files_below};
use crate::Envelope;

/// Every valid sample with its path below `samples/`.
pub(super) fn valid_samples() -> Vec<(String, Vec<u8>)> {
    samples("valid-")
}

/// Every invalid sample with its path below `samples/`.
pub(super) fn invalid_samples() -> Vec<(String, Vec<u8>)> {
    samples("invalid-")
}

/// Every valid sample, decoded.
pub(super) fn envelopes() -> Vec<Envelope> {
    let decode = |(name, bytes): (String, Vec<u8>)| {
        Envelope::from_json(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    valid_samples().into_iter().map(decode).collect()
}

fn samples(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let folder = crate_path("samples");
    let is_wanted = |path: &String| path.rsplit('/').next().is_some_and(|name| name.starts_with(prefix));
    let read = |path: String| {
        let bytes = std::fs::read(folder.join(&path)).unwrap();
        (path, bytes)
    };
    files_below(&folder).into_iter().filter(is_wanted).map(read).collect()
}
