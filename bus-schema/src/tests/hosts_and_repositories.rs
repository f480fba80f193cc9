//! Repositories on forges, their web addresses, and workflows in them.

use crate::workflow::WorkflowRevision;
use crate::{ForgeHost, ForgeId, RepositoryRef, WorkflowRef};

#[test]
fn a_repository_is_host_owner_and_name() {
    let repository: RepositoryRef = "GitHub.com/acme/payments-api".parse().unwrap();
    assert_eq!(repository.to_string(), "github.com/acme/payments-api");
    let nested: RepositoryRef = "gitlab.example:8443/acme/shop/api".parse().unwrap();
    assert_eq!((nested.owner.as_str(), nested.name.as_str()), ("acme/shop", "api"));
}

#[test]
fn a_repository_is_refused_where_it_goes_wrong() {
    let refused = |text: &str, position: usize| {
        let error = text.parse::<RepositoryRef>().expect_err(text);
        assert_eq!(error.position, position, "{error}");
    };
    refused("", 0);
    refused("github.com", 10);
    refused("github.com/acme", 15);
    refused("github.com//api", 11);
    refused("github.com/acme/", 16);
    refused("github.com/acme/..", 16);
    refused("github.com/a/../api", 13);
    refused("github.com/ac me/api", 13);
    refused("github.com:http/acme/api", 11);
    refused("user@github.com/acme/api", 4);
    refused("github.com/acme/api?x", 19);
}

#[test]
fn a_web_address_names_a_repository() {
    for text in [
        "https://github.com/acme/api",
        "https://github.com/acme/api.git",
        "https://github.com/acme/api/",
        "git+https://github.com/acme/api.git",
        "http://github.com/acme/api",
    ] {
        assert_eq!(RepositoryRef::from_url(text).unwrap().path(), "github.com/acme/api", "{text}");
    }
    let refused = |text: &str, position: usize| {
        assert_eq!(RepositoryRef::from_url(text).expect_err(text).position, position, "{text}");
    };
    refused("ssh://github.com/acme/api", 0);
    refused("github.com/acme/api", 0);
    refused("https://token@github.com/acme/api", 13);
    refused("git+https://github.com/acme/a pi", 29);
    refused("https://github.com/acme/api#main", 27);
}

#[test]
fn ids_decide_where_both_sides_have_them() {
    let named = |id: Option<u64>| {
        let repository: RepositoryRef = "github.com/acme/api".parse().unwrap();
        repository.with_ids(id.map(ForgeId::from), None)
    };
    assert!(named(Some(1)).is_same(&named(Some(1))));
    assert!(!named(Some(1)).is_same(&named(Some(2))));
    assert!(named(Some(1)).is_same(&named(None)));
    let renamed: RepositoryRef = "github.com/other/name".parse().unwrap();
    assert!(renamed.clone().with_ids(Some(ForgeId::from(1)), None).is_same(&named(Some(1))));
    assert!(!renamed.is_same(&named(None)));
    let elsewhere: RepositoryRef = "git.example/acme/api".parse().unwrap();
    assert!(!elsewhere.with_ids(Some(ForgeId::from(1)), None).is_same(&named(Some(1))));
}

#[test]
fn a_host_has_one_text() {
    let check =
        |text: &str, expected: &str| assert_eq!(text.parse::<ForgeHost>().unwrap().as_str(), expected);
    check("GitHub.COM", "github.com");
    check("git.example:8443", "git.example:8443");
    check("[2001:DB8:0:0::1]:443", "[2001:db8::1]:443");
    for text in
        ["", ".", "a..b", ":80", "git.example:", "git.example:443:1", "git_hub.example", "git.example:00443"]
    {
        assert!(text.parse::<ForgeHost>().is_err(), "{text:?}");
    }
}

#[test]
fn a_workflow_is_a_file_in_a_repository_at_a_ref_or_commit() {
    let at_ref = "github.com/acme/api/.github/workflows/release.yml@refs/tags/v1@rc";
    let workflow: WorkflowRef = at_ref.parse().unwrap();
    assert_eq!(workflow.repository.path(), "github.com/acme/api");
    assert_eq!(workflow.path.as_str(), ".github/workflows/release.yml");
    assert_eq!(workflow.git_ref().map(|git_ref| git_ref.as_str()), Some("refs/tags/v1@rc"));
    assert_eq!(workflow.to_string(), at_ref);
    let commit = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let pinned: WorkflowRef =
        format!("github.com/acme/api/.github/workflows/x.yml@{commit}").parse().unwrap();
    assert!(matches!(pinned.revision, Some(WorkflowRevision::Commit(_))));
    let bare: WorkflowRef = "github.com/acme/api/ci.yml".parse().unwrap();
    assert_eq!(bare.revision, None);
}

#[test]
fn nested_groups_end_at_a_double_slash() {
    let text = "gitlab.com/acme/shop/api//.gitlab-ci.yml@refs/heads/main";
    let workflow = WorkflowRef::from_url(&format!("https://{text}")).unwrap();
    assert_eq!(workflow.repository.path(), "gitlab.com/acme/shop/api");
    assert_eq!(workflow.path.as_str(), ".gitlab-ci.yml");
    assert_eq!(workflow.to_string(), text);
    let flat: WorkflowRef = "gitlab.com/acme/api//.gitlab-ci.yml".parse().unwrap();
    assert_eq!(flat.to_string(), "gitlab.com/acme/api/.gitlab-ci.yml");
}

#[test]
fn a_workflow_is_refused_where_it_goes_wrong() {
    let refused = |text: &str, position: usize| {
        let error = text.parse::<WorkflowRef>().expect_err(text);
        assert_eq!(error.position, position, "{error}");
    };
    refused("github.com/acme/api", 19);
    refused("github.com/acme/api/", 20);
    refused("github.com/acme/api/a/../b.yml", 22);
    refused("github.com/acme/api/x.yml@", 26);
    refused("github.com/acme/api/x.yml@main", 26);
    refused("github.com/acme/api/x.yml@refs/heads/a b", 38);
    let error = WorkflowRef::from_url("ftp://github.com/acme/api/x.yml").unwrap_err();
    assert_eq!(error.position, 0);
}
