//! What was signed with a certificate in forms from before bundles: with a log entry of an older kind, or envelopes with
//! nothing that dates them. The steps are those of [`crate::keyless`], each made here.
//!
//! An envelope without log entry and timestamp proves that its key signed, not when: whoever gets hold of the key after
//! the certificate ended could sign too. It verifies only under a root whose contract demands neither log nor time.

use correlator_core::facts::{Refusal, RefusalReason, RootParts, Signer};
use jiff::Timestamp;
use sigstore_verify::crypto::CertificateInfo;

use crate::bundle::{Content, UnverifiedBundle};
use crate::given::Given;
use crate::older_entry::{LoggedSigner, OlderEntry};
use crate::proof::{Proof, furthest};
use crate::refusal::{Failed, Step, refusal, unsupported};
use crate::trust::{TrustRoot, TrustSet};
use crate::work::Work;
use crate::{certificate, claims, keyless, rests_on, signature};

/// Whether a bundle is of these forms: by a certificate with an older entry, or with no entry and no timestamp.
pub(crate) fn is_one(bundle: &UnverifiedBundle) -> bool {
    let material = &bundle.bundle.verification_material;
    let undated = material.tlog_entries.is_empty()
        && material.timestamp_verification_data.rfc3161_timestamps.is_empty();
    bundle.key_hint.is_none() && (bundle.older_entry.is_some() || undated)
}

pub(crate) fn prove(given: &Given<'_>, trust: &TrustSet, work: &mut Work) -> Result<Proof, Refusal> {
    let bundle = given.unverified;
    if matches!(bundle.content, Content::Message) && bundle.older_entry.is_none() {
        return Err(refusal(RefusalReason::BadLogEntry, "a log entry or a timestamp", "neither"));
    }
    let certificates = keyless::certificates(given.bundle());
    let Some((leaf, others)) = certificates.split_first() else {
        return Err(unsupported("a signing certificate", "none"));
    };
    let mut failures = Vec::new();
    for root in trust.roots() {
        match attempt(given, leaf, others, root, work) {
            Ok(proof) => return Ok(proof),
            Err(failed) => failures.push(failed),
        }
    }
    Err(furthest(failures, "a trust root that issued the certificate"))
}

fn attempt(
    given: &Given<'_>,
    leaf: &[u8],
    others: &[Vec<u8>],
    root: &TrustRoot,
    work: &mut Work,
) -> Result<Proof, Failed> {
    let older_entry = given.unverified.older_entry.as_ref();
    let demands = root.demands();
    let info = certificate::info(leaf).map_err(|found| {
        Failed::at(Step::Shape, refusal(RefusalReason::BadCertificate, "a certificate", found))
    })?;

    // 1. The time: what the log promised; or, where the root demands no time, the certificate's own beginning.
    let (time, signed_at) = signing_time(older_entry, &info, root)?;

    // 2. Chain, code signing and validity at that time; the transparency proof.
    let chain = certificate::verify_chain(leaf, others, time, root, work)?;
    certificate::check_validity(&info, time)?;
    if demands.certificate_transparency {
        certificate::verify_transparency(leaf, &chain.issuer_key, root)?;
    }

    // 3. Certificates beside the signer's are the root's own, or needed for the chain.
    chain.check_others(others, root)?;

    // 4. The certificate's key signed the content.
    let scheme = signature::scheme_of(info.public_key.as_bytes(), given.bytes, given.signed);
    let scheme = scheme.map_err(|unfitting| Failed::at(Step::Signature, unfitting.refused()))?;

    // 5. The entry is about this content and certificate (CVE-2022-36056), by a scheme that logs verify it by.
    if let Some(entry) = older_entry {
        entry
            .check_body(given.logged_content(), scheme, LoggedSigner::Certificate(leaf))
            .map_err(|refused| Failed::at(Step::Binding, refused))?;
    }

    // 6. The certificate names a subject, and is what the envelope's key id names.
    keyless::check_key_id(given.bundle(), info.public_key.as_bytes())
        .map_err(|refused| Failed::at(Step::Binding, refused))?;
    let claims = claims::of(leaf, &info).ok_or_else(|| {
        let refused = refusal(RefusalReason::BadCertificate, "a subject in the certificate", "none");
        Failed::at(Step::Binding, refused)
    })?;
    let mut rests_on = RootParts::default();
    rests_on.logs.extend(older_entry.iter().flat_map(|entry| rests_on::log(&entry.log_id, root)));
    rests_on::add_certificate(&mut rests_on, leaf, &chain, root, demands.certificate_transparency);
    Ok(Proof {
        signer: Signer::Keyless(Box::new(claims)),
        signed_at,
        root: Some(root.version().clone()),
        rests_on,
    })
}

fn signing_time(
    entry: Option<&OlderEntry>,
    certificate: &CertificateInfo,
    root: &TrustRoot,
) -> Result<(Timestamp, Option<Timestamp>), Failed> {
    if let Some(entry) = entry {
        let time = entry.verify_promise(root)?;
        return Ok((time, Some(time)));
    }
    let demands = root.demands();
    if demands.log {
        let refused = refusal(RefusalReason::BadLogEntry, "a log entry with its proof", "none");
        return Err(Failed::at(Step::Shape, refused));
    }
    if demands.signed_time {
        let expected = "a time that a log or a timestamp authority vouches for";
        return Err(Failed::at(Step::Shape, refusal(RefusalReason::BadTime, expected, "none")));
    }
    Ok((certificate.not_before, None))
}
