//! The samples: valid ones decode, re-encode to equal envelopes and fit the committed schema; invalid ones are refused.

use serde_json::Value;

use super::agreement::{compare, crate_path, files_below, rewrites};
use super::events::{invalid_samples, valid_samples};
use crate::envelope::EnvelopeError;
use crate::{Envelope, Event, EventId, EventType, schema};

/// What every type needs at least, of valid and of invalid samples.
const SAMPLES_MIN: usize = 2;

#[test]
fn every_event_type_has_valid_and_invalid_samples() {
    let folder = crate_path("samples");
    let mut known = Vec::new();
    for (event_type, _) in Event::schemas() {
        let path = sample_folder(&event_type);
        let names = files_below(&folder.join(&path));
        for prefix in ["valid-", "invalid-"] {
            let count = names.iter().filter(|name| name.starts_with(prefix)).count();
            assert!(
                count >= SAMPLES_MIN,
                "{path} has {count} samples {prefix}*.json, {SAMPLES_MIN} are needed"
            );
        }
        known.push(path);
    }
    for path in files_below(&folder) {
        let of_known_type = known.iter().any(|folder| path.starts_with(&format!("{folder}/")));
        assert!(of_known_type, "{path} belongs to no event type");
        let name = path.rsplit('/').next().unwrap();
        let is_sample =
            name.ends_with(".json") && (name.starts_with("valid-") || name.starts_with("invalid-"));
        assert!(is_sample, "{path} is neither valid-*.json nor invalid-*.json");
    }
}

#[test]
fn every_valid_sample_carries_its_derived_id_and_subject() {
    let mut wrong = Vec::new();
    for (path, bytes) in valid_samples() {
        let text = String::from_utf8(bytes).unwrap();
        let (event, agent) = event_and_agent(&text).unwrap_or_else(|| panic!("{path} does not decode"));
        let id = EventId::derive(&event.event_type(), &agent, &event.occurrence());
        let expected = with_line(&with_line(&text, "id", &id.to_string()), "subject", &event.subject());
        wrong.extend(compare(&crate_path("samples").join(&path), &expected));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_valid_sample_decodes_and_re_encodes_to_an_equal_envelope() {
    for (path, bytes) in valid_samples() {
        let Some(envelope) = decoded(&path, &bytes) else { continue };
        assert!(path.starts_with(&sample_folder(&envelope.event.event_type())), "{path} is of another type");
        let again = Envelope::from_json(&envelope.to_json().unwrap()).unwrap();
        assert_eq!(again, envelope, "{path}");
        let through_serde = serde_json::to_vec(&envelope).unwrap();
        assert_eq!(through_serde, envelope.to_json().unwrap(), "{path}");
        assert_eq!(serde_json::from_slice::<Envelope>(&through_serde).unwrap(), envelope, "{path}");
    }
}

#[test]
fn the_data_of_every_valid_sample_fits_the_committed_schema() {
    for (path, bytes) in valid_samples() {
        let Some(envelope) = decoded(&path, &bytes) else { continue };
        let event_type = envelope.event.event_type();
        let schema = std::fs::read(crate_path(&schema::committed_path(&event_type))).unwrap();
        let validator = jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap();
        let written: Value = serde_json::from_slice(&bytes).unwrap();
        let re_encoded: Value = serde_json::from_slice(&envelope.to_json().unwrap()).unwrap();
        for data in [&written["data"], &re_encoded["data"]] {
            let errors: Vec<String> = validator
                .iter_errors(data)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{path}: {}", errors.join("; "));
        }
    }
}

#[test]
fn every_invalid_sample_is_refused_for_the_reason_in_its_name() {
    let mut refusals = String::new();
    for (path, bytes) in invalid_samples() {
        let error = match Envelope::from_json(&bytes) {
            Ok(_) => panic!("{path} is accepted"),
            Err(error) => error,
        };
        refusals.push_str(&format!("{path}\n    {}\n", chain(&error)));
        let wants_other_id = path.contains("-id-of-another-event");
        let has_other_id = matches!(error, EnvelopeError::WrongId { .. });
        assert_eq!(has_other_id, wants_other_id, "{path} is refused by its id: {error}");
        let wants_future = path.contains("-of-the-future");
        assert_eq!(error.is_from_the_future(), wants_future, "{path}: {error}");
    }
    // Each name beside its reason, so that a difference is read as one.
    let differs = compare(&crate_path("src/tests/refusals.txt"), &refusals);
    assert!(differs.is_none(), "{}", differs.unwrap_or_default());
}

/// `<stage>.<noun>.<verb>/v<version>`
fn sample_folder(event_type: &EventType) -> String {
    let EventType { stage, noun, verb, version } = event_type;
    format!("{}.{noun}.{verb}/v{version}", stage.as_str())
}

/// The envelope; none while the samples are being rewritten and its id is not there yet.
fn decoded(path: &str, bytes: &[u8]) -> Option<Envelope> {
    match Envelope::from_json(bytes) {
        Ok(envelope) => Some(envelope),
        Err(EnvelopeError::WrongId { .. }) if rewrites() => None,
        Err(error) => panic!("{path}: {}", chain(&error)),
    }
}

fn event_and_agent(text: &str) -> Option<(Event, crate::AgentId)> {
    let value: Value = serde_json::from_str(text).ok()?;
    let event_type: EventType = value["type"].as_str()?.parse().ok()?;
    let event = Event::from_data(&event_type, &value["data"].to_string()).ok()?;
    let agent = value["source"].as_str()?.rsplit(':').next()?.parse().ok()?;
    Some((event, agent))
}

/// `text` with the value of one top-level key replaced; samples are indented by two spaces.
fn with_line(text: &str, key: &str, value: &str) -> String {
    let start = format!("  \"{key}\": ");
    let replace = |line: &str| match line.starts_with(&start) {
        true => format!("{start}{},", Value::from(value)),
        false => line.to_owned(),
    };
    text.lines().map(|line| replace(line) + "\n").collect()
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
