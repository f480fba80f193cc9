//! A data folder of another version: refused by the mark of any part, and not touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use redb::{Database, TableDefinition};

use crate::{err, run};

/// Where each part says its format, as another version would.
const MARKS: [(&str, &str); 3] = [
    ("bus/bus/format", "custody-bus 99\n"),
    ("correlator/format", "custody-data 99\n"),
    ("agents/cluster-1/cluster-coverage.json", "{\"format\": 99, \"watched\": []}\n"),
];
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
    fs::create_dir_all(data.join(REGISTRY_STATE).parent().unwrap()).unwrap();
    write_registry_state(&data.join(REGISTRY_STATE), 99);
    check_refused(folder.path(), &data, REGISTRY_STATE);
}

/// The bus of this version, made by a command that needs nothing else.
fn begin_bus(folder: &Path, data: &Path) {
    fs::create_dir_all(data.join("bus")).unwrap();
    let listed = run(folder, &["deadletter", "list", "--data", data.to_str().unwrap()]);
    assert_eq!(listed.status.code(), Some(0), "{}", err(&listed));
}

fn write_registry_state(path: &Path, format: u64) {
    let database = Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let counters: TableDefinition<'_, &str, u64> = TableDefinition::new("counters");
    transaction.open_table(counters).unwrap().insert("format", format).unwrap();
    transaction.commit().unwrap();
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
fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
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
