//! The window of message ids within which a repeat is dropped, in memory; the table `IDS` holds the same.

use std::collections::{HashMap, VecDeque};

use bus_schema::Digest;

/// The ids of one stream, oldest first. An id is held as 128 bits of its SHA-256.
#[derive(Debug, Default)]
pub(super) struct Duplicates {
    sequences: HashMap<u128, u64>,
    order: VecDeque<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) sequence: u64,
    pub(super) hash: u128,
    pub(super) at_micros: i64,
}

impl Duplicates {
    pub(super) fn hash(id: &str) -> u128 {
        let mut first = [0; 16];
        first.copy_from_slice(&Digest::sha256_of(id.as_bytes()).bytes()[..16]);
        u128::from_be_bytes(first)
    }

    pub(super) fn find(&self, hash: u128, oldest_micros: i64) -> Option<u64> {
        let sequence = *self.sequences.get(&hash)?;
        // An id past its window may still wait for its removal.
        let at = self.order.binary_search_by_key(&sequence, |seen| seen.sequence).ok()?;
        (self.order[at].at_micros >= oldest_micros).then_some(sequence)
    }

    pub(super) fn add(&mut self, seen: Seen) {
        self.sequences.insert(seen.hash, seen.sequence);
        self.order.push_back(seen);
    }

    /// Takes out one id that is past the window or over the bound; none when all may stay.
    pub(super) fn expire(&mut self, oldest_micros: i64, ids_max: usize) -> Option<Seen> {
        let oldest = *self.order.front()?;
        if oldest.at_micros >= oldest_micros && self.order.len() <= ids_max {
            return None;
        }
        self.order.pop_front();
        if self.sequences.get(&oldest.hash) == Some(&oldest.sequence) {
            self.sequences.remove(&oldest.hash);
        }
        Some(oldest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn an_id_is_forgotten_by_age_and_by_count_and_a_later_one_of_the_same_text_stays() {
        let mut window = Duplicates::default();
        let seen = |sequence, hash, at_micros| Seen { sequence, hash, at_micros };
        window.add(seen(1, 7, 10));
        window.add(seen(2, 8, 20));
        assert_eq!(window.find(7, 10), Some(1));
        assert_eq!(window.find(7, 11), None);
        window.add(seen(3, 7, 30));
        assert_eq!(window.expire(15, 10), Some(seen(1, 7, 10)));
        assert_eq!(window.find(7, 15), Some(3));
        assert_eq!(window.expire(15, 1), Some(seen(2, 8, 20)));
        assert_eq!(window.expire(15, 1), None);
    }
}
