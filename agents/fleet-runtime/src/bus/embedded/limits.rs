//! The bounds of the embedded bus, each with its unit in its name.

use std::time::Duration;

use crate::bus::Stream;

/// What one stream may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Message bytes kept. At the bound the oldest messages that nobody waits for go; if none can, publishing
    /// fails with `Full`.
    pub bytes_max: u64,
    /// How long a message that nobody waits for is kept.
    pub age_max: Duration,
    /// Whether room may be made by removing messages that nobody waits for. Not for dead letters: they go by age or
    /// by a person's hand only.
    pub may_evict: bool,
}

/// The bounds of an embedded bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedLimits {
    pub events: StreamLimits,
    pub questions: StreamLimits,
    pub verdicts: StreamLimits,
    pub dead_letters: StreamLimits,
    /// How long a message id is remembered to drop repeats.
    pub duplicate_window: Duration,
    /// How many ids each stream remembers at most; the oldest are forgotten first.
    pub duplicates_max: usize,
    /// Keys and values of all buckets together.
    pub key_value_bytes_max: u64,
    /// Bytes of commands that wait for the writer; publishers wait beyond it.
    pub queue_bytes_max: usize,
    /// The database's page cache.
    pub cache_bytes_max: usize,
}

impl EmbeddedLimits {
    pub(super) fn of(&self, stream: Stream) -> StreamLimits {
        match stream {
            Stream::Events => self.events,
            Stream::Questions => self.questions,
            Stream::Verdicts => self.verdicts,
            Stream::DeadLetters => self.dead_letters,
        }
    }
}

impl Default for EmbeddedLimits {
    fn default() -> EmbeddedLimits {
        const MIB: u64 = 1 << 20;
        let hours = |count: u64| Duration::from_secs(count * 3600);
        EmbeddedLimits {
            events: StreamLimits { bytes_max: 1024 * MIB, age_max: hours(1), may_evict: true },
            questions: StreamLimits { bytes_max: 64 * MIB, age_max: hours(1), may_evict: true },
            verdicts: StreamLimits { bytes_max: 128 * MIB, age_max: hours(24), may_evict: true },
            dead_letters: StreamLimits { bytes_max: 256 * MIB, age_max: hours(30 * 24), may_evict: false },
            duplicate_window: hours(2),
            duplicates_max: 250_000,
            key_value_bytes_max: 1024 * MIB,
            queue_bytes_max: 64 << 20,
            cache_bytes_max: 64 << 20,
        }
    }
}
