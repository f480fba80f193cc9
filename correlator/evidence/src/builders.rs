//! The stated table of builders and their SLSA build levels (slsa.dev/spec/v1.0/levels).
//!
//! A level is derived from who signed, never from a field that the producer fills in:
//!
//! | builder | recognised by the signer | level |
//! | --- | --- | --- |
//! | slsa-github-generator | issued by GitHub Actions; signer workflow (.9) one of its reusable workflows at a version tag, on a hosted runner | 3 |
//! | github-hosted | issued by GitHub Actions; signer workflow (.9) and started workflow (.18) are one; runner (.11) is `github-hosted` | 2 |
//! | a reusable workflow | issued by GitHub Actions; .9 and .18 differ; runner is `github-hosted` | 2 |
//! | gitlab-hosted | issued by gitlab.com; runner is `gitlab-hosted` | 2 |
//! | google-cloud-build | signed by a key of Google Cloud Build; `GoogleHostedWorker` of provenance v1, or `@v0.3`, with a build type of that version | 3 |
//! | google-cloud-build, before | the same key; `GoogleHostedWorker@v0.2`, whose build type is the same | 2 |
//! | Tekton Chains | a key, which proves who held it and not which platform ran the build | 1 |
//! | BuildKit | the row of the workflow that signed; by a key as Tekton Chains; without a signature nothing | 1 |
//! | any other signer, a key included | the provenance names a builder | 1 |
//! | none | the provenance names no builder | 0 |
//!
//! Level 2 needs a hosted build platform that signs; level 3 needs that the build's own steps cannot reach the signing
//! identity, which only the isolated workflows of slsa-github-generator are known to keep.

use bus_schema::WorkflowRef;
use correlator_core::facts::{CertificateClaims, Signer};

use crate::provenance::Normalised;

const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
const GITLAB_ISSUER: &str = "https://gitlab.com";
/// Where the reusable workflows of slsa-github-generator lie.
pub const GENERATOR: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/";

/// The reusable workflows of slsa-github-generator that isolate the signing identity from the build.
pub const GENERATOR_WORKFLOWS: [&str; 10] = [
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

/// Whether an issuer is GitHub Actions: for everybody, or for one enterprise in its own name (docs.github.com, "Customizing
/// the issuer value for an enterprise").
pub(crate) fn is_github_actions(issuer: &str) -> bool {
    match issuer.strip_prefix(GITHUB_ISSUER) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('/').is_some_and(|slug| !slug.is_empty() && !slug.contains('/')),
        None => false,
    }
}

/// Recognises the builder by the certificate's claims.
pub fn builder_of(claims: &CertificateClaims) -> Builder {
    let runner = claims.runner_environment.as_deref();
    match claims.issuer.as_deref() {
        Some(issuer) if is_github_actions(issuer) => github_builder(claims, runner),
        Some(GITLAB_ISSUER) if runner == Some("gitlab-hosted") => Builder::GitlabHosted,
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

/// The workflow that a delegator signed for. Nobody but a delegator at a version tag is believed that it signs for another.
pub(crate) fn delegate_of(claims: &CertificateClaims, builder_id: &str) -> Option<WorkflowRef> {
    match builder_of(claims) {
        Builder::SlsaGithubGenerator { delegator: true } => WorkflowRef::from_url(builder_id).ok(),
        _ => None,
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

/// Google's worker as provenance of version 1 names it; older versions put their own behind an `@`.
const GOOGLE_WORKER: &str = "https://cloudbuild.googleapis.com/GoogleHostedWorker";
const GOOGLE_BUILD_TYPE: &str = "https://cloud.google.com/build/gcb-buildtypes/google-worker/v1";
const GOOGLE_RECIPES: [&str; 2] = [
    "https://cloudbuild.googleapis.com/CloudBuildYaml@",
    "https://cloudbuild.googleapis.com/CloudBuildSteps@",
];

/// The level of provenance by this signer.
pub(crate) fn level_of(said: &Normalised, signer: &Signer) -> u8 {
    if said.builder_id.is_empty() {
        return 0;
    }
    match signer {
        Signer::Keyless(claims) => builder_of(claims).level(),
        Signer::CloudBuild { .. } => cloud_build_level(&said.builder_id, &said.build_type),
        Signer::Key { .. } => Builder::Unknown.level(),
    }
}

/// Google's service fills in both texts; whoever starts a build has no say in them.
fn cloud_build_level(builder_id: &str, build_type: &str) -> u8 {
    match builder_id.strip_prefix(GOOGLE_WORKER) {
        Some("") if build_type == GOOGLE_BUILD_TYPE => 3,
        Some("@v0.3") if GOOGLE_RECIPES.iter().any(|recipe| build_type.starts_with(recipe)) => 3,
        Some("@v0.2") if build_type == builder_id => 2,
        _ => Builder::Unknown.level(),
    }
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
            issuer: Some(GITHUB_ISSUER.to_owned()),
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
        for (file, revision, believed) in [
            ("delegator_generic_slsa3.yml", "refs/tags/v2.1.0", true),
            ("delegator_lowperms-generic_slsa3.yml", "refs/tags/v2.1.0", true),
            ("delegator_generic_slsa3.yml", "refs/heads/main", false),
            ("generator_generic_slsa3.yml", "refs/tags/v2.1.0", false),
        ] {
            let signer = github(&generator(file, revision), Some(OWN), hosted);
            assert_eq!(delegate_of(&signer, SHARED).is_some(), believed, "{file}@{revision}");
        }
        let elsewhere = CertificateClaims {
            issuer: Some("https://login.example".to_owned()),
            ..github(OWN, Some(OWN), hosted)
        };
        assert_eq!(builder_of(&elsewhere), Builder::Unknown);
        let issued_by = |issuer: &str| {
            let issuer = Some(format!("{GITHUB_ISSUER}{issuer}"));
            builder_of(&CertificateClaims { issuer, ..github(OWN, Some(OWN), hosted) })
        };
        assert_eq!(issued_by("/acme"), Builder::GithubHosted);
        for other in ["/", "/acme/more", ".example", "-acme"] {
            assert_eq!(issued_by(other), Builder::Unknown, "{other}");
        }
        let own = Signer::Keyless(Box::new(github(OWN, Some(OWN), hosted)));
        let key = Signer::Key { fingerprint: bus_schema::Digest::sha256_of(b"key"), logged: true };
        let said = |builder: &str, build_type: &str| Normalised {
            builder_id: builder.to_owned(),
            build_type: build_type.to_owned(),
            ..Normalised::default()
        };
        assert_eq!(level_of(&said("x", ""), &own), 2);
        assert_eq!(level_of(&said("", ""), &own), 0);
        let tekton = said("https://tekton.dev/chains/v2", "https://tekton.dev/chains/v2/slsa");
        let buildkit = said("https://github.com/docker/buildx", "https://mobyproject.org/buildkit@v1");
        for (said, level) in [(&tekton, 1), (&buildkit, 1), (&said("x", ""), 1)] {
            assert_eq!(level_of(said, &key), level);
        }
        assert_eq!(level_of(&buildkit, &own), 2);
    }

    #[test]
    fn googles_worker_has_a_level_by_googles_key_alone() {
        let fingerprint = bus_schema::Digest::sha256_of(b"key");
        let google = Signer::CloudBuild { fingerprint, key_id: "any".to_owned() };
        let key = Signer::Key { fingerprint, logged: false };
        let old = format!("{GOOGLE_WORKER}@v0.2");
        let newer = format!("{GOOGLE_WORKER}@v0.3");
        let yaml = "https://cloudbuild.googleapis.com/CloudBuildYaml@v0.1";
        for (builder, build_type, level) in [
            (GOOGLE_WORKER, GOOGLE_BUILD_TYPE, 3),
            (newer.as_str(), yaml, 3),
            (old.as_str(), old.as_str(), 2),
            (GOOGLE_WORKER, yaml, 1),
            (newer.as_str(), GOOGLE_BUILD_TYPE, 1),
            (old.as_str(), yaml, 1),
            ("https://cloudbuild.googleapis.com/GoogleHostedWorkera", GOOGLE_BUILD_TYPE, 1),
            ("https://example.com/GoogleHostedWorker", GOOGLE_BUILD_TYPE, 1),
            ("", GOOGLE_BUILD_TYPE, 0),
        ] {
            let said = Normalised {
                builder_id: builder.to_owned(),
                build_type: build_type.to_owned(),
                ..Normalised::default()
            };
            assert_eq!(level_of(&said, &google), level, "{builder} {build_type}");
            assert_eq!(level_of(&said, &key), level.min(1), "{builder} {build_type}");
        }
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
