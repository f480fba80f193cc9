//! Changes of a log's checkpoint (C2SP tlog-checkpoint): each line, each part of the log's signature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::altered::content::{Level, Other, bytes_changed};

/// The bytes before a signature that tell which key it is by.
pub(crate) const KEY_HINT_BYTES: usize = 4;

/// The changed checkpoints of the log whose signatures carry this hint.
pub(crate) fn changed(text: &str, of_log: &[u8]) -> Vec<Other<String>> {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let mut put = |note: &str, others: &[&str]| {
            let all = [&lines[..number], others, &lines[number + 1..]].concat();
            found.push((format!("line {number} {note}"), all.join("\n")));
        };
        if line.is_empty() {
            // The empty line parts what is signed from the signatures; the last ends the text.
            if number + 1 < lines.len() {
                put("gone", &[]);
                put("written", &["x"]);
            }
            continue;
        }
        let signature = signature(line);
        // Signatures by other keys, of witnesses or of the log itself, prove nothing: no trust root knows them.
        if signature.as_ref().is_some_and(|(_, bytes)| &bytes[..KEY_HINT_BYTES] != of_log) {
            continue;
        }
        put("gone", &[]);
        put("twice", &[line, line]);
        put("after another", &["x", line]);
        match signature {
            Some((name, bytes)) => {
                let (hint, signature) = bytes.split_at(KEY_HINT_BYTES);
                put("by another name", &[&format!("\u{2014} x{name} {}", STANDARD.encode(&bytes))]);
                let shown = |hint: &[u8], signature: &[u8]| {
                    format!("\u{2014} {name} {}", STANDARD.encode([hint, signature].concat()))
                };
                for at in [0, KEY_HINT_BYTES - 1] {
                    let mut other = hint.to_vec();
                    other[at] ^= 1;
                    put("with another key hint", &[&shown(&other, signature)]);
                }
                for (note, other) in bytes_changed(signature, Level::Evidence) {
                    put(&note, &[&shown(hint, &other)]);
                }
            }
            None => {
                for at in [0, line.len() / 2, line.len() - 1] {
                    if line.is_char_boundary(at) && line.is_char_boundary(at + 1) {
                        let other = if &line[at..=at] == "1" { "2" } else { "1" };
                        put("other", &[&[&line[..at], other, &line[at + 1..]].concat()]);
                    }
                }
            }
        }
    }
    found
}

/// The name of a signature's key, and its bytes.
fn signature(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    (bytes.len() > KEY_HINT_BYTES).then_some((name, bytes))
}
