//! Who made a timestamp (RFC 3161): the timestamp authorities of a root, by what timestamps call the certificates of their
//! signers.
//!
//! A root may leave a signer's certificate out, as cosign does where the chain that it is told (`--timestamp-certificate-chain`)
//! begins with a certificate authority: then each timestamp brings it along, and it is verified as one of the root is. It
//! vouches for nothing but what that authority issues it for, in the authority's own window, and is no way around another
//! authority of the root: what that has the key of is its own.

use std::collections::BTreeSet;

use bus_schema::Digest;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Bundle, DerCertificate, TsaAuthority};
use x509_cert::Certificate;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode, Encode, Tag, Tagged};
use x509_cert::ext::pkix::{BasicConstraints, SubjectKeyIdentifier};

use crate::certificate::key_of;
use crate::timestamps::{elements, fixed, signer_and_certificates};

/// The timestamp authorities of a root.
#[derive(Debug)]
pub(crate) struct Signers {
    authorities: Vec<Authority>,
    /// The keys of all their certificates (SubjectPublicKeyInfo in DER).
    keys: BTreeSet<Vec<u8>>,
}

#[derive(Debug)]
struct Authority {
    certificates: Vec<Known>,
    /// Its signers' certificates come with the timestamps.
    leaves_signer_out: bool,
}

#[derive(Debug)]
struct Known {
    certificate: Digest,
    /// Its subject in DER.
    subject: Vec<u8>,
    /// What it may be called; nothing where it cannot be read.
    names: Vec<Name>,
}

/// What a timestamp calls its signer's certificate.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    /// By its issuer and the number that this gave it, in DER.
    Number(Vec<u8>, Vec<u8>),
    KeyIdentifier(Vec<u8>),
}

impl Signers {
    pub(crate) fn of(root: &TrustedRoot) -> Signers {
        let (mut authorities, mut keys) = (Vec::new(), BTreeSet::new());
        for authority in &root.timestamp_authorities {
            let certificates = authority.cert_chain.certificates.iter().map(|one| one.raw_bytes.as_bytes());
            keys.extend(certificates.clone().filter_map(key_of));
            authorities.push(Authority {
                leaves_signer_out: certificates.clone().next().is_some_and(is_authority),
                certificates: certificates.map(Known::of).collect(),
            });
        }
        Signers { authorities, keys }
    }

    /// Whether an authority of the root leaves its signers' certificates out.
    pub(crate) fn are_left_out(&self) -> bool {
        self.authorities.iter().any(|authority| authority.leaves_signer_out)
    }

    /// The certificate that a timestamp brings along and calls its signer's, where the root may have left it out: no other
    /// is called so, neither of the root nor in the timestamp. Nothing about it is proven.
    pub(crate) fn left_out(&self, response: &[u8]) -> Option<Vec<u8>> {
        if !self.are_left_out() {
            return None;
        }
        let (name, embedded) = signer_and_certificates(response).ok()?;
        let name = Name::read(name).ok()?;
        if self.authorities.iter().any(|authority| authority.has(&name)) {
            return None;
        }
        let embedded = embedded.iter().filter_map(|certificate| certificate.to_der().ok());
        let called: Vec<Vec<u8>> = embedded.filter(|der| names(der).contains(&name)).collect();
        let [signer] = <[Vec<u8>; 1]>::try_from(called).ok()?;
        let is_known = key_of(&signer).is_none_or(|key| self.keys.contains(&key));
        (!is_known).then_some(signer)
    }

    /// The authorities that a bundle's timestamps are by, as the digests of their certificates.
    pub(crate) fn authorities(&self, bundle: &Bundle) -> BTreeSet<Digest> {
        let mut found = BTreeSet::new();
        for timestamp in &bundle.verification_material.timestamp_verification_data.rfc3161_timestamps {
            let response = timestamp.signed_timestamp.as_bytes();
            let name = signer_and_certificates(response).and_then(|(name, _)| Name::read(name)).ok();
            let left_out = self.left_out(response);
            let issuer = left_out.as_deref().and_then(issuer_of);
            let is_by = |authority: &&Authority| match &issuer {
                Some(issuer) => {
                    authority.leaves_signer_out
                        && authority.certificates.iter().any(|one| one.subject == *issuer)
                }
                None => name.as_ref().is_some_and(|name| authority.has(name)),
            };
            let named: Vec<_> = self.authorities.iter().filter(is_by).collect();
            // A signer that no certificate of the root is named like leaves every authority possible.
            let named = if named.is_empty() { self.authorities.iter().collect() } else { named };
            found.extend(named.into_iter().flat_map(|one| &one.certificates).map(|one| one.certificate));
            found.extend(left_out.as_deref().map(Digest::sha256_of));
        }
        found
    }
}

/// An authority with the signer's certificate that a timestamp brings along, where the root leaves it out.
pub(crate) fn with_signer(authority: &TsaAuthority, signer: &[u8]) -> Option<TsaAuthority> {
    if !is_authority(authority.leaf.as_bytes()) {
        return None;
    }
    let mut between = authority.intermediates.clone();
    if authority.leaf != authority.root {
        between.insert(0, authority.leaf.clone());
    }
    let signer = DerCertificate::new(signer.to_vec());
    Some(TsaAuthority::new(signer, between, authority.root.clone(), authority.valid_for))
}

impl Authority {
    fn has(&self, name: &Name) -> bool {
        self.certificates.iter().any(|one| one.names.contains(name))
    }
}

impl Known {
    fn of(der: &[u8]) -> Known {
        let subject = Certificate::from_der(der).and_then(|read| read.tbs_certificate.subject.to_der());
        Known { certificate: Digest::sha256_of(der), subject: subject.unwrap_or_default(), names: names(der) }
    }
}

impl Name {
    fn read(name: AnyRef<'_>) -> Result<Name, String> {
        if name.tag() != Tag::Sequence {
            return Ok(Name::KeyIdentifier(name.value().to_vec()));
        }
        let [issuer, number] = fixed(elements(name)?)?;
        let der = |value: AnyRef<'_>| value.to_der().map_err(|error| error.to_string());
        Ok(Name::Number(der(issuer)?, der(number)?))
    }
}

fn names(der: &[u8]) -> Vec<Name> {
    let Ok(certificate) = Certificate::from_der(der) else { return Vec::new() };
    let certificate = &certificate.tbs_certificate;
    let mut names = Vec::new();
    if let (Ok(issuer), Ok(number)) = (certificate.issuer.to_der(), certificate.serial_number.to_der()) {
        names.push(Name::Number(issuer, number));
    }
    if let Ok(Some((_, identifier))) = certificate.get::<SubjectKeyIdentifier>() {
        names.push(Name::KeyIdentifier(identifier.0.as_bytes().to_vec()));
    }
    names
}

fn issuer_of(der: &[u8]) -> Option<Vec<u8>> {
    Certificate::from_der(der).ok()?.tbs_certificate.issuer.to_der().ok()
}

/// Whether a certificate is a certificate authority's (RFC 5280, section 4.2.1.9).
fn is_authority(der: &[u8]) -> bool {
    let constraints = Certificate::from_der(der)
        .ok()
        .and_then(|certificate| certificate.tbs_certificate.get::<BasicConstraints>().ok().flatten());
    constraints.is_some_and(|(_, constraints)| constraints.ca)
}
