//! The wall clock of one process, which a test may set.
//!
//! In: the process's environment. Out: a clock that is ahead of the machine's, or behind it, from one reading to the next; what
//! measures a time that passes is not touched. It stays so when the process is started again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::SignedDuration;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/faults/clock/preload.rs");

/// See the module.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl Clock {
    /// A clock that is right, kept in a file of the folder. `library` is built before.
    pub(crate) fn new(library: &Path, folder: &Path, name: &str) -> Clock {
        let path = folder.join(format!("{name}.clock"));
        let clock = Clock { library: library.to_owned(), file: File::create(&path).unwrap(), path };
        clock.set(SignedDuration::ZERO);
        clock
    }

    /// What a process needs so that this is its clock.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 2] {
        [("LD_PRELOAD", &self.library), ("CUSTODY_TEST_CLOCK", &self.path)]
    }

    /// Sets it: so far ahead of the machine's, or behind.
    pub(crate) fn set(&self, ahead: SignedDuration) {
        let nanos = i64::try_from(ahead.as_nanos()).unwrap();
        self.file.write_all_at(&nanos.to_le_bytes(), 0).unwrap();
    }
}

/// Builds the library that stands before the C library, in a folder.
pub(crate) fn build_library(folder: &Path) -> PathBuf {
    let library = folder.join("libclock.so");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(compiler);
    command.args(["--edition", "2024", "--crate-type", "cdylib", "-C", "panic=abort", "-o"]);
    let built = command.arg(&library).arg(SOURCE).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}
