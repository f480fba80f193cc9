//! Where the real servers and tools are that the tests start.
//!
//! In: the name of a tool. Out: the path of its binary, as `tests/provision/path` tells it. Builds nothing: a tool that is
//! not built is an error that names the command which builds it, so that a test fails and never skips.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context, bail};

/// What `tests/provision/build` can build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    NatsServer,
    Crane,
    Refreg,
    Registry,
    Etcd,
    Kube,
    Cosign,
    Keyless,
    Fulcio,
    Rekor,
    Timestamp,
    /// For measurements only; not among the tools that `tests/run` builds.
    VerifyLoop,
}

impl Tool {
    /// The name of the tool's folder below `tests/provision`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NatsServer => "nats-server",
            Self::Crane => "crane",
            Self::Refreg => "refreg",
            Self::Registry => "registry",
            Self::Etcd => "etcd",
            Self::Kube => "kube",
            Self::Cosign => "cosign",
            Self::Keyless => "keyless",
            Self::Fulcio => "fulcio",
            Self::Rekor => "rekor",
            Self::Timestamp => "timestamp",
            Self::VerifyLoop => "verify-loop",
        }
    }

    /// The path of the built binary.
    pub fn binary(self) -> anyhow::Result<PathBuf> {
        static KNOWN: LazyLock<Mutex<HashMap<Tool, PathBuf>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = known.get(&self) {
            return Ok(path.clone());
        }
        let path = self.ask_for_path()?;
        known.insert(self, path.clone());
        Ok(path)
    }

    fn ask_for_path(self) -> anyhow::Result<PathBuf> {
        let script = repository_root().join("tests/provision/path");
        let output = Command::new("bash")
            .arg(&script)
            .arg(self.name())
            .output()
            .with_context(|| format!("run {}", script.display()))?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim_end()))
    }
}

/// The checkout that these tests were compiled in.
pub fn repository_root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// The program under test, built by `tests/run` before the parts that start it.
pub fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // A test lies in `deps` and an example in `examples`, below the folder of the program.
    let folder = own
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps") && !folder.ends_with("examples"))
        .context("where this was built")?;
    let binary = folder.join("custody");
    if !binary.is_file() {
        bail!("{} is not built: run `cargo build --workspace --bin custody`", binary.display());
    }
    Ok(binary)
}
