//! `custody check`: one image, layout or file, looked at once and judged against a contract.
//!
//! In: what to check, evidence, and what is expected: a contract, or flags that amount to one. Out: each link as `trace` draws
//! it, and an exit code that is 0 for `trusted` alone. The judging is the correlator's own; nothing is kept.

pub(crate) mod arguments;
mod contract;
mod credential_helper;
mod docker_config;
mod explain;
mod file;
mod look;
mod subject;

use std::path::Path;

use bus_schema::Digest;
use bus_schema::verdict::{Verdict, VerdictState};
use correlator_service::api::types::TracedEvidence;
use correlator_service::one_shot::evidence_file::{Piece, pieces};
use correlator_service::one_shot::{Case, JudgeError, Judged, judge};
use jiff::Timestamp;
use registry_agent::Unread;
use serde::Serialize;

use crate::commands::trace;
use crate::exit::{Exit, Failure};
use crate::output::paint::Paint;
use crate::output::{Output, chain};
use arguments::Check;
use explain::Why;
use fleet_runtime::outside_text::shown;
use subject::Subject;

/// The result, as scripts read it. Fields are added, never renamed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    /// What was asked, as it was written.
    asked: String,
    /// `image`, `layout`, `file` or `digest`.
    kind: &'static str,
    digest: Digest,
    /// True for the verdict `trusted` alone.
    trusted: bool,
    verdict: Verdict,
    evidence: Vec<TracedEvidence>,
    /// Places that could not be looked at.
    unread: Vec<UnreadShown>,
    /// Each link that does not hold, with the comparisons that failed.
    why: Vec<Why>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UnreadShown {
    place: String,
    reason: String,
    detail: String,
}

pub(crate) async fn run(check: &Check, config: Option<&Path>, output: Output) -> anyhow::Result<Exit> {
    let subject = Subject::parse(&check.subject)?;
    let given = read_evidence(check)?;
    let terms = contract::terms(check, &subject, Timestamp::now())?;
    let looked = look::look(&subject, &terms.repository, config).await?;
    // With evidence at hand there is something to judge all the same.
    if looked.is_unreachable && given.is_empty() {
        let said = format!("{} cannot be looked at: {}", check.subject, looked.end_detail);
        return Err(Failure::unreachable(said));
    }
    let now = Timestamp::now();
    let mut best: Option<Judged> = None;
    for digest in &looked.digests {
        let mut case = Case {
            repository: terms.repository.clone(),
            digest: *digest,
            found: looked.events.clone(),
            blobs: looked.blobs.clone(),
            file: looked.file.clone(),
            end: looked.end.clone(),
            end_detail: looked.end_detail.clone(),
            looked_at: looked.looked_at.clone(),
        };
        for (item, bytes) in &given {
            case.hand_over(item.clone(), bytes.clone(), now);
        }
        let judged = judge(&case, &terms.checked, now).map_err(failure)?;
        if best.as_ref().is_none_or(|best| rank(&judged) > rank(best)) {
            best = Some(judged);
        }
    }
    let Some(judged) = best else { return Err(Failure::usage("there is nothing to check")) };
    let checked = checked(check, &subject, looked.unread, judged);
    output.either(&checked, |paint| text(&checked, check.explain, paint))?;
    Ok(if checked.trusted { Exit::Fine } else { Exit::Finding })
}

/// One content may be known by two digests: the one under which more is proven counts.
fn rank(judged: &Judged) -> (bool, usize) {
    let proven = judged.verdict.links.iter().filter(|link| link.state.is_proven()).count();
    (judged.verdict.state == VerdictState::Trusted, proven)
}

fn read_evidence(check: &Check) -> anyhow::Result<Vec<Piece>> {
    let mut given = Vec::new();
    for path in &check.evidence {
        let bytes = file::read(path, file::EVIDENCE_BYTES_MAX)?;
        let found = pieces(&bytes);
        let found = found.map_err(|error| {
            let why = fleet_runtime::error_chain(&error);
            Failure::usage(format!("{} holds no evidence that can be read: {why}", path.display()))
        })?;
        given.extend(found);
    }
    Ok(given)
}

fn failure(error: JudgeError) -> anyhow::Error {
    match &error {
        JudgeError::Contracts { .. } | JudgeError::Unclaimed { .. } => {
            Failure::usage(fleet_runtime::error_chain(&error))
        }
        _ => anyhow::anyhow!(fleet_runtime::error_chain(&error)),
    }
}

fn checked(check: &Check, subject: &Subject, unread: Vec<Unread>, judged: Judged) -> Checked {
    let Judged { verdict, evidence, warnings } = judged;
    let unread = unread.into_iter().map(|one| UnreadShown {
        place: one.place,
        reason: one.reason.to_string(),
        detail: one.detail,
    });
    Checked {
        asked: check.subject.clone(),
        kind: subject.kind(),
        digest: verdict.digest,
        trusted: verdict.state == VerdictState::Trusted,
        why: explain::why(&verdict, &evidence),
        verdict,
        evidence,
        unread: unread.collect(),
        // What flags leave open, whoever wrote them knows.
        warnings: if check.pipeline.is_some() { warnings } else { Vec::new() },
    }
}

fn text(checked: &Checked, with_why: bool, paint: Paint) -> String {
    let mut text = String::new();
    if checked.kind != "image" {
        text.push_str(&format!("{}  {}\n\n", paint.strong(checked.kind), shown(&checked.asked)));
    }
    text.push_str(&chain::chain(&checked.verdict, paint));
    text.push('\n');
    trace::section(&mut text, "evidence", checked.evidence.iter().map(trace::evidence), paint);
    let unread = checked.unread.iter().map(|one| format!("{}: {} ({})", one.place, one.detail, one.reason));
    trace::section(&mut text, "could not be looked at", unread, paint);
    trace::section(&mut text, "look at", checked.warnings.iter().cloned(), paint);
    if with_why {
        text.push_str(&explain::text(&checked.why, paint));
    }
    text
}
