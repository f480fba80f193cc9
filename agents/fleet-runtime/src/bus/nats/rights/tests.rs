#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use super::*;
use crate::bus::Pattern;

/// Set to `1`, this variable makes the test rewrite the committed table instead of comparing it.
const REWRITE_VARIABLE: &str = "CUSTODY_REWRITE";
const BEGIN: &str = "<!-- the table of rights: written by a test of fleet-runtime -->\n";
const END: &str = "<!-- end of the table of rights -->\n";

fn agent(kind: AgentKind) -> Role {
    Role::Agent { kind, id: "one".parse().unwrap() }
}

#[test]
fn the_document_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../SECURITY.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (shown, after) = rest.split_once(END).expect("the table's end");
    if std::env::var(REWRITE_VARIABLE).is_ok_and(|value| value == "1") {
        std::fs::write(&path, format!("{before}{BEGIN}\n{}\n{END}{after}", table())).unwrap();
    } else {
        assert_eq!(shown.trim(), table().trim(), "SECURITY.md differs, run with {REWRITE_VARIABLE}=1");
    }
}

#[test]
fn an_agent_reaches_nothing_that_does_not_bear_its_name() {
    for kind in AgentKind::ALL {
        let rights = agent(kind).rights();
        for subject in rights.publish_subjects().chain(rights.subscribe_subjects()) {
            let tokens: Vec<&str> = subject.split('.').collect();
            let bears_name = tokens.iter().any(|token| ["one", "blobs-one"].contains(token));
            assert!(bears_name, "{kind:?}: {subject}");
            // Nothing open stands before the name.
            let name = tokens.iter().position(|token| ["one", "blobs-one"].contains(token)).unwrap();
            let open = tokens.iter().position(|token| ["*", ">"].contains(token)).unwrap_or(tokens.len());
            assert!(name < open, "{kind:?}: {subject}");
        }
        for forbidden in ["$KV.", "$SYS", "STREAM.", "CONSUMER.CREATE", "custody.ask", "custody.out"] {
            assert!(
                rights.publish_subjects().all(|subject| !subject.contains(forbidden)),
                "{kind:?}: {forbidden}"
            );
        }
    }
}

#[test]
fn what_agents_publish_lies_in_the_streams() {
    for kind in AgentKind::ALL {
        for subject in agent(kind).rights().publish_subjects().filter(|one| one.starts_with("custody.")) {
            Stream::of_subject(subject).unwrap();
            subject.parse::<Pattern>().unwrap();
        }
    }
}

#[test]
fn nobody_may_delete_a_stream() {
    let correlator = Role::Correlator { id: "correlator".parse().unwrap() };
    for role in AgentKind::ALL.map(agent).into_iter().chain([correlator]) {
        for subject in role.rights().publish_subjects() {
            assert!(!["$JS.API.>", "$JS.API.STREAM.>", "$JS.>", ">"].contains(&subject), "{subject}");
            assert!(!subject.contains("STREAM.DELETE"), "{subject}");
        }
    }
}

#[test]
fn an_account_imports_exactly_what_its_user_may_publish() {
    let role = agent(AgentKind::Ci);
    let text = role.configuration("UABC");
    for subject in role.rights().publish_subjects() {
        assert_eq!(text.matches(&format!("{subject:?}")).count(), 2, "{subject} in\n{text}");
    }
    assert_eq!(text.matches("service:").count(), role.rights().publish.len());
    assert!(text.starts_with("agent-one: {") && text.contains("nkey: UABC"), "{text}");
}
