//! Lists in pages: never two of them in memory, and anew where the server forgets the place.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Semaphore, mpsc};

use super::{FakeCluster, Stage, changes, gaps, inventories, listed_ids, pod};
use crate::kubernetes::api::{Api, PodScope};
use crate::kubernetes::list::ListLimits;
use crate::kubernetes::watch::{ScopeSeen, Seen, Tools, follow};

const WAIT_MAX: Duration = Duration::from_secs(20);
/// Long enough for a follower that would ask for a page to have asked for it.
const MOMENT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn lists_come_in_pages_and_begin_anew_when_the_server_forgets_the_place() {
    let mut stage = Stage::new(json!({ "page_pods_max": 2 })).await;
    for uid in ["a", "b", "c", "d", "e"] {
        stage.cluster.apply(pod(uid));
    }
    stage.cluster.forget_pages(1);
    stage.start();
    let events = stage.until(|events| !inventories(events).is_empty()).await;
    assert_eq!(changes(&events).len(), 5);
    assert_eq!(listed_ids(&inventories(&events)[0]).len(), 5);
    assert!(gaps(&events).is_empty(), "nothing was missed");
    stage.stop().await;
}

#[tokio::test]
async fn a_list_that_began_anew_in_a_gap_makes_the_gap_longer_and_says_what_is_gone_once() {
    let mut stage = Stage::new(json!({ "page_pods_max": 1 })).await;
    for uid in ["a", "b", "c"] {
        stage.cluster.apply(pod(uid));
    }
    stage.start();
    stage.until(|events| !inventories(events).is_empty()).await;
    stage.cluster.forget_pages(1);
    stage.cluster.forget_after(|cluster| cluster.delete("b"));
    let is_over = |events: &[_]| gaps(events).iter().filter(|gap| gap.recovered).count() == 2;
    let events = stage.until(is_over).await;
    assert_eq!(changes(&events), ["+c://a", "+c://b", "+c://c", "-c://b"]);
    let gaps: Vec<_> = gaps(&events).into_iter().filter(|gap| !gap.recovered).collect();
    assert_eq!(gaps.len(), 2);
    assert_eq!(gaps[0].until, gaps[1].from);
    stage.stop().await;
}

#[tokio::test]
async fn the_next_page_is_not_asked_for_while_one_is_held_whichever_scope_it_is_of() {
    let cluster = FakeCluster::new();
    for uid in ["a", "b", "c", "d", "e"] {
        cluster.apply(pod(uid));
    }
    let (sender, mut seen) = mpsc::channel(100);
    let tools = Tools {
        api: Api::new(cluster.client(), WAIT_MAX, WAIT_MAX),
        limits: ListLimits { page_pods_max: 2, pods_max: 100 },
        pages: Arc::new(Semaphore::new(1)),
        seen: sender,
    };
    let followers = [0, 1].map(|index| tokio::spawn(follow(tools.clone(), index, PodScope::All)));
    let (mut listed, mut ended) = ([0, 0], 0);
    for pages in 1..=6 {
        let (scope, pods, held) = loop {
            match next(&mut seen).await {
                (scope, Seen::ListedPods { pods, page, .. }) => break (scope, pods, page),
                (_, Seen::ListEnded { .. }) => ended += 1,
                _ => {}
            }
        };
        listed[scope] += pods.len();
        tokio::time::sleep(MOMENT).await;
        assert_eq!(cluster.pages.load(Ordering::SeqCst), pages, "pages that were asked for");
        drop(held);
    }
    while ended < 2 {
        ended += usize::from(matches!(next(&mut seen).await.1, Seen::ListEnded { .. }));
    }
    assert_eq!(listed, [5, 5]);
    followers.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn next(seen: &mut mpsc::Receiver<ScopeSeen>) -> ScopeSeen {
    tokio::time::timeout(WAIT_MAX, seen.recv()).await.expect("something is seen").expect("they follow")
}
