//! The bus over NATS JetStream: the same trait, on servers of its own.
//!
//! In: settings. Out: the bus trait. What is declared is created or updated at the start by the one process that manages
//! it; others only use it. A publish is answered when the stream has confirmed it, and tried again under the same id
//! until then. Consumers are looked for anew with every request, so that a restart, a change of leader or a deletion is
//! passed over; silence of the servers is an error and never an empty answer.
//!
//! What holds as on the embedded bus, and is tested by one suite: order, repeats, counts, limits, watches, blobs. What
//! differs: a confirmed message survives the loss of machines only as the servers write it (`sync_interval`, copies).

mod apply;
mod blob_trim;
mod blobs;
mod consumer;
mod declared;
mod fault;
mod given_up;
mod key_value;
mod link;
mod message;
mod probe;
mod publish;
mod pull;
mod read;
mod rights;
mod roles;
mod settings;
mod standing;
mod tend;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::blobs::ObjectBlobs;
use self::consumer::{Known, KnownConsumers, NatsConsumer};
use self::fault::{Fault, code};
use self::key_value::NatsBucket;
use self::link::Link;
use self::publish::{NotPublished, Outbound, Outgoing};
use self::tend::Order;
use super::{
    Blobs, Bus, BusError, BusStanding, Consumer, ConsumerConfig, KeyValue, Message, Published, Stored,
    Stream, check_key,
};

pub use apply::Drift;
pub use declared::{NatsLimits, files as declared_files};
pub use probe::{Answered, Probed, probe};
pub use rights::{Right, Rights, Role, table as table_of_rights};
pub use roles::{blob_bucket_of, inbox_prefix_of};
pub use settings::{NatsSettings, RawNatsLimits, RawNatsSettings};

/// Copies of each stream on a cluster.
const REPLICAS_ON_CLUSTER: usize = 3;
/// How long closing waits for the servers and for our own tasks.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// The bus on NATS servers. Dropping the last handle closes it.
#[derive(Debug)]
pub struct NatsBus {
    shared: Arc<Shared>,
    _close_on_drop: Option<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    link: Link,
    settings: NatsSettings,
    replicas: usize,
    outbound: Outbound,
    blobs: Arc<ObjectBlobs>,
    consumers: KnownConsumers,
    order: Arc<Order>,
    tasks: TaskTracker,
}

impl NatsBus {
    /// Connects, and brings the servers to what is declared when this process manages them.
    pub async fn connect(settings: NatsSettings) -> Result<Arc<NatsBus>, BusError> {
        let closed = CancellationToken::new();
        // Whatever fails from here on ends what was begun.
        let guard = closed.clone().drop_guard();
        let link = Link::connect(&settings, closed).await?;
        let is_cluster = link.client().server_info().cluster.is_some_and(|name| !name.is_empty());
        let replicas = settings.replicas.unwrap_or(if is_cluster { REPLICAS_ON_CLUSTER } else { 1 });
        let order = Arc::new(Order::default());
        let outbound = Outbound::new(link.clone(), settings.publish_within, order.clone());
        let own = &settings.blob_bucket;
        let blobs = {
            let others = &settings.other_blob_buckets;
            ObjectBlobs::new(link.clone(), outbound.clone(), own, others, settings.manages)
        };
        let shared = Arc::new(Shared {
            link,
            settings,
            replicas,
            outbound,
            blobs: Arc::new(blobs),
            consumers: KnownConsumers::default(),
            order,
            tasks: TaskTracker::new(),
        });
        if let Some(drift) = shared.server_drift() {
            tracing::warn!("{drift}");
        }
        if shared.settings.manages {
            shared.declare().await?;
            shared.begin_to_manage();
        }
        Ok(Arc::new(NatsBus { shared, _close_on_drop: Some(guard) }))
    }

    /// Trims the agents' blobs now, as the manager does by itself every few minutes; tells nothing of what went. An event's
    /// blobs were put at most `put_before_max` before it was said.
    pub async fn trim_blobs(self: &Arc<Self>, put_before_max: Duration) -> Result<(), BusError> {
        let (shared, mut letters) = (&self.shared, blob_trim::Letters::default());
        let bus: Arc<dyn Bus> = self.clone();
        let buckets = &shared.settings.other_blob_buckets;
        blob_trim::round(&shared.link, &bus, buckets, &mut letters, put_before_max).await
    }

    /// Where the servers differ from what is declared: streams, buckets, the consumers that this process opened, and the
    /// servers' own limit.
    pub async fn drift(&self) -> Result<Vec<Drift>, BusError> {
        self.shared.drift().await.map_err(|fault| fault.into_bus("compare what is declared"))
    }
}

impl Shared {
    /// Every stream that a fleet needs.
    fn declarations(&self) -> Vec<declared::Declaration> {
        let NatsSettings { limits, blob_bucket, other_blob_buckets, .. } = &self.settings;
        let buckets = std::iter::once(blob_bucket).chain(other_blob_buckets);
        declared::streams(limits, buckets.map(String::as_str), self.replicas)
    }

    async fn declare(&self) -> Result<(), BusError> {
        const AT_ONCE: usize = 4;
        let applying = self.declarations().into_iter().map(|declaration| {
            let link = self.link.clone();
            async move {
                let applied = apply::apply(&link, &declaration).await;
                applied.map_err(|fault| fault.of_declaration(&declaration))
            }
        });
        let mut applied = futures::stream::iter(applying).buffer_unordered(AT_ONCE);
        while let Some(outcome) = applied.next().await {
            outcome?;
        }
        let given_up = consumer::create(&self.link, declared::GIVEN_UP, &declared::given_up_consumer()).await;
        given_up.map_err(|fault| fault.into_bus("declare the consumer of given up messages"))
    }

    fn begin_to_manage(self: &Arc<Self>) {
        let (link, order) = (self.link.clone(), self.order.clone());
        order.look_after(self.declarations());
        let known = Arc::clone(&self.consumers);
        self.tasks.spawn(tend::run(link.clone(), order, known, self.settings.limits));
        // This handle does not keep the bus open: the task ends with it.
        let bus: Arc<dyn Bus> = Arc::new(NatsBus { shared: Arc::clone(self), _close_on_drop: None });
        self.tasks.spawn(given_up::run(link.clone(), bus.clone()));
        self.tasks.spawn(blob_trim::run(link, bus, self.settings.other_blob_buckets.clone()));
    }

    async fn drift(&self) -> Result<Vec<Drift>, Fault> {
        let mut found: Vec<Drift> = self.server_drift().into_iter().collect();
        for declaration in self.declarations() {
            let what = format!("stream {}", declaration.name);
            match apply::stream_info(&self.link, &declaration.name).await? {
                Some(info) => found.extend(drifts(&what, &declaration.config, &info.config)),
                None => found.push(missing(what)),
            }
        }
        let known: Vec<ConsumerConfig> = self.consumers().values().map(|known| known.config()).collect();
        for config in known {
            let what = format!("consumer {} of {}", config.name, config.stream);
            let subject = format!("CONSUMER.INFO.{}.{}", config.stream, config.name);
            match self.link.ask_until_answered::<ConsumerInfo>(&subject, &json!({})).await {
                Ok(info) => found.extend(drifts(&what, &declared::consumer(&config), &info.config)),
                Err(fault) if fault.has_code(code::CONSUMER_NOT_FOUND) => found.push(missing(what)),
                Err(fault) => return Err(fault),
            }
        }
        Ok(found)
    }

    fn server_drift(&self) -> Option<Drift> {
        let too_little = self.link.message_bytes_max().filter(|max| *max < declared::MESSAGE_BYTES_MAX);
        too_little.map(|max| Drift {
            what: "server".to_owned(),
            setting: "max_payload".to_owned(),
            declared: format!("at least {} bytes", declared::MESSAGE_BYTES_MAX),
            found: format!("{max} bytes"),
        })
    }

    fn consumers(&self) -> MutexGuard<'_, BTreeMap<(Stream, String), Arc<Known>>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self) -> Result<(), BusError> {
        if self.link.closed().is_cancelled() { Err(BusError::Closed) } else { Ok(()) }
    }

    fn refused(&self, refused: NotPublished, stream: Stream, bytes: usize) -> BusError {
        match refused {
            NotPublished::TooLarge { bytes_max } => BusError::PayloadTooLarge { bytes, bytes_max },
            NotPublished::Full => {
                self.order.hurry();
                // Only whoever manages the servers knows what was given to the stream.
                let bound = match self.settings.manages {
                    true => format!("{} bytes", self.settings.limits.of(stream)),
                    false => "the size that the servers give it".to_owned(),
                };
                BusError::Full {
                    what: format!("stream {stream}"),
                    bound,
                    held_by: self.order.held_by(stream),
                }
            }
            NotPublished::Conflict => {
                BusError::Unavailable { reason: "the stream has an order of its own".to_owned() }
            }
            NotPublished::Fault(fault) => fault.into_bus("publish"),
        }
    }
}

#[derive(Deserialize)]
struct ConsumerInfo {
    config: Map<String, Value>,
}

fn drifts(what: &str, declared: &Map<String, Value>, found: &Map<String, Value>) -> Vec<Drift> {
    let differences = apply::differences(declared, found).into_iter();
    differences
        .map(|(setting, declared, found)| Drift { what: what.to_owned(), setting, declared, found })
        .collect()
}

fn missing(what: String) -> Drift {
    let setting = "existence".to_owned();
    Drift { what, setting, declared: "there".to_owned(), found: "missing".to_owned() }
}

#[async_trait]
impl Bus for NatsBus {
    async fn publish(&self, message: Message) -> Result<Published, BusError> {
        self.shared.is_open()?;
        message.check()?;
        let stream = Stream::of_subject(&message.subject)?;
        let headers = message::headers_of(&message)?;
        let bytes = message.payload.len();
        let outgoing = Outgoing { subject: message.subject, headers, payload: message.payload };
        let published = self.shared.outbound.publish(&outgoing).await;
        published.map_err(|refused| self.shared.refused(refused, stream, bytes))
    }

    async fn consumer(&self, config: ConsumerConfig) -> Result<Arc<dyn Consumer>, BusError> {
        self.shared.is_open()?;
        config.check()?;
        let key = (config.stream, config.name.clone());
        let known = {
            let mut consumers = self.shared.consumers();
            let known = consumers.entry(key).or_insert_with(|| Arc::new(Known::new(config.clone())));
            known.update(config);
            Arc::clone(known)
        };
        let manages = self.shared.settings.manages;
        let consumer = NatsConsumer::new(self.shared.link.clone(), known, manages);
        if manages {
            consumer.declare().await?;
        }
        Ok(Arc::new(consumer))
    }

    async fn remove_consumer(&self, stream: Stream, name: &str) -> Result<(), BusError> {
        self.shared.is_open()?;
        if let Some(known) = self.shared.consumers().remove(&(stream, name.to_owned())) {
            known.mark_removed();
        }
        super::check_subject(name)?;
        let subject = format!("CONSUMER.DELETE.{stream}.{name}");
        match self.shared.link.ask_until_answered::<Value>(&subject, &json!({})).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.has_code(code::CONSUMER_NOT_FOUND) => Ok(()),
            Err(fault) => Err(fault.into_bus("remove a consumer")),
        }
    }

    async fn read(&self, stream: Stream, from: u64, messages_max: usize) -> Result<Vec<Stored>, BusError> {
        read::from_sequence(&self.shared.link, stream, from, messages_max).await
    }

    async fn remove(&self, stream: Stream, sequence: u64) -> Result<bool, BusError> {
        read::remove(&self.shared.link, stream, sequence).await
    }

    async fn key_value(&self, bucket: &str) -> Result<Arc<dyn KeyValue>, BusError> {
        self.shared.is_open()?;
        check_key(bucket)?;
        if !settings::is_bucket(bucket) {
            return Err(BusError::Key { key: bucket.to_owned() });
        }
        let shared = &self.shared;
        let declaration = declared::key_value(bucket, &shared.settings.limits, shared.replicas);
        if shared.settings.manages && !shared.order.looks_after(&declaration.name) {
            let applied = apply::apply(&shared.link, &declaration).await;
            applied.map_err(|fault| fault.of_declaration(&declaration))?;
            shared.order.look_after([declaration]);
        }
        Ok(Arc::new(NatsBucket::new(shared.link.clone(), shared.outbound.clone(), bucket)))
    }

    fn blobs(&self) -> Arc<dyn Blobs> {
        self.shared.blobs.clone()
    }

    async fn standing(&self) -> Result<BusStanding, BusError> {
        let shared = &self.shared;
        shared.is_open()?;
        let mut streams = Vec::new();
        for stream in Stream::ALL {
            let standing = standing::of_stream(&shared.link, stream).await;
            streams.extend(standing.map_err(|fault| fault.into_bus("tell how the streams stand"))?);
        }
        let mut buckets = Vec::new();
        for declaration in shared.declarations().iter().filter(|one| declared::is_bucket(&one.name)) {
            let standing = standing::of_bucket(&shared.link, &declaration.name).await;
            buckets.extend(standing.map_err(|fault| fault.into_bus("tell how the buckets stand"))?);
        }
        let differences = self.drift().await?.iter().map(ToString::to_string).collect();
        Ok(BusStanding { streams, buckets, differences })
    }

    async fn close(&self) -> Result<(), BusError> {
        let link = &self.shared.link;
        if link.closed().is_cancelled() {
            return Ok(());
        }
        let client = link.client();
        // Acknowledgements travel in order before this; with an answer of the server behind them they have arrived.
        let flushed = async {
            let sent = client.flush().await;
            if self.shared.settings.manages {
                // What the answer says does not matter.
                let _ = link.ask::<Value>("INFO", &json!({})).await;
            }
            sent
        };
        let flushed = timeout(CLOSE_WITHIN, flushed).await;
        link.closed().cancel();
        self.shared.tasks.close();
        let ended = timeout(CLOSE_WITHIN, self.shared.tasks.wait()).await;
        if ended.is_err() {
            tracing::warn!("a task of the bus did not end in time");
        }
        // The connection ends with its last handle; this tells the server now.
        let _ = timeout(CLOSE_WITHIN, client.drain()).await;
        match flushed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(BusError::Unavailable { reason: error.to_string() }),
            Err(_) => {
                Err(BusError::Unavailable { reason: "the last acknowledgements were not sent".to_owned() })
            }
        }
    }
}
