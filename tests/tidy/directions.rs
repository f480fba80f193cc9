//! Who may depend on whom. The table is the one of ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;

use crate::repository::{metadata, no_objections, root};

/// Each crate with the crates of the workspace that it may depend on. A crate that is not here does not belong yet.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("bus-schema", &[]),
    ("fleet-runtime", &["bus-schema"]),
    ("github-client", &["bus-schema", "fleet-runtime"]),
    ("source-agent", &["bus-schema", "fleet-runtime", "github-client"]),
    ("ci-agent", &["bus-schema", "fleet-runtime", "github-client"]),
    ("registry-agent", &["bus-schema", "fleet-runtime"]),
    ("cluster-agent", &["bus-schema", "fleet-runtime"]),
    ("admission-gate", &["bus-schema", "fleet-runtime", "correlator-core"]),
    ("responder", &["bus-schema", "fleet-runtime"]),
    ("correlator-core", &["bus-schema"]),
    ("evidence", &["bus-schema", "correlator-core"]),
    ("correlator-store", &["bus-schema", "correlator-core"]),
    (
        "correlator-service",
        &["bus-schema", "fleet-runtime", "correlator-core", "correlator-store", "evidence"],
    ),
];

/// Crates from outside that few may know, with those who may.
const KNOWN_TO: &[(&str, &[&str])] = &[
    ("async-nats", &["fleet-runtime"]),
    ("kube", &["cluster-agent", "admission-gate", "responder"]),
    ("k8s-openapi", &["cluster-agent", "admission-gate", "responder"]),
    ("octocrab", &["github-client"]),
    ("redb", &["fleet-runtime", "correlator-store", "registry-agent"]),
    ("sigstore", &["evidence"]),
    ("sigstore-verify", &["evidence"]),
    ("sigstore-tuf", &["correlator-service"]),
    // The command signs for the conformance suite; nothing else does.
    ("sigstore-sign", &["cli"]),
];

/// All that ends up in a program because of `bus-schema`: text, hashes, JSON and its schemas, the types of time.
const LINKED_BY_THE_SCHEMA: &[&str] = &[
    "base64",
    "block-buffer",
    "bus-schema",
    "cfg-if",
    "cmov",
    "const-oid",
    "cpufeatures",
    "crypto-common",
    "ctutils",
    "digest",
    "dyn-clone",
    "hex",
    "hybrid-array",
    "itoa",
    "jiff",
    "jiff-core",
    "jiff-static",
    "libc",
    "log",
    "memchr",
    "packageurl",
    "percent-encoding",
    "ref-cast",
    "ref-cast-impl",
    "schemars",
    "schemars_derive",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "sha2",
    "thiserror",
    "thiserror-impl",
    "typenum",
    "zmij",
];
/// What the core links beyond it: the reader of contracts in YAML, regular expressions, and what those bring.
const LINKED_BY_THE_CORE: &[&str] = &[
    "aho-corasick",
    "annotate-snippets",
    "anstyle",
    "arraydeque",
    "core_detect",
    "correlator-core",
    "encoding_rs",
    "encoding_rs_io",
    "granit-parser",
    "multiversion_no_op",
    "nohash-hasher",
    "num-traits",
    "regex",
    "regex-automata",
    "regex-syntax",
    "scopeguard",
    "serde-saphyr",
    "simdutf8",
    "smallvec",
    "unicode-width",
];
/// What `evidence` names: the types of facts, encodings, certificates, and the libraries that verify. What those bring is
/// theirs: that nothing of it opens a connection or reads a clock is checked where they are called, in the text.
const NAMED_BY_EVIDENCE: &[&str] = &[
    "aws-lc-rs",
    "base64",
    "bus-schema",
    "correlator-core",
    "digest",
    "ed25519-dalek",
    "hex",
    "jiff",
    "rustls-pki-types",
    "rustls-webpki",
    "serde",
    "serde_json",
    "sha2",
    "sigstore",
    "sigstore-merkle",
    "sigstore-verify",
    "thiserror",
    "x509-cert",
];

/// The command may use everything, and nothing uses it.
const COMMAND: &str = "cli";
/// The crates below this folder stand outside: they may use everything, and nothing of the product uses them.
const TESTS_FOLDER: &str = "tests/";

#[test]
fn crates_depend_on_each_other_in_the_stated_directions_only() {
    let mut objections = Vec::new();
    for (name, dependencies) in products() {
        let allowed: Vec<&str> = match MAY_DEPEND_ON.iter().find(|(known, _)| *known == name) {
            Some((_, allowed)) => allowed.to_vec(),
            None if name == COMMAND => continue,
            None => {
                objections.push(format!("{name} is not in the table of directions"));
                continue;
            }
        };
        let is_wrong = |on: &&String| members().contains_key(on.as_str()) && !allowed.contains(&on.as_str());
        let wrong = dependencies.iter().filter(is_wrong);
        objections.extend(wrong.map(|dependency| format!("{name} must not depend on {dependency}")));
    }
    no_objections(
        &objections,
        "Move the shared part to the crate that both may know, or, when the architecture changes, change its table here and in \
         ARCHITECTURE.md.",
    );
}

#[test]
fn nothing_depends_on_the_command_or_on_the_tests() {
    let mut objections = Vec::new();
    for (name, dependencies) in products() {
        let is_outside = |on: &&String| members().contains_key(on.as_str()) && !is_below(on.as_str());
        objections.extend(dependencies.iter().filter(is_outside).map(|on| format!("{name} depends on {on}")));
    }
    no_objections(&objections, "Move what is needed into a crate below both.");
}

fn is_below(name: &str) -> bool {
    name != COMMAND && products().any(|(product, _)| product == name)
}

#[test]
fn only_one_place_knows_each_client() {
    let mut objections = Vec::new();
    for (name, dependencies) in products() {
        for (client, may) in KNOWN_TO {
            if dependencies.contains(*client) && !may.contains(&name) {
                objections.push(format!("{name} must not depend on {client}: only {} may", may.join(", ")));
            }
        }
    }
    no_objections(&objections, "Use the crate that wraps it.");
}

#[test]
fn the_core_and_the_schema_link_only_what_is_listed() {
    assert!(linked_by("fleet-runtime").contains("mio"), "what is linked through others is seen too");
    let core = [LINKED_BY_THE_SCHEMA, LINKED_BY_THE_CORE].concat();
    let mut objections = Vec::new();
    for (name, listed) in [("bus-schema", LINKED_BY_THE_SCHEMA), ("correlator-core", &core[..])] {
        let linked = linked_by(name);
        assert!(linked.contains("serde_json"), "what {name} links is read from cargo metadata");
        let unlisted = linked.iter().filter(|linked| !listed.contains(&linked.as_str()));
        objections.extend(
            unlisted.map(|linked| format!("{name} links {linked}: cargo tree -p {name} -i {linked}")),
        );
    }
    no_objections(
        &objections,
        "They get facts as inputs and give values: no runtime, network, Kubernetes, store or clock. Drop the dependency, or \
         list it when it has none of these.",
    );
}

#[test]
fn evidence_names_only_what_is_listed() {
    let packages = metadata()["packages"].as_array().unwrap();
    let evidence = packages.iter().find(|package| package["name"] == "evidence").unwrap();
    let named = evidence["dependencies"].as_array().unwrap().iter();
    let named =
        named.filter(|dependency| dependency["kind"].is_null()).map(|dependency| text(&dependency["name"]));
    let objections: Vec<String> = named
        .filter(|name| !NAMED_BY_EVIDENCE.contains(&name.as_str()))
        .map(|name| format!("evidence depends on {name}"))
        .collect();
    no_objections(
        &objections,
        "It verifies bytes against roots, and nothing else: leave I/O and time to the caller.",
    );
}

/// One crate of the workspace.
struct Member {
    /// Whether it is part of the product and not of its tests.
    is_product: bool,
    /// Everything that it names as a dependency, of any kind.
    dependencies: BTreeSet<String>,
}

fn products() -> impl Iterator<Item = (&'static str, &'static BTreeSet<String>)> {
    members()
        .iter()
        .filter(|(_, member)| member.is_product)
        .map(|(name, member)| (name.as_str(), &member.dependencies))
}

fn members() -> &'static BTreeMap<String, Member> {
    static MEMBERS: OnceLock<BTreeMap<String, Member>> = OnceLock::new();
    MEMBERS.get_or_init(|| {
        let ids = metadata()["workspace_members"].as_array().unwrap();
        let packages = metadata()["packages"].as_array().unwrap();
        let member = |package: &Value| {
            let manifest = PathBuf::from(text(&package["manifest_path"]));
            let is_product = !manifest.starts_with(root().join(TESTS_FOLDER));
            let dependencies = package["dependencies"].as_array().unwrap();
            let dependencies = dependencies.iter().map(|dependency| text(&dependency["name"])).collect();
            (text(&package["name"]), Member { is_product, dependencies })
        };
        packages.iter().filter(|package| ids.contains(&package["id"])).map(member).collect()
    })
}

/// The names of all packages that end up in a program because of `name`: its dependencies that are neither for building nor
/// for testing, and theirs.
fn linked_by(name: &str) -> BTreeSet<String> {
    let packages = metadata()["packages"].as_array().unwrap();
    let names: BTreeMap<&str, String> =
        packages.iter().map(|package| (package["id"].as_str().unwrap(), text(&package["name"]))).collect();
    let nodes: BTreeMap<&str, &Value> = metadata()["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    let is_linked = |dependency: &&Value| {
        dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null())
    };
    let mut waiting: Vec<&str> =
        names.iter().filter(|(_, known)| *known == name).map(|(id, _)| *id).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !found.insert(id) {
            continue;
        }
        // A macro runs in the compiler; what it uses is not linked.
        if is_macro(packages, id) {
            continue;
        }
        let dependencies = nodes[id]["deps"].as_array().unwrap().iter().filter(is_linked);
        waiting.extend(dependencies.map(|dependency| dependency["pkg"].as_str().unwrap()));
    }
    found.into_iter().map(|id| names[id].clone()).collect()
}

fn is_macro(packages: &[Value], id: &str) -> bool {
    let package = packages.iter().find(|package| package["id"] == id).unwrap();
    let targets = package["targets"].as_array().unwrap();
    targets.iter().any(|target| target["kind"].as_array().unwrap().contains(&Value::from("proc-macro")))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
