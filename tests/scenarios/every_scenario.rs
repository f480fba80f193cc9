//! What holds for every scenario.

use crate::{Scenario, played};

#[test]
fn every_scenario_concludes_what_it_expects() {
    let rewrite = std::env::var_os("CUSTODY_REWRITE").is_some();
    let mut wrong = Vec::new();
    for (Scenario { folder, name, script, names }, play) in played() {
        let found = play.report(script, names);
        let path = folder.join("expected.txt");
        if rewrite {
            std::fs::write(&path, &found).unwrap();
            continue;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if expected != found {
            wrong.push(format!("{name}:\n--- expected\n{expected}\n--- found\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{} scenario(s) differ:\n{}", wrong.len(), wrong.join("\n"));
}
