//! Signatures by a certificate that Fulcio issued for one identity and a few minutes.

use correlator_core::facts::{Refusal, RefusalReason, Signer};
use jiff::Timestamp;
use sigstore_verify::VerificationPolicy;
use sigstore_verify::crypto::{CertificateInfo, KeyAlgorithm};
use sigstore_verify::types::{Bundle, DerPublicKey, SignatureContent, VerificationMaterialContent};

use crate::given::{Given, Signature};
use crate::proof::{Artifact, Proof, furthest};
use crate::refusal::{Failed, Step, from_sigstore, malformed, refusal, unsupported};
use crate::signature::{self, Unfitting};
use crate::trust::{TrustRoot, TrustSet};
use crate::work::Work;
use crate::{certificate, claims, key_names, log_entries, logged_body, other_schemes, rests_on, timestamps};

/// Verifies the bundle against each root until one fits. Who may sign is judged by the core, from the claims.
pub(crate) fn prove(given: &Given<'_>, trust: &TrustSet, work: &mut Work) -> Result<Proof, Refusal> {
    let certificates = certificates(given.bundle());
    let key = certificates.first().and_then(|leaf| certificate::key_of(leaf)).unwrap_or_default();
    let scheme = signature::scheme_of(&key, given.bytes, given.signed);
    let signature = Signature { given: *given, scheme, key: &key };
    let is_beyond_crate = is_beyond_crate(&signature, &certificates)?;
    let mut failures = Vec::new();
    for root in trust.roots() {
        let verifier = if is_beyond_crate || other_schemes::is_needed(&signature, root) {
            Verifier::Own
        } else {
            Verifier::Crate
        };
        match attempt(&signature, &certificates, verifier, root, work) {
            Ok(proof) => return Ok(proof),
            Err(failed) => failures.push(failed),
        }
    }
    let refused = furthest(failures, "a trust root that issued the certificate");
    // What only this version cannot verify is no forgery.
    Err(match scheme {
        Err(unfitting @ Unfitting::Unsupported(_)) if refused.reason == RefusalReason::BadSignature => {
            unfitting.refused()
        }
        _ => refused,
    })
}

/// What is asked to verify a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verifier {
    Crate,
    Own,
}

/// Whether the verifying crate has no words for these certificates or what their key signed, whatever the root. A kind of
/// key that [`other_schemes`] does not know either is refused at once.
fn is_beyond_crate(signature: &Signature<'_>, certificates: &[Vec<u8>]) -> Result<bool, Refusal> {
    // What cannot be read is the crate's to refuse.
    if signature.key.is_empty() {
        return Ok(false);
    }
    let is_known_key = KeyAlgorithm::from_spki(&DerPublicKey::new(signature.key.to_vec())).is_ok();
    let is_p521 = |other: &Vec<u8>| certificate::key_of(other).is_some_and(|key| signature::is_p521(&key));
    match signature.scheme {
        _ if signature.given.is_more_stamped() || certificates.iter().skip(1).any(is_p521) => Ok(true),
        Err(Unfitting::Another) if !is_known_key => Ok(true),
        Err(Unfitting::Unsupported(what)) if !is_known_key => {
            Err(unsupported("a certificate's key of ECDSA, Ed25519 or RSA", what))
        }
        _ => Ok(false),
    }
}

/// A bundle whose certificate, log entries and signature verified against a root.
#[derive(Debug)]
pub(crate) struct Certified {
    /// All times that are vouched for.
    pub(crate) times: Vec<Timestamp>,
    pub(crate) info: CertificateInfo,
    /// A log of certificates vouches for the certificate.
    pub(crate) is_published: bool,
}

/// The steps of sigstore/architecture-docs, client-spec.md, section 4. The first four are the verifying crate's, or for
/// what it has no words for those of [`other_schemes`]:
///
/// 1. \[4.2\] Establish the signing times from timestamps (RFC 3161) and inclusion promises.
/// 2. \[4.3\] Chain to the root at each of these times, code signing, validity; the SCT (RFC 6962).
/// 3. \[4.4\] Inclusion proof (RFC 9162, 2.1.3), checkpoint, promise; its time inside the certificate's validity. Entries
///    that are there verify, even where the root does not demand one.
/// 4. \[4.5\] The certificate's key signed the artifact, or the envelope whose statement names it.
fn attempt(
    signature: &Signature<'_>,
    certificates: &[Vec<u8>],
    verifier: Verifier,
    root: &TrustRoot,
    work: &mut Work,
) -> Result<Proof, Failed> {
    let bundle = signature.given.bundle();
    let Certified { times, info, is_published } = match verifier {
        Verifier::Crate => by_crate(&signature.given, root, work)?,
        Verifier::Own => other_schemes::by_certificate(signature, certificates, root, work)?,
    };

    let Some((leaf, others)) = certificates.split_first() else {
        return Err(Failed::at(Step::Shape, unsupported("a signing certificate", "none")));
    };

    // 5. [4.4] Each entry's body is about this certificate, signature and payload (CVE-2022-36056).
    logged_body::check_all(signature, Some(leaf))?;

    // 6. A time is proven.
    let Some(signed_at) = times.iter().min().copied() else {
        return Err(Failed::at(Step::Time, refusal(RefusalReason::BadTime, "a signed time", "none")));
    };

    // 7. Chain to one authority of the root at each of the times; each certificate beside the signer's is the root's own, or
    //    is needed for the chain.
    let mut chain = certificate::verify_chain(leaf, others, signed_at, root, work)?;
    chain.check_others(others, root)?;
    for time in times.iter().filter(|time| **time != signed_at) {
        chain.authorities.extend(certificate::chain_at(leaf, others, *time, root)?.authorities);
    }

    // 8. Each entry's own log vouches for it, with a key that was valid then; timestamps hold nothing unsigned.
    log_entries::check_against(bundle, root, &times)
        .and_then(|()| timestamps::check_against(bundle, root))
        .map_err(|refused| Failed::at(Step::Binding, refused))?;

    // 9. The certificate names a subject, and is what the envelope's key id names.
    check_key_id(bundle, info.public_key.as_bytes()).map_err(|refused| Failed::at(Step::Binding, refused))?;
    let claims = claims::of(leaf, &info).ok_or_else(|| {
        let refused = refusal(RefusalReason::BadCertificate, "a subject in the certificate", "none");
        Failed::at(Step::Binding, refused)
    })?;
    let mut rests_on = rests_on::of_bundle(bundle, root);
    rests_on::add_certificate(&mut rests_on, leaf, &chain, root, is_published);
    Ok(Proof {
        signer: Signer::Keyless(Box::new(claims)),
        signed_at: Some(signed_at),
        root: Some(root.version().clone()),
        rests_on,
    })
}

/// The steps 1 to 4 by the verifying crate.
fn by_crate(given: &Given<'_>, root: &TrustRoot, work: &mut Work) -> Result<Certified, Failed> {
    let demands = root.demands();
    let mut policy = VerificationPolicy::any_identity();
    if !demands.certificate_transparency {
        policy = policy.skip_sct();
    }
    let has_entries = !given.bundle().verification_material.tlog_entries.is_empty();
    if !demands.log && !has_entries {
        policy = policy.skip_tlog_unsafe();
    }
    work.step()?;
    let result = run(given, root, &policy)?;
    let is_less = !result.certificate_verified()
        || (demands.certificate_transparency && !result.sct_verified())
        || ((demands.log || has_entries) && !result.tlog_verified());
    match result.certificate() {
        Some(info) if !is_less => Ok(Certified {
            times: result.verified_timestamps().to_vec(),
            info: info.clone(),
            is_published: result.sct_verified(),
        }),
        _ => Err(Failed::at(
            Step::Chain,
            refusal(RefusalReason::BadCertificate, "all that the root demands", "less"),
        )),
    }
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
    given: &Given<'_>,
    root: &TrustRoot,
    policy: &VerificationPolicy,
) -> Result<sigstore_verify::VerificationResult, Failed> {
    let result = match given.artifact {
        Artifact::Bytes(bytes) => root.verifier().verify(bytes, given.bundle(), policy),
        Artifact::Digest(_) => {
            let digest = given.artifact.to_sigstore().map_err(|refused| Failed::at(Step::Shape, refused))?;
            root.verifier().verify(digest, given.bundle(), policy)
        }
    };
    result.map_err(|error| from_sigstore(&error))
}
