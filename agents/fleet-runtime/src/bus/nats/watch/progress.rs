//! How far a watch has come: what is held back at the beginning, what is shown, and what was missed.
//!
//! In: revisions as the server brings them, and its word that it has no more. Out: what to show. Pure bookkeeping.

use std::collections::{BTreeMap, BTreeSet};

use crate::bus::Watched;

/// Answers without anything after which a copy of the stream that seems to be behind is taken to be complete.
const EMPTY_ANSWERS_MAX: u32 = 100;
/// Entries that are held back until the beginning is complete, so that what was deleted meanwhile is not shown first.
const HELD_BYTES_MAX: usize = 8 << 20;

/// What has been seen, and what may be shown.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The bucket's last revision when the watch began: nothing is complete before it.
    target: u64,
    pub(super) last: u64,
    pub(super) is_caught_up: bool,
    /// From here on no revision may be missing.
    is_gapless: bool,
    empty_answers: u32,
    held: BTreeMap<u64, Watched>,
    /// The held revision of each key.
    newest: BTreeMap<String, u64>,
    held_bytes: usize,
    /// Keys that were shown before the beginning was complete.
    shown: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) enum Step {
    Emit(Vec<Watched>),
    Lost,
}

impl Progress {
    pub(super) fn new(target: u64) -> Progress {
        Progress { target, ..Progress::default() }
    }

    /// The server has nothing more.
    pub(super) fn nothing_there(&mut self) -> Option<Vec<Watched>> {
        if self.is_caught_up {
            self.is_gapless = true;
            return None;
        }
        // A copy of the stream that is behind has more to come; one whose last values were purged has not.
        self.empty_answers += 1;
        if self.last < self.target && self.empty_answers < EMPTY_ANSWERS_MAX {
            return None;
        }
        self.last = self.last.max(self.target);
        Some(self.catch_up())
    }

    pub(super) fn step(&mut self, revision: u64, pending: Option<u64>, change: Option<Watched>) -> Step {
        if revision <= self.last {
            return Step::Emit(Vec::new());
        }
        if self.is_gapless && revision != self.last + 1 {
            return Step::Lost;
        }
        self.last = revision;
        let mut emitted = Vec::new();
        if self.is_caught_up {
            emitted.extend(change);
        } else {
            if let Some(change) = change {
                self.hold(revision, change);
            }
            if revision >= self.target {
                emitted = self.catch_up();
            } else if self.held_bytes > HELD_BYTES_MAX {
                emitted = self.release();
            }
        }
        self.is_gapless |= self.is_caught_up && pending == Some(0);
        Step::Emit(emitted)
    }

    /// Holds a change back; an earlier one of the same key is then never shown.
    fn hold(&mut self, revision: u64, change: Watched) {
        if let Some(earlier) = self.newest.insert(key_of(&change).to_owned(), revision) {
            self.held.remove(&earlier);
        }
        self.held_bytes += bytes_of(&change);
        self.held.insert(revision, change);
    }

    fn catch_up(&mut self) -> Vec<Watched> {
        let mut emitted = self.release();
        emitted.push(Watched::CaughtUp);
        self.is_caught_up = true;
        self.shown = BTreeSet::new();
        emitted
    }

    fn release(&mut self) -> Vec<Watched> {
        self.held_bytes = 0;
        self.newest = BTreeMap::new();
        let mut emitted = Vec::new();
        for change in std::mem::take(&mut self.held).into_values() {
            let was_shown = self.shown.contains(key_of(&change));
            if matches!(change, Watched::Deleted { .. }) && !was_shown {
                continue;
            }
            self.shown.insert(key_of(&change).to_owned());
            emitted.push(change);
        }
        emitted
    }
}

fn key_of(change: &Watched) -> &str {
    match change {
        Watched::Changed { key, .. } | Watched::Deleted { key, .. } => key,
        Watched::CaughtUp => "",
    }
}

fn bytes_of(change: &Watched) -> usize {
    match change {
        Watched::Changed { key, entry } => key.len() + entry.value.len(),
        Watched::Deleted { key, .. } => key.len(),
        Watched::CaughtUp => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use bytes::Bytes;

    use super::*;
    use crate::bus::Entry;

    fn changed(key: &str, revision: u64) -> Option<Watched> {
        let entry = Entry { value: Bytes::new(), revision };
        Some(Watched::Changed { key: key.to_owned(), entry })
    }

    fn deleted(key: &str, revision: u64) -> Option<Watched> {
        Some(Watched::Deleted { key: key.to_owned(), revision })
    }

    fn shown(step: Step) -> Vec<String> {
        let Step::Emit(items) = step else { return vec!["lost".to_owned()] };
        items
            .iter()
            .map(|item| match item {
                Watched::Changed { key, entry } => format!("{key}@{}", entry.revision),
                Watched::Deleted { key, revision } => format!("-{key}@{revision}"),
                Watched::CaughtUp => "caught up".to_owned(),
            })
            .collect()
    }

    #[test]
    fn what_was_deleted_before_the_beginning_is_complete_is_not_shown() {
        let mut progress = Progress::new(5);
        assert!(shown(progress.step(2, Some(3), changed("a", 2))).is_empty());
        assert!(shown(progress.step(3, Some(2), changed("gone", 3))).is_empty());
        assert!(shown(progress.step(4, Some(1), changed("b", 4))).is_empty());
        assert_eq!(shown(progress.step(5, Some(0), deleted("gone", 5))), ["a@2", "b@4", "caught up"]);
        assert_eq!(shown(progress.step(6, Some(0), deleted("a", 6))), ["-a@6"]);
    }

    #[test]
    fn a_missing_revision_is_said_once_the_watch_is_live() {
        let mut progress = Progress::new(4);
        shown(progress.step(4, Some(1), changed("a", 4)));
        // Between the beginning and the first end of the stream only the last values come.
        assert_eq!(shown(progress.step(9, Some(0), changed("a", 9))), ["a@9"]);
        assert_eq!(shown(progress.step(10, Some(3), None)), Vec::<String>::new());
        assert_eq!(shown(progress.step(12, Some(0), changed("a", 12))), ["lost"]);
    }

    #[test]
    fn a_copy_that_is_behind_is_waited_for() {
        let mut progress = Progress::new(2);
        assert!(progress.nothing_there().is_none());
        shown(progress.step(1, Some(0), changed("a", 1)));
        assert!(progress.nothing_there().is_none());
        assert_eq!(shown(progress.step(2, Some(0), changed("b", 2))), ["a@1", "b@2", "caught up"]);
        let mut empty = Progress::new(0);
        assert_eq!(empty.nothing_there().unwrap(), [Watched::CaughtUp]);
    }
}
