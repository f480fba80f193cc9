//! Tags of image repositories: where they pointed, in the order of the registry's times.

use bus_schema::{Digest, ImageRepository, Tag};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::records;
use crate::state::Ground;

/// The most moves of one tag that are remembered: the first and the newest stay.
pub const MOVES_MAX: usize = 64;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    /// Sorted by time. A repeat of the same target is no move.
    pub moves: Vec<Move>,
}

/// The tag pointed at a digest from a time on, or was deleted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Move {
    pub at: Timestamp,
    /// `None`: deleted.
    pub to: Option<Digest>,
    pub actor: Option<String>,
    pub polled: bool,
    /// For a polled move: the earliest time at which it can have happened.
    pub not_before: Option<Timestamp>,
    /// When the log first heard of it.
    pub recorded: Timestamp,
    pub event: Ground,
}

impl TagRecord {
    /// Adds a move. Beyond the bound the oldest but the first give way: what a tag pointed at first is what it should
    /// point at until a rightful move, and many moves must not make that forgotten.
    pub fn add(&mut self, a_move: Move) {
        // One push is told twice: as a push and as a move of the tag, by one or two agents. The earliest record stays,
        // whatever arrives first.
        if let Some(same) = self.moves.iter_mut().find(|known| known.to == a_move.to && known.at == a_move.at)
        {
            if same.actor.is_none() {
                same.actor = a_move.actor;
            }
            if a_move.recorded < same.recorded {
                same.recorded = a_move.recorded;
            }
            if a_move.event < same.event {
                same.event = a_move.event;
            }
            return;
        }
        let at = self.moves.partition_point(|known| (known.at, known.to) < (a_move.at, a_move.to));
        self.moves.insert(at, a_move);
        if self.moves.len() > MOVES_MAX {
            self.moves.remove(1);
        }
    }

    /// Where the tag points now.
    pub fn current(&self) -> Option<Digest> {
        self.moves.last().and_then(|last| last.to)
    }

    /// The targets in order without repeats: each entry really changed something.
    pub fn changes(&self) -> Vec<&Move> {
        let mut changes: Vec<&Move> = Vec::new();
        for a_move in &self.moves {
            match changes.last() {
                Some(last) if last.to == a_move.to => {}
                _ => changes.push(a_move),
            }
        }
        changes
    }
}

pub fn key(repository: &ImageRepository, tag: &Tag) -> String {
    records::key([repository.to_string().as_str(), tag.as_str()])
}

pub fn prefix(repository: &ImageRepository) -> String {
    records::prefix([repository.to_string().as_str()])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn a_move(second: i64, to: u8) -> Move {
        Move {
            at: Timestamp::from_second(second).unwrap(),
            to: Some(Digest::Sha256([to; 32])),
            actor: None,
            polled: false,
            not_before: None,
            recorded: Timestamp::from_second(second).unwrap(),
            event: Ground { event: event(second), agent: "registry-agent".to_owned() },
        }
    }

    fn event(second: i64) -> bus_schema::EventId {
        let occurrence = bus_schema::OccurrenceKey::of(["tag", &second.to_string()]);
        bus_schema::EventId::derive(
            &"dev.custody.registry.tag.moved.v1".parse().unwrap(),
            &"registry-agent".parse().unwrap(),
            &occurrence,
        )
    }

    #[test]
    fn what_a_tag_pointed_at_first_is_not_forgotten_under_many_moves() {
        let mut forwards = TagRecord::default();
        let mut backwards = TagRecord::default();
        let moves: Vec<Move> =
            (0..200).map(|second| a_move(second, u8::try_from(second % 3).unwrap())).collect();
        moves.iter().for_each(|one| forwards.add(one.clone()));
        moves.iter().rev().for_each(|one| backwards.add(one.clone()));
        for record in [forwards, backwards] {
            assert_eq!(record.moves.len(), MOVES_MAX);
            assert_eq!(record.moves.first().unwrap().at, moves[0].at);
            assert_eq!(record.moves.last().unwrap().at, moves[199].at);
        }
    }
}
