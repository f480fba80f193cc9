//! `kind: Pipeline`: where some images may come from, and what they must carry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bus_schema::ci::{RunnerEnvironment, Trigger};
use bus_schema::verdict::LinkKind;
use bus_schema::{Digest, ForgeId, RepositoryRef, WorkflowPath, WorkflowRef};
use jiff::Timestamp;
use serde::Deserialize;

use crate::contracts::duration::Span;
use crate::contracts::identity::{KeylessContract, KeylessSpec, check_annotations};
use crate::contracts::pattern::{Glob, ImagePattern};

/// The settling window of a pipeline that states none.
pub const SETTLE_DEFAULT: Span = Span::from_secs(90);
/// The longest id of a key, in bytes.
const KEY_ID_BYTES_MAX: usize = 512;
/// The most approvals that a contract may demand.
pub const REVIEWS_MAX: u32 = 10;

/// A checked pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    pub name: String,
    pub images: Vec<ImagePattern>,
    pub mode: Mode,
    pub require: BTreeSet<LinkKind>,
    /// Digests that are accepted by name (vendor images); others of these repositories break the artifact link.
    pub digests: BTreeSet<Digest>,
    pub source: Option<SourceContract>,
    pub build: BuildContract,
    pub provenance: ProvenanceContract,
    pub artifact: ArtifactContract,
    pub signatures: SignatureContract,
    pub deploy: DeployContract,
    pub settle: Span,
}

/// What gate and responder may do; cases and alerts are the same in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Observe,
    Warn,
    Block,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::Warn => "warn",
            Mode::Block => "block",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceContract {
    pub repository: RepositoryRef,
    pub refs: Vec<Glob>,
    /// The contract itself writes refs, and they leave some branch or tag out: what names no ref is not one of them.
    pub restricts_refs: bool,
    pub reviews: u32,
    pub code_owners_for: Vec<Glob>,
    pub signed_commits: bool,
    /// In a monorepo: a commit that touches none of these needs no review for this pipeline.
    pub paths: Vec<Glob>,
    pub bots_may_review: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuildContract {
    pub workflows: Vec<WorkflowPath>,
    pub triggers: Vec<Trigger>,
    pub runners: Option<RunnerEnvironment>,
    pub require_success: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceContract {
    pub builders: Vec<Builder>,
    /// The contract itself writes its builders.
    pub names_builders: bool,
    pub slsa_level: u8,
}

/// Who may build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Builder {
    /// The workflow itself on a runner of the forge: signer workflow equals caller workflow, runner `github-hosted`.
    GithubHosted,
    /// A workflow, called or not; its revision must match where the contract names one.
    Workflow { workflow: WorkflowRef, revision: Option<Glob> },
}

impl fmt::Display for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Builder::GithubHosted => formatter.write_str("github-hosted"),
            Builder::Workflow { workflow, revision: Some(revision) } => {
                write!(formatter, "{workflow}@{revision}")
            }
            Builder::Workflow { workflow, revision: None } => write!(formatter, "{workflow}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArtifactContract {
    pub pushers: Vec<String>,
    pub immutable_tags: Vec<Glob>,
    pub release_tags: Vec<Glob>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureContract {
    pub from_image: bool,
    pub from_attestation: bool,
    pub any_of: Vec<SignerContract>,
}

/// An identity whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerContract {
    Keyless(KeylessContract),
    Key(KeyContract),
}

/// A key and its validity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyContract {
    pub file: String,
    /// Its signatures count only with their entry in a transparency log.
    pub log_required: bool,
    pub not_before: Option<Timestamp>,
    pub not_after: Option<Timestamp>,
    /// What a signature must say beside its image (`cosign sign -a`).
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeployContract {
    pub by_digest: bool,
    /// Cluster names or ids; empty means anywhere.
    pub clusters: Vec<Glob>,
    pub namespaces: Vec<Glob>,
}

impl Pipeline {
    pub fn requires(&self, link: LinkKind) -> bool {
        self.require.contains(&link)
    }

    /// Whether a tag that matches makes its digest released.
    pub fn is_release_tag(&self, tag: &str) -> bool {
        self.artifact.release_tags.iter().any(|glob| glob.matches(tag))
    }

    pub fn is_immutable_tag(&self, tag: &str) -> bool {
        self.artifact.immutable_tags.iter().any(|glob| glob.matches(tag))
    }
}

/// The document as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PipelineSpec {
    images: Vec<ImagePattern>,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    require: Option<Vec<LinkKind>>,
    #[serde(default)]
    digests: Vec<Digest>,
    #[serde(default)]
    source: Option<SourceSpec>,
    #[serde(default)]
    build: Option<BuildSpec>,
    #[serde(default)]
    provenance: Option<ProvenanceSpec>,
    #[serde(default)]
    artifact: Option<ArtifactSpec>,
    #[serde(default)]
    signatures: Option<SignaturesSpec>,
    #[serde(default)]
    sbom: Option<SbomSpec>,
    #[serde(default)]
    deploy: Option<DeploySpec>,
    #[serde(default)]
    settle: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SbomSpec {
    Required,
    Optional,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SourceSpec {
    repository: String,
    #[serde(default)]
    repository_id: Option<ForgeId>,
    #[serde(default)]
    owner_id: Option<ForgeId>,
    #[serde(default)]
    refs: Option<Vec<Glob>>,
    #[serde(default)]
    reviews: Option<u32>,
    #[serde(default)]
    code_owners_for: Vec<Glob>,
    #[serde(default)]
    signed_commits: bool,
    #[serde(default)]
    paths: Vec<Glob>,
    #[serde(default)]
    reviewers: Option<ReviewersSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ReviewersSpec {
    #[serde(default)]
    bots: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BuildSpec {
    #[serde(default)]
    workflows: Vec<WorkflowPath>,
    #[serde(default)]
    triggers: Vec<String>,
    #[serde(default)]
    runners: Option<String>,
    #[serde(default)]
    require_success: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ProvenanceSpec {
    #[serde(default)]
    builders: Option<Vec<String>>,
    #[serde(default)]
    slsa_level: Option<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ArtifactSpec {
    #[serde(default)]
    pushers: Vec<String>,
    #[serde(default)]
    immutable_tags: Vec<Glob>,
    #[serde(default)]
    release_tags: Option<Vec<Glob>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SignaturesSpec {
    #[serde(default)]
    from: Option<Vec<SignatureSource>>,
    any_of: Vec<SignerSpec>,
}

#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum SignatureSource {
    Image,
    Attestation,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SignerSpec {
    Keyless(KeylessSpec),
    Key(KeySpec),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KeySpec {
    file: String,
    /// What its signer calls it, where signatures carry a name of their own: `keystore://…`, or the resource name of one of
    /// Google Cloud Build's keys.
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    not_before: Option<Day>,
    #[serde(default)]
    not_after: Option<Day>,
    #[serde(default)]
    revoked_from: Option<Day>,
    #[serde(default)]
    log: Option<LogSpec>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LogSpec {
    Required,
    NotRequired,
}

/// A day (`2026-01-01`, midnight UTC) or a full timestamp.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Day(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Day, D::Error> {
        parse_day(&String::deserialize(deserializer)?).map(Day).map_err(serde::de::Error::custom)
    }
}

/// Reads a day or a timestamp.
pub(crate) fn parse_day(text: &str) -> Result<Timestamp, String> {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    full.parse().map_err(|_| format!("{text:?} is neither a day such as 2026-01-31 nor a timestamp"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DeploySpec {
    #[serde(default)]
    by_digest: bool,
    #[serde(default)]
    clusters: Vec<Glob>,
    #[serde(default)]
    namespaces: Vec<Glob>,
}

/// A key file that a pipeline names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedKey {
    pub(crate) file: String,
    pub(crate) id: Option<String>,
    pub(crate) log_required: bool,
    pub(crate) revoked_from: Option<Timestamp>,
}

impl PipelineSpec {
    /// Checks the document. Every problem is pushed to `problems`; what is returned is only used when there is none.
    pub(crate) fn check(self, name: &str, problems: &mut Vec<String>) -> (Pipeline, Vec<NamedKey>) {
        let mut problem = |text: String| problems.push(text);
        if self.images.is_empty() {
            problem("images: at least one image repository is needed".to_owned());
        }
        let source = self.source.and_then(|source| source.check(&mut problem));
        let (signatures, keys) = check_signatures(self.signatures, source.is_some(), &mut problem);
        let require = match self.require {
            Some(list) => list.into_iter().collect(),
            None if !self.digests.is_empty() => BTreeSet::from([LinkKind::Artifact]),
            None => required_by_default(self.sbom.as_ref()),
        };
        if require.is_empty() {
            problem(
                "require: at least one link is needed; what requires nothing is never trusted".to_owned(),
            );
        }
        let build = self.build.map(|build| build.check(&mut problem)).unwrap_or_default();
        let artifact = self.artifact.map(ArtifactSpec::check).unwrap_or_default();
        let provenance = check_provenance(self.provenance, &mut problem);
        if require.contains(&LinkKind::Vulnerability) {
            problem(
                "require: this version does not judge vulnerabilities; remove it from the list".to_owned(),
            );
        }
        for link in [LinkKind::Source, LinkKind::Build, LinkKind::Provenance] {
            if require.contains(&link) && source.is_none() {
                problem(format!("require: {link} needs the section source with the repository"));
            }
        }
        if require.contains(&LinkKind::Build) && build.workflows.is_empty() {
            problem("require: build needs build.workflows".to_owned());
        }
        if require.contains(&LinkKind::Signature) && signatures.any_of.is_empty() {
            problem("require: signature needs signatures.anyOf".to_owned());
        }
        let deploy = self.deploy.map(DeploySpec::check).unwrap_or_default();
        let pipeline = Pipeline {
            name: name.to_owned(),
            images: self.images,
            mode: self.mode.unwrap_or(Mode::Observe),
            require,
            digests: self.digests.into_iter().collect(),
            source,
            build,
            provenance,
            artifact,
            signatures,
            deploy,
            settle: self.settle.unwrap_or(SETTLE_DEFAULT),
        };
        (pipeline, keys)
    }
}

fn required_by_default(sbom: Option<&SbomSpec>) -> BTreeSet<LinkKind> {
    let mut require = BTreeSet::from([
        LinkKind::Source,
        LinkKind::Build,
        LinkKind::Provenance,
        LinkKind::Artifact,
        LinkKind::Signature,
    ]);
    if matches!(sbom, Some(SbomSpec::Required)) {
        require.insert(LinkKind::Sbom);
    }
    require
}

impl SourceSpec {
    fn check(self, problem: &mut impl FnMut(String)) -> Option<SourceContract> {
        let repository = match self.repository.parse::<RepositoryRef>() {
            Ok(repository) => repository.with_ids(self.repository_id, self.owner_id),
            Err(error) => {
                problem(format!("source.repository: {error}"));
                return None;
            }
        };
        let reviews = self.reviews.unwrap_or(1);
        if reviews > REVIEWS_MAX {
            problem(format!("source.reviews: {reviews} approvals, the limit is {REVIEWS_MAX}"));
        }
        let restricts_refs = self.refs.as_ref().is_some_and(|refs| !allow_every_ref(refs));
        let refs = match self.refs {
            Some(refs) => refs,
            None => Glob::parse("refs/heads/main").into_iter().collect(),
        };
        for glob in refs.iter().filter(|glob| !glob.as_str().starts_with("refs/")) {
            problem(format!(
                "source.refs: {:?} does not begin with refs/ (write refs/heads/… or refs/tags/…)",
                glob.as_str()
            ));
        }
        if !self.code_owners_for.is_empty() {
            problem(
                "source.codeOwnersFor: this version does not judge the reviews of code owners; remove the field"
                    .to_owned(),
            );
        }
        Some(SourceContract {
            repository,
            refs,
            restricts_refs,
            reviews,
            code_owners_for: self.code_owners_for,
            signed_commits: self.signed_commits,
            paths: self.paths,
            bots_may_review: self.reviewers.is_some_and(|reviewers| reviewers.bots),
        })
    }
}

/// Whether no branch and no tag is left out.
fn allow_every_ref(refs: &[Glob]) -> bool {
    let has = |text: &str| refs.iter().any(|glob| glob.as_str() == text);
    has("refs/**") || (has("refs/heads/**") && has("refs/tags/**"))
}

impl BuildSpec {
    fn check(self, problem: &mut impl FnMut(String)) -> BuildContract {
        let triggers: Vec<Trigger> = self.triggers.iter().map(|text| Trigger::from(text.as_str())).collect();
        for trigger in &triggers {
            if let Trigger::Other(text) = trigger {
                problem(format!("build.triggers: {text:?} is not a trigger that this version knows"));
            }
        }
        let runners = self.runners.as_deref().map(RunnerEnvironment::from);
        if let Some(RunnerEnvironment::Other(text)) = &runners {
            problem(format!("build.runners: {text:?} is neither github-hosted nor self-hosted"));
        }
        BuildContract { workflows: self.workflows, triggers, runners, require_success: self.require_success }
    }
}

fn check_provenance(spec: Option<ProvenanceSpec>, problem: &mut impl FnMut(String)) -> ProvenanceContract {
    let (builders, slsa_level) = match spec {
        Some(spec) => (spec.builders, spec.slsa_level.unwrap_or(0)),
        None => (None, 0),
    };
    if slsa_level > 3 {
        problem(format!("provenance.slsaLevel: {slsa_level}, the highest build level is 3"));
    }
    let names_builders = builders.is_some();
    let texts = builders.unwrap_or_else(|| vec!["github-hosted".to_owned()]);
    let mut checked = Vec::new();
    for text in texts {
        match parse_builder(&text) {
            Ok(builder) => checked.push(builder),
            Err(reason) => problem(format!("provenance.builders: {reason}")),
        }
    }
    ProvenanceContract { builders: checked, names_builders, slsa_level }
}

fn parse_builder(text: &str) -> Result<Builder, String> {
    if text == "github-hosted" {
        return Ok(Builder::GithubHosted);
    }
    let location = text.strip_prefix("https://").unwrap_or(text);
    let (file, revision) = match location.split_once('@') {
        Some((file, revision)) => (file, Some(Glob::parse(revision)?)),
        None => (location, None),
    };
    let workflow = file.parse::<WorkflowRef>().map_err(|error| error.to_string())?;
    Ok(Builder::Workflow { workflow, revision })
}

impl ArtifactSpec {
    fn check(self) -> ArtifactContract {
        let release_tags = self.release_tags.unwrap_or_else(|| self.immutable_tags.clone());
        ArtifactContract { pushers: self.pushers, immutable_tags: self.immutable_tags, release_tags }
    }
}

fn check_signatures(
    spec: Option<SignaturesSpec>,
    has_source: bool,
    problem: &mut impl FnMut(String),
) -> (SignatureContract, Vec<NamedKey>) {
    let mut problem = |text: String| problem(format!("signatures.anyOf: {text}"));
    let Some(spec) = spec else {
        // The workflow of the contract signs, unless the contract says otherwise.
        let any_of = match has_source {
            true => vec![SignerContract::Keyless(KeylessContract::workflow_of_source())],
            false => Vec::new(),
        };
        return (SignatureContract { from_image: true, from_attestation: true, any_of }, Vec::new());
    };
    let from = spec.from.unwrap_or_else(|| vec![SignatureSource::Image, SignatureSource::Attestation]);
    let mut keys = Vec::new();
    let any_of = spec
        .any_of
        .into_iter()
        .map(|signer| match signer {
            SignerSpec::Keyless(keyless) => SignerContract::Keyless(keyless.check(has_source, &mut problem)),
            SignerSpec::Key(key) => {
                check_annotations(&key.annotations, &mut problem);
                let log_required = key.log.unwrap_or(LogSpec::Required) == LogSpec::Required;
                let revoked_from = key.revoked_from.map(|day| day.0);
                keys.push(NamedKey {
                    file: key.file.clone(),
                    id: key.id.clone(),
                    log_required,
                    revoked_from,
                });
                if key.id.as_ref().is_some_and(|id| id.is_empty() || id.len() > KEY_ID_BYTES_MAX) {
                    problem(format!(
                        "signatures.anyOf: the id of key {:?} is not 1 to {KEY_ID_BYTES_MAX} bytes",
                        key.file
                    ));
                }
                let (not_before, not_after) =
                    (key.not_before.map(|day| day.0), key.not_after.map(|day| day.0));
                if let (Some(start), Some(end)) = (not_before, not_after)
                    && end <= start
                {
                    problem(format!(
                        "key {:?} is never valid: notAfter {end} is not after notBefore {start}",
                        key.file
                    ));
                }
                SignerContract::Key(KeyContract {
                    file: key.file,
                    log_required,
                    not_before,
                    not_after,
                    annotations: key.annotations,
                })
            }
        })
        .collect();
    let contract = SignatureContract {
        from_image: from.contains(&SignatureSource::Image),
        from_attestation: from.contains(&SignatureSource::Attestation),
        any_of,
    };
    (contract, keys)
}

impl DeploySpec {
    fn check(self) -> DeployContract {
        DeployContract { by_digest: self.by_digest, clusters: self.clusters, namespaces: self.namespaces }
    }
}
