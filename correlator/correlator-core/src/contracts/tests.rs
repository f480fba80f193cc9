//! Contracts from texts: what is accepted, what is refused, and what the refusal says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use super::parse::{DOCUMENT_BYTES_MAX, DOCUMENTS_PER_FILE_MAX, parse};
use super::pattern::{Glob, ImagePattern};
use super::trust_root::{Demands, EmbeddedRoot};
use super::{Claim, ContractSet};
use crate::input::ContractLoaded;

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";

fn load(documents: &[(&str, &str)]) -> Result<ContractSet, String> {
    let documents = documents.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let files = [
        ("release.pub", KEY),
        ("again.pub", KEY),
        ("root.json", "{}"),
        ("same.json", "{}"),
        ("words.pub", "no key at all"),
        (EmbeddedRoot::PublicGood.file(), "public-good"),
        (EmbeddedRoot::Github.file(), "github"),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    parse(&ContractLoaded { documents, files }).map_err(|problems| problems.to_string())
}

fn load_one(text: &str) -> Result<ContractSet, String> {
    load(&[("contracts.yaml", text)])
}

/// A small pipeline with some fields beside those that it needs.
fn pipeline(fields: &str) -> String {
    format!(
        "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: {{ name: api }}\nspec:\n  images: [ghcr.io/acme/api]\n  \
         source: {{ repository: github.com/acme/api }}\n  build: {{ workflows: [.github/workflows/release.yml] }}\n{fields}"
    )
}

fn refused(text: &str, reason: &str) {
    match load_one(text) {
        Ok(_) => panic!("accepted, though it should say {reason:?}:\n{text}"),
        Err(found) => assert!(found.contains(reason), "{found:?} does not say {reason:?}"),
    }
}

#[test]
fn a_pipeline_with_every_field_is_read() {
    let set = load_one(
        r#"
apiVersion: custody.dev/v1
kind: Pipeline
metadata: { name: payments-api }
spec:
  images: ["ghcr.io/acme/payments-api", "ghcr.io/acme/payments/**"]
  mode: block
  require: [source, build, provenance, artifact, signature, sbom]
  digests: []
  source:
    repository: github.com/acme/payments-api
    repositoryId: "4201"
    ownerId: "42"
    refs: [refs/heads/main, "refs/tags/v*"]
    reviews: 2
    signedCommits: true
    paths: ["services/payments/**"]
    reviewers: { bots: true }
  build:
    workflows: [.github/workflows/release.yml]
    triggers: [push, workflow_dispatch]
    runners: github-hosted
    requireSuccess: true
  provenance: { builders: [github-hosted, "github.com/acme/build/.github/workflows/build.yml@v3"], slsaLevel: 2 }
  artifact: { pushers: [ci-bot], immutableTags: ["v*"], releaseTags: ["v*", stable] }
  signatures:
    from: [image, attestation]
    anyOf:
      - keyless: { issuer: github-actions, workflow: .github/workflows/release.yml }
      - key: { file: release.pub, notBefore: 2026-01-01, notAfter: 2027-01-01, log: required }
  sbom: required
  deploy: { byDigest: true, clusters: ["prod-*"], namespaces: [payments] }
  settle: 90s
"#,
    )
    .unwrap();
    let pipeline = &set.pipelines["payments-api"];
    assert_eq!(pipeline.mode.as_str(), "block");
    assert_eq!(pipeline.require.len(), 6);
    assert_eq!(pipeline.settle.to_string(), "90s");
    assert!(pipeline.is_release_tag("stable") && pipeline.is_release_tag("v1"));
    assert!(pipeline.is_immutable_tag("v1") && !pipeline.is_immutable_tag("stable"));
    assert_eq!(pipeline.source.as_ref().unwrap().reviews, 2);
    assert!(set.keys["release.pub"].fingerprint.is_some());
}

#[test]
fn release_tags_are_the_immutable_ones_where_none_are_named() {
    let set = load_one(&pipeline("  artifact: { immutableTags: [\"v*\"] }\n")).unwrap();
    assert!(set.pipelines["api"].is_release_tag("v1"));
    assert!(!set.pipelines["api"].is_release_tag("latest"));
}

#[test]
fn an_unknown_field_is_refused_with_its_line_and_column() {
    let text = pipeline("  settel: 90s\n");
    let reason = load_one(&text).unwrap_err();
    assert!(reason.contains("settel"), "{reason}");
    assert!(reason.contains("line 8") && reason.contains("column 3"), "{reason}");
}

#[test]
fn the_line_counts_in_the_file_not_in_the_document() {
    let text = format!("# two documents\n{}---\n{}", pipeline(""), pipeline("  settel: 90s\n"));
    let reason = load_one(&text).unwrap_err();
    assert!(reason.contains("line 17"), "{reason}");
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let reason = load(&[
        ("a.yaml", &pipeline("  settle: soon\n")),
        ("b.yaml", "apiVersion: custody.dev/v2\nkind: Pipeline\n"),
        ("c.yaml", "apiVersion: custody.dev/v1\nkind: Policy\n"),
    ])
    .unwrap_err();
    for part in ["a.yaml: ", "b.yaml: ", "c.yaml: ", "soon", "custody.dev/v2", "Policy"] {
        assert!(reason.contains(part), "{reason:?} does not mention {part:?}");
    }
}

#[test]
fn fields_that_this_version_does_not_judge_are_refused() {
    refused(&pipeline("  require: [vulnerability]\n"), "does not judge vulnerabilities");
    refused(&pipeline("  vulnerabilities: { atMost: high }\n"), "vulnerabilities");
    let owners = pipeline("").replace(
        "repository: github.com/acme/api",
        "repository: github.com/acme/api, codeOwnersFor: [\".github/**\"]",
    );
    refused(&owners, "codeOwnersFor: this version does not judge the reviews of code owners");
}

#[test]
fn what_a_required_link_needs_is_asked_for() {
    let bare = |require: &str| {
        format!(
            "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: {{ name: api }}\nspec: {{ images: [ghcr.io/acme/api], require: {require} }}\n"
        )
    };
    refused(&bare("[source]"), "source needs the section source");
    refused(&bare("[signature]"), "signature needs signatures.anyOf");
    refused(&bare("[]"), "at least one link is needed");
    refused(&pipeline("").replace("[.github/workflows/release.yml]", "[]"), "build needs build.workflows");
    load_one(&bare("[artifact]")).unwrap();
}

#[test]
fn odd_values_are_refused_by_name() {
    refused(&pipeline("  mode: off\n"), "mode");
    refused(&pipeline("").replace("ghcr.io/acme/api", "ghcr.io/acme/*"), "image pattern");
    refused(&pipeline("").replace("github.com/acme/api", "github.com/acme/api, refs: [main]"), "refs/");
    refused(&pipeline("").replace("github.com/acme/api", "github.com/acme/api, reviews: 99"), "99 approvals");
    refused(&pipeline("  provenance: { slsaLevel: 4 }\n"), "slsaLevel");
    refused(&pipeline("  provenance: { builders: [somewhere] }\n"), "provenance.builders");
    let build = |fields: &str| pipeline("").replace("release.yml]", &format!("release.yml], {fields}"));
    refused(&build("triggers: [full_moon]"), "full_moon");
    refused(&build("runners: my-own"), "my-own");
    refused(&pipeline("").replace("name: api", "name: Api"), "metadata.name");
    refused(&pipeline("").replace("name: api", "name: default"), "cannot be called");
    refused(&pipeline("  signatures: { anyOf: [ { key: { file: gone.pub } } ] }\n"), "gone.pub");
    refused(
        &pipeline("  signatures: { anyOf: [ { key: { file: gone.pub, id: \"\" } } ] }\n"),
        "the id of key",
    );
    refused(&pipeline("  signatures: { anyOf: [ { key: { file: words.pub } } ] }\n"), "not a public key");
    let key = |validity: &str| {
        pipeline(&format!("  signatures: {{ anyOf: [ {{ key: {{ file: release.pub, {validity} }} }} ] }}\n"))
    };
    refused(&key("notBefore: 2026-02-01, notAfter: 2026-01-01"), "never valid");
    refused(&key("notBefore: 2026-01-01, notAfter: 2026-01-01"), "never valid");
    load_one(&key("notBefore: 2026-01-01, notAfter: 2026-01-02")).unwrap();
}

#[test]
fn two_equal_claims_are_refused_wherever_they_stand() {
    let other = pipeline("").replace("name: api", "name: other");
    let reason = load(&[("a.yaml", &pipeline("")), ("b.yaml", &other)]).unwrap_err();
    assert!(reason.contains("pipelines api and other both claim ghcr.io/acme/api"), "{reason}");
    let twice = load(&[("a.yaml", &pipeline("")), ("b.yaml", &pipeline(""))]).unwrap_err();
    assert!(twice.contains("declared a second time"), "{twice}");
}

#[test]
fn the_longest_entry_claims_a_repository() {
    let named = |name: &str, images: &str| {
        pipeline("").replace("name: api", &format!("name: {name}")).replace("[ghcr.io/acme/api]", images)
    };
    let set = load(&[
        ("all.yaml", &named("all", "[\"ghcr.io/acme/**\"]")),
        ("team.yaml", &named("team", "[\"ghcr.io/acme/team/**\"]")),
        ("one.yaml", &named("one", "[ghcr.io/acme/team/api]")),
    ])
    .unwrap();
    let claims = |repository: &str| match set.claim(&repository.parse().unwrap()) {
        Claim::Claimed(pipeline) => pipeline.name.clone(),
        Claim::Unclaimed => "nobody".to_owned(),
    };
    assert_eq!(claims("ghcr.io/acme/team/api"), "one");
    assert_eq!(claims("ghcr.io/acme/team/web"), "team");
    assert_eq!(claims("ghcr.io/acme/teams"), "all");
    assert_eq!(claims("ghcr.io/acmee/api"), "nobody");
    assert_eq!(claims("quay.io/acme/api"), "nobody");
}

#[test]
fn a_mirror_is_judged_as_its_origin() {
    let installation = r#"
apiVersion: custody.dev/v1
kind: Installation
metadata: { name: acme }
spec:
  mirrors: [ { from: mirror.acme.example, to: docker.io }, { from: mirror.acme.example/ghcr, to: ghcr.io } ]
"#;
    let set = load(&[("a.yaml", &pipeline("")), ("b.yaml", installation)]).unwrap();
    let is_claimed = |repository: &str| matches!(set.claim(&repository.parse().unwrap()), Claim::Claimed(_));
    assert!(is_claimed("ghcr.io/acme/api"));
    assert!(is_claimed("mirror.acme.example/ghcr/acme/api"));
    assert!(!is_claimed("mirror.acme.example/acme/api"));
    assert!(!is_claimed("mirror.acme.example/ghcrx/acme/api"));
    let origin = set.installation.origin(&"mirror.acme.example/library/redis".parse().unwrap());
    assert_eq!(origin.to_string(), "docker.io/library/redis");
}

#[test]
fn what_people_say_of_an_agent_names_one() {
    let installation = |agents: &str| {
        format!(
            "apiVersion: custody.dev/v1\nkind: Installation\nmetadata: {{ name: acme }}\nspec: {{ agents: {agents} }}\n"
        )
    };
    let load = |agents: &str| load(&[("a.yaml", &pipeline("")), ("b.yaml", &installation(agents))]);
    let set = load("{ registry: { retired: true }, ci: { completeUntil: 2026-03-02T08:10:00Z } }").unwrap();
    assert!(set.installation.agents[&"registry".parse().unwrap()].retired);
    let ci = &set.installation.agents[&"ci".parse().unwrap()];
    assert_eq!(ci.complete_until, Some("2026-03-02T08:10:00Z".parse().unwrap()));
    for (agents, part) in [
        ("{ Registry_1: { retired: true } }", "Registry_1"),
        ("{ registry: { silent: true } }", "silent"),
        ("{ registry: { completeUntil: soon } }", "soon"),
    ] {
        let problems = load(agents).unwrap_err().to_string();
        assert!(problems.contains(part), "{agents}: {problems}");
    }
}

#[test]
fn an_exception_says_who_why_until_when_and_instead_of_what() {
    let exception = |fields: &str| {
        format!(
            "{}---\napiVersion: custody.dev/v1\nkind: Exception\nmetadata: {{ name: hotfix }}\nspec:\n{fields}",
            pipeline("")
        )
    };
    let whole = "  owner: payments\n  reason: the provider was down\n  expires: 2026-06-30\n  \
                 compensatingControl: read in a call\n  scope: { pipeline: api, link: sbom }\n";
    load_one(&exception(whole)).unwrap();
    for field in ["owner", "reason", "expires", "compensatingControl", "scope"] {
        let without: String = whole
            .lines()
            .filter(|line| !line.trim_start().starts_with(field))
            .map(|line| format!("{line}\n"))
            .collect();
        refused(&exception(&without), field);
    }
    refused(&exception(&whole.replace("owner: payments", "owner: \" \"")), "owner: it must say something");
    refused(&exception(&whole.replace("2026-06-30", "soon")), "expires");
    let set = load_one(&exception(&whole.replace(", link: sbom", ""))).unwrap();
    assert!(set.warnings.iter().any(|warning| warning.contains("hotfix covers every link of every image")));
    let set = load_one(&exception(&whole.replace("link: sbom", "namespace: web"))).unwrap();
    assert!(!set.warnings.iter().any(|warning| warning.contains("hotfix")));
    let commit = "commit: \"c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1\"";
    load_one(&exception(&whole.replace("link: sbom", &format!("{commit}, link: source")))).unwrap();
    refused(&exception(&whole.replace("link: sbom", &format!("{commit}, link: sbom"))), "the link source");
    refused(
        &exception(&whole.replace("link: sbom", &format!("{commit}, namespace: web"))),
        "namespaces at once",
    );
    refused(&exception(&whole.replace("pipeline: api", "pipeline: gone")), "there is no pipeline gone");
    refused(&exception(&whole.replace("link: sbom", "rule: untrusted-running")), "rule");
    refused(&exception(&whole.replace("link: sbom", "link: weather")), "weather");
}

#[test]
fn an_exception_may_not_be_longer_than_the_administrator_allows() {
    let text = format!(
        "{}---\napiVersion: custody.dev/v1\nkind: Exception\nmetadata: {{ name: long }}\nspec: {{ owner: a, reason: b, expires: 2026-06-30, compensatingControl: c, scope: {{ pipeline: api, link: sbom }} }}\n---\napiVersion: custody.dev/v1\nkind: Installation\nmetadata: {{ name: acme }}\nspec: {{ exceptionLengthMax: 30d }}\n",
        pipeline("")
    );
    let set = load_one(&text).unwrap();
    assert_eq!(set.problems_at("2026-05-01T00:00:00Z".parse().unwrap()).len(), 1);
    assert!(set.problems_at("2026-06-01T00:00:00Z".parse().unwrap()).is_empty());
}

fn root(spec: &str) -> String {
    format!("apiVersion: custody.dev/v1\nkind: TrustRoot\nmetadata: {{ name: ours }}\nspec: {spec}\n")
}

#[test]
fn a_trust_root_names_its_file_and_its_demands() {
    let set = load_one(&root(
        "{ file: root.json, forges: [ { host: git.acme.example, issuer: \"https://token.acme.example\" } ] }",
    ))
    .unwrap();
    assert!(set.roots["ours"].demands.log && set.roots["ours"].demands.signed_time);
    assert!(set.issuers_of("git.acme.example").contains("https://token.acme.example"));
    let relaxed = load_one(&root("{ file: root.json, demands: { log: false } }")).unwrap();
    assert!(!relaxed.roots["ours"].demands.log && relaxed.roots["ours"].demands.certificate_transparency);
    assert_ne!(set.trust_version(), relaxed.trust_version(), "other demands verify again");
    refused(&root("{ file: gone.json }"), "gone.json");
    let same = root("{ file: root.json }").replace("ours", "theirs");
    refused(&format!("{}---\n{same}", root("{ file: same.json }")), "ours and theirs hold the same");
}

#[test]
fn what_a_key_is_called_decides_what_verifies() {
    let keys = |first: &str, second: &str| {
        let signer = |file: &str, id: &str| format!("{{ key: {{ file: {file}, log: not-required{id} }} }}");
        let any_of = format!("{}, {}", signer("release.pub", first), signer("again.pub", second));
        pipeline(&format!("  signatures: {{ anyOf: [ {any_of} ] }}\n"))
    };
    let version = |first: &str, second: &str| load_one(&keys(first, second)).unwrap().trust_version();
    let (none, one, other) = ("", ", id: one", ", id: other");
    assert_ne!(version(none, none), version(one, one));
    assert_ne!(version(one, one), version(other, other));
    refused(&keys(one, other), "are one key, with two ids");
    refused(&keys(none, one), "are one key, with two ids");
}

#[test]
fn a_set_that_names_no_trust_root_holds_those_that_came_with_it() {
    let set = load_one(&pipeline("")).unwrap();
    assert_eq!(set.roots.keys().collect::<Vec<_>>(), ["github", "public-good"]);
    assert_eq!(set.roots["public-good"].demands, Demands::default());
    assert_eq!(set.roots["github"].demands, Demands::TIME_ONLY);
    let documents = BTreeMap::from([("a.yaml".to_owned(), pipeline(""))]);
    assert_eq!(super::parse::named_files(&documents), ["embedded:github", "embedded:public-good"]);
    // A log from before has sets without them: those are judged as they were recorded.
    let recorded = parse(&ContractLoaded { documents, files: BTreeMap::new() }).unwrap();
    assert!(recorded.roots.is_empty());

    let set = load_one(&format!("{}---\n{}", pipeline(""), root("{ file: root.json }"))).unwrap();
    assert_eq!(set.roots.keys().collect::<Vec<_>>(), ["ours"], "a named root replaces them");
    assert!(set.warnings.iter().any(|text| text.contains("no trust root speaks for github.com")));
}

#[test]
fn documents_without_their_roots_keep_every_other_line_where_it_was() {
    let text = format!("# ours\n{}---\n{}--- # the last\nkind: Pod\n", root("{}"), pipeline(""));
    let documents = BTreeMap::from([("a.yaml".to_owned(), text.clone())]);
    let stripped = &super::parse::without_roots(&documents)["a.yaml"];
    assert!(!stripped.contains("TrustRoot"), "{stripped}");
    let is_kept = |(before, after): (&str, &str)| before == after || after.is_empty();
    assert!(text.lines().zip(stripped.lines()).all(is_kept), "{stripped}");
    assert!(stripped.contains(&pipeline("")) && stripped.ends_with("kind: Pod"), "{stripped}");
}

#[test]
fn an_embedded_root_is_named_by_its_source_and_may_be_narrowed() {
    let set = load_one(&root("{ source: public-good }")).unwrap();
    let ours = &set.roots["ours"];
    assert!(ours.speaks_for_forge("github.com", super::GITHUB_ISSUER));
    assert!(ours.speaks_for_issuer("https://accounts.google.com"));
    assert!(!ours.speaks_for_forge("github.com", "https://gitlab.com"));
    assert!(!ours.speaks_for_forge("git.acme.example", super::GITHUB_ISSUER));
    let narrow = load_one(&root("{ source: public-good, forges: [], issuers: [] }")).unwrap();
    assert!(!narrow.roots["ours"].speaks_for_issuer(super::GITHUB_ISSUER));
    // Enterprises have issuers of their own, and so have clusters and organisations.
    assert!(ours.speaks_for_issuer("https://token.actions.githubusercontent.com/acme"));
    assert!(ours.speaks_for_issuer("https://oidc.circleci.com/org/11"));
    for other in [
        "https://token.actions.githubusercontent.com.example/acme",
        "https://token.actions.githubusercontent.com/acme/more",
        "https://login.acme.example",
    ] {
        assert!(!ours.speaks_for_issuer(other), "{other}");
        assert!(!EmbeddedRoot::PublicGood.speaks_for_issuer(other), "{other}");
    }
    let wide = root(
        r#"{ file: root.json, issuerPatterns: ["https://*.acme.example"], issuerRegexps: ['https://id[0-9]+\.example'] }"#,
    );
    let wide = load_one(&wide).unwrap();
    for (issuer, counts) in [
        ("https://login.acme.example", true),
        ("https://id7.example", true),
        ("https://id7.example/more", false),
        ("https://a/b.acme.example", false),
        ("https://accounts.google.com", false),
    ] {
        assert_eq!(wide.roots["ours"].speaks_for_issuer(issuer), counts, "{issuer}");
    }
    refused(&root("{ source: public-good, issuerRegexps: [\"(\"] }"), "no regular expression");
    refused(&root("{ source: public-good, issuerPatterns: [\"\"] }"), "a pattern has");
    // What is not said of the demands stays as the instance has it.
    let github = load_one(&root("{ source: github, demands: { signedTime: true } }")).unwrap();
    assert_eq!(github.roots["ours"].demands, Demands::TIME_ONLY);

    refused(&root("{ }"), "file is missing");
    refused(&root("{ source: public-good, file: root.json }"), "exclude each other");
    refused(&root("{ file: \"embedded:public-good\" }"), "is no file");
    refused(&root("{ source: elsewhere }"), "elsewhere");
    let key = "  signatures: { anyOf: [ { key: { file: \"embedded:public-good\" } } ] }\n";
    refused(&pipeline(key), "is not there");
}

#[test]
fn what_is_revoked_names_its_part_and_its_time() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let set = load_one(&root(&format!(
        "{{ source: public-good, revokedFrom: 2026-05-01, revoked: [ {{ log: \"{digest}\", from: 2026-03-01 }} ] }}"
    )))
    .unwrap();
    assert_eq!(set.roots["ours"].revoked.len(), 2);
    let plain = load_one(&root("{ source: public-good }")).unwrap();
    assert_eq!(set.trust_version(), plain.trust_version(), "nothing has to be verified again");
    let revoked = |part: &str| root(&format!("{{ source: public-good, revoked: [ {{ {part} }} ] }}"));
    refused(&revoked("from: 2026-03-01"), "one authority or one log");
    refused(
        &revoked(&format!("log: \"{digest}\", authority: \"{digest}\", from: 2026-03-01")),
        "one authority",
    );
    refused(&revoked(&format!("log: \"{digest}\"")), "from");
    refused(&revoked("log: \"md5:aa\", from: 2026-03-01"), "md5");

    // Withdrawn under one pipeline, a key is withdrawn under all, from the earliest time on.
    let key =
        |from: &str| format!("  signatures: {{ anyOf: [ {{ key: {{ file: release.pub{from} }} }} ] }}\n");
    let other = |from: &str| {
        pipeline(&key(from)).replace("name: api", "name: other").replace("acme/api]", "acme/other]")
    };
    let text =
        format!("{}---\n{}", pipeline(&key(", revokedFrom: 2026-03-02")), other(", revokedFrom: 2026-03-01"));
    let expected = "2026-03-01T00:00:00Z".parse().unwrap();
    assert_eq!(load_one(&text).unwrap().keys["release.pub"].revoked_from, Some(expected));
    let text = format!("{}---\n{}", pipeline(&key(", revokedFrom: 2026-03-01")), other(""));
    assert_eq!(load_one(&text).unwrap().keys["release.pub"].revoked_from, Some(expected));
}

#[test]
fn an_issuer_that_no_root_speaks_for_is_a_warning() {
    let signed_under = |issuer: &str| {
        pipeline(&format!(
            "  signatures: {{ anyOf: [ {{ keyless: {{ subject: a@acme.example, issuer: \"{issuer}\" }} }} ] }}\n"
        ))
    };
    let warned = |text: &str| {
        let set = load_one(text).unwrap();
        set.warnings.iter().any(|warning| warning.contains("no trust root speaks for issuer"))
    };
    assert!(warned(&signed_under("https://login.acme.example")));
    assert!(!warned(&signed_under("https://accounts.google.com")));
}

#[test]
fn yaml_that_repeats_a_key_or_grows_without_end_is_refused() {
    refused(&pipeline("  settle: 90s\n  settle: 10s\n"), "settle");
    // Both stand in an otherwise valid pipeline, so that nothing else is wrong with them.
    let mut bomb = String::from("bomb:\n  a: &a [x, x, x, x, x, x, x, x, x]\n");
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    for pair in names.windows(2) {
        let [before, name] = pair else { unreachable!() };
        let line = std::iter::repeat_n(format!("*{before}"), 9).collect::<Vec<_>>().join(", ");
        bomb.push_str(&format!("  {name}: &{name} [{line}]\n"));
    }
    refused(&format!("{}{bomb}", pipeline("")), "budget breached: Nodes");
    let deep = format!("deep: {}x{}\n", "[".repeat(20_000), "]".repeat(20_000));
    refused(&format!("{}{deep}", pipeline("")), "recursion limit exceeded");
    let long = format!(
        "  provenance: {{ builders: [&a \"{}\", {}] }}\n",
        "x".repeat(100_000),
        vec!["*a"; 20_000].join(", ")
    );
    refused(&pipeline(&long), "budget breached");
    let many = pipeline("").replace("kind: Pipeline", "kind: Policy") + "---\n";
    refused(&many.repeat(DOCUMENTS_PER_FILE_MAX + 1), "251 documents, the limit is 250");
    assert!(load_one(&"#".repeat(DOCUMENT_BYTES_MAX + 1)).unwrap_err().contains("the limit is"));
}

#[test]
fn patterns_match_whole_texts_and_a_star_stays_in_its_segment() {
    let cases = [
        ("refs/tags/v*", "refs/tags/v1.2", true),
        ("refs/tags/v*", "refs/tags/v1/evil", false),
        ("refs/tags/v*", "x/refs/tags/v1", false),
        ("refs/heads/main", "refs/heads/main-evil", false),
        ("refs/heads/main", "refs/heads/main", true),
        (".github/**", ".github/workflows/a.yml", true),
        (".github/**", ".github", false),
        (".github/**", "docs/.github/a", false),
        ("**/go.mod", "services/a/go.mod", true),
        ("prod-*", "prod-", true),
        ("a?c", "abc", false),
        ("[ab]", "a", false),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(Glob::parse(pattern).unwrap().matches(text), expected, "{pattern:?} on {text:?}");
    }
    assert!(Glob::parse("").is_err());
    assert!(Glob::parse(&"*a".repeat(9)).is_err());
    // The worst pattern that is allowed ends soon on a long text.
    assert!(!Glob::parse("*a*a*a*a*a*a*a*b").unwrap().matches(&"a".repeat(60)));
}

#[test]
fn image_patterns_are_one_repository_or_everything_below_a_slash() {
    let read = |text: &str| serde_json::from_value::<ImagePattern>(serde_json::Value::from(text));
    for text in ["ghcr.io/acme/api", "ghcr.io/acme/**", "ghcr.io/**"] {
        assert_eq!(read(text).unwrap().to_string(), text);
    }
    for text in
        ["ghcr.io/acme**", "**", "/**", "ghcr.io/*/api", "ghcr.io/acme/**/api", "ghcr.io/acme/api:v1", ""]
    {
        assert!(read(text).is_err(), "{text:?} is accepted");
    }
}
