//! The role in `deploy/cluster-agent` allows what the agent asks for, and nothing but reading.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde::Deserialize;

use crate::settings::default_owner_kinds;

#[derive(Deserialize)]
struct ClusterRole {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
    verbs: Vec<String>,
}

fn role() -> ClusterRole {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/cluster-agent/cluster-role.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn allows(role: &ClusterRole, group: &str, resource: &str, verb: &str, name: &str) -> bool {
    let has = |list: &[String], word: &str| list.iter().any(|entry| entry == word);
    role.rules.iter().any(|rule| {
        has(&rule.api_groups, group)
            && has(&rule.resources, resource)
            && has(&rule.verbs, verb)
            && (rule.resource_names.is_empty() || has(&rule.resource_names, name))
    })
}

#[test]
fn everything_that_the_agent_asks_for_is_allowed() {
    let role = role();
    for verb in ["list", "watch"] {
        assert!(allows(&role, "", "pods", verb, "any"), "{verb}");
    }
    assert!(allows(&role, "", "namespaces", "get", "kube-system"));
    for kind in default_owner_kinds() {
        assert!(allows(&role, &kind.group, &kind.plural, "get", "any"), "{kind:?}");
    }
}

#[test]
fn nothing_but_reading_is_allowed_and_no_secret() {
    let role = role();
    for rule in &role.rules {
        assert!(rule.verbs.iter().all(|verb| ["get", "list", "watch"].contains(&verb.as_str())));
        assert!(
            rule.resources
                .iter()
                .all(|resource| !["*", "secrets", "configmaps"].contains(&resource.as_str()))
        );
        assert!(rule.resources.iter().all(|resource| !resource.contains('/')));
        assert!(!rule.api_groups.iter().any(|group| group == "*"));
    }
    assert!(!allows(&role, "", "namespaces", "get", "default"));
}
