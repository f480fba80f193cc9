//! Digests and image references are split in bus-schema only: everybody else parses them there into their types.

use crate::repository::{files_ending, no_objections, read_text};

const WHERE_THEY_ARE_SPLIT: &str = "bus-schema/";

/// How text is taken apart that is a digest or an image reference.
const SPLITS: &[&str] = &[
    "split('@')",
    "split_once('@')",
    "splitn(2, '@')",
    "find('@')",
    "split(\"@\")",
    "split_once(\"@\")",
    "find(\"@\")",
    "split_once(\"sha256",
    "strip_prefix(\"sha256",
    "strip_prefix(\"sha512",
    "trim_start_matches(\"sha256",
    "find(\"sha256",
    "replace(\"sha256:",
];

/// Files that split something else at an `@`: a workflow's path from its ref, a source's address from its revision, a
/// layout's folder from the digest of an image in it.
const SPLIT_SOMETHING_ELSE: &[&str] = &[
    "agents/ci-agent/src/github/translate/run.rs",
    "cli/src/commands/check/subject.rs",
    "correlator/correlator-core/src/contracts/pipeline.rs",
    "correlator/evidence/src/builders.rs",
    "correlator/evidence/src/provenance/source.rs",
];

#[test]
fn nobody_else_splits_a_digest_or_an_image_reference() {
    let mut objections = Vec::new();
    let mut excused: Vec<&str> = SPLIT_SOMETHING_ELSE.to_vec();
    for path in files_ending(".rs").filter(|path| is_product(path)) {
        let text = read_text(path).unwrap_or_default();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let found: Vec<usize> =
            code.lines().enumerate().filter(|(_, line)| splits(line)).map(|(at, _)| at + 1).collect();
        match SPLIT_SOMETHING_ELSE.contains(&path) {
            true if !found.is_empty() => excused.retain(|excused| *excused != path),
            true => {}
            false => objections.extend(found.iter().map(|line| format!("{path}:{line}"))),
        }
    }
    objections.extend(excused.iter().map(|path| format!("{path} is excused and splits nothing")));
    no_objections(
        &objections,
        "Parse it with Digest, ImageRef, ImageRepository or ImageId of bus-schema; what is neither a digest nor an image \
         reference is listed here.",
    );
}

fn is_product(path: &str) -> bool {
    let is_test = path.ends_with("tests.rs") || path.contains("/tests/") || path.starts_with("tests/");
    !path.starts_with(WHERE_THEY_ARE_SPLIT) && !is_test
}

fn splits(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    SPLITS.iter().any(|split| code.contains(split))
}

#[test]
fn splits_are_told_from_other_code() {
    assert!(splits("let (name, digest) = text.rsplit_once('@')?;"));
    assert!(splits("let hex = digest.strip_prefix(\"sha256:\");"));
    assert!(!splits("let name = text.split_once('/'); // not split_once('@')"));
    assert!(!splits("let digest: Digest = text.parse()?;"));
}
