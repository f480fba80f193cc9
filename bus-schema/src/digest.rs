//! Content digests, as the OCI image specification writes them ("Digests", descriptor.md): `sha256:` and 64 hex digits.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

use crate::ParseError;
use crate::hash::write_hex;

/// The digest of some content. Only the registered algorithms exist; text with another algorithm does not parse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-512.
    Sha512([u8; 64]),
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn sha256_of(bytes: &[u8]) -> Digest {
        Digest::Sha256(sha2::Sha256::digest(bytes).into())
    }

    /// The SHA-512 digest of `bytes`.
    pub fn sha512_of(bytes: &[u8]) -> Digest {
        Digest::Sha512(sha2::Sha512::digest(bytes).into())
    }

    /// Whether `bytes` have this digest.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        match self {
            Digest::Sha256(_) => Digest::sha256_of(bytes) == *self,
            Digest::Sha512(_) => Digest::sha512_of(bytes) == *self,
        }
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Digest::Sha256(_) => "sha256",
            Digest::Sha512(_) => "sha512",
        }
    }

    /// The raw hash.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Digest::Sha256(bytes) => bytes,
            Digest::Sha512(bytes) => bytes,
        }
    }

    /// The hash in lower-case hexadecimal, without the algorithm.
    pub fn hex(&self) -> String {
        hex::encode(self.bytes())
    }

    /// The first twelve hex digits, for display only.
    pub fn short(&self) -> String {
        hex::encode(&self.bytes()[..6])
    }

    /// A digest from an algorithm's name and hexadecimal text, as in-toto and Rekor give them (apart).
    pub fn from_parts(algorithm: &str, hex_text: &str) -> Result<Digest, ParseError> {
        format!("{algorithm}:{hex_text}").parse()
    }

    /// The tag under which the referrers of this digest are listed where a registry has no referrers API
    /// (OCI distribution specification, "Referrers Tag Schema": the hash is cut to 64 characters, so that it fits a tag).
    pub fn fallback_tag(&self) -> String {
        let mut hash = self.hex();
        hash.truncate(64);
        format!("{}-{hash}", self.algorithm())
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Digest, ParseError> {
        let Some(colon) = text.find(':') else {
            return Err(ParseError::new("digest", text, text.len(), "no colon after the algorithm"));
        };
        let (algorithm, hex_text) = (&text[..colon], &text[colon + 1..]);
        let hex_length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => {
                return Err(ParseError::new("digest", text, 0, "the algorithm is neither sha256 nor sha512"));
            }
        };
        if let Some(offset) = hex_text.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            let position = colon + 1 + offset;
            return Err(ParseError::new("digest", text, position, "not a lower-case hex digit"));
        }
        if hex_text.len() != hex_length {
            let reason = format!("{} hex digits, {algorithm} has {hex_length}", hex_text.len());
            return Err(ParseError::new("digest", text, colon + 1 + hex_text.len().min(hex_length), reason));
        }
        let refuse = |_| ParseError::new("digest", text, colon + 1, "not hexadecimal");
        if hex_length == 64 {
            let mut bytes = [0; 32];
            hex::decode_to_slice(hex_text, &mut bytes).map_err(refuse)?;
            Ok(Digest::Sha256(bytes))
        } else {
            let mut bytes = [0; 64];
            hex::decode_to_slice(hex_text, &mut bytes).map_err(refuse)?;
            Ok(Digest::Sha512(bytes))
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.algorithm())?;
        formatter.write_str(":")?;
        match self {
            Digest::Sha256(bytes) => write_hex(formatter, bytes, &mut [0; 64]),
            Digest::Sha512(bytes) => write_hex(formatter, bytes, &mut [0; 128]),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

text_identity!(
    Digest,
    "Digest",
    "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$",
    "a content digest: algorithm and lower-case hexadecimal"
);
