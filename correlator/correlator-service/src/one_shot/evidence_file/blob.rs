//! What cosign writes about a file that it signed: the text of a signature alone (`sign-blob`), or with certificate and log
//! entry in the form of cosign 1 and 2 (`--bundle` with `--new-bundle-format=false`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use evidence::BLOB_SIGNATURE;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ENVELOPE;

/// From Ed25519 to RSA with 8192 bits, in bytes.
const SIGNATURE_BYTES: std::ops::RangeInclusive<usize> = 64..=1024;
const PEM_BEGIN: &str = "-----BEGIN ";
const MALFORMED: &str = "a signature of cosign over a file, of another form";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signed<'a> {
    /// A certificate in PEM, by itself or as base64; where a key signed, that key or nothing.
    #[serde(default)]
    cert: Option<String>,
    #[serde(borrow, default)]
    rekor_bundle: Option<&'a RawValue>,
}

/// The signature as the verifier reads it: that of the file, or an envelope.
pub(super) struct Read {
    pub(super) media_type: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// What the signature alone is: the whole file one text of base64.
pub(super) fn signature(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let length = STANDARD.decode(text).ok()?.len();
    SIGNATURE_BYTES.contains(&length).then_some(text)
}

/// The signature with what stands beside it.
pub(super) fn read(document: &str, signature: String) -> Result<Read, &'static str> {
    let signed: Signed<'_> = serde_json::from_str(document).map_err(|_| MALFORMED)?;
    let decoded = STANDARD.decode(signature.trim()).map_err(|_| MALFORMED)?;
    let mut annotations = BTreeMap::new();
    if let Some(certificate) = signed.cert.as_deref().map(certificate).transpose()?.flatten() {
        annotations.insert("dev.sigstore.cosign/certificate".to_owned(), certificate);
    }
    if let Some(entry) = signed.rekor_bundle {
        annotations.insert("dev.sigstore.cosign/bundle".to_owned(), entry.get().to_owned());
    }
    // A signature may begin with any byte.
    Ok(match serde_json::from_slice::<&RawValue>(&decoded) {
        Ok(_) => Read { media_type: ENVELOPE, bytes: decoded, annotations },
        Err(_) => Read { media_type: BLOB_SIGNATURE, bytes: signature.into_bytes(), annotations },
    })
}

/// The certificate in PEM. Whoever checks brings the key, so that one in its place says nothing.
fn certificate(text: &str) -> Result<Option<String>, &'static str> {
    let text = text.trim();
    let pem = match text.starts_with(PEM_BEGIN) || text.is_empty() {
        true => text.to_owned(),
        false => {
            let decoded = STANDARD.decode(text).map_err(|_| MALFORMED)?;
            String::from_utf8(decoded).map_err(|_| MALFORMED)?
        }
    };
    match pem.trim_start().strip_prefix(PEM_BEGIN) {
        Some(rest) if rest.starts_with("CERTIFICATE-----") => Ok(Some(pem)),
        Some(rest) if rest.starts_with("PUBLIC KEY-----") => Ok(None),
        None if pem.trim().is_empty() => Ok(None),
        _ => Err(MALFORMED),
    }
}
