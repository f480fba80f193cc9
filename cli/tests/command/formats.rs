//! A data folder of another version: refused by the mark of any part, and not touched.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fleet::{NOBODY, write_settings};
use crate::{custody, err, run};

/// Where each part says its format, as another version would.
const MARKS: [(&str, &str); 3] = [
    ("bus/bus/format", "custody-bus 99\n"),
    ("correlator/format", "custody-data 99\n"),
    ("agents/cluster-1/cluster-coverage.json", "{\"format\": 99, \"watched\": []}\n"),
];
/// How far behind its name a counter's number is looked for.
const PAGE_LOOKED_AT: usize = 96;
const REGISTRY_STATE: &str = "agents/registry/registry-agent.redb";

#[test]
fn a_folder_of_another_version_is_refused_untouched_whatever_part_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    begin_bus(folder.path(), &data);
    for (mark, text) in MARKS {
        let path = data.join(mark);
        let before = fs::read(&path).ok();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        check_refused(folder.path(), &data, mark);
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    write_registry_state(folder.path(), &data);
    check_refused(folder.path(), &data, REGISTRY_STATE);
}

/// The bus of this version, made by a command that needs nothing else.
fn begin_bus(folder: &Path, data: &Path) {
    fs::create_dir_all(data.join("bus")).unwrap();
    let listed = run(folder, &["deadletter", "list", "--data", data.to_str().unwrap()]);
    assert_eq!(listed.status.code(), Some(0), "{}", err(&listed));
}

/// The state of a fleet that ran and ended, with another number where it says its format.
fn write_registry_state(folder: &Path, data: &Path) {
    write_settings(folder, NOBODY, NOBODY);
    let mut child = custody(folder)
        .args(["up", "--output", "json", "--data", data.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut started = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut started).unwrap();
    // A shell's own: not every system has a program for it.
    let asked = Command::new("sh").args(["-c", r#"kill "$1""#, "kill", &child.id().to_string()]).status();
    assert!(asked.unwrap().success());
    assert!(child.wait().unwrap().success(), "{started}");
    let path = data.join(REGISTRY_STATE);
    let mut bytes = fs::read(&path).unwrap();
    let changed = change_format(&mut bytes);
    assert!(changed > 0, "the state says its format nowhere");
    fs::write(&path, bytes).unwrap();
}

/// The table of counters is a page with its names and then its numbers: `format` is the first of both.
fn change_format(bytes: &mut [u8]) -> usize {
    let (name, number) = (b"format", 1_u64.to_le_bytes());
    let mut changed = 0;
    for at in 0..bytes.len() {
        let Some(page) = bytes.get_mut(at..at + PAGE_LOOKED_AT) else { break };
        if page.starts_with(name)
            && let Some(value) = page.windows(number.len()).position(|window| window == number)
        {
            page[value] = 99;
            changed += 1;
        }
    }
    changed
}

fn check_refused(folder: &Path, data: &Path, mark: &str) {
    let before = tree(data);
    let output = run(folder, &["up", "--sample", "--once", "--data", data.to_str().unwrap()]);
    let said = err(&output);
    assert_eq!(output.status.code(), Some(2), "{mark}: {said}");
    let part = data.join(mark).parent().unwrap().display().to_string();
    for expected in [part.as_str(), "format", "99", "use the version that wrote it", "--data"] {
        assert!(said.contains(expected), "{mark}: no {expected:?} in {said}");
    }
    assert_eq!(tree(data), before, "{mark}: something in the folder was touched");
}

/// Every file with its bytes, every folder with nothing.
pub(crate) fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path.clone());
                found.insert(path, None);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path, Some(bytes));
            }
        }
    }
    found
}
