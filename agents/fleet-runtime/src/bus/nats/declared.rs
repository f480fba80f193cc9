//! The one table of what custody keeps on the servers: streams, buckets and the consumers of questions.
//!
//! In: sizes and the number of copies. Out: the configurations in the servers' own words. `deploy/streams` holds the same
//! with the usual sizes and three copies; a test compares them. Nothing is discarded to make room for new: a full stream
//! refuses, and only what everybody has settled is trimmed.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use bus_schema::AgentId;
use bus_schema::question::Answerer;
use serde_json::{Map, Value, json};

use crate::bus::{BusError, ConsumerConfig, HEADERS_BYTES_MAX, PAYLOAD_BYTES_MAX, Stream};

/// The bucket of blobs, where settings name no other.
pub(super) const BLOB_BUCKET: &str = "blobs";
/// The key-value buckets that the fleet uses; others are made when they are first opened.
pub(super) const KEY_VALUE_BUCKETS: [&str; 2] = ["verdicts", HEAD_BUCKET];
const HEAD_BUCKET: &str = "log";
/// The stream in which the servers tell which messages they have given up.
pub(super) const GIVEN_UP: &str = "given-up";
/// What a message may have beside its payload: our headers, and those of the bus.
const BESIDE_PAYLOAD_BYTES_MAX: usize = HEADERS_BYTES_MAX + 8 * 1024;
/// What the servers' `max_payload` must allow.
pub(super) const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + BESIDE_PAYLOAD_BYTES_MAX;
/// Repeats of an id within this time are dropped. Longer costs the servers memory; what comes later is dropped by the
/// reader's own memory of events.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(3600);
/// Values of one key that are kept for watchers that are a little behind.
pub(super) const KEY_VALUE_HISTORY: u8 = 8;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a blob lies on the bus; whoever needs it has copied it long before.
pub(super) const BLOB_AGE_MAX: Duration = Duration::from_secs(60 * 24 * 3600);
/// How often a message is delivered beyond the limit of its reader before the server gives it up: as often as the dead
/// letter may fail to take it.
pub(super) const DELIVERIES_BEYOND: u32 = 8;
/// Requests for deliveries that wait at one consumer: readers of one name, and those whose process has gone.
const REQUESTS_WAITING_MAX: u32 = 512;
const GIVEN_UP_BYTES_MAX: u64 = 16 << 20;
/// What the bucket of the log's head may hold.
const HEAD_BYTES_MAX: u64 = 16 << 20;

/// What the streams and buckets may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatsLimits {
    pub events_bytes_max: u64,
    pub questions_bytes_max: u64,
    pub verdicts_bytes_max: u64,
    pub dead_letters_bytes_max: u64,
    /// The bucket of verdicts. That of the log's head holds one value and takes [`HEAD_BYTES_MAX`].
    pub key_value_bytes_max: u64,
    /// Each object bucket.
    pub blobs_bytes_max: u64,
}

impl Default for NatsLimits {
    fn default() -> NatsLimits {
        const MIB: u64 = 1 << 20;
        NatsLimits {
            events_bytes_max: 2048 * MIB,
            questions_bytes_max: 64 * MIB,
            verdicts_bytes_max: 256 * MIB,
            dead_letters_bytes_max: 512 * MIB,
            key_value_bytes_max: 1024 * MIB,
            blobs_bytes_max: 8192 * MIB,
        }
    }
}

impl NatsLimits {
    pub(super) fn of(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Events => self.events_bytes_max,
            Stream::Questions => self.questions_bytes_max,
            Stream::Verdicts => self.verdicts_bytes_max,
            Stream::DeadLetters => self.dead_letters_bytes_max,
        }
    }
}

/// How long settled messages stay before they are trimmed. Unsettled ones stay.
pub(super) fn settled_age_max(stream: Stream) -> Option<Duration> {
    match stream {
        Stream::Events | Stream::Questions | Stream::Verdicts => Some(DAY),
        // Nobody settles them: they go by the stream's own age.
        Stream::DeadLetters => None,
    }
}

/// One stream in the servers' words.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Declaration {
    pub(super) name: String,
    pub(super) config: Map<String, Value>,
}

/// Whether a stream of this name is a bucket of keys or of blobs.
pub(super) fn is_bucket(name: &str) -> bool {
    name.starts_with("KV_") || name.starts_with("OBJ_")
}

/// Every stream that a fleet needs, buckets included.
pub(super) fn streams<'a>(
    limits: &NatsLimits,
    blob_buckets: impl IntoIterator<Item = &'a str>,
    replicas: usize,
) -> Vec<Declaration> {
    let mut all: Vec<Declaration> =
        Stream::ALL.into_iter().map(|stream| messages(stream, limits, replicas)).collect();
    all.push(given_up(replicas));
    all.extend(KEY_VALUE_BUCKETS.iter().map(|bucket| key_value(bucket, limits, replicas)));
    all.extend(blob_buckets.into_iter().map(|bucket| blobs(bucket, limits, replicas)));
    all
}

fn messages(stream: Stream, limits: &NatsLimits, replicas: usize) -> Declaration {
    let about = match stream {
        Stream::Events => "what agents report",
        Stream::Questions => "what the correlator asks agents",
        Stream::Verdicts => "what the correlator concluded",
        Stream::DeadLetters => "what could not be understood or did not succeed",
    };
    declaration(Config {
        name: stream.name().to_owned(),
        description: Some(about.to_owned()),
        subjects: vec![format!("{}>", stream.subject_prefix())],
        max_bytes: signed(limits.of(stream)),
        max_age: if stream == Stream::DeadLetters { 30 * DAY } else { Duration::ZERO },
        max_message_size: message_bytes_max(),
        duplicate_window: DUPLICATE_WINDOW,
        ..bounded(replicas)
    })
}

fn given_up(replicas: usize) -> Declaration {
    let subject = |stream: Stream| format!("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{stream}.*");
    declaration(Config {
        name: GIVEN_UP.to_owned(),
        description: Some("which messages the servers no longer deliver".to_owned()),
        subjects: Stream::ALL.into_iter().map(subject).collect(),
        max_bytes: signed(GIVEN_UP_BYTES_MAX),
        // The newest matter: the messages of the oldest have been trimmed.
        discard: DiscardPolicy::Old,
        duplicate_window: Duration::from_secs(120),
        ..bounded(replicas)
    })
}

/// A bucket as NATS lays it out, but read from its leader only: what was answered is what is read.
pub(super) fn key_value(bucket: &str, limits: &NatsLimits, replicas: usize) -> Declaration {
    declaration(Config {
        name: format!("KV_{bucket}"),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_bytes: signed(match bucket {
            HEAD_BUCKET => HEAD_BYTES_MAX.min(limits.key_value_bytes_max),
            _ => limits.key_value_bytes_max,
        }),
        max_messages_per_subject: i64::from(KEY_VALUE_HISTORY),
        max_message_size: message_bytes_max(),
        allow_rollup: true,
        deny_delete: true,
        duplicate_window: Duration::from_secs(120),
        ..bounded(replicas)
    })
}

fn blobs(bucket: &str, limits: &NatsLimits, replicas: usize) -> Declaration {
    declaration(Config {
        name: format!("OBJ_{bucket}"),
        description: Some("bytes under their SHA-256".to_owned()),
        subjects: vec![format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")],
        max_bytes: signed(limits.blobs_bytes_max),
        max_age: BLOB_AGE_MAX,
        allow_rollup: true,
        duplicate_window: Duration::from_secs(120),
        ..bounded(replicas)
    })
}

fn bounded(replicas: usize) -> Config {
    Config {
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        discard: DiscardPolicy::New,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: replicas,
        ..Config::default()
    }
}

fn declaration(config: Config) -> Declaration {
    let name = config.name.clone();
    let mut config = match serde_json::to_value(config) {
        Ok(Value::Object(config)) => config,
        // The client's own type: a struct is an object.
        _ => Map::new(),
    };
    config.retain(|_, value| !value.is_null());
    Declaration { name, config }
}

/// A durable consumer in the servers' words.
pub(super) fn consumer(config: &ConsumerConfig) -> Map<String, Value> {
    let config = json!({
        "name": config.name,
        "durable_name": config.name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": nanos(config.ack_wait),
        "max_deliver": i64::from(config.deliveries_max.saturating_add(DELIVERIES_BEYOND)),
        "filter_subject": config.filter.as_str(),
        "replay_policy": "instant",
        "max_ack_pending": signed(config.in_flight_max as u64),
        "max_waiting": REQUESTS_WAITING_MAX,
    });
    object(config)
}

/// The consumer that reads what the servers gave up. Nothing gives this one up.
pub(super) fn given_up_consumer() -> Map<String, Value> {
    object(json!({
        "name": GIVEN_UP,
        "durable_name": GIVEN_UP,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": nanos(Duration::from_secs(30)),
        "max_deliver": -1,
        "replay_policy": "instant",
        "max_ack_pending": 64,
        "max_waiting": REQUESTS_WAITING_MAX,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The files of `deploy/streams`: names and contents.
pub fn files() -> Result<Vec<(String, String)>, BusError> {
    const REPLICAS: usize = 3;
    let mut files = Vec::new();
    for Declaration { name, config } in streams(&NatsLimits::default(), [BLOB_BUCKET], REPLICAS) {
        files.push((format!("{name}.json"), text(&Value::Object(config))?));
    }
    let given_up = json!({ "stream_name": GIVEN_UP, "config": given_up_consumer() });
    files.push((format!("consumers/{GIVEN_UP}.json"), text(&given_up)?));
    for answerer in Answerer::ALL {
        let agent = format!("{}-agent", answerer.as_str());
        let agent: AgentId =
            agent.parse().map_err(|_| BusError::Consumer { reason: "no agent's name".to_owned() })?;
        let config = crate::asked::consumer(&agent, answerer)?;
        let config = json!({ "stream_name": config.stream.name(), "config": consumer(&config) });
        files.push((format!("consumers/{agent}.json"), text(&config)?));
    }
    Ok(files)
}

fn text(value: &Value) -> Result<String, BusError> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(|error| BusError::storage("write a declaration", error))? + "\n")
}

fn message_bytes_max() -> i32 {
    i32::try_from(MESSAGE_BYTES_MAX).unwrap_or(i32::MAX)
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::path::Path;

    use super::*;

    /// Set to `1`, this variable makes the test rewrite the committed files instead of comparing them.
    const REWRITE_VARIABLE: &str = "CUSTODY_REWRITE";

    #[test]
    fn the_committed_declarations_are_those_of_the_table() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/streams");
        let rewrites = std::env::var(REWRITE_VARIABLE).is_ok_and(|value| value == "1");
        let files = files().unwrap();
        let mut wrong = Vec::new();
        for (name, expected) in &files {
            let path = folder.join(name);
            if std::fs::read_to_string(&path).is_ok_and(|committed| committed == *expected) {
                continue;
            }
            if rewrites {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, expected).unwrap();
            } else {
                wrong.push(name.clone());
            }
        }
        for below in ["", "consumers"] {
            for entry in std::fs::read_dir(folder.join(below)).unwrap() {
                let name = Path::new(below).join(entry.unwrap().file_name());
                let name = name.to_str().unwrap();
                if name.ends_with(".json") && !files.iter().any(|(known, _)| known == name) {
                    wrong.push(name.to_owned());
                }
            }
        }
        assert!(wrong.is_empty(), "deploy/streams differs, run with {REWRITE_VARIABLE}=1: {wrong:?}");
    }

    #[test]
    fn the_server_of_the_example_is_said_to_need_what_is_declared() {
        const GIB: u64 = 1 << 30;
        let bytes = |declared: &Declaration| declared.config["max_bytes"].as_u64().unwrap();
        let all = streams(&NatsLimits::default(), [BLOB_BUCKET], 1);
        let without_agents: u64 = all.iter().map(bytes).sum();
        let of_agent = NatsLimits::default().blobs_bytes_max;
        let tenths = (without_agents * 10).div_ceil(GIB);
        let reserved = format!("reserve {}.{} GiB", tenths / 10, tenths % 10);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = |file: &str| {
            let text = std::fs::read_to_string(root.join(file)).unwrap();
            text.replace("\n  #", "").split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let conf = text("deploy/streams/server/nats-server.conf");
        let store = conf.split_once("max_file_store: ").unwrap().1.split_once("GB").unwrap().0;
        let agents = (store.parse::<u64>().unwrap() * GIB - without_agents) / of_agent;
        for expected in [
            &reserved,
            &format!("agent's blobs {} GiB more", of_agent / GIB),
            &format!("enough for {agents} agents"),
        ] {
            assert!(conf.contains(expected.as_str()), "no {expected:?} in {conf}");
        }
        let readme = text("README.md").replace("reserves", "reserve");
        assert!(readme.contains(&reserved), "README.md does not say: {reserved}");
    }

    #[test]
    fn no_two_streams_keep_the_same_subject() {
        let all = streams(&NatsLimits::default(), [BLOB_BUCKET], 1);
        let mut subjects: Vec<String> = all
            .iter()
            .flat_map(|one| one.config["subjects"].as_array().unwrap().clone())
            .map(|subject| subject.as_str().unwrap().to_owned())
            .collect();
        let count = subjects.len();
        subjects.sort();
        subjects.dedup();
        assert_eq!(subjects.len(), count);
    }
}
