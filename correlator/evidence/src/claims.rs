//! What a Fulcio certificate says about its signer (fulcio/docs/oid-info.md), once the certificate verified.

use correlator_core::facts::CertificateClaims;
use sigstore_verify::crypto::CertificateInfo;

use crate::{builders, certificate};

/// The claims of a certificate (DER) that was read as `info`. `None` where it has no subject: nobody can be recognised by
/// it. One without an issuer is its authority's own; it counts only where a contract names the issuer, which is nowhere.
pub(crate) fn of(certificate: &[u8], info: &CertificateInfo) -> Option<CertificateClaims> {
    let subject = match &info.identity {
        Some(name) => name.as_str().to_owned(),
        None => certificate::user_name(certificate)?,
    };
    let ci = &info.ci_claims;
    let mut claims = CertificateClaims {
        issuer: info.issuer.clone(),
        subject,
        build_signer_uri: ci.build_signer_uri.clone(),
        build_signer_digest: ci.build_signer_digest.clone(),
        runner_environment: ci.runner_environment.clone(),
        source_repository_uri: ci.source_repository_uri.clone(),
        source_repository_digest: ci.source_repository_digest.clone(),
        source_repository_ref: ci.source_repository_ref.clone(),
        source_repository_id: ci.source_repository_identifier.clone(),
        source_repository_owner_uri: ci.source_repository_owner_uri.clone(),
        source_repository_owner_id: ci.source_repository_owner_identifier.clone(),
        build_config_uri: ci.build_config_uri.clone(),
        build_config_digest: ci.build_config_digest.clone(),
        build_trigger: ci.build_trigger.clone(),
        run_invocation_uri: ci.run_invocation_uri.clone(),
        source_repository_visibility: ci.source_repository_visibility_at_signing.clone(),
    };
    if claims.issuer.as_deref().is_some_and(builders::is_github_actions) {
        fill_from_deprecated(&mut claims, info);
    }
    Some(claims)
}

/// Certificates of GitHub Actions from before September 2022 say repository, commit, ref and trigger in .2 to .6, and their
/// subject is the workflow that signed. The same authority signed them, so they stand for the newer extensions where those are
/// absent.
fn fill_from_deprecated(claims: &mut CertificateClaims, info: &CertificateInfo) {
    let old = &info.ci_claims.deprecated_github;
    let repository =
        old.workflow_repository.as_ref().map(|repository| format!("https://github.com/{repository}"));
    fill(&mut claims.source_repository_uri, repository);
    fill(&mut claims.source_repository_digest, old.workflow_sha.clone());
    fill(&mut claims.source_repository_ref, old.workflow_ref.clone());
    fill(&mut claims.build_trigger, old.workflow_trigger.clone());
    if claims.subject.starts_with("https://github.com/") {
        fill(&mut claims.build_signer_uri, Some(claims.subject.clone()));
    }
}

fn fill(claim: &mut Option<String>, older: Option<String>) {
    if claim.is_none() {
        *claim = older;
    }
}
