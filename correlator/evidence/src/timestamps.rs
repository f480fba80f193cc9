//! What a timestamp (RFC 3161) must be beyond what the verifying crate checks: the fields of its envelope (CMS, RFC 5652)
//! that no signature covers say what the signed ones say, and certificates it carries are the root's own.

use std::collections::BTreeSet;

use correlator_core::facts::{Refusal, RefusalReason};
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::Bundle;
use x509_cert::Certificate;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use crate::refusal::refusal;

/// How many elements one list of a timestamp may have.
const ELEMENTS_MAX: usize = 32;

/// Checks all timestamps of a bundle that verified against `root`.
pub(crate) fn check_against(bundle: &Bundle, root: &TrustedRoot) -> Result<(), Refusal> {
    for timestamp in &bundle.verification_material.timestamp_verification_data.rfc3161_timestamps {
        let fields = signed_data(timestamp.signed_timestamp.as_bytes()).and_then(elements);
        fields.and_then(|fields| check_signed_data(fields, root)).map_err(|found| {
            refusal(
                RefusalReason::BadTime,
                "a timestamp whose unsigned fields agree with its signed ones",
                found,
            )
        })?;
    }
    Ok(())
}

/// The timestamp authorities that a bundle's timestamps are by, as the digests of their certificates.
pub(crate) fn authorities(bundle: &Bundle, root: &TrustedRoot) -> BTreeSet<bus_schema::Digest> {
    let timestamps = &bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
    let chains = || root.timestamp_authorities.iter().map(|authority| &authority.cert_chain.certificates);
    let mut found = BTreeSet::new();
    for timestamp in timestamps {
        let response = timestamp.signed_timestamp.as_bytes();
        let is_by = |der: &[u8]| is_signed_by(response, der).unwrap_or(false);
        let named: Vec<_> =
            chains().filter(|chain| chain.iter().any(|one| is_by(one.raw_bytes.as_bytes()))).collect();
        // A signer that no certificate of the root is named like leaves every authority possible.
        let named = if named.is_empty() { chains().collect() } else { named };
        let certificates = named.into_iter().flatten();
        found.extend(certificates.map(|one| bus_schema::Digest::sha256_of(one.raw_bytes.as_bytes())));
    }
    found
}

/// Whether a timestamp names this certificate as its signer's: by issuer and number, or by key identifier.
fn is_signed_by(response: &[u8], certificate: &[u8]) -> Result<bool, String> {
    let fields = elements(signed_data(response)?)?;
    let [.., signers] = fields.as_slice() else { return Ok(false) };
    let [signer] = fixed(elements(*signers)?)?;
    let [_version, name, ..] = elements(signer)?[..] else { return Ok(false) };
    let certificate = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let certificate = certificate.tbs_certificate;
    let der = |value: AnyRef<'_>| value.to_der().map_err(|error| error.to_string());
    if name.tag() == Tag::Sequence {
        let [issuer, number] = fixed(elements(name)?)?;
        let same_issuer =
            certificate.issuer.to_der().is_ok_and(|known| der(issuer).is_ok_and(|it| it == known));
        let same_number =
            certificate.serial_number.to_der().is_ok_and(|known| der(number).is_ok_and(|it| it == known));
        return Ok(same_issuer && same_number);
    }
    let identifier = certificate.get::<SubjectKeyIdentifier>().map_err(|error| error.to_string())?;
    Ok(identifier.is_some_and(|(_, identifier)| identifier.0.as_bytes() == name.value()))
}

/// `TimeStampResp { status, ContentInfo { signedData, [0] SignedData } }`
fn signed_data(response: &[u8]) -> Result<AnyRef<'_>, String> {
    let response = AnyRef::from_der(response).map_err(|error| error.to_string())?;
    let [_status, token] = fixed(elements(response)?)?;
    let [_type, content] = fixed(elements(token)?)?;
    let [signed_data] = fixed(elements(content)?)?;
    Ok(signed_data)
}

/// `SignedData { version, digestAlgorithms, encapContentInfo, [0] certificates?, [1] crls?, signerInfos }`
fn check_signed_data(fields: Vec<AnyRef<'_>>, root: &TrustedRoot) -> Result<(), String> {
    let [version, digests, _content, optional @ .., signers] = fields.as_slice() else {
        return Err("too few fields of signed data".to_owned());
    };
    // Version 1 is for other contents, 4 and 5 for certificates of other kinds (RFC 5652, section 5.1).
    if !matches!(version.value(), [1 | 3]) {
        return Err("a version of signed data that does not fit".to_owned());
    }
    for field in optional {
        if field.tag() != context(TagNumber::N0) {
            return Err("revocation lists".to_owned());
        }
        for certificate in elements(*field)? {
            let der = certificate.to_der().map_err(|error| error.to_string())?;
            if !is_of_authority(&der, root) {
                return Err("a certificate that is of no timestamp authority of the root".to_owned());
            }
        }
    }
    let [signer] = fixed(elements(*signers)?)?;
    let digest = check_signer(elements(signer)?)?;
    let listed = elements(*digests)?.into_iter().map(algorithm).collect::<Result<Vec<_>, _>>()?;
    if listed != [digest] {
        return Err("other digest algorithms than the signer's".to_owned());
    }
    Ok(())
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
    const SHA256: &str = "2.16.840.1.101.3.4.2.1";
    const SHA384: &str = "2.16.840.1.101.3.4.2.2";
    const SHA512: &str = "2.16.840.1.101.3.4.2.3";
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

fn is_of_authority(der: &[u8], root: &TrustedRoot) -> bool {
    let authorities = root.timestamp_authorities.iter();
    let mut certificates = authorities.flat_map(|authority| &authority.cert_chain.certificates);
    certificates.any(|certificate| certificate.raw_bytes.as_bytes() == der)
}

fn algorithm(identifier: AnyRef<'_>) -> Result<ObjectIdentifier, String> {
    let fields = elements(identifier)?;
    let [first, ..] = fields.as_slice() else {
        return Err("an algorithm without a name".to_owned());
    };
    first.decode_as().map_err(|error| error.to_string())
}

fn context(number: TagNumber) -> Tag {
    Tag::ContextSpecific { constructed: true, number }
}

/// The elements inside a constructed value.
fn elements(value: AnyRef<'_>) -> Result<Vec<AnyRef<'_>>, String> {
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

fn fixed<const LENGTH: usize>(elements: Vec<AnyRef<'_>>) -> Result<[AnyRef<'_>; LENGTH], String> {
    elements.try_into().map_err(|other: Vec<_>| format!("{} elements, not {LENGTH}", other.len()))
}
