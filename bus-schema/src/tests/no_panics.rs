//! No input makes a parser panic; every error points into the text; what parses prints as text that parses to the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use proptest::prelude::*;

use super::strategies::{mistakes, with_mistakes};
use crate::*;

/// Parses `text` and checks what must hold of any answer.
fn check<T: FromStr<Err = ParseError> + Display + Debug + PartialEq>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            let again = printed.parse::<T>().unwrap_or_else(|error| panic!("{text:?} prints as {error}"));
            assert_eq!(again, value, "{text:?} printed as {printed:?}");
            assert_eq!(again.to_string(), printed);
        }
        Err(error) => {
            assert!(error.position <= text.len(), "{error} points behind {text:?}");
            assert!(!error.reason.is_empty());
            assert!(error.excerpt.chars().count() <= parse_error::EXCERPT_CHARS_MAX);
            assert!(error.to_string().len() < 2048, "{error}");
        }
    }
}

/// Declares the two properties for each type, from patterns of text that mostly parses.
macro_rules! identities {
    ($($name:ident: $type:ty = $($pattern:literal)|+;)+) => {$(
        mod $name {
            use super::*;

            proptest! {
                #[test]
                fn any_text_parses_or_is_refused(text in any::<String>()) {
                    check::<$type>(&text);
                }

                #[test]
                fn print_after_parse_is_the_identity(text in prop_oneof![$($pattern),+]) {
                    check::<$type>(&text);
                }

                #[test]
                fn text_with_a_mistake_parses_or_is_refused(
                    text in prop_oneof![$($pattern),+],
                    mistakes in mistakes(),
                ) {
                    check::<$type>(&with_mistakes(&text, &mistakes));
                }
            }

            #[test]
            fn the_pattern_gives_text_that_parses() {
                let mut runner = proptest::test_runner::TestRunner::deterministic();
                let strategy = prop_oneof![$($pattern),+];
                let parses = |_| {
                    let text = strategy.new_tree(&mut runner).unwrap().current();
                    text.parse::<$type>().is_ok()
                };
                let parsed = (0..100).map(parses).filter(|ok| *ok).count();
                assert!(parsed >= 40, "only {parsed} of 100 texts parse");
            }
        }
    )+};
}

use proptest::strategy::ValueTree as _;

identities! {
    digests: Digest = "sha256:[0-9a-f]{64}" | "sha512:[0-9a-f]{128}";
    commits: CommitId = "[0-9a-f]{40}" | "[0-9a-f]{64}";
    git_refs: GitRef = "refs/(heads|tags|pull)/[a-z0-9/@._-]{1,30}" | "refs/heads/[^\\x00- ~^:?*\\[\\\\]{1,20}";
    repositories: RepositoryRef = "[a-z]{1,9}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?/[A-Za-z0-9-]{1,20}(/[A-Za-z0-9]{1,9}){0,2}/[A-Za-z0-9._-]{1,20}";
    images: ImageRef =
        "([a-z0-9]{1,9}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?/)?[a-z0-9]{1,9}([._-][a-z0-9]{1,5}){0,2}(/[a-z0-9]{1,9}){0,3}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,20})?(@sha256:[0-9a-f]{64})?"
        | "(localhost|localhost:5000|GHCR\\.io|docker\\.io|Index\\.Docker\\.io|\\[::1\\]:5000|\\[2001:DB8:0:0::1\\])/[a-z]{1,9}(/[a-z]{1,9})?(:[a-z]{1,9})?";
    image_repositories: ImageRepository = "([a-z0-9]{1,9}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?/)?[a-z0-9]{1,9}(/[a-z0-9]{1,9}){0,3}";
    tags: Tag = "[A-Za-z0-9_][A-Za-z0-9._-]{0,127}";
    workflow_paths: WorkflowPath = "\\.github/workflows/[a-z ]{1,20}\\.ya?ml";
    workflows: WorkflowRef =
        "github\\.com/[a-z]{1,9}/[a-z]{1,9}/\\.github/workflows/[a-z]{1,9}\\.yml(@refs/(heads|tags)/[a-z0-9@]{1,9}|@[0-9a-f]{40})?"
        | "gitlab\\.com(/[a-z]{1,9}){2,4}//[a-z./]{1,9}[a-z](@refs/heads/[a-z]{1,9})?";
    runs: RunId = "github\\.com/[0-9]{1,12}/[1-9][0-9]{0,18}/[1-9][0-9]{0,3}";
    purls: Purl =
        "pkg:[a-z]{1,7}/[A-Za-z0-9._~%-]{1,20}(@[A-Za-z0-9.:+-]{0,12})?(\\?[a-z]{1,5}=[A-Za-z0-9/:,]{0,9}(&[a-z]{1,5}=[a-z0-9]{0,5})?)?(#[a-z/]{1,9})?"
        | "pkg:(npm/%40|golang/|maven/|github/|deb/|brew/|cpan/)[A-Za-z.]{1,12}/[A-Za-z0-9_-]{1,9}@[0-9.]{1,9}";
    workloads: WorkloadRef = "[0-9a-f-]{36}/[a-z0-9-]{1,63}/[A-Z][A-Za-z]{1,20}/[a-z0-9.-]{1,60}";
    clusters: ClusterId = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}";
    agents: AgentId = "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?";
    cases: CaseId = "case-[0-9a-f]{32}";
    actions: ActionId = "action-[0-9a-f]{32}";
    requests: RequestId = "ask-[0-9a-f]{32}";
    event_ids: EventId = "[0-9a-f]{64}";
    event_types: EventType = "dev\\.custody\\.(source|ci|registry|cluster|fleet|verdict|case)\\.[a-z]{1,32}\\.[a-z]{1,32}\\.v[1-9][0-9]{0,8}";
    subjects: Subject =
        "custody\\.in\\.(source|ci|registry|cluster|fleet)\\.[a-z]{1,20}\\.[0-9a-f]{16}\\.[a-z]{1,9}\\.[a-z]{1,9}\\.v[1-9]"
        | "custody\\.ask\\.(registry|ci|source)\\.[0-9a-f]{16}"
        | "custody\\.out\\.(verdict|case)\\.[0-9a-f]{16}\\.[a-z]{1,9}\\.[a-z]{1,9}\\.v[1-9]";
    traces: TraceParent = "00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}";
    forge_hosts: ForgeHost = "[A-Za-z0-9]{1,9}(\\.[a-z0-9]{1,9}){0,3}(:[1-9][0-9]{0,3})?";
    forge_ids: ForgeId = "[A-Za-z0-9_-]{1,64}";
}

proptest! {
    #[test]
    fn addresses_from_certificates_never_panic(text in any::<String>(), mistakes in mistakes()) {
        let near = with_mistakes("git+https://github.com/acme/api/.github/workflows/x.yml@refs/heads/main", &mistakes);
        for text in [&text, &near] {
            let positions = [
                RepositoryRef::from_url(text).err().map(|error| error.position),
                WorkflowRef::from_url(text).err().map(|error| error.position),
                CommitId::parse_or_zero(text).err().map(|error| error.position),
            ];
            prop_assert!(positions.into_iter().flatten().all(|position| position <= text.len()));
        }
    }

    #[test]
    fn two_parts_of_a_repository_never_panic(registry in any::<String>(), name in any::<String>()) {
        let _ = ImageRepository::new(&registry, &name);
        let _ = Digest::from_parts(&registry, &name);
        let _ = name.parse::<Tag>().map(|tag| tag.evidence_subject());
    }
}
