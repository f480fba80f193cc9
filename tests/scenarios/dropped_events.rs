//! Missing evidence is never trust: without any one event nothing is trusted that was not trusted with it, except where
//! that event carries a contradiction. Each such kind is listed here, and `found_again` shows how it is found again.

use std::collections::BTreeMap;

use bus_schema::verdict::{LinkKind, LinkState};
use correlator_core::verdict::VerdictRecord;
use scenarios::play::Play;
use scenarios::steps::{Attest, RunStep, Script, Step, happening};

use crate::played;

/// The kinds of events that only speak against something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contradiction {
    /// A forced push dropped a commit from its branch.
    ForcedPush,
    /// Commits came to an allowed branch without a change that covers them.
    UnreviewedPush,
    /// A reviewed push tells where it began and what it holds: that another push was missed, or more than its change.
    PushedRange,
    /// A reviewer withdrew an approval.
    WithdrawnApproval,
    /// The forge's report of a run or a job says something else than its certificate, or that it failed.
    RunReport,
    /// An agent says since when it watches: without that nothing it does not know counts against anybody.
    Coverage,
}

fn contradiction(script: &Script, step: &Step) -> Option<Contradiction> {
    let is_merged = |commit: &String| {
        script.steps.iter().filter_map(|step| step.merge.as_ref()).any(|merge| merge.commit == *commit)
    };
    if step.covers.is_some() {
        return Some(Contradiction::Coverage);
    }
    if let Some(commits) = &step.commits {
        let covered = commits.ids.last().is_some_and(is_merged);
        return match (commits.forced, covered) {
            (true, _) => Some(Contradiction::ForcedPush),
            (false, false) => Some(Contradiction::UnreviewedPush),
            // It tells where it began, and may hold more than the change that ended it covers.
            (false, true) => Some(Contradiction::PushedRange),
        };
    }
    if step.review.as_ref().is_some_and(|review| review.state != "approved") {
        return Some(Contradiction::WithdrawnApproval);
    }
    let speaks_against = step.run.as_ref().is_some_and(|run| says_otherwise(script, run))
        || step.job.as_ref().is_some_and(|job| job.conclusion != "success" || job.runner.is_some());
    speaks_against.then_some(Contradiction::RunReport)
}

/// Whether the forge's report of a run says anything but what the contract wants and the run's own statements say. A report that
/// agrees must not be missed by anybody.
fn says_otherwise(script: &Script, run: &RunStep) -> bool {
    let failed = run.conclusion.as_deref().is_some_and(|conclusion| conclusion != "success");
    let is_other = run.workflow.is_some() || run.trigger.is_some() || run.head_repository.is_some();
    let mut statements = script.steps.iter().filter_map(|step| step.attest.as_ref());
    let disagrees = |attest: &Attest| {
        attest.run == Some(run.id) && attest.commit.as_ref().is_some_and(|commit| *commit != run.commit)
    };
    failed || is_other || statements.any(disagrees)
}

#[test]
fn without_any_one_event_nothing_is_trusted_that_was_not() {
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<Contradiction, usize> = BTreeMap::new();
    for (scenario, whole) in played() {
        let script = &scenario.script;
        // Where everything is trusted already nothing more can be, and a digest of which no statement is known gains none by
        // losing an event.
        let may_be_trusted = |record: &VerdictRecord| {
            let needs_a_statement =
                record.state_of(LinkKind::Provenance).is_some_and(|state| *state != LinkState::NotRequired);
            record.is_untrusted() && (record.statements > 0 || !needs_a_statement)
        };
        if !whole.verdicts().iter().any(may_be_trusted) {
            continue;
        }
        let mut so_far = Play::new(script);
        for (index, step) in script.steps.iter().enumerate() {
            if happening(step, index).event.is_some() {
                let without = go_on_without(so_far.clone(), script, index);
                let is_new = !without.trusted().is_subset(&whole.trusted())
                    || !without.ever_trusted.is_subset(&whole.ever_trusted);
                match (is_new, contradiction(script, step)) {
                    (false, _) => {}
                    (true, Some(kind)) => *seen.entry(kind).or_default() += 1,
                    (true, None) => wrong.push(format!("{}: step {index} at {}s", scenario.name, step.at)),
                }
            }
            so_far.step(step, index);
        }
    }
    assert!(wrong.is_empty(), "trusted only because an event is missing:\n{}", wrong.join("\n"));
    // The list names no kind that nothing needs.
    let kinds = [
        Contradiction::ForcedPush,
        Contradiction::UnreviewedPush,
        Contradiction::PushedRange,
        Contradiction::WithdrawnApproval,
        Contradiction::RunReport,
        Contradiction::Coverage,
    ];
    let unused: Vec<_> = kinds.iter().filter(|kind| !seen.contains_key(kind)).collect();
    assert!(unused.is_empty(), "no event of these kinds was needed: {unused:?}");
}

/// The rest of the script, without one step.
fn go_on_without(mut play: Play, script: &Script, dropped: usize) -> Play {
    for (index, step) in script.steps.iter().enumerate().skip(dropped + 1) {
        play.step(step, index);
    }
    play.rest(script);
    play
}
