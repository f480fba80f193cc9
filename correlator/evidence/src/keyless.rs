//! Signatures by a certificate that Fulcio issued for one identity and a few minutes.

use correlator_core::facts::{Refusal, RefusalReason, Signer};
use sigstore_verify::VerificationPolicy;
use sigstore_verify::crypto::KeyAlgorithm;
use sigstore_verify::types::{Bundle, DerPublicKey, SignatureContent, VerificationMaterialContent};
use x509_cert::der::{Decode, Encode};

use crate::proof::{Artifact, Proof, furthest};
use crate::refusal::{Failed, Step, from_sigstore, malformed, refusal, unsupported};
use crate::signature::{Signed, Unfitting};
use crate::trust::{TrustRoot, TrustSet};
use crate::work::Work;
use crate::{certificate, claims, key_names, log_entries, rests_on, signature, timestamps};

/// Verifies the bundle against each root until one fits. Who may sign is judged by the core, from the claims.
pub(crate) fn prove(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    trust: &TrustSet,
    work: &mut Work,
) -> Result<Proof, Refusal> {
    check_key_kind(bundle)?;
    let mut failures = Vec::new();
    for root in trust.roots() {
        match attempt(bundle, artifact, root, work) {
            Ok(proof) => return Ok(proof),
            Err(failed) => failures.push(failed),
        }
    }
    let refused = furthest(failures, "a trust root that issued the certificate");
    Err(other_scheme(bundle, artifact)
        .filter(|_| refused.reason == RefusalReason::BadSignature)
        .unwrap_or(refused))
}

/// A certificate's key of a kind that the verifying crate does not know is no forgery.
fn check_key_kind(bundle: &Bundle) -> Result<(), Refusal> {
    let Some(key) = certificate_key(bundle) else { return Ok(()) };
    KeyAlgorithm::from_spki(&DerPublicKey::new(key)).map(|_| ()).map_err(|error| {
        unsupported("a certificate's key of ECDSA P-256 or P-384, Ed25519 or RSA", error.to_string())
    })
}

/// Neither is a signature by a scheme that the verifying crate does not try with the certificate's key.
fn other_scheme(bundle: &Bundle, artifact: Artifact<'_>) -> Option<Refusal> {
    let key = certificate_key(bundle)?;
    let expected = "a signature by the usual scheme of the certificate's key";
    let found = match (&bundle.content, artifact) {
        (SignatureContent::DsseEnvelope(envelope), _) => {
            let signed = sigstore_verify::types::pae(&envelope.payload_type, envelope.payload.as_bytes());
            signature::scheme_of(&key, envelope.signature.sig.as_bytes(), Signed::Bytes(&signed))
        }
        (SignatureContent::MessageSignature(message), Artifact::Bytes(bytes)) => {
            signature::scheme_of(&key, message.signature.as_bytes(), Signed::Bytes(bytes))
        }
        (SignatureContent::MessageSignature(message), Artifact::Digest(digest)) => {
            signature::scheme_of(&key, message.signature.as_bytes(), Signed::Digest(digest))
        }
        _ => return None,
    };
    match found {
        Ok(Some(scheme)) => Some(unsupported(expected, scheme.name())),
        Err(Unfitting::Unsupported(what)) => Some(unsupported(expected, what)),
        Ok(None) | Err(Unfitting::Another) => None,
    }
}

/// The key of the signer's certificate (SubjectPublicKeyInfo in DER), where it can be read.
fn certificate_key(bundle: &Bundle) -> Option<Vec<u8>> {
    let leaf = certificates(bundle).into_iter().next()?;
    let leaf = x509_cert::Certificate::from_der(&leaf).ok()?;
    leaf.tbs_certificate.subject_public_key_info.to_der().ok()
}

/// The steps of sigstore/docs "Sigstore client specification", section "Verification". Those in brackets are the crate's.
fn attempt(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    root: &TrustRoot,
    work: &mut Work,
) -> Result<Proof, Failed> {
    let demands = root.demands();

    // 1. ["Time"] Establish the signing times from timestamps (RFC 3161) and inclusion promises.
    // 2. ["Certificate"] Chain to the root at each of these times, code signing, validity; the SCT (RFC 6962).
    // 3. ["Transparency Log Entry"] Inclusion proof (RFC 9162, 2.1.3), checkpoint, promise; its time inside the
    //    certificate's validity. Entries that are there verify, even where the root does not demand one.
    // 4. ["Signature"] The certificate's key signed the artifact, or the envelope whose statement names it.
    // 5. The entry's body is about this certificate, signature and payload (CVE-2022-36056).
    let mut policy = VerificationPolicy::any_identity();
    if !demands.certificate_transparency {
        policy = policy.skip_sct();
    }
    let has_entries = !bundle.verification_material.tlog_entries.is_empty();
    if !demands.log && !has_entries {
        policy = policy.skip_tlog_unsafe();
    }
    work.step()?;
    let result = run(bundle, artifact, root, &policy)?;
    if !result.certificate_verified()
        || (demands.certificate_transparency && !result.sct_verified())
        || ((demands.log || has_entries) && !result.tlog_verified())
    {
        return Err(Failed::at(
            Step::Chain,
            refusal(RefusalReason::BadCertificate, "all that the root demands", "less"),
        ));
    }

    // 6. A time is proven.
    let times = result.verified_timestamps();
    let Some(signed_at) = times.iter().min().copied() else {
        return Err(Failed::at(Step::Time, refusal(RefusalReason::BadTime, "a signed time", "none")));
    };

    // 7. Each certificate beside the signer's is the root's own, or is needed for the chain.
    let certificates = certificates(bundle);
    let Some((leaf, others)) = certificates.split_first() else {
        return Err(Failed::at(Step::Shape, unsupported("a signing certificate", "none")));
    };
    let chain = certificate::verify_chain(leaf, others, signed_at, root, work)?;
    chain.check_others(others, root)?;

    // 8. Each entry's own log vouches for it, with a key that was valid then; timestamps hold nothing unsigned.
    log_entries::check_against(bundle, root.trusted_root(), times)
        .and_then(|()| timestamps::check_against(bundle, root.trusted_root()))
        .map_err(|refused| Failed::at(Step::Binding, refused))?;

    // 9. The certificate names an issuer and a subject, and is what the envelope's key id names.
    let info = result.certificate();
    let key = info.map_or(&[] as &[u8], |certificate| certificate.public_key.as_bytes());
    check_key_id(bundle, key).map_err(|refused| Failed::at(Step::Binding, refused))?;
    let claims = info.and_then(claims::of).ok_or_else(|| {
        let refused = refusal(
            RefusalReason::BadCertificate,
            "an issuer and a subject in the certificate",
            "neither or one",
        );
        Failed::at(Step::Binding, refused)
    })?;
    let mut rests_on = rests_on::of_bundle(bundle, root);
    rests_on::add_certificate(&mut rests_on, leaf, &chain, root, result.sct_verified());
    Ok(Proof {
        signer: Signer::Keyless(Box::new(claims)),
        signed_at: Some(signed_at),
        root: Some(root.version().clone()),
        rests_on,
    })
}

/// The signer's certificate and those beside it, in DER.
pub(crate) fn certificates(bundle: &Bundle) -> Vec<Vec<u8>> {
    match &bundle.verification_material.content {
        VerificationMaterialContent::Certificate(certificate) => {
            vec![certificate.raw_bytes.as_bytes().to_vec()]
        }
        VerificationMaterialContent::X509CertificateChain { certificates } => {
            certificates.iter().map(|certificate| certificate.raw_bytes.as_bytes().to_vec()).collect()
        }
        _ => Vec::new(),
    }
}

/// An envelope may name its key; then it is the certificate's. Nothing signs that name, so no other is let through.
pub(crate) fn check_key_id(bundle: &Bundle, key: &[u8]) -> Result<(), Refusal> {
    let SignatureContent::DsseEnvelope(envelope) = &bundle.content else {
        return Ok(());
    };
    let key_id = envelope.signature.keyid.as_str();
    if key_id.is_empty() || key_names::names(key_id, key) {
        return Ok(());
    }
    Err(malformed("no key id, or that of the certificate's key", key_id))
}

fn run(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    root: &TrustRoot,
    policy: &VerificationPolicy,
) -> Result<sigstore_verify::VerificationResult, Failed> {
    let result = match artifact {
        Artifact::Bytes(bytes) => root.verifier().verify(bytes, bundle, policy),
        Artifact::Digest(_) => {
            let digest = artifact.to_sigstore().map_err(|refused| Failed::at(Step::Shape, refused))?;
            root.verifier().verify(digest, bundle, policy)
        }
    };
    result.map_err(|error| from_sigstore(&error))
}
