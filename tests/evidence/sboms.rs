//! Real SBOM documents: all that the fixtures' index lists are read with its format and number of components.

use evidence::read_sbom;

use crate::fixtures::{files, found, json, part, say, skipped};

#[test]
fn sboms_of_real_producers_are_read() {
    let Some(folder) = found("sbom") else { return };
    let index = part("sbom/index.json").map_or_else(|| serde_json::json!({}), |index| json(&index));
    let index = index.as_object().unwrap();
    let (mut read, mut unlisted, mut refused, mut wrong) = (0, 0, 0, Vec::new());
    let all = files(&folder);
    if all.is_empty() {
        return skipped("no SBOM");
    }
    for file in all {
        let bytes = std::fs::read(folder.join(&file)).unwrap();
        match (read_sbom(&bytes), index.get(&file)) {
            (Ok(facts), Some(row)) => {
                read += 1;
                let format = row["format"].as_str().unwrap().replace("SPDX-", "SPDX ");
                if facts.format != format || row["components"] != facts.components {
                    wrong.push(format!("{file}: {facts:?}, the index says {row}"));
                }
            }
            (Ok(_), None) => unlisted += 1,
            (Err(error), Some(row)) if is_broken(row) => {
                refused += 1;
                say(&format!("sboms: {file} is refused: {error}"));
            }
            (Err(error), Some(_)) => wrong.push(format!("{file}: {error}")),
            (Err(_), None) => refused += 1,
        }
    }
    say(&format!(
        "sboms: {read} read as their index says, {unlisted} more read, {refused} other files refused, {} wrong",
        wrong.len()
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Broken documents stand in the index with what little can be read of them: no format by its name.
fn is_broken(row: &serde_json::Value) -> bool {
    let format = row["format"].as_str().unwrap_or_default();
    !format.starts_with("SPDX-") && !format.starts_with("CycloneDX")
}
