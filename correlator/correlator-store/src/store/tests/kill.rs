//! A process that is killed at any moment loses nothing that it had acknowledged.
//!
//! The test starts its own binary again as the process to kill: `child` does nothing unless it is told a folder.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;

const FOLDER_VARIABLE: &str = "CUSTODY_STORE_KILL_FOLDER";
const ROUNDS: u64 = 12;

#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let store = open(Path::new(&folder));
    replay(&store);
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready").unwrap();
    for round in 0.. {
        let head = store.log().head().position;
        let mut batch: Vec<NewEntry> = (0..round % 5)
            .map(|extra| root(&format!("root {}", (head + extra) % 50)))
            .map(|input| NewEntry::input(at(head as i64), &input).unwrap())
            .collect();
        batch.push(NewEntry::input(at(head as i64), &Input::Tick).unwrap());
        if round % 4 == 1 {
            let through = OutboxId { position: head, index: 9 };
            let receipt = Receipt::Dispatched { lane: Lane::Bus, through };
            batch.push(NewEntry::receipt(at(head as i64), &receipt).unwrap());
        }
        let positions = store.log().append(&batch).unwrap();
        writeln!(out, "acknowledged {}", positions.last().unwrap()).unwrap();
        out.flush().unwrap();
        replay(&store);
        match round % 16 {
            7 => store.index().unwrap().checkpoint().unwrap(),
            11 => drop(store.log().sign_head(at(round as i64)).unwrap()),
            _ => {}
        }
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // SIGKILL, by the handle of the child that this test started.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the child for a while and kills it. Returns the last position that it acknowledged.
fn run_and_kill(folder: &Path, after: Duration) -> u64 {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::kill::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER_VARIABLE, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().ends_with("ready")).unwrap().unwrap();
    std::thread::sleep(after);
    drop(child);
    let acknowledged = lines.filter_map(|line| line.unwrap().strip_prefix("acknowledged ")?.parse().ok());
    acknowledged.last().unwrap_or(0)
}

#[test]
fn everything_acknowledged_before_a_kill_is_there_and_the_chain_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut round = 0;
    // A machine that is busy gets further rounds, and longer ones.
    while round < ROUNDS || (acknowledged <= ROUNDS && round < 10 * ROUNDS) {
        // Spread over the steps of the loop, which takes a few milliseconds.
        let after = Duration::from_micros(20_000 + round * 7_300);
        acknowledged = run_and_kill(folder.path(), after).max(acknowledged);
        let reader = Store::open_read_only(folder.path(), &settings()).unwrap();
        assert!(reader.log().verify().unwrap().entries >= acknowledged);
        assert!(
            matches!(reader.index(), Ok(_) | Err(IndexError::NeedsRepair { .. })),
            "{:?}",
            reader.index()
        );
        drop(reader);
        let store = open(folder.path());
        let head = store.log().head().position;
        assert!(head >= acknowledged, "round {round}: {head} of {acknowledged}");
        assert_eq!(store.log().verify().unwrap().entries, head);
        assert_eq!(store.index().unwrap().started(), &Started::Continued);
        replay(&store);
        let state = dump(store.index().unwrap());

        // What the log leads to, from its beginning.
        let rebuilt = tempfile::tempdir().unwrap();
        copy_tree(folder.path(), rebuilt.path());
        drop(store);
        fs::remove_file(rebuilt.path().join("index.redb")).unwrap();
        let rebuilt = open(rebuilt.path());
        replay(&rebuilt);
        assert_eq!(dump(rebuilt.index().unwrap()), state, "round {round}");
        round += 1;
    }
    assert!(acknowledged > ROUNDS, "{acknowledged}");
}
