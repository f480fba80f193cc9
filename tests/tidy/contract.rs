//! The contract of the bus: schemas and samples are there for every event, fresh, and for no other.

use bus_schema::{EventType, schema};

use crate::repository::{names_in, no_objections, read_text};

/// How many valid and how many invalid samples every event has at least.
const SAMPLES_MIN: usize = 2;

#[test]
fn every_event_has_its_schema_and_its_samples_and_nothing_else_has() {
    let mut objections = Vec::new();
    let mut known = Vec::new();
    for (event_type, text) in schema::generated() {
        let path = format!("bus-schema/{}", schema::committed_path(&event_type));
        if !crate::repository::files().contains(&path) {
            objections.push(format!("{path} is missing"));
        } else if read_text(&path).as_deref() != Some(text.as_str()) {
            objections.push(format!("{path} is not what the type says"));
        }
        let EventType { stage, noun, verb, version } = &event_type;
        let name = format!("{}.{noun}.{verb}", stage.as_str());
        let samples = names_in(&format!("bus-schema/samples/{name}/v{version}"));
        for prefix in ["valid-", "invalid-"] {
            let count = samples.iter().filter(|sample| sample.starts_with(prefix)).count();
            if count < SAMPLES_MIN {
                objections
                    .push(format!("{name} has {count} samples {prefix}*.json, {SAMPLES_MIN} are needed"));
            }
        }
        known.push(name);
    }
    for folder in ["bus-schema/schemas", "bus-schema/samples"] {
        let unknown = names_in(folder).into_iter().filter(|name| !known.contains(name));
        objections.extend(unknown.map(|name| format!("{folder}/{name} belongs to no event")));
    }
    no_objections(
        &objections,
        "Run CUSTODY_REWRITE=1 cargo test -p bus-schema, look at the difference, and write samples for what is new.",
    );
}
