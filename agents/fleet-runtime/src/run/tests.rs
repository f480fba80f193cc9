#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::health::State;
use crate::metrics::Metrics;

const QUICK: BackOff = BackOff { first: Duration::from_millis(1), max: Duration::from_millis(5) };

#[tokio::test]
async fn a_stop_lets_what_is_in_hand_finish() {
    let mut tasks = Tasks::new(Health::default());
    let stop = tasks.stop();
    let finished = Arc::new(AtomicU32::new(0));
    let (seen, token) = (finished.clone(), stop.clone());
    tasks.spawn("worker", async move {
        token.cancelled().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen.store(1, Ordering::SeqCst);
        Ok(())
    });
    let running = tokio::spawn(tasks.run(Duration::from_secs(10)));
    stop.cancel();
    let ended = running.await.unwrap();
    assert!(ended.is_clean(), "{ended:?}");
    assert_eq!(finished.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_does_not_finish_within_the_bound_is_named_and_ended() {
    let mut tasks = Tasks::new(Health::default());
    tasks.spawn("stuck", std::future::pending());
    tasks.stop().cancel();
    let ended = tasks.run(Duration::from_millis(50)).await;
    assert_eq!(ended.unfinished, ["stuck"]);
}

#[tokio::test]
async fn a_failed_or_panicked_task_ends_the_process_and_is_named() {
    for panics in [false, true] {
        let health = Health::default();
        let mut tasks = Tasks::new(health.clone());
        let stop = tasks.stop();
        tasks.spawn("other", async move {
            stop.cancelled().await;
            Ok(())
        });
        tasks.spawn("store", async move {
            assert!(!panics, "on purpose");
            Err(anyhow::anyhow!("the disk is gone"))
        });
        let ended = tasks.run(Duration::from_secs(10)).await;
        assert_eq!(ended.failed.unwrap().0, "store");
        assert!(ended.unfinished.is_empty());
        assert!(health.report().draining);
    }
}

#[tokio::test]
async fn a_failing_loop_is_started_again_and_ready_only_when_it_says_so() {
    let (health, metrics) = (Health::default(), Metrics::new());
    health.show_in(&metrics);
    let mut tasks = Tasks::new(health.clone());
    let stop = tasks.stop();
    let starts = Arc::new(AtomicU32::new(0));
    let counted = starts.clone();
    tasks.supervise("poll", QUICK, move |given| {
        let start = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            match start {
                0 => Err(anyhow::anyhow!("no connection")),
                1 => panic!("on purpose"),
                2 => Ok(()),
                _ => {
                    given.check.ready();
                    given.stop.cancelled().await;
                    Ok(())
                }
            }
        }
    });
    assert!(!health.report().ready);
    let says = |line: &str| assert!(metrics.text().contains(line), "{line} is not in\n{}", metrics.text());
    says("custody_check_ready{check=\"poll\"} 0");
    let running = tokio::spawn(tasks.run(Duration::from_secs(10)));
    for _ in 0..500 {
        if health.report().ready {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(health.report().ready);
    assert_eq!(starts.load(Ordering::SeqCst), 4);
    says("custody_check_ready{check=\"poll\"} 1");
    says("custody_loop_restarts_total{loop=\"poll\"} 3");
    stop.cancel();
    assert!(running.await.unwrap().is_clean());
}

#[tokio::test]
async fn a_part_that_fails_begins_again_while_the_others_run() {
    let health = Health::default();
    let stop = CancellationToken::new();
    let whole = Supervised { stop: stop.clone(), check: health.check("agent") };
    let running = tokio::spawn(async move {
        let failing = whole.part("looks", |_| async { Err(anyhow::anyhow!("no bus")) });
        let working = whole.part("polls", |part| async move {
            part.check.ready();
            part.stop.cancelled().await;
            Ok(())
        });
        tokio::join!(failing, working)
    });
    let state = |name: &str| health.report().checks.get(name).map(|standing| standing.state.clone());
    for _ in 0..500 {
        if matches!(state("agent looks"), Some(State::Failing(_))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(state("agent looks"), Some(State::Failing("no bus".to_owned())));
    assert_eq!(state("agent polls"), Some(State::Ready));
    assert!(!running.is_finished());
    stop.cancel();
    let (failing, working) = running.await.unwrap();
    assert!(failing.is_ok() && working.is_ok());
}

const CHILD: &str = "CUSTODY_TEST_RUN_CHILD";

/// The child's part of the next test: says when it runs, and what it did at the end.
#[tokio::test]
async fn child_that_drains() {
    let Ok(work) = std::env::var(CHILD) else { return };
    let mut tasks = Tasks::new(Health::default());
    if work == "begins" {
        tasks.listen().unwrap();
        println!("\nrunning");
        std::thread::sleep(Duration::from_millis(200));
    }
    let stop = tasks.stop();
    tasks.spawn("worker", async move {
        println!("\nrunning");
        stop.cancelled().await;
        println!("\nstopping");
        if work == "endless" {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    let ended = tasks.run(Duration::from_secs(60)).await;
    println!("\nunfinished {:?}", ended.unfinished);
}

#[test]
fn a_signal_drains_and_a_second_one_does_not_wait() {
    use std::io::{BufRead, BufReader};
    let check = |work: &str, signals: &[&str], expected: &str| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "run::tests::child_that_drains", "--nocapture"])
            .env(CHILD, work)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let id = child.id().to_string();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut awaited = ["running", "stopping"].into_iter();
        for signal in signals {
            let line = awaited.next().unwrap();
            assert!(lines.any(|said| said == line), "never said {line}");
            // A shell's own: not every system has a program for it.
            let kill = ["-c", r#"kill "$1" "$2""#, "kill", *signal, id.as_str()];
            let killed = std::process::Command::new("sh").args(kill).status().unwrap();
            assert!(killed.success());
        }
        assert!(lines.any(|line| line == expected), "{work}");
        assert!(child.wait().unwrap().success());
    };
    check("finishes", &["-TERM"], "unfinished []");
    check("finishes", &["-INT"], "unfinished []");
    check("begins", &["-TERM"], "unfinished []");
    check("endless", &["-TERM", "-TERM"], "unfinished [\"worker\"]");
}
