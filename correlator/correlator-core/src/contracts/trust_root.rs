//! `kind: TrustRoot`: a Sigstore trust root, what it demands, and for which forge it speaks; and the keys of pipelines.

use std::fmt;

use bus_schema::{Digest, ForgeHost};
use serde::Deserialize;

/// A checked trust root. Its content is a `trusted_root.json`, carried with the contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRootContract {
    pub name: String,
    /// The name of the file in [`crate::input::ContractLoaded::files`].
    pub file: String,
    pub content: Digest,
    pub demands: Demands,
    pub forges: Vec<ForgeIssuer>,
}

/// What a signature must carry under this root; everything by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Demands {
    pub certificate_transparency: bool,
    pub log: bool,
    pub signed_time: bool,
}

impl Default for Demands {
    fn default() -> Demands {
        Demands { certificate_transparency: true, log: true, signed_time: true }
    }
}

impl fmt::Display for Demands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Demands { certificate_transparency, log, signed_time } = self;
        write!(formatter, "ct={certificate_transparency} log={log} time={signed_time}")
    }
}

/// The issuer whose certificates under this root speak for a forge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ForgeIssuer {
    pub host: ForgeHost,
    pub issuer: String,
}

/// A public key that a pipeline trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKeyContract {
    pub file: String,
    pub content: Digest,
    /// The SHA-256 digest of the SubjectPublicKeyInfo in DER; `None` when the file is not a public key in PEM.
    pub fingerprint: Option<Digest>,
    pub log_required: bool,
}

/// The digest of the DER inside a PEM public key (RFC 7468, section 13).
pub(crate) fn pem_fingerprint(pem: &str) -> Option<Digest> {
    use base64::Engine as _;
    let (_, rest) = pem.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    Some(Digest::sha256_of(&der))
}

/// The document as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TrustRootSpec {
    pub(crate) file: String,
    #[serde(default)]
    pub(crate) demands: Demands,
    #[serde(default)]
    pub(crate) forges: Vec<ForgeIssuer>,
}
