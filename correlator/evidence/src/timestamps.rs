//! What a timestamp (RFC 3161) must be beyond what the verifying crate checks: the fields of its envelope (CMS, RFC 5652)
//! that no signature covers say what the signed ones say, and certificates it carries are the root's own, or the signer's
//! where the root leaves that out.

use correlator_core::facts::{Refusal, RefusalReason};
use sigstore_verify::types::{Bundle, HashAlgorithm, Rfc3161Timestamp};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};

use crate::refusal::refusal;
use crate::signature::Signed;
use crate::trust::TrustRoot;

/// How many elements one list of a timestamp may have.
const ELEMENTS_MAX: usize = 32;
/// What a timestamp's content is called (RFC 3161, section 2.4.2).
const TIMESTAMP_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const SHA384: &str = "2.16.840.1.101.3.4.2.2";
const SHA512: &str = "2.16.840.1.101.3.4.2.3";
/// A key of ECDSA and RSASSA-PSS: algorithms whose parameters say something.
const PARAMETRISED: [ObjectIdentifier; 2] = [
    ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"),
];

/// Checks all timestamps of a bundle that verified against `root`.
pub(crate) fn check_against(bundle: &Bundle, root: &TrustRoot) -> Result<(), Refusal> {
    for timestamp in &bundle.verification_material.timestamp_verification_data.rfc3161_timestamps {
        let response = timestamp.signed_timestamp.as_bytes();
        let signer = root.timestamp_signers().left_out(response);
        let is_known = |der: &[u8]| signer.as_deref() == Some(der) || is_of_authority(der, root);
        SignedData::of(response).and_then(|signed| signed.check(is_known)).map_err(|found| {
            refusal(
                RefusalReason::BadTime,
                "a timestamp whose unsigned fields agree with its signed ones",
                found,
            )
        })?;
    }
    Ok(())
}

/// Whether a bundle has timestamps, and each says that it is over these bytes. Nothing about it is proven.
pub(crate) fn are_over(bundle: &Bundle, bytes: &[u8]) -> bool {
    let timestamps = &bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
    let is_over = |timestamp: &Rfc3161Timestamp| {
        let imprint = imprint(timestamp.signed_timestamp.as_bytes());
        imprint.is_ok_and(|(hash, digest)| Signed::Bytes(bytes).digest(hash).as_deref() == Some(digest))
    };
    !timestamps.is_empty() && timestamps.iter().all(is_over)
}

/// `TSTInfo { version, policy, MessageImprint { hashAlgorithm, hashedMessage }, ... }` (RFC 3161, section 2.4.2)
fn imprint(response: &[u8]) -> Result<(HashAlgorithm, &[u8]), String> {
    let [_kind, content] = fixed(elements(SignedData::of(response)?.content)?)?;
    let [octets] = fixed(elements(content)?)?;
    let info = AnyRef::from_der(octets.value()).map_err(|error| error.to_string())?;
    let [_version, _policy, imprint, ..] = elements(info)?[..] else {
        return Err("too few fields of a timestamp".to_owned());
    };
    let [hash, digest] = fixed(elements(imprint)?)?;
    let hash = match algorithm(hash)?.to_string().as_str() {
        SHA256 => HashAlgorithm::Sha2256,
        SHA384 => HashAlgorithm::Sha2384,
        SHA512 => HashAlgorithm::Sha2512,
        other => return Err(format!("a digest by {other}")),
    };
    Ok((hash, digest.value()))
}

/// What a timestamp calls its signer's certificate, and the certificates that it carries.
pub(crate) fn signer_and_certificates(response: &[u8]) -> Result<(AnyRef<'_>, Vec<AnyRef<'_>>), String> {
    let SignedData { optional, signers, .. } = SignedData::of(response)?;
    let [signer] = fixed(elements(signers)?)?;
    let [_version, name, ..] = elements(signer)?[..] else { return Err("no name of the signer".to_owned()) };
    let certificates = optional.iter().find(|field| field.tag() == context(TagNumber::N0));
    Ok((name, certificates.map_or_else(|| Ok(Vec::new()), |field| elements(*field))?))
}

/// `SignedData { version, digestAlgorithms, encapContentInfo, [0] certificates?, [1] crls?, signerInfos }` (RFC 5652,
/// section 5.1)
struct SignedData<'a> {
    version: AnyRef<'a>,
    digests: AnyRef<'a>,
    content: AnyRef<'a>,
    /// Certificates and revocation lists.
    optional: Vec<AnyRef<'a>>,
    signers: AnyRef<'a>,
}

impl<'a> SignedData<'a> {
    /// `TimeStampResp { PKIStatusInfo { status, ... }, ContentInfo { signedData, [0] SignedData } }`
    fn of(response: &'a [u8]) -> Result<SignedData<'a>, String> {
        let response = AnyRef::from_der(response).map_err(|error| error.to_string())?;
        let [status, token] = fixed(elements(response)?)?;
        // A token beside any other status than 0, granted, says what was changed nowhere that is signed.
        let granted = |status: &AnyRef<'_>| status.tag() == Tag::Integer && status.value() == [0];
        if !elements(status)?.first().is_some_and(granted) {
            return Err("another status than granted".to_owned());
        }
        let [_type, content] = fixed(elements(token)?)?;
        let [signed_data] = fixed(elements(content)?)?;
        let fields = elements(signed_data)?;
        let [version, digests, content, ref optional @ .., signers] = fields[..] else {
            return Err("too few fields of signed data".to_owned());
        };
        Ok(SignedData { version, digests, content, optional: optional.to_vec(), signers })
    }

    fn check(&self, is_known: impl Fn(&[u8]) -> bool) -> Result<(), String> {
        // Version 1 is for other contents, 4 and 5 for certificates of other kinds (RFC 5652, section 5.1).
        if !matches!(self.version.value(), [1 | 3]) {
            return Err("a version of signed data that does not fit".to_owned());
        }
        check_content(elements(self.content)?)?;
        for field in &self.optional {
            if field.tag() != context(TagNumber::N0) {
                return Err("revocation lists".to_owned());
            }
            for certificate in elements(*field)? {
                let der = certificate.to_der().map_err(|error| error.to_string())?;
                if !is_known(&der) {
                    return Err("a certificate that is of no timestamp authority of the root".to_owned());
                }
            }
        }
        let [signer] = fixed(elements(self.signers)?)?;
        let digest = check_signer(elements(signer)?)?;
        let listed = elements(self.digests)?.into_iter().map(algorithm).collect::<Result<Vec<_>, _>>()?;
        if listed != [digest] {
            return Err("other digest algorithms than the signer's".to_owned());
        }
        Ok(())
    }
}

/// `EncapsulatedContentInfo { id-ct-TSTInfo, [0] OCTET STRING }` (RFC 3161, section 2.4.2)
fn check_content(fields: Vec<AnyRef<'_>>) -> Result<(), String> {
    let [kind, content] = fixed(fields)?;
    let kind: ObjectIdentifier = kind.decode_as().map_err(|error| error.to_string())?;
    let [content_octets] = fixed(elements(content)?)?;
    if kind == TIMESTAMP_INFO
        && content.tag() == context(TagNumber::N0)
        && content_octets.tag() == Tag::OctetString
    {
        Ok(())
    } else {
        Err("a content that is no timestamp's".to_owned())
    }
}

/// `SignerInfo { version, sid, digestAlgorithm, [0] signedAttrs, signatureAlgorithm, signature, [1] unsignedAttrs? }`.
/// Gives the digest algorithm.
fn check_signer(fields: Vec<AnyRef<'_>>) -> Result<ObjectIdentifier, String> {
    let [version, signer, digest, _attributes, signature_algorithm, _signature] = fixed(fields)?;
    // 1 names the signer by issuer and number, 3 by key identifier (RFC 5652, section 5.3).
    let expected = if signer.tag() == Tag::Sequence { 1 } else { 3 };
    if version.value() != [expected] {
        return Err("a version that does not fit how the signer is named".to_owned());
    }
    let digest = algorithm(digest)?;
    let signature_algorithm = algorithm(signature_algorithm)?;
    if fits(&signature_algorithm.to_string(), &digest.to_string()) {
        Ok(digest)
    } else {
        Err(format!("the signature algorithm {signature_algorithm} beside the digest {digest}"))
    }
}

/// Whether a signature algorithm is one over this digest, or leaves the digest open (RFC 5754, RFC 8017, RFC 8419).
fn fits(signature: &str, digest: &str) -> bool {
    match signature {
        "1.2.840.10045.4.3.2" | "1.2.840.113549.1.1.11" => digest == SHA256,
        "1.2.840.10045.4.3.3" | "1.2.840.113549.1.1.12" => digest == SHA384,
        "1.2.840.10045.4.3.4" | "1.2.840.113549.1.1.13" => digest == SHA512,
        "1.2.840.10045.2.1" | "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" | "1.3.101.112" => {
            matches!(digest, SHA256 | SHA384 | SHA512)
        }
        _ => false,
    }
}

fn is_of_authority(der: &[u8], root: &TrustRoot) -> bool {
    let authorities = root.trusted_root().timestamp_authorities.iter();
    let mut certificates = authorities.flat_map(|authority| &authority.cert_chain.certificates);
    certificates.any(|certificate| certificate.raw_bytes.as_bytes() == der)
}

/// An algorithm without parameters, or with those that its name asks for.
fn algorithm(identifier: AnyRef<'_>) -> Result<ObjectIdentifier, String> {
    let fields = elements(identifier)?;
    let (name, parameters) = match fields.as_slice() {
        [name] => (name, None),
        [name, parameters] => (name, Some(parameters)),
        other => return Err(format!("an algorithm of {} elements", other.len())),
    };
    let name: ObjectIdentifier = name.decode_as().map_err(|error| error.to_string())?;
    match parameters {
        Some(given) if !given.is_null() && !PARAMETRISED.contains(&name) => {
            Err(format!("parameters of {name}, which has none"))
        }
        _ => Ok(name),
    }
}

fn context(number: TagNumber) -> Tag {
    Tag::ContextSpecific { constructed: true, number }
}

/// The elements inside a constructed value.
pub(crate) fn elements(value: AnyRef<'_>) -> Result<Vec<AnyRef<'_>>, String> {
    let mut reader = SliceReader::new(value.value()).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        if found.len() == ELEMENTS_MAX {
            return Err(format!("more than {ELEMENTS_MAX} elements in a list"));
        }
        found.push(AnyRef::decode(&mut reader).map_err(|error| error.to_string())?);
    }
    Ok(found)
}

pub(crate) fn fixed<const LENGTH: usize>(elements: Vec<AnyRef<'_>>) -> Result<[AnyRef<'_>; LENGTH], String> {
    elements.try_into().map_err(|other: Vec<_>| format!("{} elements, not {LENGTH}", other.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
        let content = content.concat();
        [&[tag, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    }

    #[test]
    fn only_what_is_granted_is_a_timestamp() {
        let answer = |status: &[u8]| {
            let fields = [element(2, &[&[3]]), element(0x31, &[]), element(0x30, &[]), element(0x31, &[])];
            let content = element(0xa0, &[&element(0x30, &[&fields.concat()])]);
            let token = element(0x30, &[&element(6, &[&[0x2a]]), &content]);
            let response = element(0x30, &[&element(0x30, &[status]), &token]);
            SignedData::of(&response).map(drop)
        };
        let text = element(0x30, &[&element(0x0c, &[b"Operation Okay"])]);
        assert_eq!(answer(&[2, 1, 0]), Ok(()));
        assert_eq!(answer(&[&[2, 1, 0], text.as_slice()].concat()), Ok(()));
        for status in [&[2, 1, 1][..], &[2, 1, 2], &[2, 2, 0, 0], &[1, 1, 0], &[]] {
            assert!(answer(status).is_err(), "{status:x?}");
        }
    }

    #[test]
    fn the_content_is_a_timestamps_in_a_string_of_octets() {
        let answer = |name: u8, around: u8, tag: u8| {
            let name = [&TIMESTAMP_INFO.as_bytes()[..10], &[name]].concat();
            let content = element(0x30, &[&element(6, &[&name]), &element(around, &[&element(tag, &[])])]);
            check_content(elements(AnyRef::from_der(&content).unwrap()).unwrap())
        };
        assert_eq!(answer(4, 0xa0, 4), Ok(()));
        for (name, around, tag) in [(5, 0xa0, 4), (4, 0xa1, 4), (4, 0xa0, 5)] {
            assert!(answer(name, around, tag).is_err());
        }
    }

    #[test]
    fn an_algorithm_has_the_parameters_of_its_name() {
        let sha256 = element(6, &[&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]]);
        let pss = element(6, &[PARAMETRISED[1].as_bytes()]);
        let answer = |parts: &[&[u8]]| {
            let whole = element(0x30, parts);
            algorithm(AnyRef::from_der(&whole).unwrap()).is_ok()
        };
        assert!(answer(&[&sha256]) && answer(&[&sha256, &[5, 0]]) && answer(&[&pss, &[0x30, 0]]));
        assert!(!answer(&[&sha256, &[4, 0]]) && !answer(&[&sha256, &[5, 0], &[5, 0]]) && !answer(&[]));
    }
}
