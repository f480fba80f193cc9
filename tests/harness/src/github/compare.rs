//! `GET /repos/{owner}/{repo}/compare/{basehead}`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::model::{Commit, Model, Repository};
use super::shape;

/// The comparison of two commits, with the given page of the commits that only the head has.
pub(super) fn compare(
    model: &Model,
    repository: &Repository,
    basehead: &str,
    per_page: usize,
    page: usize,
) -> Option<Value> {
    let (base, head) = basehead.split_once("...")?;
    let (base, head) = (repository.commits.get(base)?, repository.commits.get(head)?);
    let ahead = repository.range(Some(&base.sha), &head.sha);
    let behind = repository.range(Some(&head.sha), &base.sha);
    let status = match (ahead.len(), behind.len()) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let fork = merge_base(repository, base, head)?;
    let listed = ahead.iter().skip(per_page * (page - 1)).take(per_page);
    let url = format!("{}/compare/{basehead}", shape::api_of(model, repository));
    let html = format!("{}/compare/{basehead}", shape::page_of(model, repository));
    Some(json!({
        "url": url, "html_url": html, "permalink_url": html, "diff_url": format!("{html}.diff"),
        "patch_url": format!("{html}.patch"), "status": status, "ahead_by": ahead.len(),
        "behind_by": behind.len(), "total_commits": ahead.len(),
        "base_commit": shape::commit(model, repository, base, false),
        "merge_base_commit": shape::commit(model, repository, fork, false),
        "commits": listed.map(|commit| shape::commit(model, repository, commit, false)).collect::<Vec<_>>(),
        "files": files(repository, fork, head, page, &html, &url),
    }))
}

/// GitHub's bound on the files of a comparison, all of which are on its first page.
const FILES_MAX: usize = 300;

/// What the head has beyond the fork.
fn files(
    repository: &Repository,
    fork: &Commit,
    head: &Commit,
    page: usize,
    html: &str,
    url: &str,
) -> Vec<Value> {
    if page > 1 {
        return Vec::new();
    }
    let (before, after) = (repository.tree(&fork.sha), repository.tree(&head.sha));
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = paths.into_iter().filter_map(|path| {
        let (blob, status) = match (before.get(path), after.get(path)) {
            (Some(before), None) => (before, "removed"),
            (None, Some(after)) => (after, "added"),
            (Some(before), Some(after)) if before != after => (after, "modified"),
            _ => return None,
        };
        Some(shape::file(html, url, path, blob, status))
    });
    changed.take(FILES_MAX).collect()
}

/// The newest commit that both reach, by time.
fn merge_base<'a>(repository: &'a Repository, base: &Commit, head: &Commit) -> Option<&'a Commit> {
    let of_head = repository.reachable(&head.sha);
    let common = repository.reachable(&base.sha).into_iter().filter(|sha| of_head.contains(sha));
    common.filter_map(|sha| repository.commits.get(&sha)).max_by_key(|commit| commit.at)
}
