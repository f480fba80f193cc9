//! An image runs without a valid signature of a contract identity.

use bus_schema::case::Severity;
use bus_schema::verdict::{LinkKind, LinkState};

use super::context::ImageContext;
use super::{Raised, Rule};

pub(super) const RULE: Rule = Rule {
    name: "unsigned-image-running",
    severity: Severity::Medium,
    next_step: "look for the run that should have signed it; redeploy a signed digest",
    covers: true,
    lists: false,
    storm: 1,
    over: None,
};

pub(super) fn find(context: &ImageContext<'_>) -> Option<Raised> {
    if !context.is_placed(&[LinkKind::Signature]) || !context.record.settled {
        return None;
    }
    let found = match context.record.state_of(LinkKind::Signature)? {
        LinkState::Absent { .. } => "no signature".to_owned(),
        LinkState::Claimed { why } => why.clone(),
        LinkState::Broken { breaks } => breaks.first().map(|a_break| a_break.found.clone())?,
        LinkState::Expired { what, .. } => what.clone(),
        LinkState::Revoked { since, what } => format!("{what}, which was withdrawn at {since}"),
        // Never on unknown: an outage does not make an image unsigned.
        LinkState::Unknown { .. }
        | LinkState::Proven { .. }
        | LinkState::Pending { .. }
        | LinkState::Waived { .. }
        | LinkState::NotRequired => return None,
    };
    let mut finding = context.finding("an image runs without a valid signature of the contract's identities");
    finding.link = Some(LinkKind::Signature);
    finding.expected = Some(crate::chain::signer::expected_signers(context.pipeline));
    finding.found = Some(found);
    Some(
        RULE.raise(context.subject(), Some(&context.pipeline.name), finding)
            .in_production(context.production()),
    )
}
