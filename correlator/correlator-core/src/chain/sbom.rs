//! The SBOM link: present, not empty, bound to this digest, made by a trusted identity.

use bus_schema::Digest;
use bus_schema::verdict::BreakReason;

use crate::chain::image_facts::ImageFacts;
use crate::chain::inquiry::Inquiry;
use crate::chain::path::questions;
use crate::chain::signer::{Purpose, SignerMatch, match_signer};
use crate::chain::{Finding, Missing, a_break};
use crate::contracts::pipeline::Pipeline;
use crate::facts::{Predicate, PredicateKind};

/// The finding, and the carrier that the SBOM names.
pub(crate) fn judge(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
) -> (Finding, Option<Digest>) {
    let mut empty = None;
    let mut ended = None;
    let mut revoked = None;
    let mut stranger = None;
    for bound in image.of_kind(PredicateKind::Sbom) {
        let Predicate::Sbom(sbom) = &bound.statement.predicate else { continue };
        match match_signer(inquiry, pipeline, bound, Purpose::Attestation) {
            SignerMatch::Fits { who } if sbom.components > 0 => {
                inquiry.rest_on(&bound.ground);
                let says = format!("{} with {} components, signed by {who}", sbom.format, sbom.components);
                return (Finding::proven("sbom", says), image.shown_carrier(bound.carrier));
            }
            SignerMatch::Fits { .. } => empty = Some(sbom.format.clone()),
            SignerMatch::OutOfTime { since, what } => ended = ended.or(Some((since, what))),
            SignerMatch::Revoked { since, what } => revoked = revoked.or(Some((since, what))),
            SignerMatch::Differs { found, .. } => stranger = stranger.or(Some(format!("signed by {found}"))),
        }
    }
    if let Some(format) = empty {
        let found = format!("{format} without components");
        return (
            Finding::Broken(vec![a_break(BreakReason::EmptySbom, "at least one component", found)]),
            None,
        );
    }
    if let Some((since, what)) = revoked {
        return (Finding::Revoked { since, what }, None);
    }
    if let Some((since, what)) = ended {
        return (Finding::Expired { since, what }, None);
    }
    let claimed = stranger
        .map(|found| format!("an SBOM is attached, {found}, which the contract does not trust"))
        .or_else(|| image.refusal_of(PredicateKind::Sbom));
    let missing = Missing {
        waiting_for: "a signed SBOM".to_owned(),
        questions: questions(image, pipeline),
        claimed,
        ..Missing::default()
    };
    (Finding::Missing(missing), None)
}
