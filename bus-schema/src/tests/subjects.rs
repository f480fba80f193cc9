//! Subjects hold hashes and names of ours, never text from outside.

use proptest::prelude::*;

use super::events::envelopes;
use crate::event::Partition;
use crate::question::{Answerer, Question};
use crate::{Envelope, Scope, Subject};

proptest! {
    #[test]
    fn no_outside_text_becomes_a_token(text in prop_oneof![any::<String>(), "[.>* a-z]{0,20}"]) {
        let scope = Partition::of(&text).scope();
        prop_assert_eq!(scope.as_str().len(), 16);
        prop_assert!(scope.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        prop_assert_eq!(&scope, &Scope::of(&text));
    }
}

#[test]
fn every_event_has_a_subject_of_plain_tokens_that_parses_back() {
    for envelope in envelopes() {
        for subject in [envelope.subject(), Subject::conclusion(&envelope.event)] {
            let text = subject.to_string();
            assert_eq!(text.parse(), Ok(subject));
            assert!(text.starts_with("custody.in.") || text.starts_with("custody.out."));
            let is_plain = |token: &str| {
                !token.is_empty() && token.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            };
            assert!(text.split('.').all(is_plain), "{text}");
        }
    }
}

#[test]
fn names_with_dots_stars_and_arrows_stay_out_of_the_subject() {
    let mut sample = String::from_utf8(
        super::events::valid_samples().into_iter().find(|(path, _)| path.contains("agent.gap")).unwrap().1,
    )
    .unwrap();
    sample = sample.replace("the watch was cut off", "custody.> or custody.*.in");
    let envelope = Envelope::from_json(sample.as_bytes()).unwrap();
    assert!(!envelope.subject().to_string().contains(['>', '*']));
    let dotted = Question::Image {
        repository: "a.b.c.example:5000/d.e/f".parse().unwrap(),
        digest: crate::Digest::sha256_of(b"x"),
    };
    let subject = Subject::question(&dotted).to_string();
    assert_eq!(subject.split('.').count(), 4, "{subject}");
    assert_eq!(subject.parse(), Ok(Subject::question(&dotted)));
}

#[test]
fn a_scope_is_that_of_its_partition_alone() {
    let same = |one: &str, other: &str| Scope::of(one) == Scope::of(other);
    assert!(same("ghcr.io/acme/api", "ghcr.io/acme/api"));
    assert!(!same("ghcr.io/acme/api", "ghcr.io/acme/api2"));
}

#[test]
fn a_subject_is_refused_where_it_goes_wrong() {
    let refused = |text: &str, position: usize| {
        let error = text.parse::<Subject>().expect_err(text);
        assert_eq!(error.position, position, "{error}");
    };
    refused("", 0);
    refused("custody.in.>", 0);
    refused("custody.ask.weather.0123456789abcdef", 12);
    refused("custody.ask.ci.0123456789abcdeF", 30);
    refused("custody.ask.ci.0123456789abcde", 15);
    refused("custody.out.moon.0123456789abcdef.case.opened.v1", 12);
    refused("custody.out.case.0123456789abcdef.case.opened.1", 46);
    refused("custody.out.case.0123456789abcdef.Case.opened.v1", 34);
    refused("custody.in.ci.agent*.0123456789abcdef.run.started.v1", 19);
    refused("custody.in.ci.agent.0123456789abcdef.run.started.v0", 49);
    refused(&format!("custody.in.{}", "x".repeat(600)), 512);
}

#[test]
fn the_filter_for_questions_matches_their_subjects() {
    for answerer in Answerer::ALL {
        let filter = Subject::questions_to(answerer);
        let subject = Subject::Ask { answerer, scope: Scope::of("x") }.to_string();
        assert!(subject.starts_with(filter.trim_end_matches('>')), "{subject} under {filter}");
    }
}
