//! The stated table of builders and their SLSA build levels (slsa.dev/spec/v1.0/levels).
//!
//! A level is derived from who signed, never from a field that the producer fills in:
//!
//! | builder | recognised by the certificate | level |
//! | --- | --- | --- |
//! | slsa-github-generator | issued by GitHub Actions; signer workflow (.9) one of its reusable workflows at a version tag, on a hosted runner | 3 |
//! | github-hosted | issued by GitHub Actions; signer workflow (.9) and started workflow (.18) are one; runner (.11) is `github-hosted` | 2 |
//! | a reusable workflow | issued by GitHub Actions; .9 and .18 differ; runner is `github-hosted` | 2 |
//! | gitlab-hosted | issued by gitlab.com; runner is `gitlab-hosted` | 2 |
//! | any other signer, a key included | the provenance names a builder | 1 |
//! | none | the provenance names no builder | 0 |
//!
//! Level 2 needs a hosted build platform that signs; level 3 needs that the build's own steps cannot reach the signing
//! identity, which only the isolated workflows of slsa-github-generator are known to keep.

use bus_schema::WorkflowRef;
use correlator_core::facts::CertificateClaims;

const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
const GITLAB_ISSUER: &str = "https://gitlab.com";
const GENERATOR: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/";

/// The reusable workflows of slsa-github-generator that isolate the signing identity from the build.
const GENERATOR_WORKFLOWS: [&str; 10] = [
    "builder_bazel_slsa3.yml",
    "builder_container-based_slsa3.yml",
    "builder_go_slsa3.yml",
    "builder_gradle_slsa3.yml",
    "builder_maven_slsa3.yml",
    "builder_nodejs_slsa3.yml",
    "delegator_generic_slsa3.yml",
    "delegator_lowperms-generic_slsa3.yml",
    "generator_container_slsa3.yml",
    "generator_generic_slsa3.yml",
];

/// A builder as the certificate proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// An isolated workflow of slsa-github-generator. A delegator signs for the workflow that the provenance names.
    SlsaGithubGenerator {
        delegator: bool,
    },
    /// The repository's own workflow on a runner of GitHub's.
    GithubHosted,
    /// Another repository's or a shared workflow, on a runner of GitHub's.
    GithubReusable,
    GitlabHosted,
    Unknown,
}

impl Builder {
    pub fn level(self) -> u8 {
        match self {
            Builder::SlsaGithubGenerator { .. } => 3,
            Builder::GithubHosted | Builder::GithubReusable | Builder::GitlabHosted => 2,
            Builder::Unknown => 1,
        }
    }
}

/// Recognises the builder by the certificate's claims.
pub fn builder_of(claims: &CertificateClaims) -> Builder {
    let runner = claims.runner_environment.as_deref();
    match claims.issuer.as_str() {
        GITHUB_ISSUER => github_builder(claims, runner),
        GITLAB_ISSUER if runner == Some("gitlab-hosted") => Builder::GitlabHosted,
        _ => Builder::Unknown,
    }
}

fn github_builder(claims: &CertificateClaims, runner: Option<&str>) -> Builder {
    let Some(signer) = claims.build_signer_uri.as_deref() else {
        return Builder::Unknown;
    };
    if let Some(workflow) = generator_workflow(signer)
        && matches!(runner, None | Some("github-hosted"))
    {
        return Builder::SlsaGithubGenerator { delegator: workflow.starts_with("delegator_") };
    }
    if runner != Some("github-hosted") {
        return Builder::Unknown;
    }
    match claims.build_config_uri.as_deref() {
        Some(started) if started == signer => Builder::GithubHosted,
        Some(_) => Builder::GithubReusable,
        None => Builder::Unknown,
    }
}

/// The file of a generator workflow at a version tag (`refs/tags/v1.2.3`): branches and commits of it could be anything.
fn generator_workflow(signer: &str) -> Option<&str> {
    let (workflow, revision) = signer.strip_prefix(GENERATOR)?.split_once('@')?;
    let version = revision.strip_prefix("refs/tags/v")?;
    let is_version =
        version.split('.').count() == 3 && version.split('.').all(|part| part.parse::<u32>().is_ok());
    (is_version && GENERATOR_WORKFLOWS.contains(&workflow)).then_some(workflow)
}

/// The level of provenance by this signer that names this builder.
pub(crate) fn level_of(builder_id: &str, claims: Option<&CertificateClaims>) -> u8 {
    if builder_id.is_empty() {
        return 0;
    }
    claims.map_or(Builder::Unknown, builder_of).level()
}

/// Whether the builder that the provenance names is a workflow other than the one that signed. Ids that are no workflows
/// (`https://github.com/actions/runner/github-hosted`) are names of platforms and contradict nothing.
pub(crate) fn contradicts(builder_id: &str, claims: &CertificateClaims) -> bool {
    let (Ok(named), Some(signer)) = (WorkflowRef::from_url(builder_id), claims.build_signer_uri.as_deref())
    else {
        return false;
    };
    // A delegator signs for the workflow that called it, at whatever revision it runs itself.
    let is_delegator = signer.strip_prefix(GENERATOR).is_some_and(|file| file.starts_with("delegator_"));
    if !named.path.as_str().starts_with(".github/workflows/") || is_delegator {
        return false;
    }
    match WorkflowRef::from_url(signer) {
        Ok(signer) => {
            !named.is_same_file(&signer) || (named.revision.is_some() && named.revision != signer.revision)
        }
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn github(signer: &str, started: Option<&str>, runner: Option<&str>) -> CertificateClaims {
        CertificateClaims {
            issuer: GITHUB_ISSUER.to_owned(),
            subject: signer.to_owned(),
            build_signer_uri: Some(signer.to_owned()),
            build_config_uri: started.map(str::to_owned),
            runner_environment: runner.map(str::to_owned),
            ..CertificateClaims::default()
        }
    }

    #[test]
    fn the_table_holds_row_by_row() {
        const OWN: &str = "https://github.com/acme/api/.github/workflows/release.yml@refs/heads/main";
        const SHARED: &str = "https://github.com/acme/shared/.github/workflows/build.yml@refs/tags/v2";
        let generator = |file: &str, revision: &str| format!("{GENERATOR}{file}@{revision}");
        let hosted = Some("github-hosted");
        let good = generator("generator_container_slsa3.yml", "refs/tags/v2.1.0");
        assert_eq!(builder_of(&github(&good, Some(OWN), hosted)).level(), 3);
        assert_eq!(builder_of(&github(&good, None, None)).level(), 3);
        assert_eq!(builder_of(&github(&good, Some(OWN), Some("self-hosted"))), Builder::Unknown);
        for (file, revision) in [
            ("generator_container_slsa3.yml", "refs/heads/main"),
            ("generator_container_slsa3.yml", "refs/tags/v2.1"),
            ("generator_container_slsa3.yml", "refs/tags/v2.1.0-rc.1"),
            ("mine.yml", "refs/tags/v2.1.0"),
        ] {
            assert_eq!(builder_of(&github(&generator(file, revision), None, None)), Builder::Unknown);
        }
        assert_eq!(builder_of(&github(OWN, Some(OWN), hosted)), Builder::GithubHosted);
        assert_eq!(builder_of(&github(SHARED, Some(OWN), hosted)), Builder::GithubReusable);
        assert_eq!(builder_of(&github(OWN, Some(OWN), Some("self-hosted"))), Builder::Unknown);
        assert_eq!(builder_of(&github(OWN, Some(OWN), None)), Builder::Unknown);
        let elsewhere = CertificateClaims {
            issuer: "https://login.example".to_owned(),
            ..github(OWN, Some(OWN), hosted)
        };
        assert_eq!(builder_of(&elsewhere), Builder::Unknown);
        assert_eq!(level_of("x", None), 1);
        assert_eq!(level_of("", Some(&github(OWN, Some(OWN), hosted))), 0);
    }

    #[test]
    fn a_named_workflow_that_did_not_sign_contradicts() {
        const OWN: &str = "https://github.com/acme/api/.github/workflows/release.yml@refs/heads/main";
        let claims = github(OWN, Some(OWN), Some("github-hosted"));
        assert!(!contradicts(OWN, &claims));
        assert!(!contradicts("https://github.com/actions/runner/github-hosted", &claims));
        assert!(!contradicts("mine", &claims));
        assert!(contradicts(
            "https://github.com/acme/api/.github/workflows/other.yml@refs/heads/main",
            &claims
        ));
        assert!(contradicts(
            "https://github.com/acme/api/.github/workflows/release.yml@refs/heads/dev",
            &claims
        ));
        let delegator =
            github(&format!("{GENERATOR}delegator_generic_slsa3.yml@refs/tags/v2.0.0"), Some(OWN), None);
        assert!(!contradicts(OWN, &delegator));
    }
}
