//! The bounds of verification. Each has its unit in its name; what exceeds one is refused as too large, never cut.

/// The largest piece of evidence, in bytes. A registry's blob has the same bound.
pub const EVIDENCE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How deep JSON may nest, in levels.
pub(crate) const JSON_DEPTH_LEVELS_MAX: usize = 64;
/// How many subjects one statement may name.
pub(crate) const SUBJECTS_MAX: usize = 1024;
/// How many certificates may accompany one signature.
pub(crate) const CERTIFICATES_MAX: usize = 8;
/// The largest certificate, in bytes of DER.
pub(crate) const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// How many log entries may accompany one signature.
pub(crate) const LOG_ENTRIES_MAX: usize = 8;
/// How many timestamps may accompany one signature.
pub(crate) const TIMESTAMPS_MAX: usize = 8;
/// How many annotations one layer may have.
pub(crate) const ANNOTATIONS_MAX: usize = 64;
/// The largest value of one annotation, in bytes.
pub(crate) const ANNOTATION_BYTES_MAX: usize = 256 * 1024;
/// How many claims (`-a key=value`) of an image signature are kept.
pub(crate) const SIGNATURE_CLAIMS_MAX: usize = 64;
/// How many trust roots one trust set may hold.
pub(crate) const ROOTS_MAX: usize = 16;
/// How many keys one trust set may hold.
pub(crate) const KEYS_MAX: usize = 64;
/// The largest trust root, in bytes of JSON.
pub(crate) const ROOT_BYTES_MAX: usize = 1024 * 1024;
/// The largest public key, in bytes of PEM.
pub(crate) const KEY_BYTES_MAX: usize = 16 * 1024;
/// How much of a text from outside a refusal repeats, in characters.
pub(crate) const SHOWN_CHARS_MAX: usize = 300;
