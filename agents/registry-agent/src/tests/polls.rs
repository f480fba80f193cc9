//! The reconciling poll: what it finds, what it must not conclude, and what it says about coverage and gaps.

use std::time::Duration;

use bus_schema::Event;
use bus_schema::fleet::{AgentGap, AgentReported};
use bus_schema::registry::Observation;
use jiff::Timestamp;
use serde_json::json;

use super::bench::{Bench, section};
use super::intake::Door;
use crate::api::error::ApiError;
use crate::api::fake::{Fake, Fault};
use crate::media_type::OCI_MANIFEST;
use crate::poll::PollError;

const APP: &str = "acme/app";

async fn gaps(bench: &Bench) -> Vec<AgentGap> {
    let gaps = bench.said().await.into_iter().filter_map(|envelope| match envelope.event {
        Event::AgentGap(event) => Some(event),
        _ => None,
    });
    gaps.collect()
}

async fn reports(bench: &Bench) -> Vec<AgentReported> {
    let reports = bench.said().await.into_iter().filter_map(|envelope| match envelope.event {
        Event::AgentReported(event) => Some(event),
        _ => None,
    });
    reports.collect()
}

#[tokio::test]
async fn a_poll_finds_what_no_notification_told_and_says_it_once() {
    let bench = Bench::with("repositories = [\"acme/app\"]").await;
    let a = bench.fake.image(APP, Some("v1"), "a");
    let found = bench.poll().await.unwrap();
    assert_eq!((found.repositories, found.changes, found.is_complete), (1, 1, true));
    assert_eq!(bench.poll().await.unwrap().changes, 0);
    let b = bench.fake.image(APP, Some("v1"), "b");
    bench.poll().await.unwrap();
    let bench = bench.restarted();
    assert_eq!(bench.poll().await.unwrap().changes, 0, "the state outlives the process");
    bench.fake.image(APP, Some("v1"), "a");
    bench.poll().await.unwrap();
    bench.fake.untag(APP, "v1");
    bench.poll().await.unwrap();
    bench.fake.image(APP, Some("v1"), "b");
    bench.poll().await.unwrap();
    let (a, b) = (a.short(), b.short());
    assert_eq!(
        bench.told().await,
        [
            format!("pushed acme/app:v1@{a}"),
            format!("moved acme/app:v1 ->{a}"),
            format!("pushed acme/app:v1@{b}"),
            format!("moved acme/app:v1 {a}>{b}"),
            format!("pushed acme/app:v1@{a}"),
            format!("moved acme/app:v1 {b}>{a}"),
            format!("deleted acme/app:v1@{a}"),
            format!("pushed acme/app:v1@{b}"),
            format!("moved acme/app:v1 {a}>{b}"),
        ]
    );
    let windows: Vec<bool> = bench
        .said()
        .await
        .iter()
        .filter_map(|envelope| match &envelope.event {
            Event::RegistryTagMoved(event) => match &event.observation {
                Observation::Poll { not_before, not_after, .. } => {
                    assert!(not_before.is_none_or(|not_before| not_before < *not_after));
                    Some(not_before.is_some())
                }
                other => panic!("{other:?}"),
            },
            _ => None,
        })
        .collect();
    assert_eq!(windows, [false, true, true, true], "only the first poll does not know since when");
}

#[tokio::test]
async fn what_a_notification_told_is_no_news_to_a_poll() {
    let bench = Bench::start().await;
    let a = bench.fake.image(APP, Some("v1"), "a");
    let door = Door::open(&bench).await;
    let event = json!({"id": "1", "timestamp": "2026-11-23T05:54:10Z", "action": "push",
        "target": {"mediaType": OCI_MANIFEST, "repository": APP, "digest": a, "tag": "v1"}});
    door.deliver(&[event]).await;
    let found = bench.poll().await.unwrap();
    assert_eq!((found.repositories, found.changes), (1, 0), "a repository that was named is polled");
    assert_eq!(bench.told().await.len(), 2);
}

#[tokio::test]
async fn evidence_that_appears_is_looked_at_and_is_no_push() {
    let bench = Bench::with("repositories = [\"acme/**\"]").await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.image("other/app", Some("v1"), "b");
    bench.fake.cosign(APP, image, "sig", "application/vnd.dev.cosign.simplesigning.v1+json", b"sig");
    let bundle = bench.fake.attach(APP, image, b"bundle");
    bench.fake.fallback(APP, image, &[bundle]);
    let found = bench.poll().await.unwrap();
    assert_eq!((found.repositories, found.changes), (1, 3));
    assert_eq!(bench.told().await.len(), 2, "{:?}", bench.told().await);
    let all_found = async || bench.attached().await.len() == 2;
    bench.run_until(&all_found).await;
    assert!(all_found().await);
}

#[tokio::test]
async fn an_image_that_appears_under_the_name_of_evidence_is_told_as_pushed() {
    let bench = Bench::with("repositories = [\"acme/app\"]").await;
    let image = bench.fake.image(APP, Some("v1"), "a");
    bench.fake.cosign(APP, image, "sig", "application/vnd.dev.cosign.simplesigning.v1+json", b"sig");
    let name = format!("{}.att", image.fallback_tag());
    let hidden = bench.fake.image(APP, Some(&name), "hidden").short();
    bench.poll().await.unwrap();
    let is_told = async || bench.told().await.len() > 2;
    bench.run_until(&is_told).await;
    assert_eq!(bench.told().await[2..], [format!("pushed {APP}:{name}@{hidden}")]);
    let is_seen_by_a_poll = bench.said().await.into_iter().any(|envelope| match envelope.event {
        Event::ImagePushed(event) => {
            event.tag.is_some_and(|tag| tag.as_str() == name)
                && matches!(event.observation, Observation::Poll { .. })
        }
        _ => false,
    });
    assert!(is_seen_by_a_poll);
}

#[tokio::test]
async fn a_list_that_failed_or_was_cut_deletes_nothing() {
    let bench = Bench::with("repositories = [\"acme/app\"]\ntags_max = 2").await;
    bench.fake.image(APP, Some("v1"), "a");
    bench.fake.image(APP, Some("v2"), "b");
    bench.poll().await.unwrap();
    let told = bench.told().await.len();
    for fault in
        [Fault::Status(401), Fault::Status(429), Fault::Status(503), Fault::HalfBody, Fault::Other("{}x")]
    {
        bench.fake.fault("tags/list", fault);
        assert!(bench.poll().await.is_err());
        bench.fake.set().faults.clear();
    }
    // The list says 404, the tags themselves are there.
    bench.fake.fault("tags/list", Fault::Status(404));
    bench.poll().await.unwrap();
    bench.fake.set().faults.clear();
    // One tag more than the bound: the list is cut, and what is missing in it says nothing.
    bench.fake.image(APP, Some("v0"), "c");
    let found = bench.poll().await.unwrap();
    assert!(!found.is_complete);
    let after = bench.told().await;
    assert_eq!(after.len(), told + 2, "{after:?}");
    assert!(!after.iter().any(|line| line.starts_with("deleted")), "{after:?}");
    // A tag that cannot be asked for is not gone.
    bench.fake.untag(APP, "v0");
    bench.fake.untag(APP, "v2");
    bench.fake.fault("HEAD", Fault::Status(503));
    assert!(bench.poll().await.is_err());
    assert_eq!(bench.told().await.len(), after.len());
    bench.fake.set().faults.clear();
    bench.poll().await.unwrap();
    assert_eq!(bench.told().await.iter().filter(|line| line.starts_with("deleted")).count(), 2);
}

#[tokio::test]
async fn many_new_tags_hide_neither_a_move_nor_a_deletion_and_the_cut_is_a_gap_until_all_is_read() {
    let bench = Bench::with("repositories = [\"acme/app\"]\ntags_max = 3").await;
    let scope = format!("{}/{APP}", bench.fake.host);
    let (a, b) = (bench.fake.image(APP, Some("v1"), "a"), bench.fake.image(APP, Some("v2"), "b"));
    bench.poll().await.unwrap();
    let told = bench.told().await.len();
    assert!(gaps(&bench).await.is_empty());
    for junk in ["a1", "a2", "a3", "a4"] {
        bench.fake.image(APP, Some(junk), "junk");
    }
    let moved = bench.fake.image(APP, Some("v1"), "c");
    bench.fake.untag(APP, "v2");
    for _ in 0..2 {
        assert!(!bench.poll().await.unwrap().is_complete);
    }
    let of_the_known: Vec<String> =
        bench.told().await.split_off(told).into_iter().filter(|line| !line.contains(":a")).collect();
    let expected = [
        format!("pushed {APP}:v1@{}", moved.short()),
        format!("moved {APP}:v1 {}>{}", a.short(), moved.short()),
        format!("deleted {APP}:v2@{}", b.short()),
    ];
    assert_eq!(of_the_known, expected);
    // A tag that comes back is no new one.
    bench.fake.image(APP, Some("v2"), "d");
    bench.poll().await.unwrap();
    let last = bench.told().await.pop().unwrap();
    assert!(last.starts_with(&format!("moved {APP}:v2 {}>", b.short())), "{last}");
    let [open] = &gaps(&bench).await[..] else { panic!("{:?}", gaps(&bench).await) };
    assert_eq!((&open.scope, open.recovered), (&scope, false));
    assert!(open.reason.contains("longer than is read"), "{open:?}");
    for junk in ["a1", "a2", "a3", "a4"] {
        bench.fake.untag(APP, junk);
    }
    assert!(bench.poll().await.unwrap().is_complete);
    let found = gaps(&bench).await;
    let [open, closed] = &found[..] else { panic!("{found:?}") };
    assert!(closed.recovered);
    assert_eq!((open.epoch, open.sequence, open.from), (closed.epoch, closed.sequence, closed.from));
}

#[tokio::test]
async fn many_new_repositories_take_the_place_of_none_that_was_watched() {
    let bench = Bench::with("repositories = [\"**\", \"zz/named\"]\nrepositories_max = 3").await;
    bench.fake.image("acme/known", Some("v1"), "a");
    assert!(bench.poll().await.unwrap().is_complete);
    assert!(gaps(&bench).await.is_empty());
    for junk in 0..5 {
        bench.fake.image(&format!("aaa/junk-{junk}"), Some("v1"), "junk");
    }
    bench.fake.image("acme/known", Some("v1"), "b");
    bench.fake.image("zz/named", Some("v1"), "c");
    for _ in 0..2 {
        let polled = bench.poll().await.unwrap();
        assert_eq!((polled.repositories, polled.is_complete), (3, false));
    }
    let told = bench.told().await;
    for name in ["acme/known", "zz/named"] {
        let moved = format!("moved {name}:v1 ");
        assert!(told[2..].iter().any(|line| line.starts_with(&moved)), "{name}: {told:?}");
    }
    let [open] = &gaps(&bench).await[..] else { panic!("{:?}", gaps(&bench).await) };
    assert_eq!((&open.scope, open.recovered), (&bench.fake.host, false));
    for junk in 0..5 {
        bench.fake.remove(&format!("aaa/junk-{junk}"));
    }
    // One of them had the place that was left, and is asked for though it is gone.
    assert!(bench.poll().await.unwrap().is_complete);
    assert_eq!(gaps(&bench).await.iter().map(|gap| gap.recovered).collect::<Vec<_>>(), [false, true]);
}

/// When the windows begin in which polls say that images of a repository were pushed.
async fn windows(bench: &Bench, name: &str) -> Vec<Option<Timestamp>> {
    let windows = bench.said().await.into_iter().filter_map(|envelope| match envelope.event {
        Event::ImagePushed(event) if event.repository.name() == name => match event.observation {
            Observation::Poll { not_before, .. } => Some(not_before),
            other => panic!("{other:?}"),
        },
        _ => None,
    });
    windows.collect()
}

#[tokio::test]
async fn what_is_in_a_repository_that_a_whole_list_did_not_hold_was_pushed_after_that() {
    let bench = Bench::with("repositories = [\"acme/**\"]").await;
    bench.fake.image("acme/first", Some("v1"), "a");
    bench.poll().await.unwrap();
    assert_eq!(windows(&bench, "acme/first").await, [None], "nobody knows since when the first is there");
    let host = bench.fake.host.clone();
    let read = bench.agent.agent.state.write(move |batch| batch.registry(&host)).await.unwrap();
    let whole = read.whole_poll.unwrap().began;
    // A poll that fails reads nothing of the new one and is no whole one.
    bench.fake.image("acme/new", Some("v1"), "b");
    bench.fake.fault("acme/new/tags", Fault::Status(503));
    assert!(bench.poll().await.is_err());
    bench.fake.set().faults.clear();
    let bench = bench.restarted();
    assert!(bench.poll().await.unwrap().is_complete);
    assert_eq!(windows(&bench, "acme/new").await, [Some(whole)]);
}

#[tokio::test]
async fn a_repository_that_was_not_looked_for_may_have_been_there_before() {
    let bench = Bench::with("repositories = [\"acme/**\"]").await;
    bench.fake.image("acme/first", Some("v1"), "a");
    bench.fake.image("other/old", Some("v1"), "b");
    bench.poll().await.unwrap();
    let bench = bench.restarted_with("repositories = [\"acme/**\", \"other/**\"]");
    bench.poll().await.unwrap();
    assert_eq!(windows(&bench, "other/old").await, [None]);
    // From then on it is known what was there.
    bench.fake.image("other/new", Some("v1"), "c");
    bench.poll().await.unwrap();
    assert!(windows(&bench, "other/new").await[0].is_some());
}

#[tokio::test]
async fn a_repository_that_was_left_out_is_no_new_one() {
    let bench = Bench::with("repositories = [\"**\"]").await;
    bench.fake.image("acme/other", Some("v1"), "a");
    bench.fake.image(APP, Some("v1"), "b");
    bench.fake.fault("acme/app/tags", Fault::Status(403));
    failed_of(&bench, APP, 6).await;
    assert!(bench.poll().await.unwrap().is_complete, "left out, and a whole poll without it");
    bench.fake.set().faults.clear();
    bench.poll().await.unwrap();
    assert_eq!(windows(&bench, APP).await, [None]);
}

#[tokio::test]
async fn a_repository_is_gone_only_where_the_registry_answers_as_one() {
    let fake = Fake::start().await;
    let lines = "repositories = [\"acme/app\"]\nusername = \"u\"\npassword = \"p\"";
    let settings = section(&fake.host, lines);
    let bench = Bench::of(fake, settings).await;
    bench.fake.set().basic = Some(("u".to_owned(), "p".to_owned()));
    bench.fake.image(APP, Some("v1"), "a");
    bench.poll().await.unwrap();
    let told = bench.told().await.len();
    // What answers is something else, in front of a registry that is away.
    bench.fake.fault("", Fault::Status(404));
    let answered = bench.poll().await;
    assert!(
        matches!(answered, Err(PollError::Registry(ApiError::Unexpected { status: 404 }))),
        "{answered:?}"
    );
    assert_eq!(bench.told().await.len(), told);
    bench.fake.set().faults.clear();
    bench.fake.remove(APP);
    bench.poll().await.unwrap();
    assert!(bench.told().await[told].starts_with("deleted acme/app:v1@"));
}

#[tokio::test]
async fn a_realm_that_gives_no_token_deletes_nothing() {
    let bench = Bench::with("repositories = [\"acme/app\"]").await;
    bench.fake.set().token = Some("t0ken".to_owned());
    bench.fake.image(APP, Some("v1"), "a");
    bench.poll().await.unwrap();
    // A new process has no token.
    let bench = bench.restarted();
    bench.fake.fault("/token", Fault::Status(404));
    let answered = bench.poll().await;
    assert!(matches!(answered, Err(PollError::Registry(ApiError::NoToken { .. }))), "{answered:?}");
    assert_eq!(bench.told().await.len(), 2);
}

#[tokio::test]
async fn lists_are_read_page_by_page() {
    let bench = Bench::with("repositories = [\"**\"]").await;
    for n in 0..5 {
        bench.fake.image(&format!("acme/app-{n}"), Some("v1"), "a");
        bench.fake.image("acme/tags", Some(&format!("v{n}")), "a");
    }
    bench.fake.set().page = Some(2);
    let found = bench.poll().await.unwrap();
    assert_eq!((found.repositories, found.changes, found.is_complete), (6, 10, true));
}

#[tokio::test]
async fn coverage_begins_with_the_first_whole_poll_and_is_kept() {
    let bench = Bench::with("repositories = [\"acme/app\"]\npoll_interval = \"50ms\"").await;
    bench.fake.image(APP, Some("v1"), "a");
    bench.fake.fault("tags/list", Fault::Status(503));
    bench.run_until(async || reports(&bench).await.len() > 2).await;
    assert!(reports(&bench).await.iter().all(|report| report.coverage.is_empty()));
    bench.fake.set().faults.clear();
    let is_covered = async || reports(&bench).await.iter().any(|report| !report.coverage.is_empty());
    bench.run_until(&is_covered).await;
    let since = reports(&bench).await.last().unwrap().coverage[0].clone();
    assert_eq!(since.scope, bench.fake.host);
    let bench = bench.restarted();
    let before = reports(&bench).await.len();
    bench.run_until(async || reports(&bench).await.len() > before).await;
    assert_eq!(reports(&bench).await.last().unwrap().coverage, [since]);
}

#[tokio::test]
async fn the_time_without_the_agent_is_a_gap_until_a_poll_has_read_everything() {
    let bench = Bench::with("repositories = [\"acme/app\"]\npoll_interval = \"50ms\"").await;
    bench.fake.image(APP, Some("v1"), "a");
    bench.run_until(async || reports(&bench).await.len() > 1).await;
    assert!(gaps(&bench).await.is_empty());
    let bench = bench.restarted();
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.fake.fault("tags/list", Fault::Status(503));
    bench.run_until(async || !gaps(&bench).await.is_empty()).await;
    // Down once more while the gap is open: it stays the same gap.
    let bench = bench.restarted();
    bench.fake.set().faults.clear();
    bench.run_until(async || gaps(&bench).await.len() > 1).await;
    let found = gaps(&bench).await;
    let [open, closed] = &found[..] else { panic!("{found:?}") };
    assert!(!open.recovered && closed.recovered);
    assert_eq!((open.epoch, open.sequence, open.from), (closed.epoch, closed.sequence, closed.from));
    assert_eq!(open.scope, bench.fake.host);
    assert!(closed.until > open.until);
}

#[tokio::test]
async fn where_polls_end_before_a_gap_is_closed_coverage_begins_anew() {
    let bench = Bench::with("repositories = [\"acme/app\"]\npoll_interval = \"50ms\"").await;
    bench.fake.image(APP, Some("v1"), "a");
    bench.run_until(async || reports(&bench).await.iter().any(|report| !report.coverage.is_empty())).await;
    let bench = bench.restarted();
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.fake.fault("tags/list", Fault::Status(503));
    bench.run_until(async || !gaps(&bench).await.is_empty()).await;
    let bench = bench.restarted_with("poll_interval = \"0s\"");
    let before = reports(&bench).await.len();
    bench.run_until(async || reports(&bench).await.len() > before).await;
    let [open] = &gaps(&bench).await[..] else { panic!("{:?}", gaps(&bench).await) };
    let last = reports(&bench).await.last().unwrap().clone();
    assert!(last.coverage[0].since > open.until, "{last:?}");
}

#[tokio::test]
async fn a_loop_that_begins_again_in_one_process_has_missed_nothing() {
    let bench = Bench::with("repositories = [\"acme/app\"]\npoll_interval = \"50ms\"").await;
    for _ in 0..2 {
        let before = reports(&bench).await.len();
        bench.run_until(async || reports(&bench).await.len() > before).await;
        // Longer than what counts as a gap.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(gaps(&bench).await.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_one_tag_or_repository_hides_nothing_in_the_others() {
    let bench = Bench::with("repositories = [\"acme/app\", \"acme/other\", \"acme/third\"]").await;
    bench.fake.image(APP, Some("broken"), "a");
    bench.fake.image(APP, Some("v1"), "b");
    bench.fake.image("acme/third", Some("v1"), "c");
    bench.fake.fault("manifests/broken", Fault::Status(500));
    bench.fake.fault("acme/other/tags", Fault::Status(403));
    assert!(bench.poll().await.is_err());
    assert_eq!(bench.told().await.len(), 4, "{:?}", bench.told().await);
    bench.fake.set().faults.clear();
    assert!(bench.poll().await.unwrap().is_complete);
    assert_eq!(bench.told().await.len(), 6);
}

/// Lets the denials of a repository have begun two hours ago.
async fn denied_for_long(bench: &Bench, name: &str) {
    let of = bench.fake.repository(name);
    let write = bench.agent.agent.state.write(move |batch| {
        let mut record = batch.repository(&of)?;
        record.denied.as_mut().unwrap().since -= Duration::from_secs(2 * 60 * 60);
        batch.put_repository(&of, &record)
    });
    write.await.unwrap();
}

/// How many of so many polls failed, the first of them two hours ago.
async fn failed_of(bench: &Bench, name: &str, polls: usize) -> usize {
    let mut failed = usize::from(bench.poll().await.is_err());
    denied_for_long(bench, name).await;
    for _ in 1..polls {
        failed += usize::from(bench.poll().await.is_err());
    }
    failed
}

async fn push(bench: &Bench, id: &str, name: &str, digest: bus_schema::Digest) {
    let event = json!({"id": id, "timestamp": "2026-11-23T05:54:10Z", "action": "push",
        "target": {"mediaType": OCI_MANIFEST, "repository": name, "digest": digest, "tag": "v1"}});
    Door::open(bench).await.deliver(&[event]).await;
}

#[tokio::test]
async fn a_repository_that_was_only_heard_of_is_left_out_when_it_is_denied_for_long() {
    let bench = Bench::with("repositories = [\"acme/named\"]\npoll_interval = \"50ms\"").await;
    bench.fake.image("acme/named", Some("v1"), "a");
    let heard_of = bench.fake.image(APP, Some("v1"), "b");
    push(&bench, "1", APP, heard_of).await;
    bench.fake.fault("acme/app/tags", Fault::Status(403));
    assert_eq!(failed_of(&bench, APP, 5).await, 5);
    assert!(gaps(&bench).await.is_empty());
    assert!(bench.poll().await.unwrap().is_complete);
    let asked = || bench.fake.set().requests.iter().filter(|line| line.contains("acme/app/tags")).count();
    let (before, polled) = (asked(), bench.poll().await.unwrap());
    assert_eq!((polled.repositories, polled.is_complete, asked()), (2, true, before + 1));
    let [open] = &gaps(&bench).await[..] else { panic!("{:?}", gaps(&bench).await) };
    assert_eq!((&open.scope, open.recovered), (&format!("{}/{APP}", bench.fake.host), false));
    let is_covered = async || reports(&bench).await.iter().any(|report| !report.coverage.is_empty());
    bench.run_until(&is_covered).await;
    assert!(is_covered().await);
    // Heard of again, it is polled again; its denials count anew.
    let bench = bench.restarted();
    push(&bench, "2", APP, heard_of).await;
    assert!(bench.poll().await.is_err());
    bench.fake.set().faults.clear();
    assert!(bench.poll().await.unwrap().is_complete);
    let gaps: Vec<AgentGap> = gaps(&bench).await.into_iter().filter(|gap| gap.scope.ends_with(APP)).collect();
    let [open, closed] = &gaps[..] else { panic!("{gaps:?}") };
    assert!(!open.recovered && closed.recovered);
    assert_eq!((open.epoch, open.sequence, open.from), (closed.epoch, closed.sequence, closed.from));
}

#[tokio::test]
async fn of_those_that_are_left_out_each_has_its_turn_and_is_read_once_that_is_allowed() {
    let bench = Bench::with("repositories = [\"acme/named\"]").await;
    bench.fake.image("acme/named", Some("v1"), "a");
    for name in ["acme/app", "acme/web"] {
        let heard_of = bench.fake.image(name, Some("v1"), name);
        push(&bench, name, name, heard_of).await;
        bench.fake.fault(&format!("{name}/tags"), Fault::Status(403));
    }
    failed_of(&bench, "acme/app", 6).await;
    failed_of(&bench, "acme/web", 6).await;
    bench.fake.set().requests.clear();
    for _ in 0..20 {
        assert!(bench.poll().await.unwrap().is_complete);
    }
    let asked = |name: &str| bench.fake.set().requests.iter().filter(|line| line.contains(name)).count();
    let (app, web) = (asked("acme/app/tags"), asked("acme/web/tags"));
    assert!(app + web == 20 && app > 3 && web > 3, "{app} {web}");
    bench.fake.set().faults.clear();
    for _ in 0..2 {
        assert!(bench.poll().await.unwrap().is_complete);
    }
    let gaps = gaps(&bench).await;
    assert_eq!(gaps.iter().filter(|gap| gap.recovered).count(), 2, "{gaps:?}");
}

#[tokio::test]
async fn a_repository_that_the_settings_name_is_never_left_out() {
    let bench = Bench::with("repositories = [\"acme/app\", \"acme/other\"]").await;
    bench.fake.image("acme/other", Some("v1"), "a");
    bench.fake.fault("acme/app/tags", Fault::Status(401));
    for _ in 0..10 {
        assert!(bench.poll().await.is_err());
    }
    let of = bench.fake.repository(APP);
    let record = bench.agent.agent.state.write(move |batch| batch.repository(&of)).await.unwrap();
    assert_eq!(record.denied, None);
}

#[tokio::test]
async fn a_denied_repository_that_the_registry_lists_is_asked_for_and_read_once_that_is_allowed() {
    let bench = Bench::with("repositories = [\"**\"]").await;
    bench.fake.image("acme/other", Some("v1"), "a");
    bench.fake.image(APP, Some("v1"), "b");
    bench.fake.fault("acme/app/tags", Fault::Status(403));
    assert_eq!(failed_of(&bench, APP, 8).await, 5);
    bench.fake.set().faults.clear();
    assert_eq!(bench.poll().await.unwrap().changes, 1);
    assert_eq!(gaps(&bench).await.iter().map(|gap| gap.recovered).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn nothing_is_left_out_while_the_agent_itself_is_denied() {
    let bench = Bench::start().await;
    let heard_of = bench.fake.image(APP, Some("v1"), "a");
    push(&bench, "1", APP, heard_of).await;
    bench.fake.set().basic = Some(("u".to_owned(), "another".to_owned()));
    for _ in 0..10 {
        assert!(bench.poll().await.is_err());
    }
    bench.fake.set().basic = None;
    bench.fake.fault("tags/list", Fault::Status(403));
    assert_eq!(failed_of(&bench, APP, 6).await, 5, "the registry lets the agent in, and not there");
}

#[tokio::test]
async fn one_repository_that_does_not_answer_holds_up_none_behind_it() {
    let bench = Bench::with("repositories = [\"acme/a\", \"acme/b\", \"acme/c\"]").await;
    for name in ["acme/a", "acme/b", "acme/c"] {
        bench.fake.image(name, Some("v1"), name);
    }
    bench.fake.fault("acme/b/tags", Fault::Hang);
    assert!(bench.poll().await.is_err());
    assert_eq!(bench.told().await.len(), 4, "{:?}", bench.told().await);
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_given_up_and_the_next_poll_goes_on_there() {
    let names: Vec<String> = (0..5).map(|n| format!("acme/app-{n}")).collect();
    let bench = Bench::with(&format!("repositories = {}", json!(names))).await;
    for name in &names {
        bench.fake.image(name, Some("v1"), name);
    }
    let asked = || -> String {
        let requests = std::mem::take(&mut bench.fake.set().requests);
        let repository = |line: &String| line.split_once("app-").and_then(|(_, rest)| rest.chars().next());
        requests.iter().filter(|line| line.contains("/tags/list")).filter_map(repository).collect()
    };
    bench.fake.fault("tags/list", Fault::Hang);
    assert!(bench.poll().await.is_err());
    let first = asked();
    bench.fake.set().faults.clear();
    assert!(bench.poll().await.unwrap().is_complete);
    let second = asked();
    bench.fake.fault("app-2/tags", Fault::Status(429));
    assert!(bench.poll().await.is_err());
    let third = asked();
    assert!(bench.poll().await.is_err());
    assert_eq!((&*first, &*second, &*third, &*asked()), ("012", "34012", "012", "2"));
}

#[tokio::test]
async fn a_registry_is_left_alone_for_as_long_as_it_asks() {
    let bench = Bench::with("repositories = [\"acme/app\"]\npoll_interval = \"50ms\"").await;
    bench.fake.image(APP, Some("v1"), "a");
    bench.fake.fault("tags/list", Fault::RetryAfter(429, "Sun, 01 Mar 2099 12:00:00 GMT"));
    let watched = bench.agent.agent.registries.values().next().unwrap();
    let asked = || bench.fake.set().requests.len();
    bench
        .run_until(async || {
            watched.poll_soon.notify_one();
            asked() > 1 || reports(&bench).await.len() > 10
        })
        .await;
    assert_eq!(asked(), 1);
}

#[tokio::test]
async fn a_tag_with_terminal_escapes_is_no_tag_and_the_others_are_found() {
    let bench = Bench::with("repositories = [\"acme/app\"]").await;
    bench.fake.image(APP, Some("v1\u{1b}]0;owned\u{7}"), "a");
    let good = bench.fake.image(APP, Some("v2"), "b").short();
    let found = bench.poll().await.unwrap();
    assert_eq!(found.changes, 1);
    assert_eq!(
        bench.told().await,
        [format!("pushed acme/app:v2@{good}"), format!("moved acme/app:v2 ->{good}")]
    );
    for envelope in bench.said().await {
        let text = String::from_utf8(envelope.to_json().unwrap()).unwrap();
        assert!(!text.contains("owned"), "{text}");
    }
}
