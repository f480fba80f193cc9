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
];

/// What decides without doing must not be able to do: runtimes, networks, Kubernetes, stores, clocks.
const NOT_IN_THE_CORE: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "mio",
    "reqwest",
    "hyper",
    "axum",
    "tower",
    "rustls",
    "async-nats",
    "octocrab",
    "kube",
    "kube-client",
    "k8s-openapi",
    "redb",
    "sled",
    "rusqlite",
    "chrono",
    "time",
    "rand",
    "getrandom",
    "uuid",
    "tracing-subscriber",
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
fn the_core_links_no_runtime_network_kubernetes_store_or_clock() {
    let linked = linked_by("correlator-core");
    assert!(linked.contains("bus-schema"), "what correlator-core links is read from cargo metadata");
    assert!(linked_by("fleet-runtime").contains("mio"), "what is linked through others is seen too");
    let objections: Vec<String> = NOT_IN_THE_CORE
        .iter()
        .filter(|name| linked.contains(**name))
        .map(|name| format!("correlator-core links {name}; see cargo tree -p correlator-core -i {name}"))
        .collect();
    no_objections(
        &objections,
        "The core gets facts as inputs and gives decisions as values; drop the dependency.",
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
