//! Envelopes from hostile bytes, from the future, and with more in them than this version knows.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::events::{envelopes, valid_samples};
use super::strategies::{mistakes, with_mistakes};
use crate::Envelope;
use crate::envelope::{ENVELOPE_BYTES_MAX, ENVELOPE_DEPTH_MAX, EnvelopeError};

fn check(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::from_json(bytes) {
        let again = Envelope::from_json(&envelope.to_json().unwrap()).unwrap();
        assert_eq!(again, envelope);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_envelope_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn a_sample_with_mistakes_is_an_envelope_or_refused(place in any::<u16>(), mistakes in mistakes()) {
        let samples = valid_samples();
        let (_, bytes) = &samples[usize::from(place) % samples.len()];
        check(with_mistakes(std::str::from_utf8(bytes).unwrap(), &mistakes).as_bytes());
    }

    #[test]
    fn a_sample_with_other_bytes_is_an_envelope_or_refused(
        place in any::<u16>(),
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4),
    ) {
        let samples = valid_samples();
        let mut bytes = samples[usize::from(place) % samples.len()].1.clone();
        for (at, byte) in changes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        check(&bytes);
    }
}

#[test]
fn every_field_may_be_missing_or_of_another_type_without_a_panic() {
    let others =
        [json!(null), json!(true), json!(-1), json!(1.5e300), json!(""), json!("x"), json!([]), json!({})];
    for (path, bytes) in valid_samples() {
        let sample: Value = serde_json::from_slice(&bytes).unwrap();
        for place in places(&sample) {
            let mut less = sample.clone();
            remove(&mut less, &place);
            check(&serde_json::to_vec(&less).unwrap());
            for other in &others {
                let mut changed = sample.clone();
                *at(&mut changed, &place) = other.clone();
                check(&serde_json::to_vec(&changed).unwrap());
            }
        }
        assert!(!path.is_empty());
    }
}

#[test]
fn unknown_optional_fields_are_ignored_at_every_place() {
    for (path, bytes) in valid_samples() {
        let sample: Value = serde_json::from_slice(&bytes).unwrap();
        let expected = Envelope::from_json(&bytes).unwrap();
        for place in places(&sample) {
            let mut more = sample.clone();
            // Annotations are words of others: there every key means something.
            let is_ours = place.last().is_none_or(|key| key != "annotations");
            if let (Value::Object(object), true) = (at(&mut more, &place), is_ours) {
                object.insert("fieldOfTheFuture".to_owned(), json!({ "deep": [1, { "deeper": null }] }));
                let read = Envelope::from_json(&serde_json::to_vec(&more).unwrap());
                assert_eq!(read.unwrap_or_else(|error| panic!("{path} {place:?}: {error}")), expected);
            }
        }
    }
}

#[test]
fn an_unknown_version_type_or_stage_is_from_the_future() {
    let read = |from: &str, to: &str| {
        let (_, bytes) = valid_samples().into_iter().find(|(path, _)| path.contains("image.pushed")).unwrap();
        let text = String::from_utf8(bytes).unwrap().replace(from, to);
        Envelope::from_json(text.as_bytes()).unwrap_err()
    };
    for to in [
        "dev.custody.registry.image.pushed.v2",
        "dev.custody.registry.image.scanned.v1",
        "dev.custody.dependency.sbom.received.v1",
    ] {
        let error = read("dev.custody.registry.image.pushed.v1", to);
        assert!(error.is_from_the_future(), "{to}: {error}");
    }
    for to in [
        "dev.custody.registry.image.pushed",
        "dev.custody.registry.image.pushed.v0",
        "dev.custody.Registry.image.pushed.v1",
        "dev.custody.dependency.sbom.v1",
        "dev.other.registry.image.pushed.v1",
        "",
    ] {
        let error = read("dev.custody.registry.image.pushed.v1", to);
        assert!(!error.is_from_the_future(), "{to}: {error}");
        assert!(matches!(error, EnvelopeError::Type(_)), "{to}: {error}");
    }
    let error = read("ghcr.io/harborline/payments-api", "ghcr.io/Harborline/payments-api");
    assert!(!error.is_from_the_future(), "{error}");
}

#[test]
fn deep_json_is_refused_before_it_is_parsed() {
    const LEVELS: usize = 10_000;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(LEVELS), close.repeat(LEVELS));
    let texts = [
        deep("[", "]"),
        deep("{\"a\":", "}"),
        "[".repeat(LEVELS),
        format!("{{\"data\":{}}}", deep("[", "]")),
        format!("{{\"specversion\":\"1.0\",\"x\":{}}}", deep("{\"a\":", "1}")),
    ];
    for text in texts {
        let error = Envelope::from_json(text.as_bytes()).unwrap_err();
        assert!(matches!(error, EnvelopeError::TooDeep { position } if position < text.len()), "{error}");
    }
}

#[test]
fn depth_is_counted_outside_strings_only() {
    let (_, bytes) = valid_samples().into_iter().find(|(path, _)| path.contains("agent.gap")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let brackets = format!("\\\"{}", "[{".repeat(ENVELOPE_DEPTH_MAX));
    let quoted = text.replace("the watch was cut off", &brackets).replace("found again", &brackets);
    assert!(Envelope::from_json(quoted.as_bytes()).is_ok());
    let nested = |levels: usize| {
        let field = format!("{{\"future\":{}{},", "[".repeat(levels), "]".repeat(levels));
        Envelope::from_json(text.replacen('{', &field, 1).as_bytes())
    };
    assert!(nested(ENVELOPE_DEPTH_MAX - 1).is_ok());
    assert!(matches!(nested(ENVELOPE_DEPTH_MAX), Err(EnvelopeError::TooDeep { .. })));
}

#[test]
fn an_envelope_has_a_largest_size() {
    let error = Envelope::from_json(&vec![b' '; ENVELOPE_BYTES_MAX + 1]).unwrap_err();
    assert!(matches!(error, EnvelopeError::TooLarge { bytes } if bytes == ENVELOPE_BYTES_MAX + 1));
    let mut envelope =
        envelopes().into_iter().find(|envelope| envelope.event.subject().contains('#')).unwrap();
    if let crate::Event::ChangeMerged(merged) = &mut envelope.event {
        merged.author.name = "a".repeat(ENVELOPE_BYTES_MAX);
    }
    assert!(matches!(envelope.to_json(), Err(EnvelopeError::TooLarge { .. })));
    let error = serde_json::to_vec(&envelope).unwrap_err().to_string();
    assert!(error.contains("the limit is"), "{error}");
}

#[test]
fn a_key_that_comes_twice_is_refused() {
    let (_, bytes) = valid_samples().into_iter().find(|(path, _)| path.contains("image.pushed")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    for key in ["\"specversion\": \"1.0\",", "\"data\": {},"] {
        let doubled = text.replacen('{', &format!("{{{key}"), 1);
        assert!(matches!(Envelope::from_json(doubled.as_bytes()), Err(EnvelopeError::Malformed(_))), "{key}");
    }
}

#[test]
fn errors_repeat_little_of_what_they_refuse_and_nothing_that_a_terminal_obeys() {
    let (_, bytes) = valid_samples().into_iter().find(|(path, _)| path.contains("case.opened")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let hostile = format!("\\u001b[31m{}", "x".repeat(10_000));
    for from in ["\"critical\"", "\"case-", "\"1.0\"", "urn:custody:agent:", "dev.custody.", "\"high\""] {
        let Err(error) = Envelope::from_json(text.replace(from, &format!("\"{hostile}\"")).as_bytes()) else {
            continue;
        };
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            let shown = error.to_string();
            assert!(shown.len() < 1000 && !shown.contains('\u{1b}'), "{from}: {shown}");
            cause = error.source();
        }
    }
}

/// Every place in the value, as the keys and indices that lead there.
fn places(value: &Value) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let children: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, child)| (key.clone(), child)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, child)| (at.to_string(), child)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        found.extend(places(child).into_iter().map(|rest| [vec![key.clone()], rest].concat()));
    }
    found
}

fn at<'a>(value: &'a mut Value, place: &[String]) -> &'a mut Value {
    place.iter().fold(value, |value, key| match value {
        Value::Array(items) => &mut items[key.parse::<usize>().unwrap()],
        other => &mut other[key.as_str()],
    })
}

fn remove(value: &mut Value, place: &[String]) {
    let Some((last, rest)) = place.split_last() else {
        *value = Value::Object(Map::new());
        return;
    };
    match at(value, rest) {
        Value::Array(items) => drop(items.remove(last.parse().unwrap())),
        Value::Object(object) => drop(object.remove(last)),
        _ => {}
    }
}
