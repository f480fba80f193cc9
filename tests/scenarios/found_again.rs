//! What speaks against something and was missed is found again: by a question that the ledger asks, by what the next
//! event tells, or by a report that comes again anyway.

use bus_schema::question::Question;
use correlator_core::decision::Decision;
use scenarios::names::commit;
use scenarios::play::Play;
use scenarios::steps::{Script, Step};

use crate::played;

/// The steps of a scenario.
fn script(name: &str) -> Script {
    let (scenario, _) = played().iter().find(|(scenario, _)| scenario.name == name).unwrap();
    scenario.script.clone()
}

/// Takes the steps out of a script that are `missed`, and plays the rest.
fn without(script: &Script, missed: impl Fn(&Step) -> bool) -> (Play, Vec<(usize, Step)>) {
    let mut rest = script.clone();
    let mut taken = Vec::new();
    for (index, step) in rest.steps.iter_mut().enumerate() {
        if missed(step) {
            let empty = Step { at: step.at, ..Step::default() };
            taken.push((index, std::mem::replace(step, empty)));
        }
    }
    assert!(!taken.is_empty(), "the scenario has no such event");
    (Play::script(&rest), taken)
}

/// What was missed happens after all, with the times that it states itself.
fn happens_late(play: &mut Play, taken: Vec<(usize, Step)>) {
    for (index, step) in taken {
        play.happen(scenarios::steps::happening(&step, index));
    }
    play.wait_until(play.now().checked_add(jiff::SignedDuration::from_hours(2)).unwrap());
}

fn asked(play: &Play, is_it: impl Fn(&Question) -> bool) -> bool {
    play.decisions.iter().flatten().any(|decision| match decision {
        Decision::Ask { request } => is_it(&request.question),
        _ => false,
    })
}

fn step(yaml: &str) -> Step {
    serde_saphyr::from_str(yaml).unwrap()
}

#[test]
fn a_forced_push_is_asked_for_when_the_next_push_begins_where_none_ended() {
    let mut script = script("rules/broken-provenance/forced-away");
    script.steps.retain(|step| step.at < 1200);
    let next = "{ at: 900, release: { digest: D3, commit: C3, before: C2, run: 3, tag: v3 } }";
    script.steps.push(step(next));
    script.expand();
    let whole = Play::script(&script);
    assert_eq!(whole.trusted().len(), 0, "the dropped commit, and the unreviewed one below the next release");
    let (mut play, taken) =
        without(&script, |step| step.commits.as_ref().is_some_and(|commits| commits.forced));
    assert!(asked(
        &play,
        |question| matches!(question, Question::Commit { commit: about, .. } if *about == commit("C2"))
    ));
    happens_late(&mut play, taken);
    assert_eq!(play.conclusions(), whole.conclusions());
}

#[test]
fn an_unreviewed_push_is_asked_for_when_it_lies_between_two_that_were_seen() {
    let script = script("stories/lost-push-of-a-hotfix-found-by-asking");
    let (_, whole) =
        played().iter().find(|(one, _)| one.name.starts_with("stories/lost-push-of-a-hotfix")).unwrap();
    let missed = |step: &Step| step.commits.as_ref().is_some_and(|commits| commits.ids == ["C2"]);
    let (mut play, taken) = without(&script, missed);
    assert!(asked(
        &play,
        |question| matches!(question, Question::Commit { commit: about, .. } if *about == commit("C2"))
    ));
    // Even when nobody can tell of it, it is not trusted.
    assert_eq!(play.trusted(), whole.trusted());
    happens_late(&mut play, taken);
    assert_eq!(play.conclusions(), whole.conclusions());
}

#[test]
fn an_unreviewed_push_before_the_first_one_that_was_seen_is_asked_for() {
    let script = script("rules/unreviewed-commit-released/not-outside-the-paths");
    let (_, whole) = played().iter().find(|(one, _)| one.name.ends_with("/not-outside-the-paths")).unwrap();
    let missed = |step: &Step| step.commits.as_ref().is_some_and(|commits| commits.ids == ["C1"]);
    let (mut play, taken) = without(&script, missed);
    assert!(asked(
        &play,
        |question| matches!(question, Question::Commit { commit: about, .. } if *about == commit("C1"))
    ));
    happens_late(&mut play, taken);
    assert_eq!(play.conclusions(), whole.conclusions());
}

#[test]
fn a_push_of_which_only_the_merge_is_known_is_asked_for() {
    let script = script("stories/lost-push-that-nobody-can-tell-of");
    let (_, whole) =
        played().iter().find(|(one, _)| one.name.ends_with("/lost-push-that-nobody-can-tell-of")).unwrap();
    let missed = |step: &Step| step.commits.as_ref().is_some_and(|commits| commits.ids == ["C3"]);
    let (mut play, taken) = without(&script, missed);
    assert!(asked(
        &play,
        |question| matches!(question, Question::Commit { commit: about, .. } if *about == commit("C3"))
    ));
    happens_late(&mut play, taken);
    assert_eq!(play.conclusions(), whole.conclusions());
}

#[test]
fn the_report_of_a_run_is_asked_for_while_only_its_certificate_is_known() {
    let script = script("stories/head-from-a-fork");
    let (_, whole) = played().iter().find(|(one, _)| one.name == "stories/head-from-a-fork").unwrap();
    let (mut play, taken) = without(&script, |step| step.run.is_some());
    assert!(asked(&play, |question| matches!(question, Question::Run { .. })));
    happens_late(&mut play, taken);
    assert_eq!(play.conclusions(), whole.conclusions());
}

#[test]
fn the_failure_of_a_run_is_asked_for_where_success_is_demanded() {
    let script = script("stories/failed-run");
    let (_, whole) = played().iter().find(|(one, _)| one.name == "stories/failed-run").unwrap();
    let missed =
        |step: &Step| step.job.is_some() || step.run.as_ref().is_some_and(|run| run.conclusion.is_some());
    let (mut play, taken) = without(&script, missed);
    assert!(play.ever_trusted.is_empty(), "nothing tells that the run succeeded");
    assert!(asked(&play, |question| matches!(question, Question::Run { .. })));
    happens_late(&mut play, taken);
    assert_eq!(play.conclusions(), whole.conclusions());
}

/// Whether a merge went past the rules is what the look-up tells; before it, no approval counts.
#[test]
fn a_merge_past_the_rules_is_part_of_the_answer_that_a_review_needs_to_count() {
    let mut seen: Script = serde_saphyr::from_str(
        r#"
        story: The webhook of the merge does not tell that it went past the rules; the look-up does.
        watchedSince: -86400
        steps:
          - { at: 0, review: { number: 1, id: 1, by: bob, head: H1, permission: unknown } }
          - { at: 1, merge: { number: 1, commit: C1, head: H1, author: alice, lookedUp: false } }
          - { at: 2, release: { digest: D1, commit: C1, before: C0, run: 1, tag: v1, without: [review, merge] } }
          - { at: 40, review: { number: 1, id: 1, by: bob, head: H1 } }
          - { at: 40, merge: { number: 1, commit: C1, head: H1, author: alice, bypassed: true } }
        "#,
    )
    .unwrap();
    seen.expand();
    let (before, _) = without(&seen, |step| step.at == 40);
    assert!(before.ever_trusted.is_empty());
    assert!(asked(&before, |question| matches!(question, Question::Commit { .. })));
    assert!(Play::script(&seen).trusted().is_empty());
}

/// Webhooks tell no permission, so no review counts before the forge was asked; its answer lists every review.
#[test]
fn a_withdrawn_approval_is_part_of_the_answer_that_a_review_needs_to_count() {
    let script: Script = serde_saphyr::from_str(
        r#"
        story: The webhook of the approval is seen, and that of its withdrawal is lost.
        watchedSince: -86400
        steps:
          - { at: 0, review: { number: 1, id: 1, by: bob, head: H1, permission: unknown } }
          - { at: 2, release: { digest: D1, commit: C1, before: C0, run: 1, tag: v1, without: [review] } }
          - { at: 40, review: { number: 1, id: 1, by: bob, head: H1 } }
          - { at: 40, review: { number: 1, id: 2, by: bob, head: H1, state: changes_requested } }
        "#,
    )
    .unwrap();
    let mut seen = script.clone();
    seen.expand();
    let (before, _) = without(&seen, |step| step.at == 40);
    assert!(before.ever_trusted.is_empty(), "a review without a permission counts for nothing");
    assert!(asked(
        &before,
        |question| matches!(question, Question::Commit { commit: about, .. } if *about == commit("C1"))
    ));
    assert!(Play::script(&seen).trusted().is_empty());
}

#[test]
fn a_lost_heartbeat_is_made_up_for_by_the_next() {
    let script = script("rules/untrusted-builder/a-run-that-the-forge-does-not-know");
    let (_, whole) =
        played().iter().find(|(one, _)| one.name.ends_with("/a-run-that-the-forge-does-not-know")).unwrap();
    let (mut play, _) =
        without(&script, |step| step.covers.as_ref().is_some_and(|covers| covers.kind == "ci"));
    assert_ne!(
        play.conclusions(),
        whole.conclusions(),
        "what an agent has not covered counts against nobody"
    );
    // The next report is another event, with a time and a sequence of its own, and states the same coverage.
    let next = step("{ at: 7000, covers: { kind: ci, scope: github.com/acme, since: -86400 } }");
    happens_late(&mut play, vec![(901, next)]);
    assert_eq!(play.conclusions(), whole.conclusions());
}

/// A push of a stranger that no notification told is found by the poll, as a tag that moved.
#[test]
fn a_strangers_push_is_found_by_the_poll() {
    let script = script("stories/release-tag-overwritten-by-alice");
    let (mut play, _) = without(&script, |step| {
        step.push.as_ref().is_some_and(|push| push.actor.as_deref() == Some("alice"))
    });
    assert!(play.cases().is_empty());
    let polled = step("{ at: 600, push: { digest: D2, tag: v1, polledSince: 590 } }");
    happens_late(&mut play, vec![(900, polled)]);
    let open: Vec<String> = play.cases().into_iter().map(|record| record.case.rule).collect();
    assert!(
        open.contains(&"tag-overwritten".to_owned()) && open.contains(&"push-outside-ci".to_owned()),
        "{open:?}"
    );
}
