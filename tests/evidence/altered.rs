//! Everything genuine, altered in every place: nothing altered verifies.
//!
//! A removed part may leave evidence that is complete without it (a bundle of version 0.1 needs no inclusion proof beside
//! its promise). Such a rest is genuine itself; it must prove the same and no earlier time.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::alter::{self, Change};
use crate::fixtures::say;
use crate::genuine::{self, Known, Piece};
use crate::{conformance, slsa};

#[derive(Default)]
struct Count {
    refused: usize,
    complete_without: usize,
    wrong: Vec<String>,
}

#[test]
fn nothing_altered_is_accepted() {
    let mut pieces = genuine::genuine();
    pieces.extend(slsa::genuine());
    pieces.extend(conformance_pieces());
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let counts: Vec<Count> = std::thread::scope(|scope| {
        let work = || {
            let mut count = Count::default();
            while let Some(index) =
                Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < pieces.len())
            {
                alter_piece(&pieces[index], donor(&pieces, index), &mut count);
            }
            count
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |field: fn(&Count) -> usize| counts.iter().map(field).sum::<usize>();
    let wrong: Vec<&String> = counts.iter().flat_map(|count| &count.wrong).collect();
    say(&format!(
        "altered inputs: {} refused of {} genuine pieces, {} wrongly accepted ({} parts removed that were not needed)",
        sum(|count| count.refused),
        pieces.len(),
        wrong.len(),
        sum(|count| count.complete_without),
    ));
    assert!(wrong.is_empty(), "{} wrongly accepted: {:#?}", wrong.len(), &wrong[..wrong.len().min(60)]);
}

fn conformance_pieces() -> Vec<Piece> {
    let cases = conformance::cases().unwrap_or_default().into_iter().filter(|case| !case.must_fail());
    cases
        .map(|case| Piece {
            name: format!("conformance/{}", case.name),
            media_type: genuine::BUNDLE,
            document: serde_json::from_slice(&case.bundle()).unwrap(),
            raw: None,
            annotations: Default::default(),
            artifact: Some(case.artifact()),
            trust: case.trust().unwrap().into(),
        })
        .collect()
}

/// A genuine document of the same form with another signature.
fn donor(pieces: &[Piece], index: usize) -> &Value {
    let signature = |piece: &Piece| {
        let envelope = piece.document.get("dsseEnvelope").unwrap_or(&piece.document);
        let message = &piece.document["messageSignature"]["signature"];
        (envelope["signatures"][0]["sig"].clone(), message.clone())
    };
    let own = &pieces[index];
    let others = pieces[index + 1..].iter().chain(&pieces[..index]);
    let same_form = |other: &&Piece| other.media_type == own.media_type && signature(other) != signature(own);
    others.filter(same_form).map(|other| &other.document).next().unwrap_or(&Value::Null)
}

fn alter_piece(piece: &Piece, donor: &Value, count: &mut Count) {
    let genuine = piece.verify().unwrap_or_else(|why| panic!("{} was refused: {why}", piece.name));
    for alteration in alter::all(&piece.document, donor) {
        let altered = Piece { document: alteration.document, raw: None, ..piece.clone() };
        judge(piece, &genuine, &altered, &alteration.change, &alteration.place, count);
    }
    for (key, altered) in altered_annotations(piece) {
        judge(piece, &genuine, &altered, &Change::Altered, &key, count);
    }
    for (place, payload) in altered_payloads(piece) {
        judge(piece, &genuine, &payload, &Change::Altered, &place, count);
    }
}

fn judge(piece: &Piece, genuine: &Known, altered: &Piece, change: &Change, place: &str, count: &mut Count) {
    match altered.verify() {
        Err(_) => count.refused += 1,
        Ok(known) if *change == Change::Removed && proves_no_more(genuine, &known) => {
            count.complete_without += 1
        }
        Ok(_) => count.wrong.push(format!("{}: {place}: {change:?}", piece.name)),
    }
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
    same && rest.signed_at() >= genuine.signed_at()
}

/// Each annotation of cosign's older formats that carries evidence, altered inside.
fn altered_annotations(piece: &Piece) -> Vec<(String, Piece)> {
    let mut found = Vec::new();
    for (key, text) in piece
        .annotations
        .iter()
        .filter(|(key, text)| key.starts_with("dev.sigstore.cosign/") && !text.is_empty())
    {
        let document: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
        let whole = Value::Array(vec![document]);
        for alteration in
            alter::all(&whole, &Value::Null).into_iter().filter(|one| one.change == Change::Altered)
        {
            let text = match &alteration.document[0] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let mut altered = piece.clone();
            altered.annotations.insert(key.clone(), text);
            found.push((format!("{key}{}", alteration.place), altered));
        }
    }
    found
}

/// Each value inside the signed statement, altered.
fn altered_payloads(piece: &Piece) -> Vec<(String, Piece)> {
    let place = ["/dsseEnvelope/payload", "/payload", "/envelope/statement"];
    let Some(place) = place.into_iter().find(|place| piece.document.pointer(place).is_some()) else {
        return Vec::new();
    };
    let payload = piece.document.pointer(place).unwrap().as_str().unwrap();
    let payload = sigstore_verify::types::PayloadBytes::from_base64(payload).unwrap();
    let statement: Value = serde_json::from_slice(payload.as_bytes()).unwrap();
    let alterations =
        alter::all(&statement, &Value::Null).into_iter().filter(|one| one.place.matches('/').count() < 4);
    alterations
        .map(|alteration| {
            let mut altered = Piece { raw: None, ..piece.clone() };
            let text = alteration.document.to_string();
            let encoded = sigstore_verify::types::PayloadBytes::from_bytes(text.as_bytes()).to_base64();
            *altered.document.pointer_mut(place).unwrap() = Value::String(encoded);
            (format!("{place}: {}", alteration.place), altered)
        })
        .collect()
}
