//! DSSE envelopes (secure-systems-lab/dsse, envelope.md) as they come: parsed, bounded, not verified.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use correlator_core::facts::{Refusal, RefusalReason};
use serde::Deserialize;
use sigstore_verify::types::{DsseEnvelope, DsseSignature, KeyId, PayloadBytes, SignatureBytes};

use crate::refusal::{malformed, not_json, refusal, unsupported};
use crate::strict_json;

/// The payload type of in-toto statements (in-toto/attestation, envelope.md).
pub(crate) const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An envelope with its one signature. Nothing about it is proven.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) payload_type: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) key_id: String,
    /// The certificate that slsa-github-generator's older builders put beside the signature, as PEM.
    pub(crate) certificate: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireEnvelope {
    payload_type: String,
    payload: String,
    #[serde(default)]
    signatures: Vec<WireSignature>,
}

#[derive(Debug, Deserialize)]
struct WireSignature {
    #[serde(default)]
    sig: String,
    #[serde(default)]
    keyid: Option<String>,
    #[serde(default)]
    cert: Option<String>,
}

impl Envelope {
    /// Reads the JSON form of an envelope.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Envelope, Refusal> {
        let wire: WireEnvelope =
            strict_json::read(bytes).map_err(|error| not_json("a DSSE envelope", error))?;
        Envelope::from_wire(wire)
    }

    pub(crate) fn from_wire(wire: WireEnvelope) -> Result<Envelope, Refusal> {
        let mut signatures = wire.signatures.into_iter();
        let Some(first) = signatures.next() else {
            return Err(refusal(RefusalReason::Unsigned, "one signature in the envelope", "none"));
        };
        let others = signatures.count();
        if others > 0 {
            return Err(unsupported("one signature in the envelope", format!("{} signatures", others + 1)));
        }
        if first.sig.is_empty() {
            return Err(refusal(RefusalReason::Unsigned, "a signature in the envelope", "an empty one"));
        }
        Ok(Envelope {
            payload: decode("the envelope's payload", &wire.payload)?,
            signature: decode("the envelope's signature", &first.sig)?,
            payload_type: wire.payload_type,
            key_id: first.keyid.unwrap_or_default(),
            certificate: first.cert.filter(|text| !text.is_empty()),
        })
    }

    /// The bytes that are signed: the pre-authentication encoding (protocol.md, "Signature Definition").
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        sigstore_verify::types::pae(&self.payload_type, &self.payload)
    }

    /// The same envelope as the verifying crate takes it.
    pub(crate) fn to_sigstore(&self) -> DsseEnvelope {
        let signature =
            DsseSignature::new(SignatureBytes::from_bytes(&self.signature), KeyId::new(self.key_id.clone()));
        DsseEnvelope::new(self.payload_type.clone(), PayloadBytes::from_bytes(&self.payload), signature)
    }
}

/// Base64 of the standard alphabet, with or without padding, without stray bits at the end: one text for one content.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) fn decode(what: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    BASE64.decode(text).map_err(|error| malformed(format!("{what} in base64"), error.to_string()))
}

/// Base64 of the alphabet that is safe in addresses, otherwise as [`BASE64`].
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Base64 of either alphabet, but of one.
pub(crate) fn decode_either(what: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    if !text.contains(['-', '_']) {
        return decode(what, text);
    }
    BASE64_URL.decode(text).map_err(|error| malformed(format!("{what} in base64"), error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    #[test]
    fn the_number_of_signatures_decides() {
        let read = |signatures: serde_json::Value| {
            let text =
                json!({ "payloadType": IN_TOTO, "payload": "e30=", "signatures": signatures }).to_string();
            Envelope::from_json(text.as_bytes())
                .map(|envelope| envelope.payload)
                .map_err(|refused| refused.reason)
        };
        assert_eq!(read(json!([{ "sig": "AAEC" }])), Ok(b"{}".to_vec()));
        assert_eq!(read(json!([])), Err(RefusalReason::Unsigned));
        assert_eq!(read(json!([{ "sig": "" }])), Err(RefusalReason::Unsigned));
        assert_eq!(read(json!([{ "sig": "AAEC" }, { "sig": "AAEC" }])), Err(RefusalReason::Unsupported));
        assert_eq!(read(json!([{ "sig": "not base64" }])), Err(RefusalReason::Malformed));
    }

    #[test]
    fn base64_is_read_with_and_without_padding_but_in_one_way_only() {
        assert_eq!(decode("x", "e30="), Ok(b"{}".to_vec()));
        assert_eq!(decode("x", "e30"), Ok(b"{}".to_vec()));
        for text in ["e31=", "e30==", "e3 0", "e30-", "e30=\n"] {
            assert!(decode("x", text).is_err(), "{text}");
        }
    }
}
