//! `kill -9` at any moment: nothing acknowledged is lost, nothing is there twice, every delivery was counted.
//!
//! The child is this same test program, told by an environment variable what to do; its standard output is the only
//! witness of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::bus::{Bus, Stream};

use crate::place::{PATIENCE, all_events, message, take};

const DATA: &str = "CUSTODY_TEST_BUS_DATA";
const ROUND: &str = "CUSTODY_TEST_BUS_ROUND";
const ROUNDS: u64 = 12;

fn child(name: &str, data: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("killed::{name}"), "--nocapture", "--test-threads=1"])
        .env(DATA, data)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The child's part: publishes as fast as it can, takes and acknowledges every second message, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_publishes() {
    let Ok(data) = std::env::var(DATA) else { return };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let bus = EmbeddedBus::open(Path::new(&data), EmbeddedLimits::default()).await.unwrap();
    let publishers = (0..16).map(|publisher| {
        let bus = bus.clone();
        tokio::spawn(async move {
            for n in 0_u64.. {
                let id = format!("{round}-{publisher}-{n}");
                bus.publish(message(&id)).await.unwrap();
                say(&format!("published {id}"));
                // Some are sent again, as a publisher does that got no answer.
                if n % 5 == 0 {
                    assert!(bus.publish(message(&id)).await.unwrap().duplicate);
                }
            }
        })
    });
    let publishers: Vec<_> = publishers.collect();
    let bucket = bus.key_value("counter").await.unwrap();
    let consumer = bus.consumer(all_events()).await.unwrap();
    for n in 1_u64.. {
        for delivery in consumer.fetch(8, Duration::from_millis(10)).await.unwrap() {
            say(&format!("handed {} {}", delivery.sequence, delivery.deliveries));
            if delivery.sequence % 2 == 0 {
                consumer.ack(&delivery).await.unwrap();
            }
        }
        let value = format!("{round:03}.{n:06}");
        bucket.put("last", Bytes::from(value.clone())).await.unwrap();
        say(&format!("put {value}"));
        let digest = bus.blobs().put(Bytes::from(value)).await.unwrap();
        say(&format!("blob {digest}"));
    }
    drop(publishers);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_exactly_once_after_kill_9() {
    let data = tempfile::tempdir().unwrap();
    let mut published = BTreeSet::new();
    let mut blobs = BTreeSet::new();
    let mut handed: BTreeMap<u64, u32> = BTreeMap::new();
    let mut last_put = String::new();
    for round in 0..ROUNDS {
        let mut child = child("child_that_publishes", data.path(), round);
        let out = BufReader::new(child.stdout.take().unwrap());
        let lines =
            tokio::task::spawn_blocking(move || out.lines().map_while(Result::ok).collect::<Vec<String>>());
        // Moments spread over the start and the work of the child.
        tokio::time::sleep(Duration::from_millis(40 + (round * 137) % 460)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines.await.unwrap() {
            match line.split_once(' ') {
                Some(("published", id)) => drop(published.insert(id.to_owned())),
                Some(("put", value)) => last_put = value.to_owned(),
                Some(("blob", digest)) => drop(blobs.insert(digest.to_owned())),
                Some(("handed", rest)) => {
                    let (sequence, deliveries) = rest.split_once(' ').unwrap();
                    let deliveries = deliveries.parse().unwrap();
                    let before = handed.insert(sequence.parse().unwrap(), deliveries).unwrap_or(0);
                    assert!(deliveries > before, "{sequence}: delivery {deliveries} after {before}");
                }
                _ => {}
            }
        }
    }
    assert!(published.len() > 100, "the children were too slow: {} messages", published.len());

    let bus = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await.unwrap();
    let mut kept: Vec<String> = Vec::new();
    let mut from = 0;
    loop {
        let read = bus.read(Stream::Events, from, 1000).await.unwrap();
        let Some(last) = read.last() else { break };
        from = last.sequence + 1;
        kept.extend(read.into_iter().map(|stored| stored.message.id));
    }
    let kept_once: BTreeSet<String> = kept.iter().cloned().collect();
    assert_eq!(kept_once.len(), kept.len(), "an id is there twice");
    let lost: Vec<&String> = published.difference(&kept_once).collect();
    assert!(lost.is_empty(), "lost {} of {}: {lost:?}", lost.len(), published.len());
    let value = bus.key_value("counter").await.unwrap().get("last").await.unwrap().unwrap().value;
    assert!(
        String::from_utf8_lossy(&value).as_ref() >= last_put.as_str(),
        "{value:?} is older than {last_put}"
    );
    for digest in &blobs {
        assert!(bus.blobs().get(&digest.parse().unwrap(), 100).await.unwrap().is_some(), "{digest} is lost");
    }
    let (published, handed, blobs) = (published.len(), handed.len(), blobs.len());
    let counts = format!("{published} published, {handed} handed, {blobs} blobs, lost 0, twice 0");
    harness::said::say("bus", &format!("{ROUNDS} kills of the embedded bus survived: {counts}"));
}

/// The child's part: takes one message and says so; what it did with it would have killed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_takes_one() {
    let Ok(data) = std::env::var(DATA) else { return };
    let bus = EmbeddedBus::open(Path::new(&data), EmbeddedLimits::default()).await.unwrap();
    let consumer = bus.consumer(all_events()).await.unwrap();
    let taken = take(&*consumer, 1).await;
    say(&format!("handed {}", taken[0].deliveries));
    tokio::time::sleep(PATIENCE).await;
}

#[tokio::test]
async fn a_message_that_kills_its_reader_is_counted() {
    let data = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(data.path(), EmbeddedLimits::default()).await.unwrap();
    bus.publish(message("poison")).await.unwrap();
    bus.close().await.unwrap();
    for round in 1..=4 {
        let mut child = child("child_that_takes_one", data.path(), round);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let handed = lines.map_while(Result::ok).find(|line| line.starts_with("handed "));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(handed.unwrap(), format!("handed {round}"));
    }
}
