//! The servers' table of rights and the correlator's own checks agree on who may say what.

use std::path::Path;

use bus_schema::{AgentId, AgentKind, Envelope, Stage};
use fleet_runtime::bus::Pattern;
use fleet_runtime::bus::nats::Role;

use crate::consume::may_say;

/// A valid event of every type.
fn samples() -> Vec<Envelope> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bus-schema/samples");
    let mut found = Vec::new();
    for event_type in std::fs::read_dir(folder).unwrap() {
        for version in std::fs::read_dir(event_type.unwrap().path()).unwrap() {
            for sample in std::fs::read_dir(version.unwrap().path()).unwrap() {
                let path = sample.unwrap().path();
                if path.file_name().unwrap().to_str().unwrap().starts_with("valid") {
                    found.push(Envelope::from_json(&std::fs::read(path).unwrap()).unwrap());
                }
            }
        }
    }
    assert!(found.len() > 40, "only {} samples", found.len());
    found
}

#[test]
fn what_an_agent_may_say_it_may_publish_and_of_other_stages_nothing_more() {
    let id: AgentId = "one".parse().unwrap();
    for kind in AgentKind::ALL {
        let rights = Role::Agent { kind, id: id.clone() }.rights();
        let patterns: Vec<Pattern> = rights
            .publish_subjects()
            .filter(|subject| subject.starts_with("custody.in."))
            .map(|subject| subject.parse().unwrap())
            .collect();
        let mut said = 0;
        for sample in samples() {
            let envelope = Envelope { agent: id.clone(), ..sample };
            let subject = envelope.subject().to_string();
            let may_publish = patterns.iter().any(|pattern| pattern.matches(&subject));
            let event_type = envelope.event.event_type();
            if may_say(kind, &envelope.event) {
                said += 1;
                assert!(may_publish, "{kind:?} may say {event_type} and not publish it");
            } else if ![kind.stage(), Stage::Fleet].contains(&event_type.stage) {
                // The place of evidence is inside the event: the subject says its type alone.
                let is_evidence = kind == AgentKind::Ci && event_type.noun == "attestation";
                assert!(!may_publish || is_evidence, "{kind:?} may publish {event_type} and not say it");
            }
        }
        assert!(said > 4, "{kind:?} may say only {said}");
    }
}
