//! What a data folder is for: what custody watches, or the recording.
//!
//! The recording's folder bears a mark that is on disk before anything else is: what the recording says never stands in one
//! log with evidence, whatever was killed in between.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;

use super::DataFolder;
use crate::exit::Failure;

/// The mark: a file that says to people what it means to the program.
const MARK: &str = "sample";
const MARK_TEXT: &str = "custody up --sample plays its recording here: nothing in this folder is evidence.\n";
/// What the recording would be written into, or over.
const PARTS: [&str; 4] = ["bus", "correlator", "agents", "contracts"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Evidence of what really happened.
    Watch,
    /// The recording of `custody up --sample`.
    Sample,
}

impl Purpose {
    /// Refuses a folder that is for the other purpose. Touches nothing.
    pub(crate) fn check(self, data: &DataFolder) -> anyhow::Result<()> {
        let shown = data.path().display();
        match (self, data.has(&mark(data))?) {
            (Purpose::Sample, true) | (Purpose::Watch, false) => Ok(()),
            (Purpose::Watch, true) => Err(Failure::usage(format!(
                "the data folder {shown} is that of a recording (`custody up --sample`), and nothing in it is evidence: name \
                 another folder with --data, or remove this one"
            ))),
            (Purpose::Sample, false) => match part_of(data)? {
                None => Ok(()),
                Some(part) => Err(Failure::usage(format!(
                    "the data folder {shown} is in use for something else ({part} is in it), and the recording would be \
                     written into it: name a new folder with --data, or none, neither here nor in CUSTODY_DATA, for one that \
                     is removed at the end"
                ))),
            },
        }
    }

    /// Marks a folder that was checked.
    pub(crate) fn begin(self, data: &DataFolder) -> anyhow::Result<()> {
        let mark = mark(data);
        if self == Purpose::Watch || data.has(&mark)? {
            return Ok(());
        }
        let written = || {
            let mut file = File::create(&mark)?;
            file.write_all(MARK_TEXT.as_bytes())?;
            file.sync_all()?;
            File::open(data.path())?.sync_all()
        };
        written().with_context(|| format!("write {}", mark.display()))
    }
}

fn mark(data: &DataFolder) -> PathBuf {
    data.path().join(MARK)
}

/// A part of the folder that is not the recording's.
fn part_of(data: &DataFolder) -> anyhow::Result<Option<&'static str>> {
    for part in PARTS {
        if data.has(&data.path().join(part))? {
            return Ok(Some(part));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_folder_serves_one_purpose_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::at(folder.path());
        let check = |sample: bool, watch: bool| {
            assert_eq!(Purpose::Sample.check(&data).is_ok(), sample);
            assert_eq!(Purpose::Watch.check(&data).is_ok(), watch);
        };
        check(true, true);
        for part in PARTS {
            std::fs::create_dir(folder.path().join(part)).unwrap();
            check(false, true);
            std::fs::remove_dir(folder.path().join(part)).unwrap();
        }
        Purpose::Watch.begin(&data).unwrap();
        check(true, true);
        Purpose::Sample.begin(&data).unwrap();
        std::fs::create_dir(data.bus()).unwrap();
        check(true, false);
    }
}
