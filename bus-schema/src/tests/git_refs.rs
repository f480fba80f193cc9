//! Git references against git-check-ref-format(1).

use crate::GitRef;

fn accepted(text: &str) {
    assert_eq!(text.parse::<GitRef>().unwrap().as_str(), text);
}

fn refused(text: &str, position: usize) {
    let error = text.parse::<GitRef>().expect_err(text);
    assert_eq!(error.position, position, "{error}");
}

#[test]
fn names_that_git_allows_parse() {
    for name in
        ["main", "release/2.x", "feature/@home", "user@host", "-dash", "émoji-🚀", "a.lock.b", "{a}", "@"]
    {
        accepted(&format!("refs/heads/{name}"));
    }
    accepted("refs/pull/7/merge");
    accepted("refs/tags/pkg@1.0.0");
}

#[test]
fn names_that_git_does_not_allow_are_refused_where_they_go_wrong() {
    refused("main", 0);
    refused("refs/heads", 10);
    refused("refs/heads/", 10);
    refused("refs//heads/main", 4);
    refused("refs/heads/a..b", 12);
    refused("refs/heads/.a", 10);
    refused("refs/heads/a/.b", 12);
    refused("refs/heads/a.", 12);
    refused("refs/heads/a.lock", 12);
    refused("refs/heads/a.lock/b", 12);
    refused("refs/heads/a@{1}", 12);
    for bad in [' ', '~', '^', ':', '?', '*', '[', '\\', '\u{7f}', '\t', '\u{1b}'] {
        refused(&format!("refs/heads/a{bad}b"), 12);
    }
    refused(&format!("refs/heads/{}", "a".repeat(1024)), 1024);
}

#[test]
fn branches_and_tags_are_told_apart() {
    assert_eq!(GitRef::branch("main").unwrap().as_branch(), Some("main"));
    assert_eq!(GitRef::branch("main").unwrap().as_tag(), None);
    assert_eq!(GitRef::tag("v1").unwrap().as_tag(), Some("v1"));
    assert!(GitRef::branch("../../tags/v1").is_err());
    assert!(GitRef::branch("").is_err());
}
