//! Signatures by a certificate that Fulcio issued for one identity and a few minutes.

use correlator_core::facts::{Refusal, RefusalReason, Signer};
use sigstore_verify::VerificationPolicy;
use sigstore_verify::types::{Bundle, SignatureContent, VerificationMaterialContent};

use crate::proof::{Artifact, Proof, furthest};
use crate::refusal::{Failed, Step, from_sigstore, malformed, refusal};
use crate::trust::{TrustRoot, TrustSet};
use crate::{claims, key_names, log_entries, timestamps};

/// Verifies the bundle against each root until one fits. Who may sign is judged by the core, from the claims.
pub(crate) fn prove(bundle: &Bundle, artifact: Artifact<'_>, trust: &TrustSet) -> Result<Proof, Refusal> {
    let mut failures = Vec::new();
    for root in trust.roots() {
        match attempt(bundle, artifact, root) {
            Ok(proof) => return Ok(proof),
            Err(failed) => failures.push(failed),
        }
    }
    Err(furthest(failures, "a trust root that issued the certificate"))
}

/// The steps of sigstore/docs "Sigstore client specification", section "Verification". Those in brackets are the crate's.
fn attempt(bundle: &Bundle, artifact: Artifact<'_>, root: &TrustRoot) -> Result<Proof, Failed> {
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

    // 6. Each certificate beside the signer's is the root's own, or is needed for the chain.
    check_chain(bundle, artifact, root, &policy)?;

    // 7. Each entry's own log vouches for it, with a key that was valid then; timestamps hold nothing unsigned.
    let times = result.verified_timestamps();
    log_entries::check_against(bundle, root.trusted_root(), times)
        .and_then(|()| timestamps::check_against(bundle, root.trusted_root()))
        .map_err(|refused| Failed::at(Step::Binding, refused))?;

    // 8. A time is proven.
    let signed_at = times.iter().min().copied();
    if signed_at.is_none() {
        return Err(Failed::at(Step::Time, refusal(RefusalReason::BadTime, "a signed time", "none")));
    }

    // 9. The certificate names an issuer and a subject, and is what the envelope's key id names.
    let certificate = result.certificate();
    let key = certificate.map_or(&[] as &[u8], |certificate| certificate.public_key.as_bytes());
    check_key_id(bundle, key).map_err(|refused| Failed::at(Step::Binding, refused))?;
    let claims = certificate.and_then(claims::of).ok_or_else(|| {
        let refused = refusal(
            RefusalReason::BadCertificate,
            "an issuer and a subject in the certificate",
            "neither or one",
        );
        Failed::at(Step::Binding, refused)
    })?;
    Ok(Proof { signer: Signer::Keyless(Box::new(claims)), signed_at, root: Some(root.version().clone()) })
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

/// A certificate that no chain needs could hold anything: it must be one that the root holds too.
fn check_chain(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    root: &TrustRoot,
    policy: &VerificationPolicy,
) -> Result<(), Failed> {
    let VerificationMaterialContent::X509CertificateChain { certificates } =
        &bundle.verification_material.content
    else {
        return Ok(());
    };
    for (position, certificate) in certificates.iter().enumerate().skip(1) {
        if root.has_authority_certificate(certificate.raw_bytes.as_bytes()) {
            continue;
        }
        let mut others = certificates.clone();
        others.remove(position);
        let mut without = bundle.clone();
        without.verification_material.content =
            VerificationMaterialContent::X509CertificateChain { certificates: others };
        if run(&without, artifact, root, policy).is_ok() {
            let refused = refusal(
                RefusalReason::BadCertificate,
                "certificates of the chain only",
                format!("certificate {} is of no chain of the root", position + 1),
            );
            return Err(Failed::at(Step::Chain, refused));
        }
    }
    Ok(())
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
