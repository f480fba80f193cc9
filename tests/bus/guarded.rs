//! What a server refuses, what it demands, and what it was made to be: rights, encryption, limits, drift.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bus_schema::question::Answerer;
use bus_schema::{AgentId, Digest};
use fleet_runtime::bus::nats::{self, NatsBus, NatsSettings, RawNatsSettings};
use fleet_runtime::bus::{Bus, BusError, Message, PAYLOAD_BYTES_MAX, Stream};
use fleet_runtime::settings::{DurationText, Secret};
use harness::servers::certificates::TestAuthority;
use harness::servers::login::Login;
use harness::servers::nats::Nats;
use harness::servers::nats_wire::NatsWire;
use harness::servers::ports::free_port;
use serde_json::json;
use tokio::time::Instant;

use crate::jetstream::{OneServer, connect, folder, settings};
use crate::place::{PATIENCE, Place, SUBJECT, all_events, ids, message, publish, take};

/// The seed and the public key of a user that only these tests know.
const SEED: &str = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
const PUBLIC_KEY: &str = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";

/// An account with one user who may do everything and one agent with no more than it needs.
fn accounts() -> String {
    format!(
        r#"accounts {{
             FLEET {{ jetstream: enabled, users: [
               {{ user: correlator, password: correlator }}
               {{ nkey: {PUBLIC_KEY}, permissions: {{
                 publish: {{ allow: ["custody.in.ci.>", "$JS.API.CONSUMER.MSG.NEXT.questions.ci-agent",
                                    "$JS.ACK.questions.ci-agent.>", "$O.ci-blobs.>"] }}
                 subscribe: {{ allow: ["_INBOX.ci-agent.>"] }} }} }} ] }}
             SYS {{ users: [{{ user: system, password: system }}] }}
           }}
           system_account: SYS
        "#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_says_its_own_and_is_told_when_it_may_not() {
    let folder = folder();
    let server = Nats::start_with(folder.path(), &accounts()).await.unwrap();
    let urls = [server.url().to_owned()];
    let login = Login::new("correlator", "correlator");
    let raw = RawNatsSettings { blob_bucket: Some("ci-blobs".to_owned()), ..settings(&urls, Some(&login)) };
    let correlator = NatsBus::connect(NatsSettings::from_raw(raw).unwrap()).await.unwrap();
    let agent_id: AgentId = "ci-agent".parse().unwrap();
    let questions = fleet_runtime::asked::consumer(&agent_id, Answerer::Ci).unwrap();
    correlator.consumer(questions.clone()).await.unwrap();

    let raw = RawNatsSettings {
        manages: false,
        nkey_seed: Some(Secret::new(SEED)),
        inbox_prefix: Some("_INBOX.ci-agent".to_owned()),
        blob_bucket: Some("ci-blobs".to_owned()),
        ..settings(&urls, None)
    };
    let agent = NatsBus::connect(NatsSettings::from_raw(raw).unwrap()).await.unwrap();
    // Its own.
    agent.publish(message("said")).await.unwrap();
    correlator.publish(Message::new("custody.ask.ci.0123456789abcdef", "asked", "")).await.unwrap();
    let asked = agent.consumer(questions).await.unwrap();
    let question = take(&*asked, 1).await;
    asked.ack(&question[0]).await.unwrap();
    let digest = agent.blobs().put("an attestation".into()).await.unwrap();
    assert_eq!(correlator.blobs().get(&digest, 100).await.unwrap().unwrap(), "an attestation");
    // Somebody else's: refused by name, and quickly.
    let began = Instant::now();
    let other = Message::new("custody.in.registry.agent.0123456789abcdef.image.pushed.v1", "false", "");
    let refused = agent.publish(other).await;
    assert!(
        matches!(&refused, Err(BusError::Denied { subject }) if subject.starts_with("custody.in.registry."))
    );
    assert!(!refused.unwrap_err().is_temporary());
    let verdicts = agent.key_value("verdicts").await.unwrap();
    assert!(matches!(verdicts.put("a", "trusted".into()).await, Err(BusError::Denied { .. })));
    let events = agent.consumer(all_events()).await.unwrap();
    let fetched = events.fetch(1, Duration::from_millis(10)).await;
    assert!(matches!(fetched, Err(BusError::Denied { .. })), "{fetched:?}");
    assert!(matches!(agent.remove(Stream::Events, 1).await, Err(BusError::Denied { .. })));
    assert!(began.elapsed() < PATIENCE / 4, "{:?}", began.elapsed());
    assert_eq!(correlator.read(Stream::Events, 0, 10).await.unwrap().len(), 1);
    agent.publish(message("goes-on")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_that_is_not_ours_is_named_and_not_waited_for() {
    let folder = folder();
    let server = Nats::start_with(folder.path(), &accounts()).await.unwrap();
    let raw = RawNatsSettings {
        manages: false,
        nkey_seed: Some(Secret::new(SEED)),
        inbox_prefix: Some("_INBOX.somebody-else".to_owned()),
        ..settings(&[server.url().to_owned()], None)
    };
    let agent = NatsBus::connect(NatsSettings::from_raw(raw).unwrap()).await.unwrap();
    let refused = agent.publish(message("a")).await;
    assert!(
        matches!(&refused, Err(BusError::Denied { subject }) if subject.contains("somebody-else")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_each_server_takes_a_login_is_told_without_a_wait() {
    let folder = folder();
    let server = Nats::start_with(folder.path(), &accounts()).await.unwrap();
    let nobody = format!("nats://127.0.0.1:{}", free_port().unwrap());
    let urls = [server.url().to_owned(), nobody];
    let began = Instant::now();
    for (password, is_taken) in [("correlator", true), ("another", false)] {
        let login = Login::new("correlator", password);
        // As an agent, which waits for its servers without an end.
        let settings = NatsSettings::from_raw(settings(&urls, Some(&login))).unwrap();
        let probed = nats::probe(&settings.for_agent(&"ci-agent".parse().unwrap())).await;
        assert_eq!(probed[0].answer.is_ok(), is_taken, "{probed:?}");
        if let Ok(said) = &probed[0].answer {
            assert!(said.has_jetstream && said.message_bytes_max == 2 << 20, "{said:?}");
        }
        assert!(probed[1].answer.is_err(), "{probed:?}");
    }
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_servers_demand_and_show_certificates() {
    let folder = folder();
    let authority = TestAuthority::new().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, authority.certificate_pem()).unwrap();
    for name in ["server", "client"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let server_files = authority.issue_files(&folder.path().join("server"), "server").unwrap();
    let client_files = authority.issue_files(&folder.path().join("client"), "client").unwrap();
    let tls = format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {root:?}, verify: true }}\n",
        server_files.certificate, server_files.key
    );
    let server = Nats::start_with(folder.path(), &tls).await.unwrap();
    let url = server.url().replace("nats://127.0.0.1", "tls://localhost");
    let shown = RawNatsSettings {
        root_certificates_file: Some(root.clone()),
        certificate_file: Some(client_files.certificate),
        certificate_key_file: Some(client_files.key),
        connect_within: DurationText::seconds(5),
        ..settings(std::slice::from_ref(&url), None)
    };
    let bus = NatsBus::connect(NatsSettings::from_raw(shown.clone()).unwrap()).await.unwrap();
    publish(&*bus, ["a"]).await;
    let hidden = RawNatsSettings { certificate_file: None, certificate_key_file: None, ..shown.clone() };
    let refused = NatsBus::connect(NatsSettings::from_raw(hidden).unwrap()).await;
    assert!(matches!(refused, Err(BusError::Unavailable { .. })), "{refused:?}");
    let stranger = folder.path().join("stranger.pem");
    std::fs::write(&stranger, TestAuthority::new().unwrap().certificate_pem()).unwrap();
    let trusting = RawNatsSettings { root_certificates_file: Some(stranger), ..shown };
    let refused = NatsBus::connect(NatsSettings::from_raw(trusting).unwrap()).await;
    assert!(matches!(refused, Err(BusError::Unavailable { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_from_what_is_declared_are_told_and_mended_at_the_next_start() {
    let place = OneServer::new().await;
    let url = [place.url().await];
    let bus = connect(&url, None).await;
    bus.consumer(all_events()).await.unwrap();
    assert_eq!(bus.drift().await.unwrap(), []);
    let mut wire = place.wire().await;
    let mut events = wire.ask("STREAM.INFO.events", &json!({})).await.unwrap()["config"].clone();
    events["max_age"] = json!(1_000_000_000_u64 * 3600);
    events["allow_direct"] = json!(true);
    events["metadata"] = json!({ "owner": "operator" });
    wire.ask("STREAM.UPDATE.events", &events).await.unwrap();
    wire.ask("STREAM.DELETE.KV_log", &json!({})).await.unwrap();
    let mut reader = wire.ask("CONSUMER.INFO.events.reader", &json!({})).await.unwrap()["config"].clone();
    reader["max_deliver"] = json!(-1);
    let reader = json!({ "stream_name": "events", "config": reader });
    wire.ask("CONSUMER.CREATE.events.reader.custody.in.>", &reader).await.unwrap();
    let told: Vec<String> = bus.drift().await.unwrap().iter().map(ToString::to_string).collect();
    for expected in [
        "stream events: max_age is 3600000000000, declared is 0",
        "stream events: allow_direct is true, declared is not set",
        "stream KV_log: existence is missing, declared is there",
        "consumer reader of events: max_deliver is -1, declared is 16",
    ] {
        assert!(told.iter().any(|line| line == expected), "{expected} is not in {told:?}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
    let again = connect(&url, None).await;
    again.consumer(all_events()).await.unwrap();
    assert_eq!(again.drift().await.unwrap(), []);
    let kept = wire.ask("STREAM.INFO.events", &json!({})).await.unwrap();
    assert_eq!(kept["config"]["metadata"]["owner"], "operator");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_less_is_told_and_large_payloads_are_refused_by_name() {
    let folder = folder();
    // The later line counts.
    let server = Nats::start_with(folder.path(), "max_payload: 1MB\n").await.unwrap();
    let bus = connect(&[server.url().to_owned()], None).await;
    let drift = bus.drift().await.unwrap();
    assert!(drift.iter().any(|one| one.setting == "max_payload"), "{drift:?}");
    let large = Message::new(SUBJECT, "large", vec![0; PAYLOAD_BYTES_MAX]);
    let refused = bus.publish(large).await;
    assert!(matches!(refused, Err(BusError::PayloadTooLarge { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_for_a_stream_is_told_which_and_what_to_do() {
    let folder = folder();
    // The later block counts.
    let server =
        Nats::start_with(folder.path(), "jetstream { store_dir: js, max_file_store: 64MB }\n").await.unwrap();
    let raw = settings(&[server.url().to_owned()], None);
    let refused = NatsBus::connect(NatsSettings::from_raw(raw).unwrap()).await.unwrap_err();
    let BusError::NoRoom { stream, mib, .. } = &refused else { panic!("{refused:?}") };
    let said = refused.to_string();
    for expected in
        [stream.clone(), format!("{mib} MiB"), "[bus.limits]".to_owned(), "max_file_store".to_owned()]
    {
        assert!(said.contains(&expected), "no {expected:?} in {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_a_server_was_reached_nothing_is_too_large_for_it() {
    let folder = folder();
    let mut server = Nats::start(folder.path()).await.unwrap();
    let urls = [server.url().to_owned()];
    connect(&urls, None).await.close().await.unwrap();
    server.process.kill();
    let agent: AgentId = "ci-agent".parse().unwrap();
    let settings = NatsSettings::from_raw(settings(&urls, None)).unwrap().for_agent(&agent);
    let bus = NatsBus::connect(settings).await.unwrap();
    let large = Message::new(SUBJECT, "large", vec![0; PAYLOAD_BYTES_MAX]);
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move { bus.publish(large).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!publishing.is_finished(), "{:?}", publishing.await);
    server.start_again().await.unwrap();
    assert!(!publishing.await.unwrap().unwrap().duplicate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_put_into_a_stream_is_bounded_and_handed_out() {
    let place = OneServer::new().await;
    let bus = place.open().await;
    let mut wire: NatsWire = place.wire().await;
    wire.request(SUBJECT, b"no id").await.unwrap();
    let too_large = wire.request(SUBJECT, &vec![0; 3 << 19]).await.unwrap();
    assert!(String::from_utf8_lossy(&too_large).contains("message size exceeds maximum"));
    publish(&*bus, ["ours"]).await;
    let taken = take(&*bus.consumer(all_events()).await.unwrap(), 2).await;
    assert_eq!(ids(&taken), ["unnamed-1", "ours"]);
    assert_eq!(taken[0].message.payload, "no id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hides_a_blob_by_what_he_puts_under_its_name() {
    let place = OneServer::new().await;
    let urls = [place.url().await];
    let of = async |own: &str, others: &[&str]| {
        let raw = RawNatsSettings {
            blob_bucket: Some(own.to_owned()),
            other_blob_buckets: others.iter().map(|name| (*name).to_owned()).collect(),
            ..settings(&urls, None)
        };
        NatsBus::connect(NatsSettings::from_raw(raw).unwrap()).await.unwrap()
    };
    let (honest, _other) = (of("b", &[]).await, of("a", &[]).await);
    let reader = of("blobs", &["a", "b"]).await;
    let bytes = "an attestation";
    let digest = Digest::sha256_of(bytes.as_bytes());
    let description = format!("$O.a.M.{}", URL_SAFE.encode(format!("sha256-{}", digest.hex())));
    let huge = json!({ "name": "x", "bucket": "a", "nuid": ">", "size": u64::MAX, "chunks": 1 }).to_string();
    let wild = json!({ "name": "x", "bucket": "a", "nuid": "*", "size": 3, "chunks": 9 }).to_string();
    for wrong in ["no description", huge.as_str(), wild.as_str()] {
        place.wire().await.request(&description, wrong.as_bytes()).await.unwrap();
        let alone = reader.blobs().get(&digest, 100).await;
        assert!(
            matches!(alone, Err(BusError::BlobTampered { .. } | BusError::BlobTooLarge { .. })),
            "{alone:?}"
        );
    }
    honest.blobs().put(bytes.into()).await.unwrap();
    assert_eq!(reader.blobs().get(&digest, 100).await.unwrap().unwrap(), bytes);
    // Whoever owns the bucket mends it by putting the blob again.
    let mending = of("a", &[]).await;
    mending.blobs().put(bytes.into()).await.unwrap();
    assert_eq!(mending.blobs().get(&digest, 100).await.unwrap().unwrap(), bytes);
}
