//! The repository as the checks see it: its folder, its files, and what cargo says about it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// The repository's folder.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().canonicalize().unwrap())
}

/// Every file that is tracked or about to be, as paths relative to the root. What git ignores is not there.
pub(crate) fn files() -> &'static [String] {
    static FILES: OnceLock<Vec<String>> = OnceLock::new();
    FILES.get_or_init(|| {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let output = Command::new("git").current_dir(root()).args(arguments).output();
        let output = output.expect("git lists the files: install git");
        assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
        let listing = String::from_utf8(output.stdout).expect("file names are UTF-8");
        let exists = |path: &&str| !path.is_empty() && root().join(path).is_file();
        let mut files: Vec<String> = listing.split('\0').filter(exists).map(str::to_owned).collect();
        files.sort();
        files.dedup();
        files
    })
}

/// The tracked files whose name ends so.
pub(crate) fn files_ending(ending: &str) -> impl Iterator<Item = &'static str> + '_ {
    files().iter().map(String::as_str).filter(move |path| path.ends_with(ending))
}

/// The bytes of a file of the repository.
pub(crate) fn read(path: &str) -> Vec<u8> {
    std::fs::read(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text of a file of the repository; none when it is not text.
pub(crate) fn read_text(path: &str) -> Option<String> {
    String::from_utf8(read(path)).ok()
}

/// The names directly below a folder of the repository, sorted; none when there is no such folder.
pub(crate) fn names_in(folder: &str) -> Vec<String> {
    let prefix = format!("{folder}/");
    let first = |path: &String| Some(path.strip_prefix(&prefix)?.split('/').next()?.to_owned());
    let mut names: Vec<String> = files().iter().filter_map(first).collect();
    names.sort();
    names.dedup();
    names
}

/// What `cargo metadata` says, dependencies of dependencies included.
pub(crate) fn metadata() -> &'static Value {
    static METADATA: OnceLock<Value> = OnceLock::new();
    METADATA.get_or_init(|| serde_json::from_str(&metadata_text()).expect("cargo metadata is JSON"))
}

/// What `cargo metadata` prints for this machine's kind: what other kinds need is not downloaded.
pub(crate) fn metadata_text() -> String {
    let version = Command::new("rustc").current_dir(root()).arg("-vV").output().expect("rustc starts");
    let version = String::from_utf8(version.stdout).expect("rustc prints UTF-8");
    let platform =
        version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let arguments = ["metadata", "--offline", "--format-version", "1", "--filter-platform", platform];
    let output = cargo().args(arguments).output().expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo metadata is UTF-8")
}

/// Cargo in the repository's folder, as if it were called from there and not from a test.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root());
    let of_this_test = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_NAME", "CARGO_BIN_"];
    for (name, _) in std::env::vars_os() {
        if of_this_test.iter().any(|start| name.to_string_lossy().starts_with(start)) {
            command.env_remove(name);
        }
    }
    command
}

/// Fails with every objection on a line of its own, and then what to do.
pub(crate) fn no_objections(objections: &[String], what_to_do: &str) {
    assert!(objections.is_empty(), "\n{}\n\n{what_to_do}\n", objections.join("\n"));
}
