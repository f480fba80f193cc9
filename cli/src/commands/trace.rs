//! `custody trace <image|digest>`: the chain link by link, and what stands around it.

use bus_schema::case::CaseState;
use bus_schema::verdict::VerdictState;
use correlator_service::api::types::{EvidenceState, SignerShown, Trace, TracedEvidence};

use crate::answers::Answers;
use crate::commands::where_runs;
use crate::data::DataFolder;
use crate::exit::Exit;
use crate::output::paint::Paint;
use crate::output::{Output, cases, chain};
use fleet_runtime::outside_text::shown;

pub(crate) async fn run(image: &str, data: &DataFolder, output: Output) -> anyhow::Result<Exit> {
    let trace = Answers::of(data).await?.trace(image).await?;
    output.either(&trace, |paint| text(&trace, paint))?;
    let holds = |state: &VerdictState| matches!(state, VerdictState::Trusted | VerdictState::Waived { .. });
    let all_hold = trace.verdicts.iter().all(|shown| holds(&shown.verdict.state));
    Ok(if all_hold && !trace.verdicts.is_empty() { Exit::Fine } else { Exit::Finding })
}

fn why_not_judged(trace: &Trace) -> String {
    match trace.carriers.get(1) {
        Some(above) if trace.level == "config" => {
            format!(
                "it is the config of {}, which is judged, and no container was seen to name it",
                above.digest
            )
        }
        _ => "no pipeline claims it, and no container was seen to run it".to_owned(),
    }
}

fn text(trace: &Trace, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(from) = &trace.resolved_from {
        text.push_str(&format!("{}\n\n", paint.faint(&shown(from))));
    }
    if trace.verdicts.is_empty() {
        text.push_str(&format!("{}  {}\n", paint.strong("image"), trace.digest));
        text.push_str(&format!("no verdict: {}\n\n", why_not_judged(trace)));
    }
    for shown in &trace.verdicts {
        text.push_str(&chain::chain(&shown.verdict, paint));
        if !shown.settled {
            text.push_str(&paint.faint("not settled: evidence may still come\n"));
        }
        text.push('\n');
    }
    section(&mut text, "evidence", trace.evidence.iter().map(evidence), paint);
    section(
        &mut text,
        "pushed",
        trace.pushes.iter().map(|push| {
            let tag = push.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            let actor = match (&push.actor, push.polled) {
                (Some(actor), _) => format!("by {actor}"),
                (None, true) => "found by a poll, which never knows by whom".to_owned(),
                (None, false) => "by somebody that the registry did not name".to_owned(),
            };
            format!("{}{tag} {actor} at {} (said by {})", push.repository, push.at, push.said_by)
        }),
        paint,
    );
    section(
        &mut text,
        "tags",
        trace.tags.iter().map(|tag| {
            let now = if tag.current { "points at it" } else { "pointed at it once" };
            format!("{}:{} {now}", tag.repository, tag.tag)
        }),
        paint,
    );
    section(
        &mut text,
        "runs in",
        trace.places.iter().map(|place| where_runs::line(place).trim_start().to_owned()),
        paint,
    );
    let open = trace.questions.iter().filter(|question| !question.answered);
    section(
        &mut text,
        "asked",
        open.map(|question| format!("{}, of {}", question.question, question.asked_of)),
        paint,
    );
    if !trace.cases.is_empty() {
        text.push_str(&format!("{}\n", paint.strong("cases")));
        for case in &trace.cases {
            let state = if case.state == CaseState::Resolved { " (resolved)" } else { "" };
            let (severity, rule) = (cases::severity(case, paint), shown(&case.rule));
            text.push_str(&format!("  {severity}  {rule}{state}  {}\n", shown(&case.next_step)));
        }
    }
    if trace.cut {
        text.push_str("there is more than fits here\n");
    }
    text
}

pub(crate) fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>, paint: Paint) {
    let lines: Vec<String> = lines.map(|line| format!("  {}\n", shown(&line))).collect();
    if !lines.is_empty() {
        text.push_str(&format!("{}\n{}\n", paint.strong(title), lines.concat()));
    }
}

pub(crate) fn evidence(evidence: &TracedEvidence) -> String {
    let kind = &evidence.kind;
    match &evidence.state {
        EvidenceState::Awaited { .. } => format!("{kind}: not verified yet"),
        EvidenceState::Verified { signer, built, says, .. } => {
            let said = built.iter().chain(says).map(|said| format!("; {said}")).collect::<String>();
            format!("{kind}: verified, signed by {}{said}", signer_text(signer))
        }
        EvidenceState::Refused { reason, expected, found } => {
            format!("{kind}: refused ({reason}), expected {expected}, found {found}")
        }
    }
}

fn signer_text(signer: &SignerShown) -> String {
    match signer {
        SignerShown::Keyless { subject, .. } => subject.clone(),
        SignerShown::Key { fingerprint, .. } => format!("the key {fingerprint}"),
        SignerShown::CloudBuild { key_id, .. } => format!("Google Cloud Build, key {key_id}"),
    }
}
