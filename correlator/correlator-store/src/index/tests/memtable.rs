//! Whatever is in memory and whatever is in the file already, reads answer as the records in memory do, as of their time.

use super::*;
use crate::index::cursor::{Cursor, Layer};
use crate::index::memtable::{Memtable, Readers};
use redb::ReadableTableMetadata as _;

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

fn digest(number: usize) -> String {
    Digest::sha256_of(&number.to_be_bytes()).to_string()
}

fn keys() -> Vec<(Table, String)> {
    let mut keys = Vec::new();
    for number in 0..12 {
        let digest = digest(number);
        keys.push((Table::Digests, digest.clone()));
        keys.push((Table::Digests, format!("{digest}\u{1f}placed\u{1f}{number}")));
        keys.push((Table::Verdicts, format!("{digest}\u{1f}all")));
        keys.push((Table::Units, format!("image\u{1f}{digest}\u{1f}all")));
        keys.push((Table::Units, format!("placement\u{1f}{number}")));
        keys.push((Table::Deadlines, format!("{number:02}")));
        keys.push((Table::SeenEvents, format!("at\u{1f}{number:02}")));
        for event in 0..3 {
            let id = Digest::sha256_of(format!("event {event} of {number}").as_bytes()).hex();
            keys.push((Table::SeenEvents, format!("id\u{1f}{id}")));
        }
    }
    keys
}

fn check(records: &dyn Records, expected: &MemoryRecords, numbers: &mut Numbers) {
    let keys = keys();
    for (table, key) in &keys {
        assert_eq!(records.get(*table, key).unwrap(), expected.get(*table, key).unwrap(), "{key:?}");
    }
    for _ in 0..20 {
        let (table, from) = &keys[numbers.below(keys.len())];
        let prefix = match numbers.below(3) {
            0 => "",
            1 => &from[..1],
            _ => from.as_str(),
        };
        let limit = [1, 2, 5, usize::MAX][numbers.below(4)];
        for from in ["", from.as_str()] {
            assert_eq!(
                records.scan(*table, prefix, from, limit).unwrap(),
                expected.scan(*table, prefix, from, limit).unwrap(),
                "{table:?} {prefix:?} {from:?} {limit}"
            );
        }
    }
}

#[test]
fn every_reader_sees_what_was_there_when_it_began() {
    let folder = Folder::new();
    let index = folder.open();
    let keys = keys();
    let mut numbers = Numbers(1);
    let mut memory = MemoryRecords::default();
    let mut readers: Vec<(Snapshot, MemoryRecords)> = Vec::new();
    let (mut met_gathered, mut met_in_tree) = (false, false);
    for position in 1..=400 {
        let mut changes = BTreeMap::new();
        for _ in 0..=numbers.below(6) {
            let (table, key) = &keys[numbers.below(keys.len())];
            let change = match numbers.below(3) {
                0 => remove(*table, key),
                _ => put(*table, key, &position.to_string()),
            };
            changes.insert((*table, key), change);
        }
        let changes: Vec<Change> = changes.into_values().collect();
        memory.commit(changes.clone());
        index.commit(position, changes, Vec::new()).unwrap();
        match numbers.below(12) {
            0 => {
                index.checkpoint().unwrap();
                met_gathered |= !index.shared.view().gathered.is_empty();
                met_in_tree |= !index.snapshot().unwrap().tree(Tree::ByEvent).unwrap().is_empty().unwrap();
            }
            // What is closed may or may not be in the file when it is read.
            1 | 2 => index.hand_over(&mut index.state()).unwrap(),
            3 | 4 => readers.push((index.snapshot().unwrap(), memory.clone())),
            5 if !readers.is_empty() => drop(readers.swap_remove(numbers.below(readers.len()))),
            6 => {
                for (snapshot, expected) in &readers {
                    check(snapshot, expected, &mut numbers);
                }
            }
            _ => check(&index.snapshot().unwrap(), &memory, &mut numbers),
        }
    }
    assert!(readers.len() > 5);
    assert!(met_gathered && met_in_tree, "rows by event were never gathered, or never written to their tree");
    for (snapshot, expected) in &readers {
        check(snapshot, expected, &mut numbers);
    }
    drop((readers, index));
    let index = folder.open();
    assert_eq!((index.started(), index.position()), (&Started::Continued, 400));
    check(&index.snapshot().unwrap(), &memory, &mut numbers);
}

#[test]
fn the_outbox_is_the_same_wherever_its_rows_are() {
    let ways: [fn(&Index, u64); 3] = [
        |_, _| (),
        |index, _| index.checkpoint().unwrap(),
        |index, position| {
            if position.is_multiple_of(3) {
                index.hand_over(&mut index.state()).unwrap();
            }
        },
    ];
    let mut dumps = Vec::new();
    for way in ways {
        let folder = Folder::new();
        let index = folder.open();
        let mut text = String::new();
        for position in 1..=60 {
            let mut batch = index.begin().unwrap();
            let id = |position, index| OutboxId { position, index };
            match position % 5 {
                0 => {
                    let through = id(position - 3, 0);
                    batch.receipt(position, Receipt::Dispatched { lane: Lane::Bus, through }).unwrap();
                }
                4 => {
                    let (sink, outcome) = (format!("sink {}", position % 3), DeliveryOutcome::Accepted);
                    let settled = position.is_multiple_of(2);
                    let id = id(position - 3, 1);
                    batch
                        .receipt(position, Receipt::Delivered { id, told: None, sink, outcome, settled })
                        .unwrap();
                }
                3 => apply(&mut batch, &Entry { input: root("r"), ..tick(position) }),
                _ => apply(&mut batch, &tick(position)),
            }
            batch.commit().unwrap();
            way(&index, position);
            text += &dump(&index);
            for lane in Lane::ALL {
                let snapshot = index.snapshot().unwrap();
                let waiting = snapshot.outbox(lane, None, usize::MAX).unwrap().len();
                assert_eq!(snapshot.outbox_len(lane).unwrap(), u64::try_from(waiting).unwrap());
                text += &format!("{waiting} in {}\n", lane.as_str());
            }
        }
        dumps.push(text);
    }
    assert!(dumps[0].contains("sink") && dumps.windows(2).all(|two| two[0] == two[1]));
}

fn rows(value: Option<&str>) -> Rows {
    let row = (b"key".to_vec(), value.map(|value| value.as_bytes().to_vec()));
    BTreeMap::from([(Tree::ByEvent, BTreeMap::from([row]))])
}

#[test]
fn only_what_somebody_may_still_read_is_kept() {
    let memtable = Memtable::new();
    let readers = Arc::new(Readers::default());
    memtable.take(1, rows(Some("one")), readers.oldest());
    let alone = memtable.bytes();
    for position in 2..100 {
        memtable.take(position, rows(Some("two")), readers.oldest());
    }
    assert_eq!(memtable.bytes(), alone);
    let early = readers.enter(99);
    memtable.take(100, rows(None), readers.oldest());
    assert!(memtable.bytes() > alone);
    assert_eq!(memtable.get(Tree::ByEvent, b"key", 99), Some(Some(b"two".to_vec())));
    assert_eq!(memtable.get(Tree::ByEvent, b"key", 100), Some(None));
    assert_eq!(memtable.get(Tree::ByEvent, b"key", 0), None);
    assert_eq!(readers.oldest(), Some(99));
    drop(early);
    assert_eq!(readers.oldest(), None);
    memtable.take(101, rows(Some("two")), readers.oldest());
    assert_eq!(memtable.bytes(), alone);
}

#[test]
fn a_cursor_meets_each_row_once_while_others_are_added() {
    let memtable = Arc::new(Memtable::new());
    let row = |number: u32| (number.to_be_bytes().to_vec(), Some(vec![1]));
    let take = |position, numbers: &[u32]| {
        let rows = numbers.iter().map(|number| row(*number)).collect();
        memtable.take(position, BTreeMap::from([(Tree::ByEvent, rows)]), Some(1));
    };
    take(1, &(0..2000).step_by(2).collect::<Vec<_>>());
    let from = 10_u32.to_be_bytes();
    let layer = Layer::Memtable(Arc::clone(&memtable));
    let mut cursor = Cursor::new(&layer, Tree::ByEvent, 1, &from, Some(&1900_u32.to_be_bytes()));
    let mut met = Vec::new();
    while let Some((key, _)) = cursor.take() {
        met.push(u32::from_be_bytes(key.try_into().unwrap()));
        take(2, &[met[met.len() - 1] + 1, met[met.len() - 1] + 2]);
    }
    assert_eq!(met, (10..1900).step_by(2).collect::<Vec<_>>());
    let mut nothing = Cursor::new(&layer, Tree::ByEvent, 2, &from, Some(&from));
    assert!(nothing.head().is_none());
}

#[test]
fn a_digest_with_many_rows_or_large_ones_is_read_as_one_with_few() {
    let folder = Folder::new();
    let index = folder.open();
    let mut memory = MemoryRecords::default();
    let changes: Vec<Change> = [(1, 10, 10), (2, 200, 10), (3, 10, 20_000)]
        .into_iter()
        .flat_map(|(name, rows, bytes)| {
            let key = move |row| format!("{}\u{1f}placed\u{1f}{row:03}", digest(name));
            (0..rows).map(move |row| put(Table::Digests, &key(row), &"1".repeat(bytes)))
        })
        .collect();
    memory.commit(changes.clone());
    index.commit(1, changes, Vec::new()).unwrap();
    for _ in 0..2 {
        let snapshot = index.snapshot().unwrap();
        for name in 0..4 {
            let of_digest = format!("{}\u{1f}", digest(name));
            let from = format!("{of_digest}placed\u{1f}004");
            for (start, limit) in [(&of_digest, usize::MAX), (&from, 3), (&from, usize::MAX)] {
                let found = snapshot.scan(Table::Digests, &of_digest, start, limit).unwrap();
                assert_eq!(found, memory.scan(Table::Digests, &of_digest, start, limit).unwrap());
            }
            let found = snapshot.get(Table::Digests, &from).unwrap();
            assert_eq!(found, memory.get(Table::Digests, &from).unwrap());
        }
        index.checkpoint().unwrap();
    }
}
