//! Tags of image repositories: where they pointed, in the order of the registry's times.

use bus_schema::{Digest, ImageRepository, Tag};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::records;
use crate::state::Ground;

/// The most moves of one tag that are remembered: the newest stay.
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
    /// Adds a move; the oldest give way beyond the bound.
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
            self.moves.remove(0);
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
