//! Alterations of a JSON document in one place: its value another, from another document, rearranged, or gone.

use std::ops::Range;

use crate::altered::checkpoint::{self, KEY_HINT_BYTES};
use crate::altered::content::{Level, Other, decoded, other_values};
use crate::altered::spans::{Kind, Node, nodes, removal, written};

/// How a document was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// A value became another.
    Altered,
    /// A part came from another genuine document.
    Swapped,
    /// A list lost its order, or an element or entry stands twice.
    Rearranged,
    /// A part is gone.
    Removed,
}

/// One range of the text replaced.
#[derive(Debug)]
pub(crate) struct Splice {
    pub(crate) change: Change,
    pub(crate) place: String,
    pub(crate) at: Range<usize>,
    pub(crate) with: Vec<u8>,
}

/// All alterations of `text`, with parts of the donors where they have the same places.
pub(crate) fn alterations(text: &[u8], donors: &[&[u8]]) -> Vec<Splice> {
    let all = nodes(text);
    let donors: Vec<(&[u8], Vec<Node>)> = donors.iter().map(|donor| (*donor, nodes(donor))).collect();
    let mut found = Vec::new();
    for (index, node) in all.iter().enumerate().skip(1) {
        let mut put = |change: Change, note: &str, at: &Range<usize>, with: Vec<u8>| {
            // A part that holds nothing is a part that is gone.
            let is_empty = change == Change::Altered && matches!(with.as_slice(), b"\"\"" | b"{}" | b"[]");
            let change = if is_empty { Change::Removed } else { change };
            if text[at.clone()] != with {
                found.push(Splice { change, place: format!("{} {note}", node.place), at: at.clone(), with });
            }
        };
        let value = &text[node.at.clone()];
        let others = match node.place.strip_suffix("/inclusionProof/checkpoint/envelope") {
            Some(entry) if node.kind == Kind::Text => other_checkpoints(value, text, &all, entry),
            _ => other_values(value, node.kind, Level::Evidence),
        };
        for (note, other) in others {
            put(Change::Altered, &note, &node.at, other);
        }
        put(Change::Removed, "null", &node.at, b"null".to_vec());
        put(Change::Removed, "gone", &removal(text, node), Vec::new());
        let from_donors: Vec<&[u8]> =
            donors.iter().filter_map(|(donor, nodes)| written(donor, nodes, &node.place)).collect();
        if !is_format(&node.place) {
            for (number, other) in from_donors.iter().enumerate() {
                put(Change::Swapped, &format!("of donor {number}"), &node.at, other.to_vec());
            }
        }
        if node.member.start < node.at.start {
            let (key, member) = (&text[node.member.start..node.at.start], &text[node.member.clone()]);
            let other = from_donors.first().copied().unwrap_or(b"null");
            let twice = |first: &[&[u8]], second: &[&[u8]]| [first, &[b","], second].concat().concat();
            put(Change::Rearranged, "twice", &node.member, twice(&[member], &[member]));
            put(Change::Rearranged, "twice, first other", &node.member, twice(&[key, other], &[member]));
            put(Change::Rearranged, "twice, last other", &node.member, twice(&[member], &[key, other]));
        }
        if node.kind == Kind::Array {
            let items: Vec<&[u8]> = all
                .iter()
                .filter(|child| child.parent == Some(index))
                .map(|child| &text[child.at.clone()])
                .collect();
            let firsts = donors
                .iter()
                .filter_map(|(donor, nodes)| written(donor, nodes, &format!("{}/0", node.place)));
            for (note, other) in rearranged(&items, firsts.collect()) {
                put(Change::Rearranged, note, &node.at, other);
            }
        }
    }
    found
}

/// A log's key has the hint that its id begins with.
fn other_checkpoints(value: &[u8], text: &[u8], all: &[Node], entry: &str) -> Vec<Other<Vec<u8>>> {
    let id = written(text, all, &format!("{entry}/logId/keyId")).unwrap();
    let (_, id) = decoded(serde_json::from_slice(id).unwrap()).unwrap();
    let said: String = serde_json::from_slice(value).unwrap();
    let others = checkpoint::changed(&said, &id[..KEY_HINT_BYTES]);
    let mut found: Vec<_> =
        others.into_iter().map(|(note, other)| (note, serde_json::to_vec(&other).unwrap())).collect();
    assert!(found.iter().any(|(note, _)| note.ends_with("hint")), "{entry}: the log signed no checkpoint");
    found.push(("empty".to_owned(), b"\"\"".to_vec()));
    found
}

/// The version of the format is nothing that anybody signs: a bundle that fulfils two versions is either.
fn is_format(place: &str) -> bool {
    place == "/mediaType"
}

fn rearranged(items: &[&[u8]], foreign: Vec<&[u8]>) -> Vec<(&'static str, Vec<u8>)> {
    let list = |items: &[&[u8]]| [&b"["[..], &items.join(&b','), b"]"].concat();
    let mut found = Vec::new();
    if let (Some(first), Some(last)) = (items.first(), items.last()) {
        found.push(("first again at the end", list(&[items, &[*first]].concat())));
        found.push(("last again at the start", list(&[&[*last], items].concat())));
    }
    if items.len() > 1 {
        let reversed: Vec<&[u8]> = items.iter().rev().copied().collect();
        found.push(("reversed", list(&reversed)));
    }
    if items.len() > 2 {
        let mut other = items.to_vec();
        other.rotate_left(1);
        found.push(("rotated", list(&other)));
        let mut other = items.to_vec();
        other.swap(0, 1);
        found.push(("first two exchanged", list(&other)));
    }
    for one in foreign.into_iter().filter(|one| !items.contains(one)) {
        found.push(("with a donor's at the end", list(&[items, &[one]].concat())));
        found.push(("with a donor's at the start", list(&[&[one], items].concat())));
    }
    found
}
