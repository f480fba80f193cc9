//! Everything genuine, altered in every place: nothing altered verifies.
//!
//! A removed part may leave evidence that is complete without it (a bundle of version 0.1 needs no inclusion proof beside
//! its promise). Such a rest is genuine itself; it must prove the same and no earlier time. So is what remains of another
//! piece when all but such a part was taken from it.

mod cases;
mod checkpoint;
mod content;
mod der;
mod json;
mod parts;
mod spans;
mod unread;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::de::IgnoredAny;

use crate::altered::cases::Case;
use crate::altered::content::{Level, others};
use crate::altered::json::Change;
use crate::fixtures::{say, skipped};
use crate::fuzzed::Random;
use crate::genuine::{Known, Piece};

/// Of how many pieces of one producer in one form every alteration is tried.
const IN_FULL: usize = 1;
/// How many alterations of each further piece are tried, drawn by chance.
const DRAWN: usize = 300;
const SEED: u64 = 0x5eed_cafe;

/// One way to alter a piece.
pub(crate) struct Alteration {
    change: Change,
    place: String,
    edits: Vec<Edit>,
    /// The number of the piece of which all was taken but what the own one has nothing of.
    donor: Option<usize>,
}

#[derive(Debug, Clone)]
enum Edit {
    /// A range of the text replaced.
    Layer(Range<usize>, Vec<u8>),
    /// An annotation with another value.
    Annotation(String, String),
    /// What a message signature is over.
    Artifact(Vec<u8>),
}

#[derive(Default)]
struct Count {
    refused: BTreeMap<Change, usize>,
    complete_without: usize,
    unread: usize,
    wrong: Vec<String>,
}

#[test]
fn nothing_altered_is_accepted() {
    let cases = cases::all();
    if cases.is_empty() {
        return skipped("nothing genuine to alter");
    }
    let plan = plan(&cases);
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let counts: Vec<Count> = std::thread::scope(|scope| {
        let work = || {
            let mut count = Count::default();
            while let Some(index) =
                Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < cases.len())
            {
                try_piece(&cases, index, plan[index], &mut count);
            }
            count
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |field: fn(&Count) -> usize| counts.iter().map(field).sum::<usize>();
    let of = |change: Change| counts.iter().filter_map(|count| count.refused.get(&change)).sum::<usize>();
    let wrong: Vec<&String> = counts.iter().flat_map(|count| &count.wrong).collect();
    let in_full = plan.iter().filter(|is_full| **is_full).count();
    say(&format!(
        "altered inputs: {} refused ({} altered, {} swapped, {} rearranged, {} removed) of {} genuine pieces, {in_full} in full and {} with {DRAWN} drawn each; {} wrongly accepted ({} parts removed that were not needed, {} altered that nothing reads)",
        counts.iter().flat_map(|count| count.refused.values()).sum::<usize>(),
        of(Change::Altered),
        of(Change::Swapped),
        of(Change::Rearranged),
        of(Change::Removed),
        cases.len(),
        cases.len() - in_full,
        wrong.len(),
        sum(|count| count.complete_without),
        sum(|count| count.unread),
    ));
    assert!(wrong.is_empty(), "{} wrongly accepted: {:#?}", wrong.len(), &wrong[..wrong.len().min(60)]);
}

/// Whether each piece is tried in full.
fn plan(cases: &[Case]) -> Vec<bool> {
    let mut seen = BTreeMap::new();
    cases
        .iter()
        .map(|case| {
            let count: &mut usize = seen.entry(case.family()).or_default();
            *count += 1;
            *count <= IN_FULL
        })
        .collect()
}

fn try_piece(cases: &[Case], index: usize, in_full: bool, count: &mut Count) {
    let case = &cases[index];
    let donors = cases::donors(cases, index);
    let alterations = alterations(case, &donors);
    let mut drawn: BTreeSet<usize> = (0..alterations.len()).collect();
    if !in_full && alterations.len() > DRAWN {
        let mut random = Random(SEED ^ u64::try_from(index).unwrap());
        drawn.clear();
        while drawn.len() < DRAWN {
            drawn.insert(random.below(alterations.len()));
        }
    }
    for number in drawn {
        try_one(case, &alterations[number], &donors, count);
    }
}

fn alterations(case: &Case, donors: &[&Case]) -> Vec<Alteration> {
    let texts: Vec<&[u8]> = donors.iter().map(|donor| donor.text()).collect();
    let of_layer = json::alterations(case.text(), &texts).into_iter().map(|splice| Alteration {
        change: splice.change,
        place: splice.place,
        edits: vec![Edit::Layer(splice.at, splice.with)],
        donor: None,
    });
    let mut found: Vec<Alteration> = of_layer.collect();
    for (key, text) in &case.piece.annotations {
        if text.is_empty()
            || !["dev.sigstore.cosign/", "dev.cosignproject.cosign/"]
                .iter()
                .any(|prefix| key.starts_with(prefix))
        {
            continue;
        }
        for (note, other) in others(text, Level::Evidence) {
            let change = if other.is_empty() { Change::Removed } else { Change::Altered };
            let edits = vec![Edit::Annotation(key.clone(), other)];
            found.push(Alteration { change, place: format!("{key} {note}"), edits, donor: None });
        }
    }
    if let Some(artifact) = &case.piece.artifact {
        let mut put = |change, note: String, other: Vec<u8>| {
            let edits = vec![Edit::Artifact(other)];
            found.push(Alteration { change, place: format!("artifact {note}"), edits, donor: None });
        };
        for (note, other) in content::bytes_changed(artifact, Level::Evidence) {
            put(Change::Altered, note, other);
        }
        let others = donors.iter().filter_map(|donor| donor.piece.artifact.as_ref());
        for other in others.filter(|other| *other != artifact) {
            put(Change::Swapped, "of a donor".to_owned(), other.clone());
        }
    }
    for (number, donor) in donors.iter().enumerate() {
        found.extend(parts::swaps(case, donor, number));
    }
    found
}

fn try_one(case: &Case, alteration: &Alteration, donors: &[&Case], count: &mut Count) {
    let altered = altered(case, &alteration.edits);
    let is_same = altered.raw == case.piece.raw
        && altered.annotations == case.piece.annotations
        && altered.artifact == case.piece.artifact;
    assert!(!is_same, "{}: {} alters nothing", case.name, alteration.place);
    let is_json = serde_json::from_slice::<IgnoredAny>(altered.raw.as_deref().unwrap()).is_ok();
    assert!(is_json, "{}: {} leaves no document", case.name, alteration.place);
    match altered.verify() {
        Err(_) => *count.refused.entry(alteration.change).or_default() += 1,
        Ok(known) if alteration.change == Change::Removed && proves_no_more(&case.known, &known) => {
            count.complete_without += 1;
        }
        Ok(known) if alteration.donor.is_some_and(|donor| is_rest_of(donors[donor], &altered, &known)) => {
            count.complete_without += 1;
        }
        Ok(known) if known == case.known && unread::is_all(case, &altered) => count.unread += 1,
        Ok(_) => count.wrong.push(format!("{}: {}: {:?}", case.name, alteration.place, alteration.change)),
    }
}

fn altered(case: &Case, edits: &[Edit]) -> Piece {
    let mut piece = case.piece.clone();
    let mut splices = Vec::new();
    for edit in edits {
        match edit {
            Edit::Layer(at, with) => splices.push((at, with)),
            Edit::Annotation(key, text) => drop(piece.annotations.insert(key.clone(), text.clone())),
            Edit::Artifact(bytes) => piece.artifact = Some(bytes.clone()),
        }
    }
    splices.sort_by_key(|(at, _)| std::cmp::Reverse(at.start));
    for (at, with) in splices {
        piece.raw = piece.raw.map(|text| spans::spliced(&text, at, with));
    }
    piece
}

/// Whether another piece without a part is all that is left: it proves that piece's own, of the same artifact.
fn is_rest_of(donor: &Case, altered: &Piece, known: &Known) -> bool {
    donor.piece.artifact == altered.artifact && proves_no_more(&donor.known, known)
}

fn proves_no_more(genuine: &Known, rest: &Known) -> bool {
    let same = match (genuine, rest) {
        (Known::Statement(genuine), Known::Statement(rest)) => {
            genuine.subjects == rest.subjects
                && genuine.signer == rest.signer
                && genuine.predicate == rest.predicate
        }
        (Known::Proof(genuine), Known::Proof(rest)) => genuine.signer == rest.signer,
        _ => false,
    };
    // Without a signed time it counts from when it was found, which is later.
    same && match (genuine.signed_at(), rest.signed_at()) {
        (_, None) => true,
        (Some(genuine), Some(rest)) => rest >= genuine,
        (None, Some(_)) => false,
    }
}
