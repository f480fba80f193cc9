//! Verdicts.

use bus_schema::Digest;
use bus_schema::verdict::{LinkState, Verdict};
use correlator_core::records::Table;
use correlator_core::state::placement;
use correlator_core::verdict::{VerdictRecord, key};
use correlator_store::Snapshot;

use super::{QueryError, reads};
use crate::api::types::{VerdictShown, Verdicts, VerdictsAsked};
use fleet_runtime::outside_text::shown;

const VERDICTS_PER_PAGE_MAX: usize = 200;

pub(super) fn verdicts(snapshot: &Snapshot, asked: &VerdictsAsked) -> Result<Verdicts, QueryError> {
    if let Some(state) = &asked.state
        && !["trusted", "waived", "pending", "untrusted"].contains(&state.as_str())
    {
        return Err(QueryError::Asked {
            what: "state is none of trusted, waived, pending, untrusted".to_owned(),
        });
    }
    let limit = asked.limit.unwrap_or(VERDICTS_PER_PAGE_MAX).clamp(1, VERDICTS_PER_PAGE_MAX);
    let after = asked.after.as_deref().map(page_key).transpose()?;
    let from = after.map(|key| reads::after(&key)).unwrap_or_default();
    let mut found: Vec<VerdictShown> = Vec::new();
    let mut next = None;
    let mut failed = None;
    reads::scan_from::<VerdictRecord>(snapshot, Table::Verdicts, "", from, |_, record| {
        let fits = asked.state.as_ref().is_none_or(|state| record.verdict.state.as_str() == state)
            && asked.pipeline.as_ref().is_none_or(|pipeline| record.verdict.pipeline == *pipeline);
        if !fits {
            return true;
        }
        let shown = match show(snapshot, record) {
            Ok(shown) => shown,
            Err(error) => {
                failed = Some(error);
                return false;
            }
        };
        if asked.running.is_some_and(|running| shown.running != running) {
            return true;
        }
        if found.len() == limit {
            next = found.last().map(|last| format!("{}/{}", last.verdict.digest, last.verdict.pipeline));
            return false;
        }
        found.push(shown);
        true
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Verdicts { verdicts: found, next }),
    }
}

/// A verdict with what stands beside it.
pub(super) fn show(snapshot: &Snapshot, record: VerdictRecord) -> Result<VerdictShown, QueryError> {
    let running = is_running(snapshot, &record.verdict.digest)?;
    let only_uncovered = record.is_only_uncovered();
    Ok(VerdictShown {
        settled: record.settled,
        only_uncovered,
        running,
        release_tag: record.release_tag.as_deref().map(shown),
        verdict: harmless(record.verdict),
    })
}

fn is_running(snapshot: &Snapshot, digest: &Digest) -> Result<bool, QueryError> {
    // Those that run come first.
    let prefix = placement::by_digest_prefix(digest);
    let keys = reads::keys(snapshot, Table::Digests, &prefix, 1)?;
    let first = keys.first().and_then(|key| placement::of_by_digest_key(&prefix, key));
    Ok(first.is_some_and(|(_, runs)| runs))
}

fn page_key(after: &str) -> Result<String, QueryError> {
    let Some((digest, pipeline)) = after.split_once('/') else {
        return Err(QueryError::Asked { what: "after is no `next` of a page".to_owned() });
    };
    let digest: Digest = digest.parse()?;
    Ok(key(&digest, pipeline))
}

/// The verdict with its outside texts made harmless.
fn harmless(mut verdict: Verdict) -> Verdict {
    let clean = |text: &mut String| *text = shown(text);
    for link in &mut verdict.links {
        match &mut link.state {
            LinkState::Proven { witnesses, .. } => {
                for witness in witnesses {
                    clean(&mut witness.who);
                    clean(&mut witness.says);
                }
            }
            LinkState::Claimed { why } => clean(why),
            LinkState::Pending { waiting_for, .. } => clean(waiting_for),
            LinkState::Absent { looked_at } => looked_at.iter_mut().for_each(clean),
            LinkState::Broken { breaks } => {
                for a_break in breaks {
                    clean(&mut a_break.expected);
                    clean(&mut a_break.found);
                }
            }
            LinkState::Expired { what, .. } | LinkState::Revoked { what, .. } => clean(what),
            LinkState::Unknown { detail, .. } => clean(detail),
            LinkState::Waived { exception, instead_of } => {
                clean(exception);
                clean(instead_of);
            }
            LinkState::NotRequired => {}
        }
    }
    verdict
}
