//! A folder for servers that live as long as the test program: nobody is left to remove it then but a shell
//! that waits for the program's end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use tempfile::TempDir;

/// The servers end with the program, a moment before the folder goes.
const REMOVE_AT_THE_END: &str = r#"read -r _; sleep 1; rm -rf "$1""#;

/// A folder that is there until the program ends, in any way.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Its standard input closes with the program.
    _removes_it: Child,
}

impl RunFolder {
    /// Keeps a folder for the rest of the run.
    pub fn keep(folder: TempDir) -> anyhow::Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", REMOVE_AT_THE_END, "remove"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .spawn();
        let removes_it = shell.context("start what removes the folder")?;
        Ok(Self { path: folder.keep(), _removes_it: removes_it })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
