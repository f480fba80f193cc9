//! What a key's holder writes about the build, compared with flags and with contracts.

use super::*;

const SOURCE: &str = "github.com/acme/api";
const BUILDKIT: &str = "https://mobyproject.org/buildkit@v1";
const OWN_WORKFLOW: &str = "https://github.com/acme/api/.github/workflows/release.yml@refs/heads/main";

/// Signed provenance of the image by a builder, with what stands behind the `@` of its source.
fn provenance(key: &SigningKey, builder: &str, revision: Option<&str>) -> Vec<u8> {
    let revision = revision.map(|revision| format!("@{revision}")).unwrap_or_default();
    let subject = digest();
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "any", "digest": { subject.algorithm(): subject.hex() } }],
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "predicate": {
            "builder": { "id": builder },
            "buildType": "https://example.com/built/v1",
            "invocation": { "configSource": {
                "uri": format!("git+https://{SOURCE}{revision}"),
                "digest": { "sha1": "c".repeat(40) },
            } },
        },
    });
    signed(key, &statement)
}

fn breaks(judged: &Judged) -> Vec<BreakReason> {
    match &judged.verdict.link(LinkKind::Provenance).unwrap().state {
        LinkState::Broken { breaks } => breaks.iter().map(|found| found.reason.clone()).collect(),
        LinkState::Proven { .. } => Vec::new(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ref_that_is_asked_for_must_be_the_one_that_is_stated() {
    let key = SigningKey::generate();
    let check = |asked: Ref, stated: Option<&str>| {
        let source = Some(Source { uri: SOURCE.to_owned(), git_ref: asked });
        let expectation = Expectation { source, ..expecting(&key, IGNORE_LOG) };
        let judged = judged(&expectation, &[provenance(&key, BUILDKIT, stated)]);
        let breaks = breaks(&judged);
        assert_eq!(judged.verdict.state == VerdictState::Trusted, breaks.is_empty(), "{judged:?}");
        breaks
    };
    let (tag, branch) = (|| Ref::Tag("v2".to_owned()), || Ref::Branch("main".to_owned()));
    assert_eq!(check(tag(), Some("refs/tags/v2")), []);
    assert_eq!(check(branch(), Some("refs/heads/main")), []);
    for stated in [None, Some("v1"), Some("v2"), Some("main"), Some("refs/tags/v1"), Some("refs/heads/v2")] {
        assert_eq!(check(tag(), stated), [BreakReason::WrongRef], "{stated:?}");
        assert!(stated == Some("refs/heads/main") || check(branch(), stated) == [BreakReason::WrongRef]);
    }
    // Any branch or tag, and where none is stated that may be any.
    for stated in [None, Some("main"), Some("refs/tags/v1")] {
        assert_eq!(check(Ref::Any, stated), [], "{stated:?}");
    }
    assert_eq!(check(Ref::Any, Some("refs/pull/7/merge")), [BreakReason::WrongRef]);
}

/// Under a contract that requires provenance by the key, with these lines of `source` and `provenance`.
fn under(key: &SigningKey, source: &str, builders: &str, evidence: Vec<u8>) -> Vec<BreakReason> {
    let text = format!(
        "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: {{ name: api }}\nspec:\n  images: [{REPOSITORY:?}]\n  \
         require: [provenance]\n  source: {{ repository: {SOURCE}{source} }}\n{builders}  signatures:\n    anyOf: \
         [{{ key: {{ file: release.pub, log: not-required }} }}]\n"
    );
    let contracts = ContractLoaded {
        documents: BTreeMap::from([("api.yaml".to_owned(), text)]),
        files: BTreeMap::from([("release.pub".to_owned(), key.public_pem())]),
    };
    let mut case = case(&expecting(key, IGNORE_LOG));
    for (item, bytes) in pieces(&evidence).unwrap() {
        case.hand_over(item, bytes, Timestamp::now());
    }
    let terms = Terms::check(&contracts, Timestamp::now()).unwrap();
    breaks(&judge(&case, &terms, Timestamp::now()).unwrap())
}

#[test]
fn a_contract_that_writes_refs_is_not_met_without_one() {
    let key = SigningKey::generate();
    let check = |source: &str, stated| under(&key, source, "", provenance(&key, BUILDKIT, stated));
    let tags = ", refs: [refs/tags/v2]";
    assert_eq!(check(tags, Some("refs/tags/v2")), []);
    for stated in [None, Some("v2"), Some("refs/tags/v1")] {
        assert_eq!(check(tags, stated), [BreakReason::WrongRef], "{stated:?}");
    }
    // Of a contract that writes none, another ref is refused, and a producer that states none is not.
    assert_eq!(check("", None), []);
    assert_eq!(check("", Some("refs/heads/other")), [BreakReason::WrongRef]);
    assert_eq!(check(", refs: [\"refs/heads/**\", \"refs/tags/**\"]", None), []);
    assert_eq!(check(", refs: [\"refs/heads/**\"]", None), [BreakReason::WrongRef]);
}

#[test]
fn a_contract_that_names_builders_is_met_by_no_other() {
    let key = SigningKey::generate();
    let check = |builders: &str, stated: &str| {
        under(&key, "", builders, provenance(&key, stated, Some("refs/heads/main")))
    };
    let (none, hosted) = ("", "  provenance: { builders: [github-hosted] }\n");
    let shared =
        "  provenance: { builders: [\"github.com/acme/ci/.github/workflows/build.yml@refs/tags/v*\"] }\n";
    let shared_at = |revision| format!("https://github.com/acme/ci/.github/workflows/build.yml@{revision}");
    for builder in [BUILDKIT, OWN_WORKFLOW] {
        assert_eq!(check(none, builder), [], "{builder}");
    }
    let run = "https://github.com/acme/api/actions/runs/7/attempts/1";
    for builder in [OWN_WORKFLOW, run, "https://github.com/actions/runner/github-hosted"] {
        assert_eq!(check(hosted, builder), [], "{builder}");
        assert_eq!(check(shared, builder), [BreakReason::WrongBuilder], "{builder}");
    }
    assert_eq!(check(shared, &shared_at("refs/tags/v1")), []);
    let elsewhere = "https://github.com/stranger/api/actions/runs/7/attempts/1";
    for builder in [BUILDKIT, elsewhere, &shared_at("refs/tags/v1")] {
        assert_eq!(check(hosted, builder), [BreakReason::WrongBuilder], "{builder}");
    }
    for builder in [BUILDKIT, &shared_at("refs/heads/v1"), "github.com/acme/ci"] {
        assert_eq!(check(shared, builder), [BreakReason::WrongBuilder], "{builder}");
    }
}
