//! A cluster of three with copies of every stream, and two of its nodes killed one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fleet_runtime::bus::{Bus, Stream, Watched};
use futures::StreamExt;
use harness::said::say;
use harness::servers::nats::{NODES, NatsCluster};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::jetstream::{connect, folder, logins};
use crate::place::{PATIENCE, message};
use crate::repaired::{publishing, settle_all, soon_again};

const KILLS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_in_the_middle_loses_and_doubles_nothing() {
    let folder = folder();
    let logins = logins(1);
    let mut cluster = NatsCluster::start(folder.path(), &logins).await.unwrap();
    let bus: Arc<dyn Bus> = connect(&cluster.urls(), Some(&logins[0])).await;
    let consumer = bus.consumer(soon_again()).await.unwrap();
    let bucket = bus.key_value("verdicts").await.unwrap();
    let mut watch = bucket.watch("").await.unwrap();
    let watching = tokio::spawn(async move {
        let mut revisions = Vec::new();
        while revisions.len() < KILLS {
            match watch.next().await.unwrap().unwrap() {
                Watched::Changed { entry, .. } => revisions.push(entry.revision),
                Watched::CaughtUp => {}
                other @ Watched::Deleted { .. } => panic!("{other:?}"),
            }
        }
        revisions
    });
    let stop = CancellationToken::new();
    let publishers: Vec<_> = ["a", "b", "c"].map(|name| publishing(bus.clone(), name, stop.clone())).into();
    let (mut seen, mut put) = (BTreeMap::new(), Vec::new());
    // First the stream's leader, then the next one, which may lead the consumer or be the one we are connected to.
    let leader = cluster.leader_of(&logins[0].name, "events").await.unwrap();
    for step in 0..KILLS {
        settle_all(&*consumer, seen.len() + 30, &mut seen).await;
        let node = (leader + step) % NODES;
        cluster.nodes[node].process.kill();
        settle_all(&*consumer, seen.len() + 30, &mut seen).await;
        let digest = bus.blobs().put(Bytes::from(format!("evidence {step}"))).await.unwrap();
        put.push(bucket.put("step", Bytes::from(digest.to_string())).await.unwrap());
        assert!(bus.blobs().get(&digest, 100).await.unwrap().is_some());
        cluster.nodes[node].start_again().await.unwrap();
    }
    stop.cancel();
    let mut confirmed = BTreeSet::new();
    for publisher in publishers {
        confirmed.extend(publisher.await.unwrap());
    }
    settle_all(&*consumer, confirmed.len(), &mut seen).await;
    assert_eq!(seen.keys().cloned().collect::<BTreeSet<_>>(), confirmed);
    assert!(seen.values().all(|places| places.len() == 1), "a message lies at two places");
    let last = bus.publish(message("last")).await.unwrap();
    assert_eq!(bus.read(Stream::Events, last.sequence, 10).await.unwrap().len(), 1);
    // The watch saw every change in order, over all of it.
    let revisions = timeout(PATIENCE, watching).await.unwrap().unwrap();
    assert_eq!(revisions, put);
    drop(consumer);
    timeout(Duration::from_secs(20), bus.close()).await.unwrap().unwrap();
    let published = confirmed.len();
    say("bus", &format!("{KILLS} nodes of {NODES} killed: {published} published, lost 0, twice 0"));
}
