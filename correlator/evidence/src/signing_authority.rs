//! The certificate authorities of a trust root: in which of their certificates a chain may end, and when.
//!
//! In: the authorities, each with a chain of certificates from the lowest up and the window in which it signed
//! (sigstore/protobuf-specs, sigstore_trustroot.proto, `CertificateAuthority`). Out: for a time, what each authority that was
//! in force then vouches with. An authority is its own chain and no other: where two of a root end in the same certificate,
//! what the one signed after its window is nothing that the other signed.

use std::collections::BTreeSet;

use bus_schema::Digest;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::TimeRange;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::certificate;

/// One authority.
pub(crate) struct SigningAuthority {
    window: Option<TimeRange>,
    anchors: Vec<Anchor>,
    /// The digests of its certificates.
    pub(crate) certificates: BTreeSet<Digest>,
}

/// A certificate in which a chain may end.
struct Anchor {
    anchor: TrustAnchor<'static>,
    /// When this certificate and all above it were valid.
    valid: (Timestamp, Timestamp),
}

/// All authorities of a root.
pub(crate) struct SigningAuthorities {
    all: Vec<SigningAuthority>,
    /// The keys of all their certificates (SubjectPublicKeyInfo in DER).
    keys: BTreeSet<Vec<u8>>,
}

impl SigningAuthorities {
    pub(crate) fn of(root: &TrustedRoot) -> Result<SigningAuthorities, String> {
        let (mut all, mut keys) = (Vec::new(), BTreeSet::new());
        for authority in &root.certificate_authorities {
            let mut anchors = Vec::new();
            let mut certificates = BTreeSet::new();
            let mut valid = (Timestamp::MIN, Timestamp::MAX);
            // From the highest down, so that each meets the validity of those above it.
            for certificate in authority.cert_chain.certificates.iter().rev() {
                let bytes = certificate.raw_bytes.as_bytes();
                let read = Certificate::from_der(bytes).map_err(|error| error.to_string())?.tbs_certificate;
                let own = (
                    time(read.validity.not_before.to_unix_duration())?,
                    time(read.validity.not_after.to_unix_duration())?,
                );
                valid = (valid.0.max(own.0), valid.1.min(own.1));
                let der = CertificateDer::from(bytes);
                let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|error| error.to_string())?;
                anchors.push(Anchor { anchor: anchor.to_owned(), valid });
                certificates.insert(Digest::sha256_of(bytes));
                keys.insert(read.subject_public_key_info.to_der().map_err(|error| error.to_string())?);
            }
            all.push(SigningAuthority { window: authority.valid_for, anchors, certificates });
        }
        Ok(SigningAuthorities { all, keys })
    }

    /// Those that were in force at a time.
    pub(crate) fn at(&self, time: Timestamp) -> impl Iterator<Item = &SigningAuthority> {
        self.all.iter().filter(move |authority| authority.window.is_none_or(|window| window.contains(time)))
    }

    /// Whether a certificate has the key of one of theirs: as a link between others it would carry an authority beyond its
    /// own window.
    pub(crate) fn have_key_of(&self, certificate: &[u8]) -> bool {
        certificate::key_of(certificate).is_some_and(|key| self.keys.contains(&key))
    }
}

impl SigningAuthority {
    /// The certificates that a chain may end in at a time.
    pub(crate) fn anchors_at(&self, time: Timestamp) -> Vec<TrustAnchor<'static>> {
        let valid = |anchor: &&Anchor| (anchor.valid.0..=anchor.valid.1).contains(&time);
        self.anchors.iter().filter(valid).map(|anchor| anchor.anchor.clone()).collect()
    }
}

fn time(since_epoch: std::time::Duration) -> Result<Timestamp, String> {
    let seconds = i64::try_from(since_epoch.as_secs()).map_err(|error| error.to_string())?;
    Timestamp::from_second(seconds).map_err(|error| error.to_string())
}
