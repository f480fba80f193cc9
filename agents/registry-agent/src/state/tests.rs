#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bus_schema::Digest;
use jiff::Timestamp;

use super::*;
use crate::tags::{LookUp, What};

fn look_up() -> LookUp {
    let repository = "r.example/acme/app".parse().unwrap();
    LookUp { repository, digest: Digest::sha256_of(b"a"), what: What::Image }
}

#[tokio::test]
async fn a_second_opening_and_another_format_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    assert!(matches!(State::open(folder.path()), Err(StateError::Open { .. })));
    state.write(|batch| batch.set_format(99)).await.unwrap();
    assert!(State::check_format(folder.path()).is_ok(), "in use: the opening says so");
    drop(state);
    let before = std::fs::read(folder.path().join(FILE)).unwrap();
    let refused = State::check_format(folder.path()).unwrap_err();
    assert!(matches!(refused, StateError::Format { found: 99, expected: 1, .. }), "{refused}");
    assert!(refused.to_string().contains(FILE), "{refused}");
    assert_eq!(std::fs::read(folder.path().join(FILE)).unwrap(), before);
    assert!(matches!(State::open(folder.path()), Err(StateError::Format { found: 99, .. })));
    assert!(State::check_format(&folder.path().join("nothing")).is_ok());
}

#[tokio::test]
async fn a_failed_change_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    let failed = state.write(|batch| {
        assert!(batch.see("r.example", "n1")?);
        assert_eq!(batch.next_poll()?, 1);
        Err::<(), _>(StateError::Stopped)
    });
    assert!(failed.await.is_err());
    let seen = state.write(|batch| {
        let again = (batch.see("r.example", "n1")?, batch.see("r.example", "n1")?);
        Ok((again, batch.see("other.example", "n1")?, batch.next_poll()?, batch.next_poll()?))
    });
    assert_eq!(seen.await.unwrap(), ((true, false), true, 1, 2));
}

#[tokio::test]
async fn a_look_that_is_queued_again_while_it_runs_is_taken_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    let now = Timestamp::now();
    let due = async || {
        let later = Timestamp::now();
        let (due, next) =
            state.read(move |view| view.due_look_ups(later, 10, &Default::default())).await.unwrap();
        (due, next)
    };
    state.write(move |batch| batch.queue(&look_up(), now, None, None)).await.unwrap();
    let running = due().await.0.pop().unwrap();
    state.write(|batch| batch.queue(&look_up(), Timestamp::now(), None, None)).await.unwrap();
    state.write(move |batch| batch.looked(&running)).await.unwrap();
    let again = due().await.0.pop().unwrap();
    assert_eq!(again.record.queued_at, now, "its age counts from the first time");
    let (now, wait) = (Timestamp::now(), std::time::Duration::from_secs(60));
    let (failed, later) = (again.clone(), now + wait);
    state.write(move |batch| batch.look_again(&failed, now, wait, true)).await.unwrap();
    let (none, next) = due().await;
    assert!(none.is_empty() && next == Some(later));
    state.write(move |batch| batch.looked(&again)).await.unwrap();
    assert_eq!(due().await.1, Some(later), "what has changed since is not ended");
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_hold_up_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::open(folder.path()).unwrap();
    let right = Timestamp::now();
    let (hour, wait) = (std::time::Duration::from_secs(3600), std::time::Duration::from_secs(60));
    let due = async |now: Timestamp| {
        let due = state.read(move |view| view.due_look_ups(now, 10, &Default::default()));
        due.await.unwrap().0.pop()
    };
    state.write(move |batch| batch.queue(&look_up(), right + hour, None, None)).await.unwrap();
    let looked = due(right).await.expect("it was queued by a clock that was an hour ahead");
    state.write(move |batch| batch.look_again(&looked, right + hour, wait, true)).await.unwrap();
    assert!(due(right + hour).await.is_none(), "its wait has begun");
    assert!(due(right).await.is_some(), "nobody knows how long it has waited");
}

#[tokio::test]
async fn after_a_full_disk_the_state_is_as_before_and_takes_changes_again() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk::Disk::default();
    let state = disk.open(folder.path()).unwrap();
    assert!(state.write(|batch| batch.see("r.example", "before")).await.unwrap());
    disk.fill();
    for _ in 0..3 {
        state.write(|batch| batch.see("r.example", "during")).await.unwrap_err();
    }
    disk.make_room();
    let seen =
        state.write(|batch| Ok((batch.see("r.example", "before")?, batch.see("r.example", "during")?)));
    assert_eq!(seen.await.unwrap(), (false, true));
    state.read(|view| view.outbox(1)).await.unwrap();
}
