//! Who signed, read from the certificate's claims: the identity rules of the chain.

use std::collections::BTreeMap;

use bus_schema::ci::{RunnerEnvironment, Trigger};
use bus_schema::verdict::{Break, BreakReason};
use bus_schema::{CommitId, GitRef, RepositoryRef, WorkflowRef};

use crate::chain::a_break;
use crate::chain::image_facts::BoundStatement;
use crate::chain::inquiry::Inquiry;
use crate::contracts::ContractSet;
use crate::contracts::identity::{Claim, KeylessContract};
use crate::contracts::pipeline::{KeyContract, Pipeline, SignerContract, SourceContract};
use crate::contracts::trust_root::Revocation;
use crate::facts::{CertificateClaims, Predicate, PredicateKind, RootVersion, RunNumber, Signer, Statement};

/// A certificate's claims as identities. A claim that does not parse is `None`, which matches nothing.
#[derive(Debug, Clone)]
pub(crate) struct CertificateIdentity {
    pub(crate) issuer: Option<String>,
    pub(crate) repository: Option<RepositoryRef>,
    pub(crate) git_ref: Option<GitRef>,
    pub(crate) commit: Option<CommitId>,
    /// .9: the workflow that ran the signing step.
    pub(crate) signer_workflow: Option<WorkflowRef>,
    /// .18: the workflow that was started.
    pub(crate) caller_workflow: Option<WorkflowRef>,
    pub(crate) trigger: Option<Trigger>,
    pub(crate) runner: Option<RunnerEnvironment>,
    pub(crate) run: Option<RunNumber>,
}

impl CertificateIdentity {
    pub(crate) fn read(claims: &CertificateClaims) -> CertificateIdentity {
        let repository =
            claims.source_repository_uri.as_deref().and_then(|uri| RepositoryRef::from_url(uri).ok());
        let id = claims.source_repository_id.as_deref().and_then(|id| id.parse().ok());
        let owner_id = claims.source_repository_owner_id.as_deref().and_then(|id| id.parse().ok());
        CertificateIdentity {
            issuer: claims.issuer.clone(),
            repository: repository.map(|repository| repository.with_ids(id, owner_id)),
            git_ref: claims.source_repository_ref.as_deref().and_then(|text| text.parse().ok()),
            commit: claims.source_repository_digest.as_deref().and_then(|text| text.parse().ok()),
            signer_workflow: claims
                .build_signer_uri
                .as_deref()
                .and_then(|uri| WorkflowRef::from_url(uri).ok()),
            caller_workflow: claims
                .build_config_uri
                .as_deref()
                .and_then(|uri| WorkflowRef::from_url(uri).ok()),
            trigger: claims.build_trigger.as_deref().map(Trigger::from),
            runner: claims.runner_environment.as_deref().map(RunnerEnvironment::from),
            run: claims.run_invocation_uri.as_deref().and_then(run_of_invocation),
        }
    }

    /// Whether the certificate is of a run in the contract's repository: by id (.15) where the contract has one, which the
    /// certificate must then state, for a name can be registered again; by name (.12) where the contract has none.
    pub(crate) fn comes_from(&self, contract: &RepositoryRef) -> bool {
        self.repository
            .as_ref()
            .is_some_and(|found| contract.is_same(found) && (contract.id.is_none() || found.id.is_some()))
    }

    /// The workflow that was started, in one line.
    pub(crate) fn shown(&self) -> String {
        match (&self.caller_workflow, &self.repository) {
            (Some(workflow), _) => workflow.to_string(),
            (None, Some(repository)) => repository.to_string(),
            (None, None) => format!("an identity of {}", issuer_or_none(self.issuer.as_deref())),
        }
    }
}

/// `https://github.com/acme/api/actions/runs/123/attempts/1`
fn run_of_invocation(uri: &str) -> Option<RunNumber> {
    let (_, rest) = uri.split_once("/actions/runs/")?;
    let mut parts = rest.split('/');
    let id = parts.next()?.parse().ok()?;
    let attempt = match (parts.next(), parts.next()) {
        (Some("attempts"), Some(attempt)) => attempt.parse().ok()?,
        (None, None) => 1,
        _ => return None,
    };
    Some(RunNumber { id, attempt })
}

/// Why a certificate's signature counts for no run of a forge, whatever else it says: its issuer is not the forge's, or the
/// root that it verified with does not speak for the forge. An authority can write any issuer into its certificates, so
/// that only the roots which the contracts name for a forge are believed about it. Nothing is objected to a key.
pub(crate) fn unvouched(contracts: &ContractSet, host: &str, statement: &Statement) -> Option<Break> {
    let Signer::Keyless(claims) = &statement.signer else { return None };
    if speaks_for_forge(contracts, statement.root.as_ref(), host, claims.issuer.as_deref()) {
        return None;
    }
    let expected: Vec<String> = contracts
        .roots
        .values()
        .flat_map(|root| root.forges.iter().map(move |forge| (root, forge)))
        .filter(|(_, forge)| forge.host.as_str() == host)
        .map(|(root, forge)| format!("issuer {} under trust root {}", forge.issuer, root.name))
        .collect();
    let expected = match expected.is_empty() {
        true => format!("a trust root that speaks for {host}"),
        false => expected.join(" or "),
    };
    let issuer = issuer_or_none(claims.issuer.as_deref());
    let found = format!("issuer {issuer} under trust root {}", shown_root(statement));
    Some(a_break(BreakReason::WrongSigner, expected, found))
}

fn speaks_for_forge(
    contracts: &ContractSet,
    root: Option<&RootVersion>,
    host: &str,
    issuer: Option<&str>,
) -> bool {
    let root = root.and_then(|version| contracts.root(version));
    root.zip(issuer).is_some_and(|(root, issuer)| root.speaks_for_forge(host, issuer))
}

/// Whether a signature counts for a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignerMatch {
    Fits {
        who: String,
    },
    /// A key of the contract after the end of its validity.
    OutOfTime {
        since: jiff::Timestamp,
        what: String,
    },
    /// An identity of the contract, signed with what counted no more.
    Revoked {
        since: jiff::Timestamp,
        what: String,
    },
    Differs {
        expected: String,
        found: String,
    },
}

/// What a match is asked for: annotations that an identity demands are those of a signature, and nothing that provenance
/// or an SBOM by the same identity would carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Signature,
    Attestation,
}

/// Matches a statement's signer against the contract's identities. One that fits counts unless what it signed with was
/// withdrawn before.
pub(crate) fn match_signer(
    inquiry: &Inquiry<'_>,
    pipeline: &Pipeline,
    bound: &BoundStatement,
    purpose: Purpose,
) -> SignerMatch {
    let statement = &bound.statement;
    let counted_at = bound.counted_at();
    let mut ended = None;
    let mut too_early = None;
    let mut objections = Vec::new();
    for contract in &pipeline.signatures.any_of {
        let (who, annotations) = match (contract, &statement.signer) {
            (SignerContract::Keyless(contract), Signer::Keyless(claims)) => {
                if let Some(objection) = object_to_keyless(inquiry, pipeline, contract, statement, claims) {
                    objections.extend(objection);
                    continue;
                }
                (shown_fitting(contract, claims), &contract.annotations)
            }
            (
                SignerContract::Key(contract),
                Signer::Key { fingerprint, .. } | Signer::CloudBuild { fingerprint, .. },
            ) => {
                if inquiry.contracts.key_fingerprint(&contract.file) != Some(*fingerprint) {
                    continue;
                }
                let KeyContract { file, not_before, not_after, .. } = contract;
                // Another pipeline may be content with less of the same key.
                if contract.log_required && !statement.signer.is_logged() {
                    objections.push(format!("key {file} counts with a log entry only, and there is none"));
                    continue;
                }
                match (not_before, not_after) {
                    // Nothing ran out: a key that is not valid yet is no identity of the contract yet.
                    (Some(start), _) if counted_at < *start => {
                        too_early = Some(SignerMatch::Differs {
                            expected: format!("key {file} from {start} on"),
                            found: format!("key {file} at {counted_at}, before it was valid"),
                        });
                        continue;
                    }
                    (_, Some(end)) if counted_at >= *end => {
                        ended =
                            Some((*end, format!("key {file} was valid until {end}, signed at {counted_at}")));
                        continue;
                    }
                    _ => (format!("key {file}"), &contract.annotations),
                }
            }
            _ => continue,
        };
        if purpose == Purpose::Signature
            && let Some(objection) = object_to_annotations(annotations, &statement.predicate)
        {
            objections.push(objection);
            continue;
        }
        return match inquiry.contracts.revocation_of(statement, counted_at) {
            Some(Revocation { from, what }) => {
                SignerMatch::Revoked { since: from, what: format!("{what} (signed at {counted_at})") }
            }
            None => SignerMatch::Fits { who },
        };
    }
    if let Some((since, what)) = ended {
        return SignerMatch::OutOfTime { since, what };
    }
    too_early.unwrap_or_else(|| {
        let mut found = shown_signer(&statement.signer);
        for objection in objections {
            found.push_str(&format!("; {objection}"));
        }
        SignerMatch::Differs { expected: expected_signers(pipeline), found }
    })
}

/// Why a certificate is not of this identity: `None` where it is, an empty objection where the signer's name says it all.
fn object_to_keyless(
    inquiry: &Inquiry<'_>,
    pipeline: &Pipeline,
    contract: &KeylessContract,
    statement: &Statement,
    claims: &CertificateClaims,
) -> Option<Option<String>> {
    if let Some(claim) = contract.identity.unmet_by(claims) {
        let found = claim.of(claims).unwrap_or("not in the certificate");
        let is_shown = matches!(claim, Claim::Issuer | Claim::Subject);
        return Some((!is_shown).then(|| format!("{} is {found}", claim.as_str())));
    }
    if contract.of_source {
        let Some(source) = &pipeline.source else { return Some(None) };
        let host = source.repository.host.as_str();
        if unvouched(inquiry.contracts, host, statement).is_some() {
            let root = shown_root(statement);
            return Some(Some(format!("trust root {root} does not speak for {host} by this issuer")));
        }
        let identity = CertificateIdentity::read(claims);
        return (!fits_source(source, &identity, pipeline, contract.workflow.as_ref())).then_some(None);
    }
    let root = statement.root.as_ref().and_then(|version| inquiry.contracts.root(version));
    let is_vouched =
        root.zip(claims.issuer.as_deref()).is_some_and(|(root, issuer)| root.speaks_for_issuer(issuer));
    (!is_vouched)
        .then(|| Some(format!("trust root {} does not speak for this issuer", shown_root(statement))))
}

/// Claims of a signature (`cosign sign -a`) that an identity demands and that it does not carry.
fn object_to_annotations(demanded: &BTreeMap<String, String>, predicate: &Predicate) -> Option<String> {
    let none = BTreeMap::new();
    let carried = match predicate {
        Predicate::ImageSignature { annotations } => annotations,
        Predicate::Provenance(_)
        | Predicate::Sbom(_)
        | Predicate::VerificationSummary(_)
        | Predicate::VulnerabilityScan(_)
        | Predicate::Other { .. } => &none,
    };
    let (key, expected) = demanded.iter().find(|(key, value)| carried.get(*key) != Some(value))?;
    let found = carried.get(key).map_or("missing", String::as_str);
    Some(format!("annotation {key} is {found}, not {expected}"))
}

fn fits_source(
    source: &SourceContract,
    identity: &CertificateIdentity,
    pipeline: &Pipeline,
    workflow: Option<&bus_schema::WorkflowPath>,
) -> bool {
    let is_repository = identity.comes_from(&source.repository);
    let is_ref = identity
        .git_ref
        .as_ref()
        .is_some_and(|found| source.refs.iter().any(|glob| glob.matches(found.as_str())));
    let is_workflow = identity.caller_workflow.as_ref().is_some_and(|found| {
        // The workflow's address carries no id: it is the repository's own where both have the name that the certificate
        // gives it, whatever the contract calls it.
        let names = |own: &RepositoryRef| own.path().eq_ignore_ascii_case(&found.repository.path());
        identity.repository.as_ref().is_some_and(names)
            && match workflow {
                Some(path) => found.path == *path,
                None => pipeline.build.workflows.is_empty() || pipeline.build.workflows.contains(&found.path),
            }
    });
    is_repository && is_ref && is_workflow
}

pub(crate) fn expected_signers(pipeline: &Pipeline) -> String {
    let each: Vec<String> = pipeline
        .signatures
        .any_of
        .iter()
        .map(|signer| {
            let (who, annotations) = match signer {
                SignerContract::Keyless(contract) => {
                    (expected_identity(pipeline, contract), &contract.annotations)
                }
                SignerContract::Key(contract) => (format!("key {}", contract.file), &contract.annotations),
            };
            let claims = annotations.iter().map(|(key, value)| format!(" with annotation {key} {value}"));
            who + &claims.collect::<String>()
        })
        .collect();
    match each.is_empty() {
        true => "no identity is in the contract".to_owned(),
        false => each.join(" or "),
    }
}

fn expected_identity(pipeline: &Pipeline, contract: &KeylessContract) -> String {
    let demands = contract.identity.shown();
    if !contract.of_source {
        return demands;
    }
    let source = pipeline.source.as_ref().map(|source| source.repository.to_string()).unwrap_or_default();
    let workflow = match (&contract.workflow, &pipeline.build.workflows[..]) {
        (Some(workflow), _) => format!("{source}/{workflow}"),
        (None, []) => format!("a workflow of {source}"),
        (None, paths) => paths.iter().map(|path| format!("{source}/{path}")).collect::<Vec<_>>().join(" or "),
    };
    match demands.is_empty() {
        true => workflow,
        false => format!("{workflow} with {demands}"),
    }
}

fn shown_fitting(contract: &KeylessContract, claims: &CertificateClaims) -> String {
    match contract.of_source {
        true => CertificateIdentity::read(claims).shown(),
        false => claims.subject.clone(),
    }
}

fn shown_signer(signer: &Signer) -> String {
    match signer {
        Signer::Keyless(claims) => {
            format!("{} (issuer {})", claims.subject, issuer_or_none(claims.issuer.as_deref()))
        }
        Signer::Key { fingerprint, .. } => format!("key {fingerprint}"),
        Signer::CloudBuild { key_id, .. } => format!("Google Cloud Build, key {key_id}"),
    }
}

fn issuer_or_none(issuer: Option<&str>) -> &str {
    issuer.unwrap_or("none")
}

fn shown_root(statement: &Statement) -> &str {
    statement.root.as_ref().map_or("none", |root| root.name.as_str())
}

/// Whether a statement of this kind may serve as a signature under the contract.
pub(crate) fn may_sign(pipeline: &Pipeline, kind: PredicateKind) -> bool {
    match kind {
        PredicateKind::ImageSignature => pipeline.signatures.from_image,
        PredicateKind::Provenance
        | PredicateKind::Sbom
        | PredicateKind::VerificationSummary
        | PredicateKind::VulnerabilityScan
        | PredicateKind::Other => pipeline.signatures.from_attestation,
    }
}
