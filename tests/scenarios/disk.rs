//! A disk in memory that outlives the processes that write it, and of which a crash leaves what a seed chooses.
//!
//! A process holds it for one life. After so many operations its life ends in the middle of one: whatever it writes after that
//! is lost. A power failure also takes from it what was not synced, piece by piece.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use fleet_runtime::bus::embedded::Storage;
use tokio::sync::Notify;

use crate::random::Random;

/// Of so many crashes one is a power failure.
const POWER_FAILURE_ONE_IN: usize = 2;
/// A piece that was not synced outlives a power failure this often.
const KEPT_ONE_IN: usize = 2;

/// See the module.
#[derive(Debug)]
pub(crate) struct Disk {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    unsynced: Vec<Change>,
    random: Random,
    /// On average a life has this many operations; without a number it does not end.
    life_operations: Option<usize>,
    operations_left: usize,
    life: u64,
    has_ended: bool,
    /// Operations that fail before there is room again.
    refused: usize,
    /// Some failed in this life.
    was_refused: bool,
}

/// What was done and may be undone by a power failure.
#[derive(Debug)]
enum Change {
    Write { at: usize, before: Vec<u8>, after: Vec<u8> },
    Resize { before: usize, after: usize, cut: Vec<u8> },
}

/// The disk in the hands of one process.
#[derive(Debug)]
pub(crate) struct Life {
    disk: Arc<Disk>,
    number: u64,
}

impl Disk {
    pub(crate) fn new(random: Random, life_operations: usize) -> Arc<Disk> {
        let mut state = State {
            bytes: Vec::new(),
            unsynced: Vec::new(),
            random,
            life_operations: Some(life_operations),
            operations_left: 0,
            life: 0,
            has_ended: false,
            refused: 0,
            was_refused: false,
        };
        state.begin();
        Arc::new(Disk { state: Mutex::new(state), ended: Notify::new() })
    }

    /// The next process takes what the last one left.
    pub(crate) fn begin_life(self: &Arc<Disk>) -> Life {
        let mut state = self.lock();
        if state.has_ended && state.random.one_in(POWER_FAILURE_ONE_IN) {
            state.fail_power();
        }
        state.begin();
        Life { disk: Arc::clone(self), number: state.life }
    }

    /// Waits until the process that has it has ended.
    pub(crate) async fn ended(&self) {
        while !self.has_ended() {
            self.ended.notified().await;
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    /// Some operations fail and nobody dies of it: the disk is full.
    pub(crate) fn refuse(&self, operations: usize) {
        self.lock().refused = operations;
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&self) {
        let mut state = self.lock();
        state.life_operations = None;
        state.refused = 0;
    }

    /// A database opens, unless its process ended meanwhile or the disk was full.
    pub(crate) fn assert_spoilt(&self, error: &dyn std::error::Error) {
        let state = self.lock();
        let is_full = state.was_refused;
        assert!(state.has_ended || is_full, "what a crash left cannot be opened: {error:?}");
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn begin(&mut self) {
        self.life += 1;
        self.has_ended = false;
        self.was_refused = false;
        self.operations_left = self.life_operations.map_or(0, |mean| 1 + self.random.below(2 * mean));
    }

    fn fail_power(&mut self) {
        let changes = std::mem::take(&mut self.unsynced);
        changes.iter().rev().for_each(|change| change.undo(&mut self.bytes));
        for change in changes {
            let is_kept = matches!(change, Change::Resize { .. }) || self.random.one_in(KEPT_ONE_IN);
            if is_kept {
                change.redo(&mut self.bytes);
            }
        }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let before = self.bytes[at..at + bytes.len()].to_vec();
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.unsynced.push(Change::Write { at, before, after: bytes.to_vec() });
    }
}

impl Change {
    fn undo(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { at, before, .. } => bytes[*at..at + before.len()].copy_from_slice(before),
            Change::Resize { before, cut, .. } => {
                bytes.truncate(*before);
                bytes.extend_from_slice(cut);
                bytes.resize(*before, 0);
            }
        }
    }

    fn redo(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { at, after, .. } => bytes[*at..at + after.len()].copy_from_slice(after),
            Change::Resize { after, .. } => bytes.resize(*after, 0),
        }
    }
}

impl Life {
    /// The state, if the process still lives; a change is one operation of its life.
    fn alive(&self, is_change: bool) -> io::Result<(MutexGuard<'_, State>, bool)> {
        let mut state = self.disk.lock();
        if state.life != self.number || state.has_ended {
            return Err(io::Error::other("the process has ended"));
        }
        if !is_change {
            return Ok((state, false));
        }
        if state.refused > 0 {
            state.refused -= 1;
            state.was_refused = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        if state.life_operations.is_some() {
            state.operations_left = state.operations_left.saturating_sub(1);
            state.has_ended = state.operations_left == 0;
        }
        let is_last = state.has_ended;
        if is_last {
            self.disk.ended.notify_one();
        }
        Ok((state, is_last))
    }
}

fn ended(is_last: bool) -> io::Result<()> {
    if is_last { Err(io::Error::other("the process ends here")) } else { Ok(()) }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl Storage for Life {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.alive(false)?.0.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (state, _) = self.alive(false)?;
        let read = state.bytes.get(place(offset)..place(offset) + out.len());
        out.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn resize(&self, bytes: u64) -> io::Result<()> {
        let (mut state, is_last) = self.alive(true)?;
        let (before, after) = (state.bytes.len(), place(bytes));
        let cut = state.bytes.get(after..).unwrap_or_default().to_vec();
        state.bytes.resize(after, 0);
        state.unsynced.push(Change::Resize { before, after, cut });
        ended(is_last)
    }

    /// Of the last write of a life a part is there.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut state, is_last) = self.alive(true)?;
        let length = if is_last { state.random.below(bytes.len() + 1) } else { bytes.len() };
        if place(offset) + bytes.len() > state.bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        state.write(place(offset), &bytes[..length]);
        ended(is_last)
    }

    fn begin(&self, bytes: Vec<u8>) -> io::Result<()> {
        let (mut state, is_last) = self.alive(true)?;
        if !is_last {
            state.bytes = bytes;
        }
        ended(is_last)
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, is_last) = self.alive(true)?;
        if !is_last {
            state.unsynced.clear();
        }
        ended(is_last)
    }
}
