//! From the facts of one image to its verdict: links, exceptions, folding.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::verdict::{Link, LinkKind, LinkState, UnknownReason, Verdict, VerdictState};
use bus_schema::{Digest, ImageRepository};
use serde::{Deserialize, Serialize};

use crate::chain::image_facts::ImageFacts;
use crate::chain::inquiry::Inquiry;
use crate::chain::settle::{is_looked_for_again, settle, settles_at};
use crate::chain::{Finding, Missing, artifact, path, sbom, signature};
use crate::contracts::exception::Objected;
use crate::contracts::pipeline::Pipeline;
use crate::contracts::{Claim, DEFAULT_PIPELINE};
use crate::facts::PredicateKind;
use crate::records::RecordsError;

/// A verdict with what rules need to know beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerdictRecord {
    pub verdict: Verdict,
    /// The settling window has ended and nothing is pending.
    pub settled: bool,
    /// Verified statements that name the digest or what carries it.
    pub statements: usize,
    /// Verified provenance names it, whether or not it fits the contract.
    pub has_provenance: bool,
    /// The provenance of the path fits the contract, whether or not the pipeline requires it.
    pub provenance_holds: bool,
    /// Its evidence is verified again under another trust set: until that has come back, or has taken too long, what was
    /// objected to before stands.
    pub verified_again: bool,
    /// It was placed after its window had ended, and the sources are asked once more: what was objected to before stands.
    pub looked_for_again: bool,
    /// A tag of the contract's release tags has pointed at it.
    pub release_tag: Option<String>,
    #[serde(default)]
    pub whereabouts: Whereabouts,
}

/// Where an image runs, or ran within the linger window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whereabouts {
    /// The namespaces, each with the failing links that an exception for it covers.
    pub namespaces: BTreeMap<String, BTreeSet<LinkKind>>,
    /// One of its clusters is a production one.
    pub production: bool,
    /// The first of the workloads, for people.
    pub workloads: Vec<String>,
}

impl VerdictRecord {
    pub fn state_of(&self, kind: LinkKind) -> Option<&LinkState> {
        self.verdict.link(kind).map(|link| &link.state)
    }

    pub fn is_untrusted(&self) -> bool {
        matches!(self.verdict.state, VerdictState::Untrusted { .. })
    }

    /// It is pending for a while, and what was found before stands until then.
    pub fn is_open_again(&self) -> bool {
        self.verified_again || self.looked_for_again
    }

    /// The links that fail.
    pub fn failing(&self) -> &[LinkKind] {
        match &self.verdict.state {
            VerdictState::Untrusted { failing } => failing,
            _ => &[],
        }
    }

    /// Every failing link fails only because its fact lies before the coverage.
    pub fn is_only_uncovered(&self) -> bool {
        !self.failing().is_empty()
            && self.failing().iter().all(|kind| {
                matches!(
                    self.state_of(*kind),
                    Some(LinkState::Unknown { reason: UnknownReason::Uncovered, .. })
                )
            })
    }
}

/// Judges one image under a pipeline of the contracts.
pub(crate) fn judge(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
) -> Result<VerdictRecord, RecordsError> {
    let path = path::best(inquiry, image, pipeline)?;
    let artifact = artifact::judge(inquiry, image, pipeline, &path)?;
    let (signature, signature_carrier) = signature::judge(inquiry, image, pipeline);
    let (sbom, sbom_carrier) = sbom::judge(inquiry, image, pipeline);
    let copied_from = copied_from(inquiry, image, pipeline);
    let statement = path.statement;
    let provenance_holds = statement.is_some() && path.provenance.holds();
    let verified_again_until = image.verified_again_until(inquiry);
    let so_far = |finding: Finding| match verified_again_until {
        // What contradicts so far gives way to evidence that fits, and that may be verified last.
        Some(_) if !finding.holds() => Finding::Missing(Missing::default()),
        _ => finding,
    };
    let findings = [
        (LinkKind::Source, so_far(path.source), path.carrier),
        (LinkKind::Build, so_far(path.build), path.carrier),
        (LinkKind::Provenance, so_far(path.provenance), path.carrier),
        (LinkKind::Artifact, artifact, None),
        (LinkKind::Signature, so_far(signature), signature_carrier),
        (LinkKind::Sbom, so_far(sbom), sbom_carrier),
        (LinkKind::Vulnerability, Finding::Missing(Default::default()), None),
    ];
    let mut links = Vec::new();
    for (kind, finding, carried_by) in findings {
        let state = match pipeline.requires(kind) {
            false => LinkState::NotRequired,
            true => {
                let state = settle(inquiry, image, pipeline, finding)?;
                let state = with_copy(state, kind, copied_from.as_ref());
                with_exception(inquiry, image, pipeline, kind, state)
            }
        };
        links.push(Link { kind, state, carried_by });
    }
    let state = fold(&links);
    let is_pending = links.iter().any(|link| matches!(link.state, LinkState::Pending { .. }));
    let settled = inquiry.now >= settles_at(image, pipeline) && !is_pending;
    inquiry.look_again_at(settles_at(image, pipeline));
    if let Some(until) = verified_again_until {
        inquiry.look_again_at(until);
    }
    Ok(VerdictRecord {
        verdict: Verdict {
            digest: image.digest,
            pipeline: pipeline.name.clone(),
            image: image.repository.clone(),
            state,
            links,
            path: statement,
            policy: inquiry.contracts.hash,
            roots: Vec::new(),
            reached_at: inquiry.now,
            rests_on: Vec::new(),
        },
        settled,
        statements: image.bound.len(),
        has_provenance: image.of_kind(PredicateKind::Provenance).next().is_some(),
        provenance_holds,
        verified_again: verified_again_until.is_some(),
        looked_for_again: is_pending && is_looked_for_again(inquiry, image, pipeline),
        release_tag: release_tag(image, pipeline),
        whereabouts: Whereabouts::default(),
    })
}

/// Judges one image that no pipeline claims: nothing can be proven of it, because nothing says what to expect.
pub(crate) fn judge_unclaimed(inquiry: &Inquiry<'_>, image: &ImageFacts) -> VerdictRecord {
    let links: Vec<Link> = LinkKind::ALL
        .into_iter()
        .map(|kind| {
            let state = match kind {
                LinkKind::Vulnerability => LinkState::NotRequired,
                _ => LinkState::Unknown {
                    reason: UnknownReason::Unresolvable,
                    detail: format!("no pipeline claims {}", image.repository),
                },
            };
            Link { kind, state, carried_by: None }
        })
        .collect();
    VerdictRecord {
        verdict: Verdict {
            digest: image.digest,
            pipeline: DEFAULT_PIPELINE.to_owned(),
            image: image.repository.clone(),
            state: fold(&links),
            links,
            path: None,
            policy: inquiry.contracts.hash,
            roots: Vec::new(),
            reached_at: inquiry.now,
            rests_on: Vec::new(),
        },
        settled: true,
        statements: image.bound.len(),
        has_provenance: image.of_kind(PredicateKind::Provenance).next().is_some(),
        provenance_holds: false,
        verified_again: false,
        looked_for_again: false,
        release_tag: None,
        whereabouts: Whereabouts::default(),
    }
}

/// The failing links of a verdict that an exception covers in a namespace.
pub(crate) fn waived_in(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    record: &VerdictRecord,
    namespace: &str,
) -> BTreeSet<LinkKind> {
    let digests = image.digests();
    let covers = |link: &LinkKind| {
        let objected = Objected {
            pipeline: &record.verdict.pipeline,
            link: *link,
            digests: &digests,
            commit: None,
            namespace: Some(namespace),
        };
        inquiry.excepted(&objected, |_| true).is_some()
    };
    record.failing().iter().copied().filter(covers).collect()
}

/// A verdict that holds no more, because its pipeline claims the image no longer.
pub(crate) fn withdrawn(mut verdict: Verdict, because: &str) -> Verdict {
    for link in verdict.links.iter_mut().filter(|link| link.state != LinkState::NotRequired) {
        link.state = LinkState::Unknown { reason: UnknownReason::Unresolvable, detail: because.to_owned() };
        link.carried_by = None;
    }
    verdict.state = fold(&verdict.links);
    verdict.path = None;
    verdict.rests_on.clear();
    verdict
}

/// Folds the links: any that fails makes it untrusted; else any pending, pending; else any waived, waived; else trusted.
/// Links that are not required do not count; that nothing at all is required is never trust.
pub fn fold(links: &[Link]) -> VerdictState {
    let mut failing = Vec::new();
    let mut pending_until = None;
    let mut exceptions = BTreeSet::new();
    let mut required = 0;
    for link in links {
        match &link.state {
            LinkState::NotRequired => continue,
            LinkState::Proven { .. } => {}
            LinkState::Pending { until, .. } => {
                pending_until =
                    Some(pending_until.map_or(*until, |known: jiff::Timestamp| known.max(*until)));
            }
            LinkState::Waived { exception, .. } => {
                exceptions.insert(exception.clone());
            }
            LinkState::Claimed { .. }
            | LinkState::Absent { .. }
            | LinkState::Broken { .. }
            | LinkState::Expired { .. }
            | LinkState::Revoked { .. }
            | LinkState::Unknown { .. } => failing.push(link.kind),
        }
        required += 1;
    }
    match (failing.is_empty() && required > 0, pending_until) {
        (false, _) => VerdictState::Untrusted { failing },
        (true, Some(until)) => VerdictState::Pending { until },
        (true, None) if !exceptions.is_empty() => {
            VerdictState::Waived { exceptions: exceptions.into_iter().collect() }
        }
        (true, None) => VerdictState::Trusted,
    }
}

#[cfg(test)]
mod tests;

/// An exception in force that covers a failing link replaces its state.
fn with_exception(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    kind: LinkKind,
    state: LinkState,
) -> LinkState {
    let fails = !matches!(
        state,
        LinkState::Proven { .. }
            | LinkState::Pending { .. }
            | LinkState::Waived { .. }
            | LinkState::NotRequired
    );
    if !fails {
        return state;
    }
    let objected = Objected {
        pipeline: &pipeline.name,
        link: kind,
        digests: &image.digests(),
        commit: None,
        namespace: None,
    };
    match inquiry.excepted(&objected, |_| true) {
        Some(exception) => {
            LinkState::Waived { exception: exception.name.clone(), instead_of: state.as_str().to_owned() }
        }
        None => state,
    }
}

/// A copy of a digest that was pushed by the pipeline into another of its repositories says so.
fn copied_from(inquiry: &Inquiry<'_>, image: &ImageFacts, pipeline: &Pipeline) -> Option<ImageRepository> {
    let own = image.carriers.first()?;
    let is_ours = |repository: &&ImageRepository| matches!(inquiry.contracts.claim(repository), Claim::Claimed(claiming) if claiming.name == pipeline.name);
    let pushed_by_pipeline = own
        .record
        .pushes
        .iter()
        .filter(|push| push.actor.as_ref().is_some_and(|actor| pipeline.artifact.pushers.contains(actor)))
        .map(|push| &push.repository)
        .find(is_ours)?;
    (*pushed_by_pipeline != image.repository).then(|| pushed_by_pipeline.clone())
}

fn with_copy(state: LinkState, kind: LinkKind, copied: Option<&ImageRepository>) -> LinkState {
    match state {
        LinkState::Proven { witnesses, .. } if kind == LinkKind::Artifact => {
            LinkState::Proven { witnesses, copied_from: copied.cloned() }
        }
        state => state,
    }
}

fn release_tag(image: &ImageFacts, pipeline: &Pipeline) -> Option<String> {
    let own = image.carriers.first()?;
    own.record
        .tags
        .iter()
        .find(|(_, tag)| pipeline.is_release_tag(tag.as_str()))
        .map(|(repository, tag)| format!("{repository}:{tag}"))
}

/// Where verdicts are kept.
pub fn key(digest: &Digest, pipeline: &str) -> String {
    crate::records::key([digest.to_string().as_str(), pipeline])
}

/// All verdicts of a digest.
pub fn prefix(digest: &Digest) -> String {
    crate::records::prefix([digest.to_string().as_str()])
}
