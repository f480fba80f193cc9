//! Certificate chains and their transparency proofs: which certificates a chain needs and in which authority it ends, and
//! all of it for the older forms that the verifying crate has no words for.
//!
//! Inputs are a certificate, a root and a time; the output is the chain, with the issuer's key that the transparency proof
//! needs. Chains are built by webpki, with the algorithms that the verifying crate allows and ECDSA on P-521.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bus_schema::Digest;
use correlator_core::facts::RefusalReason;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use sigstore_verify::crypto::{
    CertificateInfo, KeyAlgorithm, SigningScheme, VerificationKey, WEBPKI_VERIFICATION_ALGS,
    parse_certificate_info,
};
use sigstore_verify::trust_root::CertificateTransparencyLog;
use sigstore_verify::types::{DerCertificate, DerPublicKey, SignatureBytes};
use webpki::aws_lc_rs::{ECDSA_P521_SHA256, ECDSA_P521_SHA384, ECDSA_P521_SHA512};
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::Certificate;
use x509_cert::der::asn1::{BitString, ObjectIdentifier};
use x509_cert::der::{Any, Decode, Encode, Tag};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::sct::{HashAlgorithm, SignatureAlgorithm};
use x509_cert::ext::pkix::{SignedCertificateTimestamp, SignedCertificateTimestampList, SubjectAltName};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::refusal::{Failed, Step, refusal};
use crate::signing_authority::SigningAuthority;
use crate::trust::TrustRoot;
use crate::work::Work;

/// The DER content of id-kp-codeSigning (RFC 5280, section 4.2.1.12).
const CODE_SIGNING: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
const ISSUED: &str = "a certificate issued by an authority of a trust root";
/// A key of Ed25519 (RFC 8410, section 3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// What certificates may be signed by.
static ALGORITHMS: LazyLock<Vec<&dyn SignatureVerificationAlgorithm>> = LazyLock::new(|| {
    let p521 = [ECDSA_P521_SHA512, ECDSA_P521_SHA384, ECDSA_P521_SHA256];
    WEBPKI_VERIFICATION_ALGS.iter().copied().chain(p521).collect()
});
/// The extension that holds the transparency proofs (RFC 6962, section 3.3).
const SCT_LIST: &str = "1.3.6.1.4.1.11129.2.4.2";

/// The name of a user in a certificate's subject alternative name (fulcio/docs/oid-info.md).
const USER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

/// A chain that verified.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The key of the certificate that issued the leaf (SubjectPublicKeyInfo in DER).
    pub(crate) issuer_key: Vec<u8>,
    /// The certificates between the leaf and the root's own, in DER.
    between: Vec<Vec<u8>>,
    /// The certificates, by their digests, of the authority in which it ends, and those between the leaf and it.
    pub(crate) authorities: BTreeSet<Digest>,
}

impl Chain {
    /// Checks that each certificate beside the leaf is the root's own or one of the chain: what no chain needs could hold
    /// anything.
    pub(crate) fn check_others(&self, others: &[Vec<u8>], root: &TrustRoot) -> Result<(), Failed> {
        let is_needed =
            |other: &Vec<u8>| self.between.contains(other) || root.has_authority_certificate(other);
        match others.iter().position(|other| !is_needed(other)) {
            None => Ok(()),
            Some(position) => {
                let found = format!("certificate {} is of no chain of the root", position + 2);
                let expected = "certificates of the chain only";
                Err(Failed::at(Step::Chain, refusal(RefusalReason::BadCertificate, expected, found)))
            }
        }
    }
}

/// What a certificate says. The verifying crate's reader refuses a key of a curve that it does not know, which is nothing of
/// what is read: it gets the certificate with another key in its place, and the certificate's own key is put back.
pub(crate) fn info(leaf: &[u8]) -> Result<CertificateInfo, String> {
    let mut certificate = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let key = &mut certificate.tbs_certificate.subject_public_key_info;
    let public_key = DerPublicKey::new(key.to_der().map_err(|error| error.to_string())?);
    if KeyAlgorithm::from_spki(&public_key).is_ok() {
        return parse_certificate_info(&DerCertificate::from_bytes(leaf)).map_err(|error| error.to_string());
    }
    key.algorithm = AlgorithmIdentifierOwned { oid: ED25519, parameters: None };
    key.subject_public_key = BitString::from_bytes(&[0; 32]).map_err(|error| error.to_string())?;
    let replaced = certificate.to_der().map_err(|error| error.to_string())?;
    let mut info =
        parse_certificate_info(&DerCertificate::from_bytes(&replaced)).map_err(|error| error.to_string())?;
    info.public_key = public_key;
    Ok(info)
}

/// The key of a certificate (SubjectPublicKeyInfo in DER), where it can be read.
pub(crate) fn key_of(certificate: &[u8]) -> Option<Vec<u8>> {
    Certificate::from_der(certificate).ok()?.tbs_certificate.subject_public_key_info.to_der().ok()
}

/// The user's name in a certificate whose only name it is: Fulcio writes one for issuers without e-mail addresses.
pub(crate) fn user_name(certificate: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    match names.0.as_slice() {
        [GeneralName::OtherName(name)] if name.type_id == USER_NAME => {
            let name = name.value.decode_as::<String>().ok()?;
            Some(name).filter(|name| !name.is_empty())
        }
        _ => None,
    }
}

/// Checks that a certificate is valid at `time`.
pub(crate) fn check_validity(info: &CertificateInfo, time: Timestamp) -> Result<(), Failed> {
    if (info.not_before..=info.not_after).contains(&time) {
        return Ok(());
    }
    let expected = "a signing time inside the certificate's validity";
    Err(Failed::at(Step::Chain, refusal(RefusalReason::BadTime, expected, time.to_string())))
}

/// Verifies that `leaf` is a code-signing certificate of the root's authorities, valid at `time`.
pub(crate) fn verify_chain(
    leaf: &[u8],
    others: &[Vec<u8>],
    time: Timestamp,
    root: &TrustRoot,
    work: &mut Work,
) -> Result<Chain, Failed> {
    work.step()?;
    chain_at(leaf, others, time, root)
}

/// The same as a part of a step that was counted.
pub(crate) fn chain_at(
    leaf: &[u8],
    others: &[Vec<u8>],
    time: Timestamp,
    root: &TrustRoot,
) -> Result<Chain, Failed> {
    let authorities = root.signing_authorities();
    // A certificate of an authority is one in which chains end, while it may; it never leads on to another.
    let between: Vec<_> = others.iter().filter(|other| !authorities.have_key_of(other)).collect();
    let mut found: Option<Chain> = None;
    let mut failures = Vec::new();
    for authority in authorities.at(time) {
        match chain_of(leaf, &between, time, authority) {
            Ok(chain) => match &mut found {
                Some(found) => found.authorities.extend(chain.authorities),
                None => found = Some(chain),
            },
            Err(failed) => failures.push(failed),
        }
    }
    let none = || {
        let found = format!("none that was in force at {time}");
        Failed::at(Step::Time, refusal(RefusalReason::UntrustedSigner, ISSUED, found))
    };
    found.ok_or_else(|| failures.into_iter().max_by_key(|failed| failed.step).unwrap_or_else(none))
}

/// The chain to one authority.
fn chain_of(
    leaf: &[u8],
    between: &[&Vec<u8>],
    time: Timestamp,
    authority: &SigningAuthority,
) -> Result<Chain, Failed> {
    let bad =
        |step, reason, expected: &str, found: String| Failed::at(step, refusal(reason, expected, found));
    let anchors = authority.anchors_at(time);
    let intermediates: Vec<_> = between.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let leaf = CertificateDer::from(leaf);
    let leaf = EndEntityCert::try_from(&leaf).map_err(|error| {
        bad(Step::Shape, RefusalReason::BadCertificate, "a certificate", error.to_string())
    })?;
    let seconds = u64::try_from(time.as_second())
        .map_err(|_| bad(Step::Time, RefusalReason::BadTime, "a time since 1970", time.to_string()))?;
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let usage = KeyUsage::required(&CODE_SIGNING);
    let path = leaf
        .verify_for_usage(&ALGORITHMS, &anchors, &intermediates, time, usage, None, None)
        .map_err(|error| match error {
            webpki::Error::UnknownIssuer => {
                bad(Step::Time, RefusalReason::UntrustedSigner, ISSUED, error.to_string())
            }
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => bad(
                Step::Chain,
                RefusalReason::BadTime,
                "a signing time inside the certificate's validity",
                error.to_string(),
            ),
            error => bad(
                Step::Chain,
                RefusalReason::BadCertificate,
                "a certificate for code signing by an authority of the trust root",
                error.to_string(),
            ),
        })?;
    let issuer_key = match path.intermediate_certificates().next() {
        Some(issuer) => issuer.subject_public_key_info().as_ref().to_vec(),
        // An anchor holds the content of its key's sequence alone.
        None => Any::new(Tag::Sequence, path.anchor().subject_public_key_info.as_ref())
            .and_then(|key| key.to_der())
            .map_err(|error| {
                bad(Step::Chain, RefusalReason::BadCertificate, "an issuer's key", error.to_string())
            })?,
    };
    let between: Vec<Vec<u8>> =
        path.intermediate_certificates().map(|certificate| certificate.der().to_vec()).collect();
    let mut authorities = authority.certificates.clone();
    authorities.extend(between.iter().map(|certificate| Digest::sha256_of(certificate)));
    Ok(Chain { issuer_key, between, authorities })
}

/// Verifies the certificate's embedded transparency proof (RFC 6962, section 3.2): exactly one, by a log of the root whose
/// key was valid when it was given.
pub(crate) fn verify_transparency(leaf: &[u8], issuer_key: &[u8], root: &TrustRoot) -> Result<(), Failed> {
    check_transparency(leaf, issuer_key, root).map_err(|found| {
        let expected = "a certificate timestamp by a transparency log of the trust root";
        Failed::at(
            Step::CertificateTransparency,
            refusal(RefusalReason::BadCertificateTransparency, expected, found),
        )
    })
}

fn check_transparency(leaf: &[u8], issuer_key: &[u8], root: &TrustRoot) -> Result<(), String> {
    let certificate = Certificate::from_der(leaf).map_err(|error| error.to_string())?;
    let timestamp = certificate_timestamp(&certificate)?;
    let given_at =
        i64::try_from(timestamp.timestamp).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    let given_at = given_at.ok_or("a time out of range")?;
    let log = root
        .trusted_root()
        .ctlogs
        .iter()
        .find(|log| log.log_id.key_id.as_bytes() == timestamp.log_id.key_id)
        .filter(|log| log.public_key.valid_for.is_none_or(|window| window.contains(given_at)))
        .ok_or("one by a log that the root does not know at that time")?;
    let scheme = match (&timestamp.signature.algorithm.hash, &timestamp.signature.algorithm.signature) {
        (HashAlgorithm::Sha256, SignatureAlgorithm::Ecdsa) => SigningScheme::EcdsaP256Sha256,
        (HashAlgorithm::Sha384, SignatureAlgorithm::Ecdsa) => SigningScheme::EcdsaP384Sha384,
        (HashAlgorithm::Sha256, SignatureAlgorithm::Rsa) => SigningScheme::RsaPkcs1Sha256,
        (HashAlgorithm::Sha384, SignatureAlgorithm::Rsa) => SigningScheme::RsaPkcs1Sha384,
        (HashAlgorithm::Sha512, SignatureAlgorithm::Rsa) => SigningScheme::RsaPkcs1Sha512,
        _ => return Err("one of an unknown algorithm".to_owned()),
    };
    let key =
        VerificationKey::from_der(&log.public_key.raw_bytes, scheme).map_err(|error| error.to_string())?;
    let signed = signed_bytes(&certificate, issuer_key, &timestamp)?;
    let signature = SignatureBytes::new(timestamp.signature.signature.as_slice().to_vec());
    key.verify(signed, &signature).map_err(|error| error.to_string())
}

/// The log that gave the certificate's transparency proof.
pub(crate) fn transparency_log<'a>(
    leaf: &[u8],
    root: &'a TrustRoot,
) -> Option<&'a CertificateTransparencyLog> {
    let certificate = Certificate::from_der(leaf).ok()?;
    let timestamp = certificate_timestamp(&certificate).ok()?;
    let mut logs = root.trusted_root().ctlogs.iter();
    logs.find(|log| log.log_id.key_id.as_bytes() == timestamp.log_id.key_id)
}

/// The one transparency proof inside a certificate.
fn certificate_timestamp(certificate: &Certificate) -> Result<SignedCertificateTimestamp, String> {
    let list = match certificate.tbs_certificate.get::<SignedCertificateTimestampList>() {
        Ok(Some((_, list))) => list,
        Ok(None) => return Err("none".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let timestamps = list.parse_timestamps().map_err(|error| format!("{error:?}"))?;
    let [timestamp] = timestamps.as_slice() else {
        return Err(format!("{} of them", timestamps.len()));
    };
    timestamp.parse_timestamp().map_err(|error| format!("{error:?}"))
}

/// What the log signed: the certificate's body without the list of proofs, and the issuer's key.
fn signed_bytes(
    certificate: &Certificate,
    issuer_key: &[u8],
    timestamp: &SignedCertificateTimestamp,
) -> Result<Vec<u8>, String> {
    const VERSION_1: u8 = 0;
    const CERTIFICATE_TIMESTAMP: u8 = 0;
    const PRECERTIFICATE_ENTRY: [u8; 2] = [0, 1];
    let mut body = certificate.tbs_certificate.clone();
    body.extensions = body.extensions.map(|extensions| {
        extensions.into_iter().filter(|extension| extension.extn_id.to_string() != SCT_LIST).collect()
    });
    let body = body.to_der().map_err(|error| error.to_string())?;
    let body_length = u32::try_from(body.len()).map_err(|error| error.to_string())?.to_be_bytes();
    let extensions = timestamp.extensions.as_slice();
    let extensions_length = u16::try_from(extensions.len()).map_err(|error| error.to_string())?;

    let mut signed = vec![VERSION_1, CERTIFICATE_TIMESTAMP];
    signed.extend_from_slice(&timestamp.timestamp.to_be_bytes());
    signed.extend_from_slice(&PRECERTIFICATE_ENTRY);
    signed.extend_from_slice(Digest::sha256_of(issuer_key).bytes());
    signed.extend_from_slice(&body_length[1..]);
    signed.extend_from_slice(&body);
    signed.extend_from_slice(&extensions_length.to_be_bytes());
    signed.extend_from_slice(extensions);
    Ok(signed)
}
