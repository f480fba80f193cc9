//! The real program, run as people run it.

use std::path::{Path, PathBuf};

use harness::servers::tool_run::output_of;
use serde_json::Value;
use tokio::process::Command;

/// What one run said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    /// `null` where it printed no object.
    pub(crate) json: Value,
    pub(crate) stderr: String,
}

impl Answer {
    /// The state of a link.
    pub(crate) fn link(&self, kind: &str) -> &str {
        let links = self.json["verdict"]["links"].as_array().expect("a verdict has links");
        let link = links.iter().find(|link| link["kind"] == kind).expect("the link is there");
        link["state"].as_str().unwrap()
    }

    /// The reasons of all comparisons that failed.
    pub(crate) fn reasons(&self) -> Vec<&str> {
        let why = self.json["why"].as_array().into_iter().flatten();
        let comparisons = why.flat_map(|why| why["comparisons"].as_array().into_iter().flatten());
        comparisons.filter_map(|comparison| comparison["reason"].as_str()).collect()
    }

    #[track_caller]
    pub(crate) fn is_trusted(&self) {
        assert_eq!(self.code, 0, "{self:#?}");
        assert_eq!(self.json["trusted"], true, "{self:#?}");
        assert_eq!(self.json["verdict"]["verdict"], "trusted", "{self:#?}");
    }

    /// It is judged, and refused for this reason among others.
    #[track_caller]
    pub(crate) fn is_refused_for(&self, reason: &str) {
        self.is_refused();
        assert!(self.reasons().contains(&reason), "no {reason} in {:?}: {self:#?}", self.reasons());
    }

    #[track_caller]
    pub(crate) fn is_refused(&self) {
        assert_eq!(self.code, 1, "{self:#?}");
        assert_eq!(self.json["trusted"], false, "{self:#?}");
    }
}

/// `custody check … --output json`, in an environment of its own.
pub(crate) async fn check(folder: &Path, arguments: &[&str]) -> Answer {
    check_in(folder, &[("PATH", "/usr/bin:/bin")], arguments).await
}

/// The same, in this environment and with `folder` as home.
pub(crate) async fn check_in(folder: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Answer {
    let command = Command::new(binary());
    answer(command, folder, environment, arguments).await
}

/// The same, by a process that may map no more memory than this.
pub(crate) async fn check_within(folder: &Path, address_space_kib: u64, arguments: &[&str]) -> Answer {
    let mut command = Command::new("sh");
    let script = format!("ulimit -v {address_space_kib}; exec \"$@\"");
    command.args(["-c", &script, "bounded"]).arg(binary());
    answer(command, folder, &[("PATH", "/usr/bin:/bin")], arguments).await
}

async fn answer(
    mut command: Command,
    folder: &Path,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> Answer {
    command.arg("check").args(arguments).args(["--output", "json"]);
    command.current_dir(folder).env_clear().env("HOME", folder).envs(environment.iter().copied());
    let output = output_of(&mut command, b"").await.unwrap_or_else(|error| panic!("{error:#}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Answer {
        // A signal ended it.
        code: output.status.code().unwrap_or(-1),
        json: serde_json::from_str(&stdout).unwrap_or_default(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Cargo puts the program beside the folder of the test programs; `tests/run` builds it first.
fn binary() -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    let folder = this.parent().and_then(Path::parent).expect("it lies in a folder of cargo's");
    let binary = folder.join("custody");
    assert!(binary.exists(), "{} is not there: cargo build --bin custody", binary.display());
    binary
}
