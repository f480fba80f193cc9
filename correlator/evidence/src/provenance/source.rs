//! Source URIs of provenance: `git+https://github.com/acme/api@refs/heads/main`, `https://…/api.git#refs/tags/v1`, and the web
//! address of a commit (`https://github.com/acme/api/commit/…`).

use bus_schema::{CommitId, GitRef, RepositoryRef};

/// What a source URI names, as far as it parses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) repository: Option<RepositoryRef>,
    pub(super) git_ref: Option<GitRef>,
    pub(super) commit: Option<CommitId>,
}

impl Source {
    pub(super) fn parse(uri: &str) -> Source {
        let (location, revision) = split_revision(uri);
        let location = location.strip_prefix("git+").unwrap_or(location);
        let (location, commit) = split_commit(location);
        let repository = match location.strip_prefix("ssh://git@") {
            Some(rest) => RepositoryRef::from_url(&format!("https://{rest}")).ok(),
            None => RepositoryRef::from_url(location).ok(),
        };
        let git_ref = revision.and_then(|revision| revision.parse().ok());
        // BuildKit writes the commit where others write a ref.
        let commit = commit.or_else(|| revision.and_then(|revision| revision.parse().ok()));
        Source { repository, git_ref, commit }
    }
}

/// The web address of a commit is that of its repository, `/commit/` (on GitLab `/-/commit/`) and the commit.
fn split_commit(location: &str) -> (&str, Option<CommitId>) {
    let split = location.rsplit_once("/commit/").and_then(|(repository, commit)| {
        let commit = commit.parse().ok()?;
        Some((repository.strip_suffix("/-").unwrap_or(repository), Some(commit)))
    });
    split.unwrap_or((location, None))
}

/// The revision stands behind the last `@` of the path, or behind `#` (where a subfolder may follow a colon).
fn split_revision(uri: &str) -> (&str, Option<&str>) {
    if let Some((location, fragment)) = uri.split_once('#') {
        return (location, Some(fragment.split(':').next().unwrap_or(fragment)));
    }
    let path_at = uri.find("://").map_or(0, |at| at + 3);
    let path_at = uri[path_at..].find('/').map_or(uri.len(), |at| path_at + at);
    match uri[path_at..].find('@') {
        Some(at) => (&uri[..path_at + at], Some(&uri[path_at + at + 1..])),
        None => (uri, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn sources_are_read_in_the_forms_that_producers_write() {
        let check = |uri: &str, repository: Option<&str>, git_ref: Option<&str>| {
            let source = Source::parse(uri);
            assert_eq!(source.repository.map(|repository| repository.path()).as_deref(), repository, "{uri}");
            assert_eq!(source.git_ref.as_ref().map(GitRef::as_str), git_ref, "{uri}");
        };
        let api = Some("github.com/acme/api");
        check("git+https://github.com/acme/api@refs/heads/main", api, Some("refs/heads/main"));
        check("git+https://github.com/acme/api.git@refs/tags/v1", api, Some("refs/tags/v1"));
        check("https://github.com/acme/api.git#refs/heads/main:sub", api, Some("refs/heads/main"));
        check("git+ssh://git@github.com/acme/api", api, None);
        check("https://github.com/acme/api/commit/main", None, None);
        check("https://github.com/acme/api@v1", api, None);
        check("https://user@dev.example/acme/_git/api", None, None);
        check("pkg:docker/alpine@3", None, None);
        check("", None, None);
    }

    #[test]
    fn the_commit_in_a_source_is_read() {
        let sha = "fbbb98765e85ad464302dc5977968104d36e455e";
        for (uri, path) in [
            (format!("https://github.com/acme/api/commit/{sha}"), "github.com/acme/api"),
            (format!("https://gitlab.com/acme/group/api/-/commit/{sha}"), "gitlab.com/acme/group/api"),
            (format!("https://github.com/acme/api.git#{sha}"), "github.com/acme/api"),
        ] {
            let source = Source::parse(&uri);
            assert_eq!(source.commit.unwrap().as_str(), sha, "{uri}");
            assert_eq!((source.repository.unwrap().path(), source.git_ref), (path.to_owned(), None), "{uri}");
        }
    }
}
