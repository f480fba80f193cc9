//! What was written is never taken for absent, however long the filter lives.

use super::*;
use crate::index::known::KEYS_MAX;

fn key(number: usize) -> Vec<u8> {
    Digest::sha256_of(&number.to_be_bytes()).hex().into_bytes()
}

fn event(number: usize) -> String {
    format!("id\u{1f}{}", Digest::sha256_of(&number.to_be_bytes()).hex())
}

#[test]
fn a_key_that_was_added_may_be_there_and_hardly_any_other() {
    let known = Known::nothing();
    (0..10_000).for_each(|number| known.add(&key(number)));
    assert!((0..10_000).all(|number| known.may_hold(&key(number))));
    let others = (10_000..20_000).filter(|number| known.may_hold(&key(*number))).count();
    assert!(others < 10, "{others} keys that were not added");
    assert!((0..100).all(|number| Known::anything().may_hold(&key(number))));
}

#[test]
fn ids_are_found_while_the_filter_wears_out_and_after_a_start() {
    let folder = Folder::new();
    let mut index = folder.open();
    let mut position = 0;
    let mut renewed = 0;
    for round in 0..40 {
        for step in 0..10 {
            let number = round * 10 + step;
            position += 1;
            let mut changes = vec![put(Table::SeenEvents, &event(number), "null")];
            // At first few are kept, later more than the filter is for.
            if number >= KEYS_MAX / 2 && round < 20 {
                changes.push(remove(Table::SeenEvents, &event(number - KEYS_MAX / 2)));
            }
            index.commit(position, changes, Vec::new()).unwrap();
        }
        let before = Arc::clone(&index.shared.view().known);
        match round % 3 {
            0 => index.checkpoint().unwrap(),
            1 => index.hand_over(&mut index.state()).unwrap(),
            _ => {}
        }
        renewed += usize::from(!Arc::ptr_eq(&before, &index.shared.view().known));
        if round % 10 == 9 {
            drop(index);
            index = folder.open();
        }
        let snapshot = index.snapshot().unwrap();
        let last = round * 10 + 9;
        let kept = match round < 20 {
            true => (last + 1).saturating_sub(KEYS_MAX / 2)..=last,
            false => 200 - KEYS_MAX / 2..=last,
        };
        for number in 0..=last + 20 {
            let found = snapshot.get(Table::SeenEvents, &event(number)).unwrap();
            assert_eq!(found.is_some(), kept.contains(&number), "{number} after round {round}");
        }
    }
    assert!(renewed > 1, "the filter was never made anew");
}
