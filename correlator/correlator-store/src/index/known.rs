//! Which keys of the gathered tree may be there: most of those that are asked for are not, and nothing needs to be read to
//! know it.
//!
//! In: every key that is written. Out: that a key is not there, or that it may be. A Bloom filter; it forgets nothing, so it
//! is made anew after many keys.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The filter's size: 2 MB.
const BITS: usize = 1 << 24;
/// Bits that stand for one key.
const BITS_PER_KEY: u64 = 4;
/// After so many keys it is made anew: by then it takes one in six that are not there for one that may be.
const WORN_KEYS: usize = if cfg!(test) { 100 } else { 4 * 1024 * 1024 };
/// Where more keys than that are there, they are looked for as if there were no filter.
pub(super) const KEYS_MAX: usize = WORN_KEYS / 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Known {
    /// None where any key may be there.
    words: Vec<AtomicU64>,
    keys: AtomicUsize,
}

impl Known {
    /// No key is there.
    pub(super) fn nothing() -> Known {
        let words = (0..BITS / 64).map(|_| AtomicU64::new(0)).collect();
        Known { words, keys: AtomicUsize::new(0) }
    }

    /// Any key may be there.
    pub(super) fn anything() -> Known {
        Known { words: Vec::new(), keys: AtomicUsize::new(0) }
    }

    pub(super) fn add(&self, key: &[u8]) {
        for (word, bit) in places(key) {
            if let Some(word) = self.words.get(word) {
                word.fetch_or(bit, Ordering::Relaxed);
            }
        }
        self.keys.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn may_hold(&self, key: &[u8]) -> bool {
        let is_set = |(word, bit): (usize, u64)| match self.words.get(word) {
            Some(word) => word.load(Ordering::Relaxed) & bit != 0,
            None => true,
        };
        places(key).all(is_set)
    }

    /// Whether it should be made anew.
    pub(super) fn is_worn(&self) -> bool {
        self.keys.load(Ordering::Relaxed) > WORN_KEYS
    }
}

/// The words and the bits in them that stand for a key.
fn places(key: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let hash = hasher.finish();
    let step = (hash >> 32) | 1;
    (0..BITS_PER_KEY).map(move |number| {
        let place = hash.wrapping_add(number.wrapping_mul(step)) % BITS as u64;
        let word = (place / 64) as usize;
        (word, 1 << (place % 64))
    })
}
