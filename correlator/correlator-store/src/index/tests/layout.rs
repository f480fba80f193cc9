//! Wherever rows lie in the file, they read as they do in memory.

use super::*;
use crate::index::layout::{family_of, spot};

/// Hashes that are next to each other, and what only looks like one.
fn names() -> Vec<String> {
    let hex = |last: char| format!("{}{last}", "0".repeat(63));
    let mut names: Vec<String> =
        ['0', '1', 'f'].into_iter().map(|last| format!("sha256:{}", hex(last))).collect();
    names.push(Digest::sha256_of(b"one").to_string());
    names.push(Digest::sha512_of(b"one").to_string());
    names.push(hex('0'));
    names.push(hex('2'));
    let others =
        ["", "a", "sha256", "sha256:", "sha256:0", "sha256:00", "sha256:0g", "sha512:ab", "sha999:00", "z"];
    names.extend(others.map(str::to_owned));
    names.push(format!("sha256:{}", hex('F')));
    names.push(format!("sha256:{}", hex('é')));
    names
}

fn keys() -> Vec<String> {
    let mut keys = Vec::new();
    for prefix in ["", "image\u{1f}", "verdict\u{1f}", "id\u{1f}", "image", "placement\u{1f}"] {
        for name in names() {
            for rest in [
                "",
                "\u{1e}",
                "\u{1f}",
                "\u{1f}all",
                "\u{1f}placed\u{1f}x",
                "\u{1f}placed\u{1f}y",
                " ",
                "~",
                "ab",
            ] {
                keys.push(format!("{prefix}{name}{rest}"));
            }
        }
    }
    keys.sort();
    keys.dedup();
    keys
}

const TABLES: [Table; 6] =
    [Table::Digests, Table::Units, Table::Verdicts, Table::Dependents, Table::SeenEvents, Table::Runs];

#[test]
fn a_spot_is_of_one_key_and_in_the_order_of_keys() {
    for table in TABLES {
        let mut spots = BTreeMap::new();
        let mut before: Option<(Tree, Vec<u8>)> = None;
        for key in keys() {
            let (tree, placed) = spot(table, &key);
            if tree == Tree::Own(table) {
                continue;
            }
            let family = family_of(table).unwrap();
            assert_eq!(family.key(&placed).as_ref(), Some(&key));
            assert!(family.from(&key) <= placed);
            assert!(spots.insert(placed.clone(), key.clone()).is_none());
            if let Some((_, earlier)) = &before {
                assert!(*earlier < placed, "{key:?}");
            }
            before = Some((tree, placed));
        }
        assert_eq!(spots.is_empty(), table == Table::Runs, "{table:?}");
    }
}

#[test]
fn every_read_answers_as_the_records_in_memory_do() {
    let folder = Folder::new();
    let index = folder.open();
    let mut memory = MemoryRecords::default();
    let keys = keys();
    // Two of three of the keys of each table, and then one of five of them removed.
    let written = |table: Table, at: usize| !(at + table as usize).is_multiple_of(3);
    let all = || TABLES.into_iter().flat_map(|table| (0..keys.len()).map(move |at| (table, at)));
    let puts: Vec<Change> = all()
        .filter(|(table, at)| written(*table, *at))
        .map(|(table, at)| put(table, &keys[at], &format!("{table:?} {at}")))
        .collect();
    let removes: Vec<Change> =
        all().filter(|(_, at)| at.is_multiple_of(5)).map(|(table, at)| remove(table, &keys[at])).collect();
    for (position, changes) in (1..).zip([puts, removes]) {
        memory.commit(changes.clone());
        index.commit(position, changes, Vec::new()).unwrap();
    }
    let snapshot = index.snapshot().unwrap();
    let mut rows = 0;
    for (table, at) in all() {
        assert_eq!(snapshot.get(table, &keys[at]).unwrap(), memory.get(table, &keys[at]).unwrap());
        // Each key as a prefix, from itself and from a later one.
        for (from, limit) in [(at, usize::MAX), (at, 1), ((at * 7) % keys.len(), 3), (at + 1, 0)] {
            let from = keys.get(from).map(String::as_str).unwrap_or_default();
            let found = snapshot.scan(table, &keys[at], from, limit).unwrap();
            assert_eq!(
                found,
                memory.scan(table, &keys[at], from, limit).unwrap(),
                "{table:?} {:?} {from:?}",
                keys[at]
            );
            rows += found.len();
        }
        let found = snapshot.scan(table, "", &keys[at], 4).unwrap();
        assert_eq!(found, memory.scan(table, "", &keys[at], 4).unwrap(), "{table:?} {:?}", keys[at]);
    }
    assert!(rows > 1000);
}
