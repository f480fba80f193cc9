//! How a bus stands: what its streams hold, who is behind, and where it differs from what is declared. For people.

use super::Stream;

/// The whole bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusStanding {
    pub streams: Vec<StreamStanding>,
    /// The buckets of keys and of blobs, where the bus has bounds for each.
    pub buckets: Vec<BucketStanding>,
    /// Where servers differ from what is declared, each in one line.
    pub differences: Vec<String>,
}

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStanding {
    pub stream: Stream,
    /// Messages that are kept; where some in the middle were removed, at most so many.
    pub messages: u64,
    /// Their bytes, with what the bus counts around them.
    pub bytes: u64,
    /// Beyond it the stream refuses.
    pub bytes_max: u64,
    pub last_sequence: u64,
    pub consumers: Vec<ConsumerStanding>,
}

/// One bucket, named as the stream that it is kept in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketStanding {
    pub name: String,
    pub messages: u64,
    pub bytes: u64,
    /// Beyond it the bucket refuses.
    pub bytes_max: u64,
    pub last_sequence: u64,
}

/// One durable consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerStanding {
    pub name: String,
    /// Messages that were never delivered to it, at most so many.
    pub waiting: u64,
    /// Deliveries that are not settled.
    pub unsettled: u64,
}
