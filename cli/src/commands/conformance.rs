//! `custody conformance`: the client protocol of the Sigstore conformance suite, so that the suite grades this very program.
//!
//! In: the suite's command lines (its `docs/cli_protocol.md`). Out: nothing and exit code 0 where a bundle verifies or was
//! written; the reason and another code where not. Hidden from the help: people use `custody check`.

mod sign;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::args;
use crate::exit::{Exit, Failure};

/// An artifact of the suite is small; more is not read.
const ARTIFACT_BYTES_MAX: u64 = 64 << 20;

pub(crate) async fn run(command: &args::Conformance) -> anyhow::Result<Exit> {
    match command {
        args::Conformance::VerifyBundle(asked) => verify::run(asked),
        args::Conformance::SignBundle(asked) => sign::run(asked).await,
    }
}

fn read(path: &Path, what: &str) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .map_err(|error| Failure::usage(format!("the {what} {shown} cannot be read: {error}")))?
        .len();
    if size > ARTIFACT_BYTES_MAX {
        return Err(Failure::usage(format!("the {what} {shown} is larger than {ARTIFACT_BYTES_MAX} bytes")));
    }
    std::fs::read(path).with_context(|| format!("read the {what} {shown}"))
}

fn read_text(path: &Path, what: &str) -> anyhow::Result<String> {
    String::from_utf8(read(path, what)?)
        .map_err(|_| Failure::usage(format!("the {what} {} is not UTF-8", path.display())))
}

/// Which instance of Sigstore is meant where no file names one.
fn is_named(path: Option<&PathBuf>, staging: bool) -> anyhow::Result<()> {
    if path.is_some() && staging {
        return Err(Failure::usage("--staging and a file that names another instance exclude each other"));
    }
    Ok(())
}
