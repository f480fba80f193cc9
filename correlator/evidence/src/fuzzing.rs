//! Each parser of hostile bytes, and the whole of `verify`, as something that fuzzers run. Only there with the feature
//! `fuzzing`; no product enables it.
//!
//! What a target answers does not matter: it must end, without a panic, on any bytes.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bus_schema::Digest;
use correlator_core::contracts::trust_root::EmbeddedRoot;
use correlator_core::facts::Signer;
use sigstore_verify::types::{
    CanonicalizedBody, DsseEnvelope, KindVersion, LogId, LogIndex, LogKeyId, SignatureContent,
    TransparencyLogEntry,
};

use crate::bundle::UnverifiedBundle;
use crate::envelope::Envelope;
use crate::logged_body::{self, Described};
use crate::scheme::Scheme;
use crate::signature::{self, Signed};
use crate::simple_signing::Payload;
use crate::statement::Statement;
use crate::trust::{LogDemand, TrustRoot, TrustSet, TrustedKey, embedded_root, staging_root};
use crate::verify::{Unverified, attempt};
use crate::{Demands, certificate, cosign, keyless, pem, pep740, provenance, sbom, strict_json};

/// A named entry. The name is that of its program in `tests/fuzz`.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "bundle", run: |bytes| drop(UnverifiedBundle::from_json(bytes)) },
    Target { name: "envelope", run: |bytes| drop(Envelope::from_json(bytes)) },
    Target { name: "statement", run: |bytes| drop(Statement::from_json(bytes)) },
    Target { name: "simple_signing", run: |bytes| drop(Payload::from_json(bytes)) },
    Target { name: "python_attestation", run: |bytes| drop(pep740::bundle(bytes)) },
    Target { name: "older_signature", run: older_signature },
    Target { name: "provenance", run: read_provenance },
    Target { name: "sbom", run: |bytes| drop(sbom::read(bytes)) },
    Target {
        name: "pem",
        run: |bytes| drop(pem::blocks(&String::from_utf8_lossy(bytes), "CERTIFICATE", 16)),
    },
    Target { name: "strict_json", run: |bytes| drop(strict_json::check(bytes)) },
    Target { name: "trust_root", run: read_root },
    Target { name: "key", run: read_key },
    Target { name: "log_entry", run: read_log_entries },
    Target { name: "verify", run: verify_as_anything },
];

/// cosign's annotations come from a registry: the first line of the bytes is the layer, each following one an annotation.
fn older_signature(bytes: &[u8]) {
    let names = [
        "dev.cosignproject.cosign/signature",
        "dev.sigstore.cosign/bundle",
        "dev.sigstore.cosign/certificate",
        "dev.sigstore.cosign/chain",
        "dev.sigstore.cosign/rfc3161timestamp",
    ];
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(names.len() + 1, '\n');
    let layer = parts.next().unwrap_or_default().as_bytes();
    let annotations: BTreeMap<String, String> =
        names.iter().zip(parts).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect();
    drop(cosign::bundle_of_signature(layer, &annotations));
    drop(cosign::bundle_of_envelope(layer, &annotations));
}

fn read_provenance(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let signer = Signer::Key { fingerprint: Digest::Sha256([7; 32]), logged: false };
    for version in ["v0.1", "v0.2", "v1"] {
        drop(provenance::read(&format!("https://slsa.dev/provenance/{version}"), &text, &signer));
    }
}

fn read_root(bytes: &[u8]) {
    drop(TrustRoot::from_json("root", &String::from_utf8_lossy(bytes), Demands::default()));
}

fn read_key(bytes: &[u8]) {
    drop(TrustedKey::from_pem("key", &String::from_utf8_lossy(bytes), LogDemand::Required));
    drop(certificate::info(bytes));
    let _ = signature::scheme_of(bytes, bytes, Signed::Bytes(bytes));
}

/// The bytes as the body of each kind of entry; and where they are a bundle, its certificates and the bodies of its entries.
fn read_log_entries(bytes: &[u8]) {
    const KINDS: [KindVersion; 4] = [
        KindVersion::HashedRekordV001,
        KindVersion::HashedRekordV002,
        KindVersion::DsseV001,
        KindVersion::IntotoV002,
    ];
    for kind in KINDS {
        let (index, log) = (LogIndex::default(), LogId::new(LogKeyId::new(vec![7; 32])));
        let body = CanonicalizedBody::new(bytes.to_vec());
        check_log_entry(&TransparencyLogEntry::new(index, log, kind, body), None);
    }
    let Ok(read) = UnverifiedBundle::from_json(bytes) else { return };
    let envelope = match &read.bundle.content {
        SignatureContent::DsseEnvelope(envelope) => Some(envelope),
        _ => None,
    };
    for entry in &read.bundle.verification_material.tlog_entries {
        check_log_entry(entry, envelope);
    }
    for der in keyless::certificates(&read.bundle) {
        drop(certificate::info(&der));
    }
}

fn check_log_entry(entry: &TransparencyLogEntry, envelope: Option<&DsseEnvelope>) {
    for scheme in [Scheme::EcdsaP521Sha512, Scheme::Ed25519ph] {
        let described = Described {
            scheme,
            signature: b"signature",
            signed: Signed::Bytes(b"signed"),
            envelope,
            certificate: None,
            key: b"key",
        };
        drop(logged_body::check(entry, &described));
        logged_body::is_known(entry, scheme);
    }
}

/// As each form that there is: an agent may say any media type of any bytes.
fn verify_as_anything(bytes: &[u8]) {
    const MEDIA_TYPES: [&str; 6] = [
        "application/vnd.dev.sigstore.bundle.v0.3+json",
        cosign::DSSE_ENVELOPE,
        cosign::SIMPLE_SIGNING,
        pep740::MEDIA_TYPE,
        crate::envelope::IN_TOTO,
        "application/vnd.cyclonedx+json",
    ];
    let annotations = BTreeMap::new();
    for media_type in MEDIA_TYPES {
        let evidence = Unverified {
            media_type,
            artifact_type: None,
            bytes,
            annotations: &annotations,
            attached_to: Digest::Sha256([0; 32]),
        };
        // Not `verify`, which turns a panic into a refusal.
        drop(attempt(&evidence, None, trust()));
        drop(attempt(&evidence, Some(bytes), trust()));
    }
}

/// The embedded roots. They are this build's own, and a test of `trust` says that they parse.
#[expect(clippy::expect_used, reason = "a fuzzer without roots would find nothing and say so to nobody")]
fn trust() -> &'static TrustSet {
    static TRUST: OnceLock<TrustSet> = OnceLock::new();
    TRUST.get_or_init(|| {
        let embedded = EmbeddedRoot::ALL.map(|root| (root.as_str(), embedded_root(root), root.demands()));
        let staging = ("staging", staging_root(), Demands::default());
        let roots = embedded.into_iter().chain([staging]);
        let roots = roots.map(|(name, text, demands)| TrustRoot::from_json(name, text, demands));
        let roots = roots.collect::<Result<_, _>>().expect("the embedded roots parse");
        TrustSet::new(roots, Vec::new()).expect("the embedded roots make a set")
    })
}
