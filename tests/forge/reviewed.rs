//! "Is this commit on the ref, and reviewed?", answered from the forge.

use bus_schema::fleet::Unavailable;
use bus_schema::question::Question;
use bus_schema::source::{ChangeMerged, ChangeReviewed, CommitPushed, Permission, ReviewState};
use bus_schema::{Event, GitRef};
use harness::github::{MergeMethod, Person};

use crate::world::{Answered, REPOSITORY, World, person};

fn question(world: &World, commit: &str, git_ref: Option<&str>) -> Question {
    let git_ref = git_ref.map(|name| name.parse::<GitRef>().unwrap());
    Question::Commit { repository: world.repository(), commit: commit.parse().unwrap(), git_ref }
}

fn merged(answered: &Answered) -> Vec<&ChangeMerged> {
    let merged = answered.events.iter().filter_map(|event| match event {
        Event::ChangeMerged(merged) => Some(merged),
        _ => None,
    });
    merged.collect()
}

fn reviewed(answered: &Answered) -> Vec<&ChangeReviewed> {
    let reviewed = answered.events.iter().filter_map(|event| match event {
        Event::ChangeReviewed(reviewed) => Some(reviewed),
        _ => None,
    });
    reviewed.collect()
}

fn pushed(answered: &Answered) -> Vec<&CommitPushed> {
    let pushed = answered.events.iter().filter_map(|event| match event {
        Event::CommitPushed(pushed) => Some(pushed),
        _ => None,
    });
    pushed.collect()
}

/// `main` with one commit, whose push was long ago.
fn first(world: &World) -> String {
    let mut model = world.forge.model();
    let first = model.commit(REPOSITORY, &[], &person("root"), &["README.md"]);
    model.push(REPOSITORY, "main", &first, &person("root"));
    first
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_squashed_change_comes_with_its_reviews_its_last_pusher_and_its_push() {
    let world = World::new().await;
    let first = first(&world);
    let (number, squashed, head) = {
        let mut model = world.forge.model();
        let one = model.commit(REPOSITORY, &[&first], &person("bob"), &["src/a.rs"]);
        model.push(REPOSITORY, "fix", &one, &person("bob"));
        let number = model.open_pull(REPOSITORY, ("fix", &one), "main", &person("bob"));
        model.review(REPOSITORY, number, &person("eve"), "APPROVED");
        let two = model.commit(REPOSITORY, &[&one], &person("bob"), &[".github/workflows/release.yml"]);
        model.push(REPOSITORY, "fix", &two, &person("root"));
        model.review(REPOSITORY, number, &person("ann"), "COMMENTED");
        model.review(REPOSITORY, number, &person("ann"), "APPROVED");
        model.merge(REPOSITORY, number, MergeMethod::Squash, &person("ann"));
        let squashed = model.repository("acme", "api").refs["refs/heads/main"].clone();
        (number, squashed, two)
    };
    let answered = world.ask(question(&world, &squashed, Some("refs/heads/main"))).await;
    answered.check_end(Unavailable::NotFound, "1 merged changes; the commit is on the ref");

    let [change] = merged(&answered)[..] else { panic!("{:?}", answered.events) };
    assert!(change.looked_up);
    assert_eq!(
        (change.number, change.merge_commit.as_str(), change.head.as_str()),
        (number, &*squashed, &*head)
    );
    assert_eq!((change.commit_count, change.commits.len()), (2, 2));
    // The forge's record tells who pushed the head, whoever committed it.
    assert_eq!(change.last_pusher.as_ref().unwrap().name, "root");
    let reviews: Vec<_> = reviewed(&answered)
        .iter()
        .map(|review| {
            (review.reviewer.name.as_str(), review.state.clone(), review.permission.clone().unwrap())
        })
        .collect();
    let expected =
        [("eve", ReviewState::Approved, Permission::Read), ("ann", ReviewState::Approved, Permission::Write)];
    assert_eq!(reviews, expected);
    let [push] = pushed(&answered)[..] else { panic!("{:?}", answered.events) };
    assert_eq!(push.before.as_ref().unwrap().as_str(), first);
    assert_eq!(push.after.as_ref().unwrap().as_str(), squashed);
    assert_eq!(push.commits[0].paths.as_ref().unwrap().len(), 2);
    assert_eq!(push.commits[0].parents[0].as_str(), first);
    assert_eq!(push.commits[0].signature_verified, Some(true));
    assert!(matches!(answered.events.last(), Some(Event::WorkflowChanged(_))), "{:?}", answered.events);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_pushed_without_a_change_has_its_push_and_nothing_else() {
    let world = World::new().await;
    let first = first(&world);
    let hotfix = {
        let mut model = world.forge.model();
        let hotfix = model.commit(REPOSITORY, &[&first], &person("root"), &["src/a.rs"]);
        model.push(REPOSITORY, "main", &hotfix, &person("root"));
        hotfix
    };
    let answered = world.ask(question(&world, &hotfix, Some("refs/heads/main"))).await;
    answered.check_end(Unavailable::NotFound, "0 merged changes; the commit is on the ref");
    let [Event::CommitPushed(push)] = &answered.events[..] else { panic!("{:?}", answered.events) };
    assert_eq!(push.pusher.as_ref().unwrap().name, "root");
    assert!(!push.forced && !push.commits_cut);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_of_a_rebased_range_and_of_a_merge_queue_leads_to_its_own_change() {
    let world = World::new().await;
    let first = first(&world);
    let (rebased, queued, numbers) = {
        let mut model = world.forge.model();
        let one = model.commit(REPOSITORY, &[&first], &person("bob"), &["src/a.rs"]);
        let two = model.commit(REPOSITORY, &[&one], &person("bob"), &["src/b.rs"]);
        model.push(REPOSITORY, "fix", &two, &person("bob"));
        let rebase = model.open_pull(REPOSITORY, ("fix", &two), "main", &person("bob"));
        model.review(REPOSITORY, rebase, &person("ann"), "APPROVED");
        model.merge(REPOSITORY, rebase, MergeMethod::Rebase, &person("ann"));
        let tip = model.repository("acme", "api").refs["refs/heads/main"].clone();
        let rebased = model.repository("acme", "api").commits[&tip].parents[0].clone();

        let mut queue = Vec::new();
        for name in ["x", "y"] {
            let commit = model.commit(REPOSITORY, &[&tip], &person("bob"), &[&format!("src/{name}.rs")]);
            model.push(REPOSITORY, name, &commit, &person("bob"));
            let number = model.open_pull(REPOSITORY, (name, &commit), "main", &person("bob"));
            model.review(REPOSITORY, number, &person("ann"), "APPROVED");
            queue.push(number);
        }
        model.merge_queue(REPOSITORY, &queue, &Person::bot("github-merge-queue[bot]", 9));
        let queued = model.repository("acme", "api").refs["refs/heads/main"].clone();
        (rebased, queued, (rebase, queue))
    };
    let (rebase, queue) = numbers;
    let answered = world.ask(question(&world, &rebased, Some("refs/heads/main"))).await;
    answered.check_end(Unavailable::NotFound, "1 merged changes");
    assert_eq!(merged(&answered)[0].number, rebase);
    let [push] = pushed(&answered)[..] else { panic!("{:?}", answered.events) };
    assert_eq!(push.commits.len(), 2);
    assert!(push.commits.iter().any(|commit| commit.id.as_str() == rebased));

    let answered = world.ask(question(&world, &queued, Some("refs/heads/main"))).await;
    answered.check_end(Unavailable::NotFound, "2 merged changes");
    let numbers: Vec<u64> = merged(&answered).iter().map(|change| change.number).collect();
    assert_eq!(numbers, queue);
    let [push] = pushed(&answered)[..] else { panic!("{:?}", answered.events) };
    assert_eq!(push.commits.len(), 4);
    assert!(push.pusher.as_ref().unwrap().bot);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_only_a_merge_of_the_base_followed_counts_for_the_final_one() {
    let world = World::new().await;
    let first = first(&world);
    let (tip, reviewed_head, other) = {
        let mut model = world.forge.model();
        let one = model.commit(REPOSITORY, &[&first], &person("bob"), &["src/a.rs"]);
        model.push(REPOSITORY, "fix", &one, &person("bob"));
        let number = model.open_pull(REPOSITORY, ("fix", &one), "main", &person("bob"));
        model.review(REPOSITORY, number, &person("ann"), "APPROVED");
        let on_main = model.commit(REPOSITORY, &[&first], &person("root"), &["README.md"]);
        model.push(REPOSITORY, "main", &on_main, &person("root"));
        let update = model.commit(REPOSITORY, &[&one, &on_main], &person("bob"), &["README.md"]);
        model.push(REPOSITORY, "fix", &update, &person("bob"));
        model.merge(REPOSITORY, number, MergeMethod::Merge, &person("ann"));
        let tip = model.repository("acme", "api").refs["refs/heads/main"].clone();

        // A merge of something that is not the base: the earlier head stands for nothing.
        let two = model.commit(REPOSITORY, &[&tip], &person("bob"), &["src/b.rs"]);
        let strange = model.commit(REPOSITORY, &[&first], &person("eve"), &["src/evil.rs"]);
        let merge = model.commit(REPOSITORY, &[&two, &strange], &person("bob"), &["src/evil.rs"]);
        model.push(REPOSITORY, "more", &merge, &person("bob"));
        let number = model.open_pull(REPOSITORY, ("more", &merge), "main", &person("bob"));
        model.merge(REPOSITORY, number, MergeMethod::Merge, &person("ann"));
        let other = model.repository("acme", "api").refs["refs/heads/main"].clone();
        (tip, one, other)
    };
    let answered = world.ask(question(&world, &tip, None)).await;
    answered.check_end(Unavailable::NotFound, "no ref was asked for");
    let [change] = merged(&answered)[..] else { panic!("{:?}", answered.events) };
    let heads: Vec<&str> = change.equivalent_heads.iter().map(|head| head.as_str()).collect();
    assert_eq!(heads, [reviewed_head.as_str()]);

    let answered = world.ask(question(&world, &other, None)).await;
    let [change] = merged(&answered)[..] else { panic!("{:?}", answered.events) };
    assert!(change.equivalent_heads.is_empty(), "{change:?}");
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_of_the_base_that_holds_anything_of_its_own_makes_no_earlier_head_count() {
    // What the merge changes against the earlier head, and how many heads count beside the final one. The
    // base has changed README.md and docs/b.md since.
    let base: &[&str] = &["README.md", "docs/b.md"];
    let cases: [(&str, &[&str], usize); 5] = [
        ("the base and nothing else", base, 1),
        ("a file that neither side has", &["README.md", "docs/b.md", "src/evil.rs"], 0),
        ("the change's own file, altered", &["README.md", "docs/b.md", "src/a.rs"], 0),
        ("a part of the base", &["README.md"], 0),
        ("nothing of the base", &[], 0),
    ];
    for (what, merge_changes, count) in cases {
        let world = World::new().await;
        let first = first(&world);
        let (tip, reviewed_head) = {
            let mut model = world.forge.model();
            let one = model.commit(REPOSITORY, &[&first], &person("bob"), &["src/a.rs"]);
            model.push(REPOSITORY, "fix", &one, &person("bob"));
            let number = model.open_pull(REPOSITORY, ("fix", &one), "main", &person("bob"));
            model.review(REPOSITORY, number, &person("ann"), "APPROVED");
            let on_main = model.commit(REPOSITORY, &[&first], &person("root"), base);
            model.push(REPOSITORY, "main", &on_main, &person("root"));
            let merge = model.commit(REPOSITORY, &[&one, &on_main], &person("bob"), merge_changes);
            model.push(REPOSITORY, "fix", &merge, &person("bob"));
            model.merge(REPOSITORY, number, MergeMethod::Merge, &person("ann"));
            (model.repository("acme", "api").refs["refs/heads/main"].clone(), one)
        };
        let answered = world.ask(question(&world, &tip, None)).await;
        let [change] = merged(&answered)[..] else { panic!("{:?}", answered.events) };
        let heads: Vec<&str> = change.equivalent_heads.iter().map(|head| head.as_str()).collect();
        assert_eq!(heads, vec![reviewed_head.as_str(); count], "{what}");
        world.end();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_head_counts_no_further_back_than_to_the_first_merge_that_is_not_clean() {
    let world = World::new().await;
    let first = first(&world);
    let (tip, counts) = {
        let mut model = world.forge.model();
        let one = model.commit(REPOSITORY, &[&first], &person("bob"), &["src/a.rs"]);
        model.push(REPOSITORY, "fix", &one, &person("bob"));
        let number = model.open_pull(REPOSITORY, ("fix", &one), "main", &person("bob"));
        let (mut head, mut heads, mut main) = (one, Vec::new(), first);
        for own in [None, Some("src/evil.rs"), None, None] {
            main = model.commit(REPOSITORY, &[&main], &person("root"), &["README.md"]);
            model.push(REPOSITORY, "main", &main, &person("root"));
            let files: Vec<&str> = ["README.md"].into_iter().chain(own).collect();
            heads.push(head.clone());
            head = model.commit(REPOSITORY, &[&head, &main], &person("bob"), &files);
            model.push(REPOSITORY, "fix", &head, &person("bob"));
        }
        model.merge(REPOSITORY, number, MergeMethod::Merge, &person("ann"));
        let tip = model.repository("acme", "api").refs["refs/heads/main"].clone();
        (tip, [heads[3].clone(), heads[2].clone()])
    };
    let answered = world.ask(question(&world, &tip, None)).await;
    let [change] = merged(&answered)[..] else { panic!("{:?}", answered.events) };
    let heads: Vec<&str> = change.equivalent_heads.iter().map(|head| head.as_str()).collect();
    assert_eq!(heads, counts);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_commits_and_commits_elsewhere_are_told_apart() {
    let world = World::new().await;
    let first = first(&world);
    let side = {
        let mut model = world.forge.model();
        let side = model.commit(REPOSITORY, &[&first], &person("eve"), &["src/a.rs"]);
        model.push(REPOSITORY, "side", &side, &person("eve"));
        model.tag(REPOSITORY, "v1", &first, true, &person("root"));
        side
    };
    let unknown = world.ask(question(&world, &"f".repeat(40), Some("refs/heads/main"))).await;
    unknown.check_end(Unavailable::NotFound, "unknown commit");
    assert!(unknown.events.is_empty());
    let elsewhere = world.ask(question(&world, &side, Some("refs/heads/main"))).await;
    elsewhere.check_end(Unavailable::NotFound, "the commit is not on the ref");
    assert!(elsewhere.events.is_empty(), "{:?}", elsewhere.events);
    let tagged = world.ask(question(&world, &first, Some("refs/tags/v1"))).await;
    tagged.check_end(Unavailable::NotFound, "the commit is on the ref");
    // Whether a tag's commit is reviewed is told by the branch that it came to.
    let [push] = pushed(&tagged)[..] else { panic!("{:?}", tagged.events) };
    assert_eq!(push.git_ref.as_str(), "refs/heads/main");
    let no_ref = world.ask(question(&world, &first, Some("refs/heads/gone"))).await;
    no_ref.check_end(Unavailable::NotFound, "the ref does not exist");
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_was_forced_away_is_never_made_up() {
    let world = World::new().await;
    let first = first(&world);
    let (gone, kept) = {
        let mut model = world.forge.model();
        let gone = model.commit(REPOSITORY, &[&first], &person("eve"), &["src/a.rs"]);
        model.push(REPOSITORY, "main", &gone, &person("eve"));
        let kept = model.commit(REPOSITORY, &[&first], &person("root"), &["src/b.rs"]);
        model.push(REPOSITORY, "main", &kept, &person("root"));
        (gone, kept)
    };
    let answered = world.ask(question(&world, &gone, Some("refs/heads/main"))).await;
    answered.check_end(Unavailable::NotFound, "the commit is not on the ref");
    let [push] = pushed(&answered)[..] else { panic!("{:?}", answered.events) };
    assert_eq!((push.pusher.as_ref().unwrap().name.as_str(), push.forced), ("eve", false));
    let answered = world.ask(question(&world, &kept, Some("refs/heads/main"))).await;
    let [push] = pushed(&answered)[..] else { panic!("{:?}", answered.events) };
    assert!(push.forced);
    assert_eq!(push.before.as_ref().unwrap().as_str(), gone);
    world.end();
}
