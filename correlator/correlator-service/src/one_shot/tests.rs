#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod claims_of_key;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::verdict::{BreakReason, LinkKind, LinkState, UnknownReason, VerdictState};
use correlator_core::contracts::GITHUB_ISSUER;
use correlator_core::contracts::trust_root::{Demands, EmbeddedRoot};
use serde_json::json;

use super::evidence_file::pieces;
use super::expectation::{
    Expectation, ExpectationError, Identity, Lenience, Ref, Roots, Signer, Source, Text, with_roots,
};
use super::*;
use crate::api::types::EvidenceState;
use crate::tests::signing_key::SigningKey;

const REPOSITORY: &str = "registry.example/acme/api";
const IGNORE_LOG: Lenience =
    Lenience { ignore_certificate_log: false, ignore_log: true, allow_undated: false };

fn digest() -> Digest {
    Digest::sha256_of(b"an image")
}

fn expecting(key: &SigningKey, lenience: Lenience) -> Expectation {
    Expectation {
        repository: REPOSITORY.parse().unwrap(),
        signer: Some(Signer::Key(key.public_pem())),
        source: None,
        builder: None,
        roots: Roots::Embedded,
        lenience,
    }
}

fn terms(expectation: &Expectation) -> Terms {
    Terms::check(&expectation.contracts().unwrap(), Timestamp::now()).unwrap()
}

fn case(expectation: &Expectation) -> Case {
    Case {
        repository: expectation.repository.clone(),
        digest: digest(),
        found: Vec::new(),
        blobs: BTreeMap::new(),
        file: None,
        end: Unavailable::NotFound,
        end_detail: "nothing beyond".to_owned(),
        looked_at: "registry.example".to_owned(),
    }
}

/// A statement about a digest in an envelope that a key signed.
fn envelope(key: &SigningKey, subject: Digest) -> Vec<u8> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "any", "digest": { subject.algorithm(): subject.hex() } }],
        "predicateType": "https://example.com/tested/v1",
        "predicate": {},
    });
    signed(key, &statement)
}

fn signed(key: &SigningKey, statement: &serde_json::Value) -> Vec<u8> {
    let statement = statement.to_string();
    let payload_type = "application/vnd.in-toto+json";
    let signed = format!("DSSEv1 {} {payload_type} {} {statement}", payload_type.len(), statement.len());
    json!({
        "payloadType": payload_type,
        "payload": STANDARD.encode(&statement),
        "signatures": [{ "sig": key.sign(signed.as_bytes()) }],
    })
    .to_string()
    .into_bytes()
}

fn judged(expectation: &Expectation, evidence: &[Vec<u8>]) -> Judged {
    let mut case = case(expectation);
    for file in evidence {
        for (item, bytes) in pieces(file).unwrap() {
            case.hand_over(item, bytes, Timestamp::now());
        }
    }
    judge(&case, &terms(expectation), Timestamp::now()).unwrap()
}

fn signature(judged: &Judged) -> &LinkState {
    &judged.verdict.link(LinkKind::Signature).unwrap().state
}

#[test]
fn a_keys_signature_is_trusted_and_without_a_log_only_where_none_is_asked_for() {
    let key = SigningKey::generate();
    let evidence = [envelope(&key, digest())];
    let trusted = judged(&expecting(&key, IGNORE_LOG), &evidence);
    assert_eq!(trusted.verdict.state, VerdictState::Trusted, "{trusted:?}");
    let refused = judged(&expecting(&key, Lenience::default()), &evidence);
    assert_ne!(refused.verdict.state, VerdictState::Trusted);
    let EvidenceState::Refused { reason, .. } = &refused.evidence[0].state else { panic!("{refused:?}") };
    assert_eq!(reason, "bad_log_entry");
}

#[test]
fn what_is_altered_or_of_another_or_about_another_is_not_trusted() {
    let (key, stranger) = (SigningKey::generate(), SigningKey::generate());
    let expectation = expecting(&key, IGNORE_LOG);
    let elsewhere = Digest::sha256_of(b"another image");
    let mut altered: serde_json::Value = serde_json::from_slice(&envelope(&key, digest())).unwrap();
    altered["signatures"][0]["sig"] = json!(key.sign(b"something else"));
    for (what, file) in [
        ("altered", altered.to_string().into_bytes()),
        ("of another", envelope(&stranger, digest())),
        ("about another", envelope(&key, elsewhere)),
    ] {
        let judged = judged(&expectation, &[file]);
        assert!(matches!(judged.verdict.state, VerdictState::Untrusted { .. }), "{what}: {judged:?}");
        assert_eq!(judged.evidence.len(), 1, "{what}");
    }
    // Rubbish beside what is right breaks nothing.
    let both = judged(&expectation, &[envelope(&stranger, digest()), envelope(&key, digest())]);
    assert_eq!(both.verdict.state, VerdictState::Trusted, "{both:?}");
}

#[test]
fn nothing_found_is_absent_and_a_place_that_failed_is_unknown() {
    let key = SigningKey::generate();
    let expectation = expecting(&key, IGNORE_LOG);
    let nothing = judged(&expectation, &[]);
    let LinkState::Absent { looked_at } = signature(&nothing) else { panic!("{nothing:?}") };
    assert_eq!(looked_at, &["registry.example"]);
    for end in [Unavailable::Denied, Unavailable::RateLimited, Unavailable::Unreachable, Unavailable::CutOff]
    {
        let mut case = case(&expectation);
        case.end = end.clone();
        let judged = judge(&case, &terms(&expectation), Timestamp::now()).unwrap();
        let LinkState::Unknown { reason, .. } = signature(&judged) else { panic!("{end:?}: {judged:?}") };
        let expected = match end {
            Unavailable::CutOff => UnknownReason::CutOff,
            _ => UnknownReason::Unreachable,
        };
        assert_eq!(reason, &expected);
        assert!(matches!(judged.verdict.state, VerdictState::Untrusted { .. }));
    }
}

#[test]
fn bytes_that_are_not_what_the_event_names_verify_nothing() {
    let key = SigningKey::generate();
    let expectation = expecting(&key, IGNORE_LOG);
    let mut case = case(&expectation);
    let (item, _) = pieces(&envelope(&key, digest())).unwrap().remove(0);
    case.hand_over(item, Bytes::from_static(b"{}"), Timestamp::now());
    let judged = judge(&case, &terms(&expectation), Timestamp::now()).unwrap();
    assert!(matches!(judged.verdict.state, VerdictState::Untrusted { .. }), "{judged:?}");
}

#[test]
fn a_repository_that_no_pipeline_claims_is_not_judged() {
    let key = SigningKey::generate();
    let expectation = expecting(&key, IGNORE_LOG);
    let mut case = case(&expectation);
    case.repository = "registry.example/acme/other".parse().unwrap();
    let refused = judge(&case, &terms(&expectation), Timestamp::now()).unwrap_err();
    assert!(
        matches!(&refused, JudgeError::Unclaimed { claimed, .. } if claimed == &[REPOSITORY]),
        "{refused}"
    );
}

#[test]
fn a_signature_by_a_key_proves_no_source() {
    let key = SigningKey::generate();
    let source = Source { uri: "github.com/acme/api".to_owned(), git_ref: Ref::Any };
    let expectation = Expectation { source: Some(source), ..expecting(&key, IGNORE_LOG) };
    let judged = judged(&expectation, &[envelope(&key, digest())]);
    let VerdictState::Untrusted { failing } = &judged.verdict.state else { panic!("{judged:?}") };
    assert_eq!(failing, &[LinkKind::Provenance]);
    assert!(signature(&judged).is_proven());
}

#[test]
fn flags_become_a_contract_that_requires_what_they_speak_of() {
    let key = SigningKey::generate();
    let source = |uri: &str, git_ref| Some(Source { uri: uri.to_owned(), git_ref });
    let identity = Identity {
        subject: Text::Exact("https://github.com/acme/api/.github/workflows/r.yml@refs/tags/v1".to_owned()),
        issuer: Text::Exact("https://token.actions.githubusercontent.com".to_owned()),
    };
    let only = |expectation: Expectation| {
        let set = contracts::check(&expectation.contracts().unwrap(), Timestamp::now()).unwrap();
        set.pipelines["command-line"].clone()
    };
    let base = || Expectation { signer: None, ..expecting(&key, Lenience::default()) };

    let signed = only(Expectation { signer: Some(Signer::Certificate(identity.clone())), ..base() });
    assert_eq!(signed.require, BTreeSet::from([LinkKind::Signature]));
    let built = only(Expectation {
        source: source("git+https://github.com/acme/api", Ref::Tag("v1".to_owned())),
        ..base()
    });
    assert_eq!(built.require, BTreeSet::from([LinkKind::Source, LinkKind::Provenance]));
    let contract = built.source.unwrap();
    assert_eq!((contract.reviews, contract.refs[0].as_str()), (0, "refs/tags/v1"));
    assert!(!contract.refs.iter().any(|glob| glob.matches("refs/tags/v1.1")));
    let any = only(Expectation { source: source("github.com/acme/api", Ref::Any), ..base() }).source.unwrap();
    assert!(any.refs.iter().any(|glob| glob.matches("refs/heads/feature/x")));
    assert!(!any.refs.iter().any(|glob| glob.matches("refs/pull/7/merge")));

    let refused = |expectation: Expectation| expectation.contracts().unwrap_err();
    assert_eq!(refused(base()), ExpectationError::Nothing);
    let builder = Some("github-hosted".to_owned());
    assert_eq!(
        refused(Expectation {
            builder: builder.clone(),
            signer: Some(Signer::Certificate(identity.clone())),
            ..base()
        }),
        ExpectationError::BuilderWithoutSource
    );
    let keyed = Expectation {
        builder,
        source: source("github.com/acme/api", Ref::Any),
        ..expecting(&key, IGNORE_LOG)
    };
    assert_eq!(refused(keyed), ExpectationError::BuilderOfKey);
    for builder in ["GoogleHostedWorker", "GoogleHostedWorker@v0.3"] {
        let of_google = Expectation {
            builder: Some(format!("https://cloudbuild.googleapis.com/{builder}")),
            source: source("github.com/acme/api", Ref::Any),
            ..base()
        };
        assert_eq!(refused(of_google), ExpectationError::BuilderOfGoogle);
    }
    let by = |signer| refused(Expectation { signer: Some(signer), ..base() });
    for text in ["", "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----", "{}"] {
        assert!(matches!(by(Signer::Key(text.to_owned())), ExpectationError::Key { .. }));
    }
    let subject = Text::Regexp("(".to_owned());
    let unclosed = Signer::Certificate(Identity { subject, ..identity });
    assert!(matches!(by(unclosed), ExpectationError::Pattern { text, .. } if text == "("));
    let starred =
        Expectation { source: source("github.com/acme/api", Ref::Branch("*".to_owned())), ..base() };
    assert!(matches!(refused(starred), ExpectationError::Ref { .. }));
    let nowhere = Expectation { source: source("not a repository", Ref::Any), ..base() };
    assert!(matches!(refused(nowhere), ExpectationError::Source(_)));
    let rootless = Expectation { roots: Roots::Given("[]".to_owned()), ..expecting(&key, IGNORE_LOG) };
    assert!(matches!(refused(rootless), ExpectationError::Root { .. }));
}

/// On a runner of somebody's own even an isolated workflow is at level 1. Of keys and private issuers no level is told.
#[test]
fn a_builder_is_expected_at_its_level() {
    let key = SigningKey::generate();
    let level = |signer: Option<Signer>, builder: Option<&str>| {
        let source = Some(Source { uri: "github.com/acme/api".to_owned(), git_ref: Ref::Any });
        let builder = builder.map(str::to_owned);
        let expectation = Expectation { signer, source, builder, ..expecting(&key, Lenience::default()) };
        let set = contracts::check(&expectation.contracts().unwrap(), Timestamp::now()).unwrap();
        set.pipelines["command-line"].provenance.slsa_level
    };
    let issued_by = |issuer: &str| {
        let [subject, issuer] = ["ann@acme.example", issuer].map(|text| Text::Exact(text.to_owned()));
        Some(Signer::Certificate(Identity { subject, issuer }))
    };
    let workflow = "slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml";
    let generators = [workflow.to_owned(), format!("https://github.com/{workflow}@v2.1.0")];
    for signer in [None, issued_by(GITHUB_ISSUER)] {
        assert_eq!(level(signer.clone(), None), 2);
        for generator in &generators {
            assert_eq!(level(signer.clone(), Some(generator)), 3, "{generator}");
        }
        assert_eq!(level(signer, Some("acme/ci/.github/workflows/build.yml")), 0);
    }
    let private = issued_by("https://login.acme.example");
    assert_eq!((level(private.clone(), None), level(private, Some(&generators[0]))), (0, 0));
    assert_eq!(level(Some(Signer::Key(key.public_pem())), None), 0);
}

/// Who names an issuer says that it counts: under the public instance, or under the root that is given, and nowhere else.
#[test]
fn a_root_speaks_for_the_issuer_that_is_expected() {
    let key = SigningKey::generate();
    let roots = |issuer: Text, roots: Roots| {
        let subject = Text::Exact("ann@acme.example".to_owned());
        let signer = Some(Signer::Certificate(Identity { subject, issuer }));
        let expectation = Expectation { signer, roots, ..expecting(&key, Lenience::default()) };
        contracts::check(&expectation.contracts().unwrap(), Timestamp::now()).unwrap().roots
    };
    let given = || {
        let root = ::evidence::embedded_root(EmbeddedRoot::PublicGood);
        Roots::Given(root.to_owned())
    };
    let exact = |issuer: &str| Text::Exact(issuer.to_owned());
    let regexp = || Text::Regexp(r"https://login\.acme\.example/.+".to_owned());
    let (known, own) = ("https://accounts.google.com", "https://login.acme.example/a");
    for issuer in [exact(own), regexp()] {
        let set = roots(issuer.clone(), Roots::Embedded);
        assert!(set["public-good"].speaks_for_issuer(own), "{issuer:?}");
        assert!(!set["public-good"].speaks_for_issuer("https://login.acme.example"), "{issuer:?}");
        assert!(!set["github"].speaks_for_issuer(own), "{issuer:?}");
        let set = roots(issuer.clone(), given());
        assert!(set["command-line"].speaks_for_issuer(own), "{issuer:?}");
        assert!(!set["command-line"].speaks_for_issuer(known), "{issuer:?}");
    }
    assert!(roots(exact(known), Roots::Embedded)["public-good"].speaks_for_issuer(known));
}

/// As `gh attestation trusted-root` writes them: one instance per line, each with its own witnesses.
#[test]
fn several_roots_may_be_given_in_one_text() {
    let key = SigningKey::generate();
    let set = |text: String| {
        let expectation = Expectation { roots: Roots::Given(text), ..expecting(&key, Lenience::default()) };
        expectation.contracts().map(|loaded| contracts::check(&loaded, Timestamp::now()).unwrap())
    };
    let [public, github] = [EmbeddedRoot::PublicGood, EmbeddedRoot::Github].map(|root| {
        let root: serde_json::Value = serde_json::from_str(::evidence::embedded_root(root)).unwrap();
        root.to_string()
    });
    let roots = set(format!("{public}\n{github}\n")).unwrap().roots;
    assert_eq!(roots.keys().collect::<Vec<_>>(), ["command-line", "command-line-2"]);
    assert_eq!(roots["command-line"].demands, Demands::default());
    assert_eq!(roots["command-line-2"].demands, Demands::TIME_ONLY);
    assert!(roots.values().all(|root| root.speaks_for_forge("github.com", GITHUB_ISSUER)));
    let refused = |text: String| set(text).unwrap_err();
    for text in [
        String::new(),
        format!("{public}\nnothing"),
        format!("{public}\n[]"),
        format!("{github}\n").repeat(9),
    ] {
        assert!(matches!(refused(text), ExpectationError::Root { .. }));
    }
}

#[test]
fn a_root_that_is_given_replaces_those_of_the_contracts() {
    let key = SigningKey::generate();
    let text =
        "apiVersion: custody.dev/v1\nkind: TrustRoot\nmetadata: { name: theirs }\nspec: { source: github }\n";
    let mut loaded = expecting(&key, Lenience::default()).contracts().unwrap();
    loaded.documents.insert("roots.yaml".to_owned(), text.to_owned());
    let names = |loaded: &ContractLoaded| {
        let set = contracts::check(loaded, Timestamp::now()).unwrap();
        set.roots.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names(&loaded), ["theirs"]);
    let given = Roots::Given(::evidence::embedded_root(EmbeddedRoot::PublicGood).to_owned());
    let replaced = with_roots(loaded.clone(), &given, Lenience::default()).unwrap();
    assert_eq!(names(&replaced), ["command-line"]);
    let kept = with_roots(loaded, &Roots::Embedded, Lenience::default()).unwrap();
    assert_eq!(names(&kept), ["theirs"]);
}

#[test]
fn a_workflow_without_a_forge_is_one_of_the_source_s() {
    let key = SigningKey::generate();
    let builders = |builder: &str| {
        let source = Source { uri: "https://git.acme.example/acme/api".to_owned(), git_ref: Ref::Any };
        let (builder, source) = (Some(builder.to_owned()), Some(source));
        let expectation =
            Expectation { signer: None, builder, source, ..expecting(&key, Lenience::default()) };
        let contracts = expectation.contracts().unwrap();
        contracts.documents.values().cloned().collect::<String>()
    };
    let workflow = "acme/ci/.github/workflows/build.yml";
    for builder in [workflow, &format!("git.acme.example/{workflow}")] {
        assert!(builders(builder).contains(&format!("[\"git.acme.example/{workflow}\"]")), "{builder}");
    }
    for builder in [&format!("https://github.com/{workflow}"), "github-hosted"] {
        assert!(builders(builder).contains(&format!("[\"{builder}\"]")), "{builder}");
    }
}

#[test]
fn a_wrong_signer_is_named_with_the_one_expected() {
    let (key, stranger) = (SigningKey::generate(), SigningKey::generate());
    // The stranger's key is known to the contracts, and still not the one of this pipeline.
    let expectation = expecting(&key, IGNORE_LOG);
    let (mut case, mut contracts) = (case(&expectation), expectation.contracts().unwrap());
    let other = Expectation {
        repository: "registry.example/other/api".parse().unwrap(),
        ..expecting(&stranger, IGNORE_LOG)
    };
    let other = other.contracts().unwrap();
    // The pipeline without the roots, which are named already.
    let pipeline = other.documents["command-line.yaml"].lines().next().unwrap();
    let text = pipeline.replace("command-line", "other");
    contracts.documents.insert("other.yaml".to_owned(), text);
    contracts.files.insert("other.pub".to_owned(), stranger.public_pem());
    for (item, bytes) in pieces(&envelope(&stranger, digest())).unwrap() {
        case.hand_over(item, bytes, Timestamp::now());
    }
    let terms = Terms::check(&contracts, Timestamp::now()).unwrap();
    let judged = judge(&case, &terms, Timestamp::now()).unwrap();
    let LinkState::Broken { breaks } = signature(&judged) else { panic!("{judged:?}") };
    assert_eq!(breaks[0].reason, BreakReason::WrongSigner);
}
