//! Documents speak of files that exist.

use std::path::{Component, Path, PathBuf};

use crate::repository::{files, files_ending, no_objections, read_text, root};

/// Endings by which a word without a slash is known to be a file at the top.
const FILE_ENDINGS: &[&str] = &[".md", ".toml", ".lock", ".rs"];

#[test]
fn every_path_named_in_a_document_exists() {
    let mut objections = Vec::new();
    for document in files_ending(".md") {
        let text = read_text(document).unwrap_or_else(|| panic!("{document} is not UTF-8"));
        for (line, path) in named_paths(&text) {
            if !exists(document, &path) {
                objections.push(format!("{document}:{line}: {path} does not exist"));
            }
        }
    }
    no_objections(
        &objections,
        "Correct the document, or take the backticks off if it is no path of this repository.",
    );
}

/// Every path of the repository that the text names in backticks or links to, with its line.
fn named_paths(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        let in_backticks = line.split('`').skip(1).step_by(2).filter(|word| looks_like_a_path(word));
        let links =
            line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|link| is_local(link));
        let path = |word: &str| {
            let without_anchor = word.split('#').next().unwrap_or_default();
            without_anchor.trim_end_matches('/').to_owned()
        };
        found.extend(in_backticks.chain(links).map(|word| (at + 1, path(word))));
    }
    found.retain(|(_, path)| !path.is_empty());
    found
}

/// Whether a word in backticks names a file or folder here: it begins with a folder of the top, or has a file's ending.
fn looks_like_a_path(word: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if word.is_empty() || !word.chars().all(is_plain) {
        return false;
    }
    match word.split_once('/') {
        Some((first, _)) => {
            files().iter().any(|file| file.split_once('/').is_some_and(|(top, _)| top == first))
        }
        None => FILE_ENDINGS.iter().any(|ending| word.ends_with(ending) && word.len() > ending.len()),
    }
}

fn is_local(link: &str) -> bool {
    !link.contains("://") && !link.starts_with("mailto:")
}

/// Whether the path exists, seen from the top or from the document.
fn exists(document: &str, path: &str) -> bool {
    let beside = Path::new(document).parent().unwrap_or(Path::new("")).join(path);
    [PathBuf::from(path), beside]
        .iter()
        .any(|candidate| stays_inside(candidate) && root().join(candidate).exists())
}

fn stays_inside(path: &Path) -> bool {
    let mut depth = 0_i32;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth -= 1,
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    true
}

#[test]
fn paths_are_told_from_other_words_in_backticks() {
    let text = "`tests/tidy/main.rs` and `custody up`, `ghcr.io/acme/api`, `runbooks/<rule>.md`, `.md`\n\
                ```\n`tests/nothing`\n```\n[rules](tests/run#top) [out](https://example.com/x) `missing.toml`";
    let expected = [(1, "tests/tidy/main.rs"), (5, "missing.toml"), (5, "tests/run")];
    let found = named_paths(text);
    assert_eq!(found.iter().map(|(line, path)| (*line, path.as_str())).collect::<Vec<_>>(), expected);
    assert!(exists("README.md", "tests/tidy/main.rs") && exists("tests/README.md", "tidy"));
    assert!(!exists("README.md", "../main") && !exists("README.md", "missing.toml"));
}
