//! A verdict as people read it: the chain link by link, with state, who says so, expected and found.

use bus_schema::verdict::{Link, LinkKind, LinkState, Verdict, VerdictState};

use super::paint::Paint;
use fleet_runtime::outside_text::shown;

/// The longest word of a state, `not required`, fits with its gap.
const STATE_CHARS: usize = 12;
/// Where the text of a link begins.
const INDENT: &str = "                              ";

/// The whole chain of one verdict.
pub(crate) fn chain(verdict: &Verdict, paint: Paint) -> String {
    let mut lines = vec![
        format!("{}  {}", paint.strong("image"), shown(&format!("{}@{}", verdict.image, verdict.digest))),
        format!("{}  {}", paint.strong("under"), shown(&verdict.pipeline)),
        format!(
            "{}  {}  {}",
            paint.strong("is   "),
            state(&verdict.state, paint),
            paint.faint(&because(&verdict.state))
        ),
        String::new(),
    ];
    for link in &verdict.links {
        lines.extend(link_lines(link, paint));
    }
    lines.join("\n") + "\n"
}

/// The verdict's word, coloured.
pub(crate) fn state(state: &VerdictState, paint: Paint) -> String {
    match state {
        VerdictState::Trusted => paint.good("trusted"),
        VerdictState::Waived { .. } => paint.waiting("waived"),
        VerdictState::Pending { .. } => paint.waiting("pending"),
        VerdictState::Untrusted { .. } => paint.bad("untrusted"),
    }
}

/// Why it is so, in a few words.
pub(crate) fn because(state: &VerdictState) -> String {
    match state {
        VerdictState::Trusted => "every link of the chain holds".to_owned(),
        VerdictState::Waived { exceptions } => {
            let names: Vec<String> = exceptions.iter().map(|name| shown(name)).collect();
            format!("by exception: {}", names.join(", "))
        }
        VerdictState::Pending { until } => format!("something may still come, until {until}"),
        VerdictState::Untrusted { failing } => {
            let names: Vec<&str> = failing.iter().map(|kind| kind.as_str()).collect();
            let verb = if names.len() == 1 { "does not hold" } else { "do not hold" };
            format!("{} {verb}", names.join(", "))
        }
    }
}

fn link_lines(link: &Link, paint: Paint) -> Vec<String> {
    let (mark, word) = mark(&link.state, paint);
    let name = format!("{:<14}", link.kind.as_str());
    let pad = " ".repeat(STATE_CHARS.saturating_sub(link.state.as_str().len()));
    let mut said = details(&link.state);
    if let Some(carrier) = &link.carried_by {
        said.push(format!("proven for {carrier}, which lists this digest"));
    }
    let head = said.first().cloned().unwrap_or_else(|| meaning(link.kind).to_owned());
    let mut lines = vec![format!("{mark} {}{word}{pad} {head}", paint.strong(&name))];
    lines.extend(said.iter().skip(1).map(|line| format!("{INDENT}{line}")));
    if !matches!(link.state, LinkState::Proven { .. } | LinkState::NotRequired) {
        lines.push(format!("{INDENT}{}", paint.faint(&format!("holds when {}", meaning(link.kind)))));
    }
    lines
}

fn mark(state: &LinkState, paint: Paint) -> (String, String) {
    let word = state.as_str().replace('_', " ");
    match state {
        LinkState::Proven { .. } => (paint.good("●"), paint.good(&word)),
        LinkState::NotRequired => (paint.faint("·"), paint.faint(&word)),
        LinkState::Pending { .. } => (paint.waiting("○"), paint.waiting(&word)),
        LinkState::Waived { .. } => (paint.waiting("◐"), paint.waiting(&word)),
        LinkState::Unknown { .. } => (paint.bad("?"), paint.bad(&word)),
        _ => (paint.bad("✗"), paint.bad(&word)),
    }
}

/// What there is to say about a state, one line each.
pub(crate) fn details(state: &LinkState) -> Vec<String> {
    match state {
        LinkState::Proven { witnesses, copied_from } => {
            let mut lines: Vec<String> = witnesses
                .iter()
                .map(|witness| shown(&format!("{}: {}", witness.who, witness.says)))
                .collect();
            lines.extend(copied_from.iter().map(|from| format!("copied from {from}, where it is proven")));
            lines
        }
        LinkState::Claimed { why } => {
            vec![format!("claimed by evidence that does not verify: {}", shown(why))]
        }
        LinkState::Pending { until, waiting_for } => {
            vec![format!("waiting for {} until {until}", shown(waiting_for))]
        }
        LinkState::Absent { looked_at } => {
            let places: Vec<String> = looked_at.iter().map(|place| shown(place)).collect();
            match places.is_empty() {
                true => vec!["there is none".to_owned()],
                false => vec![format!("there is none; asked {}", places.join(", "))],
            }
        }
        LinkState::Broken { breaks } => breaks
            .iter()
            .flat_map(|one| {
                let reason = one.reason.to_string().replace('_', " ");
                [
                    shown(&reason),
                    format!("  expected {}", shown(&one.expected)),
                    format!("  found    {}", shown(&one.found)),
                ]
            })
            .collect(),
        LinkState::Expired { since, what } => vec![format!("since {since}: {}", shown(what))],
        LinkState::Revoked { since, what } => vec![format!("{} was withdrawn at {since}", shown(what))],
        LinkState::Unknown { reason, detail } => {
            vec![format!("{}: {}", shown(&reason.to_string().replace('_', " ")), shown(detail))]
        }
        LinkState::Waived { exception, instead_of } => {
            vec![format!("by the exception {}, instead of {}", shown(exception), shown(instead_of))]
        }
        LinkState::NotRequired => vec!["the contract does not ask for it".to_owned()],
    }
}

/// What a link says when it holds, for people who see it for the first time.
fn meaning(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Source => "the commit is on an allowed branch and was reviewed",
        LinkKind::Build => "a trusted workflow run built it",
        LinkKind::Provenance => "a signed statement binds this digest to that repository, commit and run",
        LinkKind::Artifact => "the registry holds what the run made, pushed by the pipeline",
        LinkKind::Signature => "an identity of the contract signed it",
        LinkKind::Sbom => "a bill of materials is bound to it",
        LinkKind::Vulnerability => "no component has a known advisory above the contract's limit",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use bus_schema::Digest;
    use bus_schema::verdict::{Break, BreakReason, Witness};
    use jiff::Timestamp;

    use super::*;

    fn verdict(pipeline: &str, links: Vec<Link>) -> Verdict {
        Verdict {
            digest: Digest::sha256_of(b"image"),
            pipeline: pipeline.to_owned(),
            image: "ghcr.io/acme/api".parse().unwrap(),
            state: VerdictState::Untrusted { failing: vec![LinkKind::Build] },
            links,
            path: None,
            policy: Digest::sha256_of(b"policy"),
            roots: Vec::new(),
            reached_at: Timestamp::UNIX_EPOCH,
            rests_on: Vec::new(),
        }
    }

    fn link(kind: LinkKind, state: LinkState) -> Link {
        Link { kind, state, carried_by: None }
    }

    #[test]
    fn a_chain_says_state_witness_expected_and_found() {
        let witnesses =
            vec![Witness { who: "forge".to_owned(), says: "merged as #7, approved by bob".to_owned() }];
        let breaks = vec![Break {
            reason: BreakReason::WrongWorkflow,
            expected: ".github/workflows/release.yml".to_owned(),
            found: ".github/workflows/evil.yml".to_owned(),
            commit: None,
        }];
        let text = chain(
            &verdict(
                "api",
                vec![
                    link(LinkKind::Source, LinkState::Proven { witnesses, copied_from: None }),
                    link(LinkKind::Build, LinkState::Broken { breaks }),
                    link(LinkKind::Sbom, LinkState::NotRequired),
                ],
            ),
            Paint::new(false),
        );
        assert!(text.contains("is     untrusted  build does not hold"), "{text}");
        assert!(text.contains("● source        proven       forge: merged as #7, approved by bob"), "{text}");
        assert!(text.contains("✗ build         broken       wrong workflow"), "{text}");
        assert!(text.contains("expected .github/workflows/release.yml"), "{text}");
        assert!(text.contains("found    .github/workflows/evil.yml"), "{text}");
        assert!(text.contains("holds when a trusted workflow run built it"), "{text}");
        assert!(text.contains("· sbom          not required"), "{text}");
    }

    #[test]
    fn nothing_from_outside_reaches_the_terminal_as_a_command() {
        let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}".to_owned();
        let states = [
            LinkState::Proven {
                witnesses: vec![Witness { who: evil.clone(), says: evil.clone() }],
                copied_from: None,
            },
            LinkState::Claimed { why: evil.clone() },
            LinkState::Pending { until: Timestamp::UNIX_EPOCH, waiting_for: evil.clone() },
            LinkState::Absent { looked_at: vec![evil.clone()] },
            LinkState::Broken {
                breaks: vec![Break {
                    reason: BreakReason::from(evil.as_str()),
                    expected: evil.clone(),
                    found: evil.clone(),
                    commit: None,
                }],
            },
            LinkState::Unknown {
                reason: bus_schema::verdict::UnknownReason::from(evil.as_str()),
                detail: evil.clone(),
            },
            LinkState::Waived { exception: evil.clone(), instead_of: evil.clone() },
            LinkState::Expired { since: Timestamp::UNIX_EPOCH, what: evil.clone() },
            LinkState::Revoked { since: Timestamp::UNIX_EPOCH, what: evil.clone() },
        ];
        let links = states.into_iter().map(|state| link(LinkKind::Source, state)).collect();
        let text = chain(&verdict(&evil, links), Paint::new(false));
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    }

    #[test]
    fn colour_is_only_where_it_is_asked_for() {
        let plain = chain(&verdict("api", Vec::new()), Paint::new(false));
        assert!(!plain.contains('\u{1b}'));
        assert!(chain(&verdict("api", Vec::new()), Paint::new(true)).contains('\u{1b}'));
    }
}
