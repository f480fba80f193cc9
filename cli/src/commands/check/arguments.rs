//! What `custody check` takes.

use std::path::PathBuf;

use bus_schema::ImageRepository;
use clap::{ArgGroup, Args};

const EXAMPLES: &str = "\
Examples:
  custody check ghcr.io/acme/api:v1 --pipeline contracts/api.yaml
  custody check ghcr.io/acme/api@sha256:4c1d… --key release.pub
  custody check ghcr.io/acme/api:v1 \\
    --certificate-oidc-issuer https://token.actions.githubusercontent.com \\
    --certificate-identity \\
    https://github.com/acme/api/.github/workflows/release.yml@refs/tags/v1
  custody check ./layout --source-uri github.com/acme/api --source-tag v1
  custody check ./api-linux-amd64 --evidence api.intoto.jsonl \\
    --source-uri github.com/acme/api --explain
  custody check ./pkg.tgz --evidence attestations.json \\
    --source-uri github.com/acme/pkg --output json

A name with a registry is an image; other names are a file or folder where there is one. Write ./name for a path that reads
like an image. A layout with several images needs :tag or @digest behind its path.

What flags speak of is required, and nothing else. No forge is asked, so no flag can say that a commit was reviewed: --source-…
compares repository and ref with what a verified certificate says, or with --key with what the key's holder wrote.

Evidence that neither a log nor a timestamp dates is refused, as slsa-verifier's older .intoto.jsonl files are:
--allow-undated lets it pass, and with it whatever a stolen key signed later.

Exit codes: 0 trusted and nothing else, 1 anything but trusted, 2 usage or contract, or no such image, 3 unreachable, 4 our own
failure.";

#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    group(ArgGroup::new("expected").required(true).multiple(true).args([
        "pipeline", "key", "certificate_identity", "certificate_identity_regexp", "source_uri",
    ])),
    group(ArgGroup::new("identity").args(["certificate_identity", "certificate_identity_regexp"])),
    group(ArgGroup::new("issuer").args(["certificate_oidc_issuer", "certificate_oidc_issuer_regexp"])),
    group(ArgGroup::new("flags").multiple(true).conflicts_with("pipeline").args([
        "key", "certificate_identity", "certificate_identity_regexp", "certificate_oidc_issuer",
        "certificate_oidc_issuer_regexp", "source_uri", "source_tag", "source_branch", "builder_id",
        "insecure_ignore_sct", "insecure_ignore_tlog", "allow_undated",
    ])),
)]
pub(crate) struct Check {
    /// An image reference, the folder of an OCI image layout, a file, or the digest of one.
    pub(crate) subject: String,
    /// Evidence beside what is attached: a bundle or signature of cosign's, an envelope, attestations of npm, GitHub or PyPI,
    /// an SBOM.
    #[arg(long, value_name = "FILE", visible_aliases = ["bundle", "provenance-path"])]
    pub(crate) evidence: Vec<PathBuf>,
    /// The contract: a file with a pipeline, or a folder of contracts.
    #[arg(long, value_name = "FILE")]
    pub(crate) pipeline: Option<PathBuf>,
    /// The repository as which the contract judges a layout or file, where it has several pipelines.
    #[arg(long = "as", value_name = "REPOSITORY", requires = "pipeline")]
    pub(crate) judged_as: Option<ImageRepository>,
    /// The roots to verify with: a trusted_root.json, or several behind each other, as `gh attestation trusted-root` writes
    /// them. Each demands every proof that it holds the keys for. Without it, the contract's, or the public-good Sigstore and
    /// GitHub's own as of this program's build.
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// The public key in PEM that must have signed.
    #[arg(long, value_name = "FILE", conflicts_with = "identity")]
    pub(crate) key: Option<PathBuf>,
    /// The identity in the certificate, whole.
    #[arg(long, value_name = "TEXT", requires = "issuer")]
    pub(crate) certificate_identity: Option<String>,
    /// As above, as a pattern that the whole identity must match: a prefix is not enough.
    #[arg(long, value_name = "PATTERN", requires = "issuer")]
    pub(crate) certificate_identity_regexp: Option<String>,
    /// Who vouched for the identity.
    #[arg(long, value_name = "URL", requires = "identity")]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// As above, as a pattern that the whole issuer must match.
    #[arg(long, value_name = "PATTERN", requires = "identity")]
    pub(crate) certificate_oidc_issuer_regexp: Option<String>,
    /// The repository that verified provenance must name: github.com/acme/api.
    #[arg(long, value_name = "REPOSITORY")]
    pub(crate) source_uri: Option<String>,
    /// The tag that it must have been built for.
    #[arg(long, value_name = "TAG", requires = "source_uri", conflicts_with = "source_branch")]
    pub(crate) source_tag: Option<String>,
    /// The branch that it must have been built for.
    #[arg(long, value_name = "BRANCH", requires = "source_uri")]
    pub(crate) source_branch: Option<String>,
    /// The workflow that must have signed the provenance, with or without @revision; or github-hosted. Without it, a workflow
    /// of the source itself on GitHub's runners, or a version of slsa-github-generator.
    #[arg(long, value_name = "WORKFLOW", requires = "source_uri", conflicts_with = "key")]
    pub(crate) builder_id: Option<String>,
    /// Let pass certificates without a certificate log's proof.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub(crate) insecure_ignore_sct: bool,
    /// Let pass signatures without a log entry, such as those of a key without one.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub(crate) insecure_ignore_tlog: bool,
    /// Let pass evidence that nothing dates.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub(crate) allow_undated: bool,
    /// For each link that does not hold, print the comparisons that failed.
    #[arg(long)]
    pub(crate) explain: bool,
}
