//! The signature link: a valid signature of this digest by an identity of the contract.

use bus_schema::Digest;
use bus_schema::verdict::BreakReason;

use crate::chain::image_facts::ImageFacts;
use crate::chain::inquiry::Inquiry;
use crate::chain::path::questions;
use crate::chain::signer::{Purpose, SignerMatch, match_signer, may_sign};
use crate::chain::{Finding, Missing, a_break};
use crate::contracts::pipeline::Pipeline;
use crate::facts::{PredicateKind, Signer};

/// The finding, and the carrier that the signature names.
pub(crate) fn judge(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
) -> (Finding, Option<Digest>) {
    let mut revoked = None;
    let mut outside = None;
    let mut differs = None;
    for bound in &image.bound {
        let kind = bound.statement.predicate.kind();
        if !may_sign(pipeline, kind) {
            continue;
        }
        match match_signer(inquiry, pipeline, bound, Purpose::Signature) {
            SignerMatch::Fits { who } => {
                inquiry.rest_on(&bound.ground);
                let witness = match bound.statement.signer {
                    Signer::Keyless(_) => "certificate",
                    Signer::Key { .. } => "key",
                    Signer::CloudBuild { .. } => "cloud-build",
                };
                return (
                    Finding::proven(witness, format!("signed by {who}")),
                    image.shown_carrier(bound.carrier),
                );
            }
            SignerMatch::OutOfTime { since, what } => outside = outside.or(Some((since, what))),
            SignerMatch::Revoked { since, what } => revoked = revoked.or(Some((since, what))),
            SignerMatch::Differs { expected, found } => differs = differs.or(Some((expected, found))),
        }
    }
    if let Some((since, what)) = revoked {
        return (Finding::Revoked { since, what }, None);
    }
    if let Some((since, what)) = outside {
        return (Finding::Expired { since, what }, None);
    }
    let missing = Missing {
        waiting_for: "a signature of the contract's identity".to_owned(),
        questions: questions(image, pipeline),
        claimed: claimed(image, pipeline),
        // Anyone who may push can attach a signature of their own: it contradicts nothing until the window has ended.
        absence_breaks: differs.map(|(expected, found)| a_break(BreakReason::WrongSigner, expected, found)),
        ..Missing::default()
    };
    (Finding::Missing(missing), None)
}

/// Evidence that would be the signature if it verified: an image signature before anything else that may be one, and that
/// before what says nothing that could be read.
fn claimed(image: &ImageFacts, pipeline: &Pipeline) -> Option<String> {
    let may_be = |kind: Option<PredicateKind>| kind.is_some_and(|kind| may_sign(pipeline, kind));
    image
        .refusal_of(PredicateKind::ImageSignature)
        .or_else(|| image.refusal(may_be))
        .or_else(|| image.refusal(|kind| kind.is_none()))
}
