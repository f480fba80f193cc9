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
/// How many hashes one inclusion proof may have: more than a tree of any size needs.
pub(crate) const PROOF_HASHES_MAX: usize = 64;
/// The longest checkpoint of a log, in bytes.
pub(crate) const CHECKPOINT_BYTES_MAX: usize = 16 * 1024;
/// How many signatures one checkpoint may have, those of witnesses included.
pub(crate) const CHECKPOINT_SIGNATURES_MAX: usize = 32;
/// The longest body of a log entry, in bytes.
pub(crate) const ENTRY_BODY_BYTES_MAX: usize = 1024 * 1024;
/// The largest timestamp, in bytes.
pub(crate) const TIMESTAMP_BYTES_MAX: usize = 64 * 1024;
/// How many costly steps the verification of one piece may take: for each key one signature, and for each root one bundle
/// and one certificate chain.
pub(crate) const STEPS_MAX: usize = KEYS_MAX + 2 * ROOTS_MAX;
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
/// How many parameters of a build are kept.
pub(crate) const PARAMETERS_MAX: usize = 64;
/// The most that the parameters of a build take together, in bytes.
pub(crate) const PARAMETERS_BYTES_MAX: usize = 16 * 1024;
/// How many materials of a build are kept.
pub(crate) const MATERIALS_MAX: usize = 128;
/// The most that the materials of a build take together, in bytes.
pub(crate) const MATERIALS_BYTES_MAX: usize = 32 * 1024;
/// The longest text of a predicate that becomes a fact, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 2048;
/// How many levels a verification summary may state.
pub(crate) const LEVELS_MAX: usize = 64;
/// How many signatures one envelope of Google Cloud Build may have.
pub(crate) const CLOUD_BUILD_SIGNATURES_MAX: usize = 8;
