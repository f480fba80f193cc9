//! Rows that wait for a pass over their tree: the newest of each counts, and bytes that are no rows are noticed.

use std::ops::Bound;

use super::*;
use crate::index::gathered::{BYTES_MAX, ROWS_MAX, Row};

fn gathered(rows: &[(&str, Option<&str>)]) -> Gathered {
    let memtable = Memtable::new();
    let row = |(key, value): &(&str, Option<&str>)| {
        (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()))
    };
    let rows = rows.iter().map(row).collect();
    memtable.take(1, BTreeMap::from([(Tree::ByEvent, rows)]), None);
    Gathered::of(&memtable, 1)
}

fn texts<'a>(rows: impl Iterator<Item = Row<'a>>) -> Vec<(String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    rows.map(|(key, value)| (text(key), value.map(text))).collect()
}

#[test]
fn newer_rows_replace_those_under_the_same_keys() {
    let old = gathered(&[("a", Some("1")), ("b", Some("1")), ("d", None), ("e", Some(""))]);
    let new = gathered(&[("", Some("2")), ("b", None), ("c", Some("2")), ("d", Some("2")), ("f", Some("2"))]);
    let both = old.with(&new);
    let two = Some("2".to_owned());
    let expected = [
        (String::new(), two.clone()),
        ("a".to_owned(), Some("1".to_owned())),
        ("b".to_owned(), None),
        ("c".to_owned(), two.clone()),
        ("d".to_owned(), two.clone()),
        ("e".to_owned(), Some(String::new())),
        ("f".to_owned(), two),
    ];
    assert_eq!(texts(both.rows()), expected);
    assert_eq!(texts(both.rows_from(Bound::Included(b"b"))), expected[2..]);
    assert_eq!(texts(both.rows_from(Bound::Excluded(b"b"))), expected[3..]);
    assert_eq!(texts(both.rows_from(Bound::Included(b"z"))), []);
    for (key, value) in &expected {
        let found = both.get(key.as_bytes()).map(|value| value.map(<[u8]>::to_vec));
        assert_eq!(found, Some(value.as_ref().map(|value| value.as_bytes().to_vec())));
    }
    assert_eq!(both.get(b"ab"), None);
    assert_eq!(texts(old.with(&Gathered::default()).rows()), texts(old.rows()));
    assert_eq!(texts(Gathered::default().with(&new).rows()), texts(new.rows()));
}

#[test]
fn of_several_writings_the_last_word_on_a_key_counts() {
    assert!(Gathered::of_writings(Vec::new()).is_empty());
    for count in 1..20 {
        let names: Vec<String> = (0..count).map(|number| format!("{number:02}")).collect();
        let writing = |name: &String| gathered(&[("all", Some(name)), (name, Some("own"))]);
        let all = Gathered::of_writings(names.iter().map(writing).collect());
        let mut expected: Vec<(String, Option<String>)> =
            names.iter().map(|name| (name.clone(), Some("own".to_owned()))).collect();
        expected.push(("all".to_owned(), names.last().cloned()));
        assert_eq!(texts(all.rows()), expected);
    }
}

#[test]
fn bytes_that_are_no_rows_do_not_decode() {
    let rows = gathered(&[("a", Some("1")), ("b", None), ("c", Some("three"))]);
    let bytes = rows.bytes().to_vec();
    assert_eq!(texts(Gathered::decode(bytes.clone()).unwrap().rows()), texts(rows.rows()));
    assert!(Gathered::decode(Vec::new()).unwrap().is_empty());
    let whole = [0, 10, 19];
    for end in (0..bytes.len()).filter(|end| !whole.contains(end)) {
        assert!(Gathered::decode(bytes[..end].to_vec()).is_none(), "cut off at {end}");
    }
    for place in [0, 4, 10, 14] {
        let mut altered = bytes.clone();
        altered[place] = 255;
        assert!(Gathered::decode(altered).is_none(), "altered at {place}");
    }
    let twice = [bytes.as_slice(), bytes.as_slice()].concat();
    assert!(Gathered::decode(twice).is_none(), "keys that do not ascend");
}

#[test]
fn many_rows_or_large_ones_are_full() {
    let keys: Vec<String> = (0..ROWS_MAX).map(|number| format!("{number:06}")).collect();
    let rows: Vec<(&str, Option<&str>)> = keys.iter().map(|key| (key.as_str(), None)).collect();
    assert!(!gathered(&rows[1..]).is_full() && gathered(&rows).is_full());
    let large = "1".repeat(BYTES_MAX);
    assert!(gathered(&[("a", Some(&large))]).is_full());
}

#[test]
fn rows_that_wait_are_known_after_the_next_start_and_damaged_ones_begin_the_index_anew() {
    let folder = Folder::new();
    let event = |name: &str| format!("id\u{1f}{}", Digest::sha256_of(name.as_bytes()).hex());
    {
        let index = folder.open();
        for (position, name) in (1..).zip(["one", "two"]) {
            index.commit(position, vec![put(Table::SeenEvents, &event(name), "null")], Vec::new()).unwrap();
            index.checkpoint().unwrap();
        }
        index.commit(3, vec![remove(Table::SeenEvents, &event("one"))], Vec::new()).unwrap();
    }
    {
        let index = folder.open();
        assert_eq!(index.started(), &Started::Continued);
        let snapshot = index.snapshot().unwrap();
        assert_eq!(snapshot.get(Table::SeenEvents, &event("one")).unwrap(), None);
        assert_eq!(snapshot.get(Table::SeenEvents, &event("two")).unwrap(), Some(b"null".to_vec()));
        drop(snapshot);
        let damage = |transaction: &WriteTransaction| {
            let mut table = transaction.open_table(tables::tree(Tree::Gathered)).map_err(widen)?;
            table.insert(&b"damaged!"[..], &b"damaged"[..]).map(|_| ()).map_err(widen)
        };
        index.shared.in_transaction(damage).unwrap();
    }
    let index = folder.open();
    assert!(matches!(index.started(), Started::Deleted { .. }), "{:?}", index.started());
    assert_eq!(index.position(), 0);
}
