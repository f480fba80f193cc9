//! Who may say what, on the server of `deploy/streams/server`: every credential works for its own and for nothing else.

mod attempts;
pub(crate) mod estate;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bus_schema::AgentKind;
use bus_schema::question::Answerer;
use fleet_runtime::bus::nats::{NatsBus, Role};
use fleet_runtime::bus::{Bus, BusError, Message, Stream};
use fleet_runtime::dead_letters::{DeadLetters, INLINE_BYTES_MAX};
use fleet_runtime::health::Health;
use fleet_runtime::metrics::{FleetMetrics, Metrics};
use fleet_runtime::outbox::Outbox;
use fleet_runtime::{asked, outbox};
use futures::StreamExt;
use harness::said::say;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::jetstream::folder;
use crate::place::{PATIENCE, all_events, take};
use attempts::{forbidden_subjects, forbidden_subscriptions, instance};
use estate::{Estate, Member, at, own_event, three_nodes};

/// Of each sort of stream one.
const STREAMS: [&str; 4] = ["events", "questions", "KV_verdicts", "OBJ_blobs"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_agent_says_its_own_answers_and_keeps_blobs() {
    let estate = Estate::new().await;
    let correlator = estate.correlator().await;
    for member in estate.agents() {
        let Role::Agent { kind, id } = &member.role else { unreachable!() };
        let agent = estate.agent(member).await;
        let outbox = outbox(&agent, folder().path(), &Metrics::new()).await;
        let event = own_event(*kind, id, "own");
        outbox.publish(event.clone()).await.unwrap();
        let body = vec![7; INLINE_BYTES_MAX + 1];
        let letters = DeadLetters::of_agent(outbox.clone(), id.clone());
        letters.put_received("an intake", "odd", None, body.clone().into()).await.unwrap();
        send_all(&outbox).await;

        let said = correlator.read(Stream::Events, 0, 100).await.unwrap();
        assert!(said.iter().any(|stored| stored.message.subject == event.subject), "{id}: {said:?}");
        let read = DeadLetters::new(correlator.clone());
        let listed = read.list(0, 100).await.unwrap();
        let letter = listed.iter().find(|one| one.letter.as_ref().unwrap().agent() == Some(id)).unwrap();
        assert_eq!(read.show(letter.sequence).await.unwrap().1.unwrap(), body, "{id}");

        if let Some(answerer) = kind.answers() {
            let subject = format!("custody.ask.{}.0123456789abcdef", answerer.as_str());
            correlator.publish(Message::new(subject, format!("for-{id}"), "question")).await.unwrap();
            let bus: Arc<dyn Bus> = agent.clone();
            let reader = asked::reader(&bus, id, answerer).await.unwrap();
            // Every agent of a kind is handed what its kind is asked.
            let until = Instant::now() + PATIENCE;
            let mut asked = String::new();
            while asked != format!("for-{id}") {
                assert!(Instant::now() < until, "{id} was last asked {asked:?}");
                for delivery in reader.fetch(1, PATIENCE).await.unwrap() {
                    reader.ack(&delivery).await.unwrap();
                    asked = delivery.message.id;
                }
            }
            assert!(reader.fetch(1, Duration::from_millis(50)).await.unwrap().is_empty());
        }
        agent.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_enrolled_while_the_server_runs_speaks_after_the_second_reload() {
    let estate = Estate::without("registry-1").await;
    let correlator = estate.correlator().await;
    let late = estate.agents().find(|one| one.role.id().as_str() == "registry-1").unwrap();
    assert!(estate.try_wire(late).await.is_err());
    estate.include_all();
    estate.reload();
    // Who is let in shows that the server has read it.
    let until = Instant::now() + PATIENCE;
    while estate.try_wire(late).await.is_err() {
        assert!(Instant::now() < until, "the server does not know the new account");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What a new account imports is there after the next one: until then it is told that nobody listens.
    estate.reload();
    let agent = estate.agent(late).await;
    let event = own_event(AgentKind::Registry, late.role.id(), "first");
    agent.publish(event.clone()).await.unwrap();
    let said = correlator.read(Stream::Events, 0, 100).await.unwrap();
    assert!(said.iter().any(|stored| stored.message.subject == event.subject), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_correlator_needs_no_more_than_it_has() {
    let estate = Estate::new().await;
    let correlator = estate.correlator().await;
    assert_eq!(correlator.drift().await.unwrap(), []);
    correlator.standing().await.unwrap();
    let consumer = correlator.consumer(all_events()).await.unwrap();
    let event = own_event(AgentKind::Ci, &"ci-1".parse().unwrap(), "again");
    let published = correlator.publish(event).await.unwrap();
    let taken = take(&*consumer, 1).await;
    consumer.ack(&taken[0]).await.unwrap();
    correlator
        .publish(Message::new("custody.out.verdict.0123456789abcdef.verdict.changed.v1", "out", ""))
        .await
        .unwrap();
    let dead = DeadLetters::new(correlator.clone());
    let letter = dead.put_received("correlator", "odd", None, "x".into()).await.unwrap();
    assert!(dead.discard(letter).await.unwrap());
    let verdicts = correlator.key_value("verdicts").await.unwrap();
    let revision = verdicts.put("a", "trusted".into()).await.unwrap();
    verdicts.put_if("a", "untrusted".into(), revision).await.unwrap();
    assert!(verdicts.watch("").await.unwrap().next().await.unwrap().is_ok());
    let digest = correlator.blobs().put("bytes".into()).await.unwrap();
    assert!(correlator.blobs().exists(&digest).await.unwrap());
    assert!(correlator.remove(Stream::Events, published.sequence).await.unwrap());
    correlator.remove_consumer(Stream::Events, &all_events().name).await.unwrap();
    correlator.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_other_subject_is_refused_to_every_credential() {
    let estate = Estate::new().await;
    let correlator = estate.correlator().await;
    let before = estate.state(&correlator).await;
    let (mut tried, mut allowed) = (0, 0);
    let mut passed = Vec::new();
    for member in estate.members() {
        let mut wire = estate.wire(member).await;
        let id = member.role.id();
        let inbox = format!("_INBOX.{id}.attempt");
        for subject in forbidden_subjects(&member.role, &estate.roles()) {
            tried += 1;
            let refused = wire.publish(&subject, &inbox, "", b"{}").await.unwrap();
            if !refused.iter().any(|line| line.contains(&format!("Publish to \"{subject}\""))) {
                passed.push(format!("{id} publishes {subject}: {refused:?}"));
            }
        }
        for subject in forbidden_subscriptions(&member.role, &estate.roles()) {
            tried += 1;
            let refused = wire.subscribe(&subject).await.unwrap();
            if !refused.iter().any(|line| line.contains("Permissions Violation for Subscription to")) {
                passed.push(format!("{id} subscribes to {subject}: {refused:?}"));
            }
        }
        // The attempts can succeed: the same wire says what is allowed. What would change something stays with the buses above.
        for subject in member.role.rights().publish_subjects().filter(|one| !one.starts_with("$JS.API")) {
            let Role::Agent { .. } = member.role else { continue };
            allowed += 1;
            let refused = wire.publish(&instance(subject), &inbox, "", b"{}").await.unwrap();
            assert_eq!(refused, Vec::<String>::new(), "{id} {subject}");
        }
        assert_eq!(wire.subscribe(&format!("_INBOX.{id}.x")).await.unwrap(), Vec::<String>::new());
    }
    let refused = tried - passed.len();
    say("bus", &format!("rights: {tried} attempts, {refused} refused, {allowed} of the own allowed"));
    assert!(passed.is_empty(), "not refused: {passed:#?}");
    assert!(tried > 1000, "only {tried} attempts");
    let after = estate.state(&correlator).await;
    assert_eq!(after.untouched(), before.untouched(), "something changed that nobody may change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_never_leaves_the_account_of_who_asked() {
    let estate = Estate::new().await;
    let correlator = estate.correlator().await;
    let ask = "custody.ask.ci.0123456789abcdef";
    for number in 0..20 {
        correlator.publish(Message::new(ask, format!("question-{number}"), "{}")).await.unwrap();
    }
    let before = estate.state(&correlator).await;
    let mut listeners = Vec::new();
    for member in estate.members() {
        let mut wire = estate.wire(member).await;
        // The correlator's own answers come to other places of its inbox.
        let inbox = member.role.rights().subscribe[0].subject.clone();
        assert_eq!(wire.subscribe(&instance(&inbox)).await.unwrap(), Vec::<String>::new());
        listeners.push((member.role.id(), wire));
    }
    let mut tried = 0;
    for member in estate.agents() {
        let mut wire = estate.wire(member).await;
        // One other agent stands for all others.
        let neighbour = estate.agents().find(|other| other.role != member.role);
        let manager = estate.members().find(|other| matches!(other.role, Role::Correlator { .. }));
        let victims: BTreeSet<String> = [neighbour, manager]
            .into_iter()
            .flatten()
            .flat_map(|other| {
                let rights = other.role.rights();
                rights.publish.into_iter().chain(rights.subscribe)
            })
            .map(|right| instance(&right.subject))
            .chain(STREAMS.map(|name| format!("$JS.API.STREAM.DELETE.{name}")))
            .filter(|subject| !member.may(subject))
            .collect();
        for subject in member.role.rights().publish_subjects() {
            for victim in &victims {
                tried += 2;
                let payload = br#"{"batch":1,"no_wait":true}"#;
                let taken = wire.publish(&instance(subject), victim, "", payload).await.unwrap();
                // The server itself asks only whether an answer would settle somebody's message.
                assert_eq!(taken.is_empty(), !victim.starts_with("$JS.ACK."), "{victim}: {taken:?}");
                // The tale of a message's way is told to who may be told: the server asks here.
                let tale = format!("Nats-Trace-Dest: {victim}\r\n");
                let refused = wire.publish(&instance(subject), "", &tale, payload).await.unwrap();
                assert!(refused.iter().any(|line| line.contains(victim.as_str())), "{victim}: {refused:?}");
            }
        }
    }
    // What was on its way has arrived.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let after = estate.state(&correlator).await;
    assert_eq!(after.untouched(), before.untouched());
    for (id, mut wire) in listeners {
        assert_eq!(wire.heard().await.unwrap(), 0, "the inbox of {id}");
    }
    say("bus", &format!("rights: {tried} answers and tales sent astray, none arrived"));
    // Nor is it one's own word: an answer of the server is nobody's event.
    for stored in correlator.read(Stream::Events, 0, 1024).await.unwrap() {
        let payload = String::from_utf8_lossy(&stored.message.payload).into_owned();
        assert!(payload.starts_with("{\"batch\""), "{} holds {payload}", stored.message.subject);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_three_nodes_an_agent_works_at_each_whoever_leads() {
    let (_folder, cluster, members) = three_nodes().await;
    let is_correlator = |member: &&Member| matches!(member.role, Role::Correlator { .. });
    let correlator = at(&cluster.urls()[0], members.iter().find(is_correlator).unwrap()).await;
    let id = "registry-1".parse().unwrap();
    let questions = asked::consumer(&id, Answerer::Registry).unwrap();
    correlator.consumer(questions.clone()).await.unwrap();
    let member = members.iter().find(|member| *member.role.id() == id).unwrap();
    for (number, url) in cluster.urls().iter().enumerate() {
        let agent = at(url, member).await;
        agent.publish(own_event(AgentKind::Registry, &id, &format!("at-{number}"))).await.unwrap();
        let digest = agent.blobs().put(format!("bytes {number}").into()).await.unwrap();
        assert!(correlator.blobs().get(&digest, 100).await.unwrap().is_some());
        for question in 0..8 {
            let asked = format!("{number}-{question}");
            correlator
                .publish(Message::new("custody.ask.registry.0123456789abcdef", asked, "?"))
                .await
                .unwrap();
        }
        let consumer = agent.consumer(questions.clone()).await.unwrap();
        let taken = take(&*consumer, 8).await;
        for delivery in &taken {
            consumer.ack(delivery).await.unwrap();
        }
        agent.close().await.unwrap();
        assert!(taken.iter().all(|delivery| delivery.message.id.starts_with(&format!("{number}-"))));
    }
    assert_eq!(correlator.read(Stream::Events, 0, 10).await.unwrap().len(), cluster.urls().len());
    let until = Instant::now() + PATIENCE;
    loop {
        let standing = correlator.standing().await.unwrap();
        let mut consumers = standing.streams.iter().flat_map(|stream| &stream.consumers);
        let own = consumers.find(|consumer| consumer.name == "registry-1").unwrap();
        if (own.waiting, own.unsettled) == (0, 0) {
            break;
        }
        assert!(Instant::now() < until, "what was settled at a node stays unsettled: {own:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Why each agent has an account: in the account of the streams the same rights are as good as the right to delete them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_account_of_its_own_an_answer_deletes_a_stream() {
    let estate = Estate::in_one_account().await;
    let correlator = estate.correlator().await;
    let member = estate.agents().find(|member| member.role.id().as_str() == "ci-1").unwrap();
    let mut wire = estate.wire(member).await;
    let next = "$JS.API.CONSUMER.MSG.NEXT.questions.ci-1";
    let payload = br#"{"batch":1,"no_wait":true}"#;
    let refused = wire.publish(next, "$JS.API.STREAM.DELETE.verdicts", "", payload).await.unwrap();
    assert_eq!(refused, Vec::<String>::new());
    let other = estate.agents().find(|member| member.role.id().as_str() == "ci-2").unwrap();
    let mut listener = estate.wire(other).await;
    listener.subscribe("_INBOX.ci-2.>").await.unwrap();
    let own = "custody.in.ci.ci-1.0123456789abcdef.run.finished.v1";
    wire.publish(own, "_INBOX.ci-2.x", "", b"{}").await.unwrap();
    let until = Instant::now() + PATIENCE;
    while listener.heard().await.unwrap() == 0 {
        assert!(Instant::now() < until, "nothing came into the other's inbox");
    }
    let until = Instant::now() + PATIENCE;
    while correlator.drift().await.unwrap().iter().all(|drift| drift.what != "stream verdicts") {
        assert!(Instant::now() < until, "the server asks where an answer goes: one account would do");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_event_stays_and_is_told() {
    let estate = Estate::new().await;
    let correlator = estate.correlator().await;
    let member = estate.agents().next().unwrap();
    let agent = estate.agent(member).await;
    let metrics = Metrics::new();
    let folder = folder();
    let outbox = outbox(&agent, folder.path(), &metrics).await;
    let other = own_event(AgentKind::Cluster, &"cluster-1".parse().unwrap(), "false");
    outbox.publish(other.clone()).await.unwrap();
    let (health, stop) = (Health::default(), CancellationToken::new());
    let sending = tokio::spawn(outbox.clone().send(health.check("outbox"), stop.clone()));
    let until = Instant::now() + PATIENCE;
    while !health.report().checks.iter().any(|check| format!("{check:?}").contains("does not allow")) {
        assert!(Instant::now() < until, "{:?}", health.report());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!health.report().ready);
    let text = format!("{:?}", health.report());
    assert!(text.contains(&other.subject), "{text}");
    let counted = metrics.text().lines().any(|line| {
        line.starts_with("custody_publish_denied_total")
            && line.contains("kind=\"events\"")
            && !line.ends_with(" 0")
    });
    assert!(counted, "{}", metrics.text());
    assert_eq!(outbox.waiting_messages(), 1);
    assert!(correlator.read(Stream::Events, 0, 10).await.unwrap().is_empty());
    stop.cancel();
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_let_in_without_a_certificate_and_a_name() {
    let estate = Estate::new().await;
    let member = estate.agents().next().unwrap();
    let nameless = estate.wire_with(member, None).await;
    assert!(nameless.unwrap_err().to_string().contains("Authorization Violation"));
    let stranger = nkeys::KeyPair::new_user().seed().unwrap();
    assert!(estate.wire_with(member, Some(&stranger)).await.is_err());
    let hidden = NatsBus::connect(estate.settings(member, false)).await;
    assert!(matches!(hidden, Err(BusError::Unavailable { .. })), "{hidden:?}");
}

async fn outbox(bus: &Arc<NatsBus>, folder: &std::path::Path, metrics: &Metrics) -> Arc<Outbox> {
    let counters = FleetMetrics::new(metrics).agent("agent");
    Outbox::open(folder, outbox::BYTES_MAX, bus.clone(), counters).await.unwrap()
}

async fn send_all(outbox: &Arc<Outbox>) {
    let (health, stop) = (Health::default(), CancellationToken::new());
    let sending = tokio::spawn(outbox.clone().send(health.check("outbox"), stop.clone()));
    let until = Instant::now() + PATIENCE;
    while outbox.waiting_messages() > 0 {
        assert!(Instant::now() < until, "{:?}", health.report());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    sending.await.unwrap();
}
