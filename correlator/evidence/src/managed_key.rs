//! Signatures by a key of the contracts.

use correlator_core::facts::{Refusal, RefusalReason, RootParts, Signer};
use jiff::Timestamp;
use sigstore_verify::PublicKeyVerificationPolicy;

use crate::bundle::Content;
use crate::given::{Given, Signature};
use crate::older_entry::{LoggedContent, LoggedSigner, OlderEntry};
use crate::proof::{Artifact, Proof, furthest};
use crate::refusal::{Failed, Step, from_sigstore, refusal, shown, unsupported};
use crate::scheme::Scheme;
use crate::signature::{self, Signed, Unfitting};
use crate::trust::{LogDemand, TrustRoot, TrustSet, TrustedKey};
use crate::work::Work;
use crate::{key_names, log_entries, logged_body, other_schemes, rests_on, signature_pair, timestamps};

/// Verifies the bundle with each key that its names leave possible, until one fits.
pub(crate) fn prove(
    given: &Given<'_>,
    hint: &str,
    trust: &TrustSet,
    work: &mut Work,
) -> Result<Proof, Refusal> {
    let key_id = match &given.unverified.content {
        Content::Envelope(envelope) => envelope.key_id.as_str(),
        Content::Message => "",
    };
    let called = [hint, key_id];
    let keys = key_names::candidates(&called, trust.keys());
    if trust.keys().is_empty() {
        let expected = "a certificate: nobody expects a key";
        return Err(refusal(
            RefusalReason::UntrustedSigner,
            expected,
            "a signature without one, as keys make it",
        ));
    }
    if keys.is_empty() {
        let expected: Vec<String> = trust.keys().iter().map(key_names::shown).collect();
        let found = match key_names::unanswered(&called, trust.keys()) {
            Some(name) => format!("a key named {}", shown(name)),
            None if called == ["", ""] => "a key without a name".to_owned(),
            None => format!("two keys, named {} and {}", shown(hint), shown(key_id)),
        };
        return Err(refusal(
            RefusalReason::UntrustedSigner,
            format!("one of the keys {}", expected.join(", ")),
            found,
        ));
    }
    let mut failures = Vec::new();
    for key in keys {
        match attempt(given, key, trust, work) {
            Ok(proof) => return Ok(proof),
            Err(failed) => failures.push(failed),
        }
    }
    Err(furthest(failures, "a configured key"))
}

fn attempt(given: &Given<'_>, key: &TrustedKey, trust: &TrustSet, work: &mut Work) -> Result<Proof, Failed> {
    // 1. The key signed the artifact or the envelope. First, so that a key which did not sign has no other say.
    work.step()?;
    other_schemes::check_message_digest(given.bundle(), given.signed)?;
    let scheme = check_signature(given.bytes, given.signed, key)?;
    let signature = Signature { given: *given, scheme: Ok(scheme), key: key.der().as_bytes() };

    // 2. A log entry, where there is one in a log that some root knows, verifies with it in all its parts.
    let material = &given.bundle().verification_material;
    let entries = &material.tlog_entries;
    let knows_logs =
        |root: &&TrustRoot| entries.iter().all(|entry| root.knows_log(entry.log_id.key_id.as_bytes()));
    if !entries.is_empty() {
        let roots: Vec<&TrustRoot> = trust.roots().filter(knows_logs).collect();
        if !roots.is_empty() {
            return with_roots(&signature, key, &roots, true, work);
        }
    }
    let older_entry = given.unverified.older_entry.as_ref();
    if let Some(entry) = older_entry {
        let roots: Vec<&TrustRoot> = trust.roots().filter(|root| root.knows_log(&entry.log_id)).collect();
        if !roots.is_empty() {
            return with_older_entry(entry, given.logged_content(), scheme, key, &roots);
        }
    }
    if key.log() == LogDemand::Required {
        let found = if entries.is_empty() && older_entry.is_none() {
            "none"
        } else {
            "an entry in a log that no trust root knows"
        };
        let refused = refusal(RefusalReason::BadLogEntry, "a log entry for the key's signature", found);
        return Err(Failed::at(Step::Log, refused));
    }

    // 3. A timestamp, where there is one and some root has authorities, verifies too.
    let stamped = !material.timestamp_verification_data.rfc3161_timestamps.is_empty();
    let has_authorities = |root: &&TrustRoot| !root.trusted_root().timestamp_authorities.is_empty();
    if stamped && entries.is_empty() {
        let roots: Vec<&TrustRoot> = trust.roots().filter(has_authorities).collect();
        if !roots.is_empty() {
            return with_roots(&signature, key, &roots, false, work);
        }
    }
    Ok(Proof { signer: signer(key, false), signed_at: None, root: None, rests_on: RootParts::default() })
}

/// Log entries, promises and timestamps, by the steps of [`crate::keyless`] that do not concern a certificate.
fn with_roots(
    signature: &Signature<'_>,
    key: &TrustedKey,
    roots: &[&TrustRoot],
    is_logged: bool,
    work: &mut Work,
) -> Result<Proof, Failed> {
    let bundle = signature.given.bundle();
    let mut failures = Vec::new();
    for root in roots {
        let times = if other_schemes::is_needed(signature, root) {
            other_schemes::by_key(signature, is_logged, root, work)
        } else {
            by_crate(&signature.given, key, is_logged, root, work)
        };
        let times = match times {
            Ok(times) => times,
            Err(failed) => {
                failures.push(failed);
                continue;
            }
        };
        logged_body::check_all(signature, None)?;
        log_entries::check_against(bundle, root, &times)
            .and_then(|()| timestamps::check_against(bundle, root))
            .map_err(|refused| Failed::at(Step::Binding, refused))?;
        return Ok(Proof {
            signer: signer(key, is_logged),
            signed_at: times.iter().min().copied(),
            root: Some(root.version().clone()),
            rests_on: rests_on::of_bundle(bundle, root),
        });
    }
    let refused = furthest(failures, "a trust root that knows the log");
    Err(Failed::at(Step::Binding, refused))
}

/// A log entry of an older kind: the log's promise, and that it is about this content and this key.
fn with_older_entry(
    entry: &OlderEntry,
    content: LoggedContent<'_>,
    scheme: Scheme,
    key: &TrustedKey,
    roots: &[&TrustRoot],
) -> Result<Proof, Failed> {
    let mut failures = Vec::new();
    for root in roots {
        let time = match entry.verify_promise(root) {
            Ok(time) => time,
            Err(failed) => {
                failures.push(failed);
                continue;
            }
        };
        entry
            .check_body(content, scheme, LoggedSigner::Key(key.der().as_bytes()))
            .map_err(|refused| Failed::at(Step::Binding, refused))?;
        let logs = rests_on::log(&entry.log_id, root);
        return Ok(Proof {
            signer: signer(key, true),
            signed_at: Some(time),
            root: Some(root.version().clone()),
            rests_on: RootParts { logs, ..RootParts::default() },
        });
    }
    let refused = furthest(failures, "a trust root that knows the log");
    Err(Failed::at(Step::Binding, refused))
}

/// The times that the verifying crate finds proven.
fn by_crate(
    given: &Given<'_>,
    key: &TrustedKey,
    is_logged: bool,
    root: &TrustRoot,
    work: &mut Work,
) -> Result<Vec<Timestamp>, Failed> {
    let mut policy = PublicKeyVerificationPolicy::new(key.der().clone());
    if !is_logged {
        policy = policy.skip_tlog_unsafe();
    }
    work.step()?;
    let result = match given.artifact {
        Artifact::Bytes(bytes) => root.verifier().verify(bytes, given.bundle(), &policy),
        Artifact::Digest(_) => {
            let digest = given.artifact.to_sigstore().map_err(|refused| Failed::at(Step::Shape, refused))?;
            root.verifier().verify(digest, given.bundle(), &policy)
        }
    };
    let result = result.map_err(|error| from_sigstore(&error))?;
    if result.tlog_verified() != is_logged {
        return Err(Failed::at(
            Step::Log,
            refusal(RefusalReason::BadLogEntry, "a verified log entry", "none"),
        ));
    }
    Ok(result.verified_timestamps().to_vec())
}

fn signer(key: &TrustedKey, logged: bool) -> Signer {
    Signer::Key { fingerprint: key.fingerprint(), logged }
}

fn check_signature(bytes: &[u8], signed: Signed<'_>, key: &TrustedKey) -> Result<Scheme, Failed> {
    let spki = key.der().as_bytes();
    let scheme = signature::scheme_of(spki, bytes, signed).or_else(|unfitting| {
        let pair = signature_pair::to_der(bytes).ok_or(unfitting)?;
        signature::scheme_of(spki, &pair, signed)
    });
    scheme.map_err(|unfitting| {
        let expected = format!("a signature by the key {}", key.fingerprint());
        let refused = match unfitting {
            Unfitting::Another => refusal(RefusalReason::BadSignature, expected, "another signature"),
            Unfitting::Unsupported(what) => unsupported(expected, what),
        };
        Failed::at(Step::Shape, refused)
    })
}
