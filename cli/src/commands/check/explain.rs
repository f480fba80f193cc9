//! Why a link does not hold: the very comparisons that failed.

use bus_schema::Digest;
use bus_schema::verdict::{LinkKind, LinkState, Verdict};
use correlator_service::api::types::{EvidenceState, TracedEvidence};
use fleet_runtime::outside_text::shown;
use serde::Serialize;

use crate::output::chain::details;
use crate::output::paint::Paint;

/// One link that does not hold.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Why {
    pub(crate) link: LinkKind,
    pub(crate) state: String,
    /// What there is to say of the state, one line each.
    pub(crate) said: Vec<String>,
    pub(crate) comparisons: Vec<Comparison>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comparison {
    /// The evidence that did not stand up to it; absent where what was verified contradicts the contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) evidence: Option<Digest>,
    /// What failed, in one word.
    pub(crate) reason: String,
    pub(crate) expected: String,
    pub(crate) found: String,
}

/// Each required link that does not hold.
pub(crate) fn why(verdict: &Verdict, evidence: &[TracedEvidence]) -> Vec<Why> {
    let failing = verdict
        .links
        .iter()
        .filter(|link| !matches!(link.state, LinkState::Proven { .. } | LinkState::NotRequired));
    failing
        .map(|link| {
            let mut comparisons = breaks(&link.state);
            if comparisons.is_empty() {
                let relevant = evidence.iter().filter(|one| may_serve(link.kind, &one.kind));
                comparisons.extend(relevant.filter_map(|one| comparison(one, &verdict.digest)));
            }
            let (state, said) = (link.state.as_str().to_owned(), details(&link.state));
            Why { link: link.kind, state, said, comparisons }
        })
        .collect()
}

pub(crate) fn text(why: &[Why], paint: Paint) -> String {
    let mut text = String::new();
    if why.is_empty() {
        return text;
    }
    text.push_str(&format!("{}\n", paint.strong("why")));
    for one in why {
        text.push_str(&format!("  {} is {}\n", one.link, one.state.replace('_', " ")));
        if one.comparisons.is_empty() {
            text.extend(one.said.iter().map(|line| format!("    {line}\n")));
        }
        for comparison in &one.comparisons {
            let whose = match &comparison.evidence {
                Some(evidence) => format!("evidence {}: ", evidence.short()),
                None => String::new(),
            };
            let reason = shown(&comparison.reason.replace('_', " "));
            text.push_str(&format!("    {whose}{reason}\n"));
            text.push_str(&format!("      expected {}\n", shown(&comparison.expected)));
            text.push_str(&format!("      found    {}\n", shown(&comparison.found)));
        }
    }
    text
}

fn breaks(state: &LinkState) -> Vec<Comparison> {
    let LinkState::Broken { breaks } = state else { return Vec::new() };
    let comparison = |one: &bus_schema::verdict::Break| Comparison {
        evidence: None,
        reason: one.reason.to_string(),
        expected: one.expected.clone(),
        found: one.found.clone(),
    };
    breaks.iter().map(comparison).collect()
}

/// Whether evidence of a kind could have proven a link. What cannot even be read could have been anything.
fn may_serve(link: LinkKind, kind: &str) -> bool {
    match link {
        LinkKind::Signature => true,
        LinkKind::Sbom => matches!(kind, "sbom" | "unknown"),
        _ => matches!(kind, "provenance" | "unknown"),
    }
}

fn comparison(one: &TracedEvidence, digest: &Digest) -> Option<Comparison> {
    match &one.state {
        EvidenceState::Refused { reason, expected, found } => Some(Comparison {
            evidence: Some(one.id),
            reason: reason.clone(),
            expected: expected.clone(),
            found: found.clone(),
        }),
        EvidenceState::Verified { subjects, .. } if !subjects.contains(digest) => Some(Comparison {
            evidence: Some(one.id),
            reason: "wrong_subject".to_owned(),
            expected: digest.to_string(),
            found: subjects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        }),
        EvidenceState::Verified { .. } | EvidenceState::Awaited { .. } => None,
    }
}
