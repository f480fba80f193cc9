//! JetStream as its own client uses it: publishing with a bounded number unconfirmed, and a pull consumer that
//! acknowledges each message.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config as ConsumerConfig;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{self, context};
use fleet_runtime::bus::Message;
use futures::StreamExt;

/// Messages that are published and not yet confirmed.
pub(crate) const UNCONFIRMED_MAX: usize = 256;
/// Messages that one request for deliveries asks for.
const BATCH: usize = 256;
const STREAM: &str = "raw";
const DUPLICATE_WINDOW: Duration = Duration::from_secs(3600);
const BYTES_MAX: i64 = 16 << 30;

/// A client of a server.
pub(crate) struct Wire {
    jetstream: jetstream::Context,
}

impl Wire {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Wire> {
        let client = async_nats::connect(url).await.context("connect to the server")?;
        let jetstream = context::ContextBuilder::new()
            .max_ack_inflight(UNCONFIRMED_MAX)
            .timeout(Duration::from_secs(60))
            .ack_timeout(Duration::from_secs(60))
            .build(client);
        Ok(Wire { jetstream })
    }

    /// Publishes all of them, and returns when the server has confirmed each.
    pub(crate) async fn publish(&self, messages: impl IntoIterator<Item = Message>) -> anyhow::Result<()> {
        let mut unconfirmed = VecDeque::with_capacity(UNCONFIRMED_MAX);
        for message in messages {
            if unconfirmed.len() == UNCONFIRMED_MAX
                && let Some(oldest) = unconfirmed.pop_front()
            {
                confirmed(oldest).await?;
            }
            unconfirmed.push_back(self.send(message).await?);
        }
        for one in unconfirmed {
            confirmed(one).await?;
        }
        Ok(())
    }

    /// Sends one without waiting for its confirmation.
    pub(crate) async fn send(&self, message: Message) -> anyhow::Result<context::PublishAckFuture> {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", message.id.as_str());
        self.jetstream
            .publish_with_headers(message.subject, headers, message.payload)
            .await
            .context("publish")
    }

    /// Publishes the messages on a stream of their own, declared like custody's, while a durable consumer pulls and
    /// acknowledges each. Returns the time from the first publish to the last acknowledgement.
    pub(crate) async fn publish_and_pull(&self, messages: Vec<Message>) -> anyhow::Result<Duration> {
        let _ = self.jetstream.delete_stream(STREAM).await;
        let stream = self
            .jetstream
            .create_stream(Config {
                name: STREAM.to_owned(),
                subjects: vec![format!("{STREAM}.>")],
                max_bytes: BYTES_MAX,
                discard: DiscardPolicy::New,
                storage: StorageType::File,
                duplicate_window: DUPLICATE_WINDOW,
                ..Config::default()
            })
            .await?;
        let consumer = stream
            .create_consumer(ConsumerConfig {
                durable_name: Some("reader".to_owned()),
                ack_policy: AckPolicy::Explicit,
                max_ack_pending: 512,
                ..ConsumerConfig::default()
            })
            .await?;
        let count = messages.len();
        let began = Instant::now();
        let published = self.publish(messages.into_iter().map(on_the_raw_stream));
        let pulled = async {
            let mut deliveries = consumer.stream().max_messages_per_batch(BATCH).messages().await?;
            for _ in 1..count {
                let delivery = deliveries.next().await.context("the stream ended")??;
                delivery.ack().await.map_err(|error| anyhow::anyhow!("acknowledge: {error}"))?;
            }
            let last = deliveries.next().await.context("the stream ended")??;
            // Confirmed by the server, and with it those before.
            last.double_ack().await.map_err(|error| anyhow::anyhow!("acknowledge: {error}"))?;
            anyhow::Ok(())
        };
        let (published, pulled) = tokio::join!(published, pulled);
        published?;
        pulled?;
        let took = began.elapsed();
        self.jetstream.delete_stream(STREAM).await?;
        Ok(took)
    }
}

async fn confirmed(unconfirmed: context::PublishAckFuture) -> anyhow::Result<()> {
    let acknowledged = unconfirmed.into_future().await.context("a publish was not confirmed")?;
    ensure!(!acknowledged.duplicate, "a message was there already");
    Ok(())
}

fn on_the_raw_stream(message: Message) -> Message {
    Message { subject: format!("{STREAM}.{}", message.subject), ..message }
}
