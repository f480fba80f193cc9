//! Scenarios: events in, verdicts, cases and questions out, byte for byte.
//!
//! Every folder that holds an `input.yaml` is one. `CUSTODY_REWRITE=1` rewrites the expectations; the difference is
//! reviewed like code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod any_order;
mod bounded_work;
mod cases;
mod correlator;
mod crashes;
mod disk;
mod dropped_events;
mod every_scenario;
mod fleet;
mod flood;
mod found_again;
mod incidents;
mod inventories;
mod random;
mod replay;
mod revoked;
#[path = "../harness/src/said.rs"]
#[expect(unreachable_pub, reason = "the equipment of the other tests, of which this crate needs no more")]
mod said;
mod storm;
mod together;
mod verified_again;
mod wire;
mod world;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use scenarios::play::Play;
use scenarios::steps::Script;

/// One scenario of the folder.
struct Scenario {
    folder: PathBuf,
    name: String,
    script: Script,
    /// The names of digests and commits that it uses.
    names: Vec<String>,
}

/// Every scenario, played once for all tests.
fn played() -> &'static [(Scenario, Play)] {
    static PLAYED: OnceLock<Vec<(Scenario, Play)>> = OnceLock::new();
    PLAYED.get_or_init(|| {
        let play = |scenario: Scenario| {
            let play = Play::script(&scenario.script);
            (scenario, play)
        };
        all().into_iter().map(play).collect()
    })
}

/// A number that the environment may say.
fn given<T: FromStr>(variable: &str, usual: T) -> T {
    let given = std::env::var(variable).ok();
    given.map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn all() -> Vec<Scenario> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!found.is_empty(), "there are no scenarios in {}", root().display());
    found
}

fn collect(folder: &Path, found: &mut Vec<Scenario>) {
    let input = folder.join("input.yaml");
    if input.is_file() {
        let text = std::fs::read_to_string(&input).unwrap();
        let mut script: Script = match serde_saphyr::from_str(&text) {
            Ok(script) => script,
            Err(error) => panic!("{}: {error}", input.display()),
        };
        let name = folder.strip_prefix(root()).unwrap().display().to_string();
        let mut names = names_in(&text);
        names.extend(script.expand());
        // Longest first, so that no name is read back as the beginning of another.
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        found.push(Scenario { folder: folder.to_path_buf(), name, script, names });
    }
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), found);
        }
    }
}

/// Words such as `D1`, `C12` or `E1-sbom`.
fn names_in(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| {
            let mut chars = word.chars();
            matches!(chars.next(), Some('A'..='Z'))
                && word.len() <= 24
                && word.chars().any(|c| c.is_ascii_digit())
        })
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}
