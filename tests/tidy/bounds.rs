//! Bounds that a library does not set by itself. The tests talk to servers of their own and may do without.

use crate::repository::{files_ending, no_objections, read_text};

/// What has no time limit, with what to use instead.
const UNBOUNDED: &[(&str, &str)] = &[
    (
        "reqwest::Client::new(",
        "use reqwest::Client::builder with timeouts; new panics where TLS cannot start",
    ),
    ("reqwest::get(", "use a client from reqwest::Client::builder with timeouts"),
    ("unbounded_channel(", "use a channel with a capacity"),
];

#[test]
fn what_the_product_waits_for_has_a_bound() {
    let mut objections = Vec::new();
    let is_product = |path: &&str| !path.starts_with("tests/") && !path.contains("/tests");
    for path in files_ending(".rs").filter(is_product) {
        for (at, line) in read_text(path).unwrap_or_default().lines().enumerate() {
            let found = UNBOUNDED.iter().filter(|(word, _)| line.contains(word));
            objections.extend(found.map(|(word, instead)| format!("{path}:{}: {word}…): {instead}", at + 1)));
        }
    }
    no_objections(&objections, "Everything has a bound with its unit in its name.");
}
