//! Alterations of a JSON document: each changes one place. What a place holds decides how it is changed.

use serde_json::Value;

/// How a document was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A value became another.
    Altered,
    /// A value came from another genuine document.
    Swapped,
    /// A list lost its order, or an element stands twice.
    Rearranged,
    /// A part is gone.
    Removed,
}

pub(crate) struct Alteration {
    pub(crate) change: Change,
    pub(crate) place: String,
    pub(crate) document: Value,
}

/// All alterations of `document`, with parts of `donor` where it has the same places.
pub(crate) fn all(document: &Value, donor: &Value) -> Vec<Alteration> {
    let mut found = Vec::new();
    for path in paths(document) {
        let place = format!("/{}", path.join("/"));
        let here = document.pointer(&place).unwrap();
        let mut put = |change: Change, value: Value, note: String| {
            // A part that holds nothing is a part that is gone.
            let change = if is_empty(&value) { Change::Removed } else { change };
            let mut altered = document.clone();
            *altered.pointer_mut(&place).unwrap() = value;
            if altered != *document {
                found.push(Alteration { change, place: format!("{place} {note}"), document: altered });
            }
        };
        for (note, value) in other_values(here) {
            put(Change::Altered, value, note);
        }
        if let Some(other) = donor.pointer(&place).filter(|_| !is_format(&path)) {
            put(Change::Swapped, other.clone(), String::new());
        }
        if let Value::Array(items) = here {
            for value in rearranged(items) {
                put(Change::Rearranged, value, String::new());
            }
        }
        if let Some(altered) = without(document, &path) {
            found.push(Alteration { change: Change::Removed, place, document: altered });
        }
    }
    found
}

/// The version of the format is nothing that anybody signs: a bundle that fulfils two versions is either.
fn is_format(path: &[String]) -> bool {
    path == ["mediaType"]
}

/// The path of every node but the root, in tokens of a JSON pointer (no key of evidence needs escaping).
fn paths(document: &Value) -> Vec<Vec<String>> {
    fn walk(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        if !path.is_empty() {
            found.push(path.clone());
        }
        let children: Vec<(String, &Value)> = match value {
            Value::Object(entries) => entries.iter().map(|(key, value)| (key.clone(), value)).collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        for (token, child) in children {
            path.push(token);
            walk(child, path, found);
            path.pop();
        }
    }
    let mut found = Vec::new();
    walk(document, &mut Vec::new(), &mut found);
    found
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(entries) => entries.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Other values for a place, each with a note of how it differs.
fn other_values(value: &Value) -> Vec<(String, Value)> {
    match value {
        Value::String(text) => {
            other_texts(text).into_iter().map(|(note, text)| (note, Value::String(text))).collect()
        }
        Value::Number(number) => {
            number.as_i64().map(|number| ("+1".to_owned(), Value::from(number + 1))).into_iter().collect()
        }
        Value::Bool(truth) => vec![(String::new(), Value::Bool(!truth))],
        Value::Null | Value::Array(_) | Value::Object(_) => Vec::new(),
    }
}

fn other_texts(text: &str) -> Vec<(String, String)> {
    let noted = |note: &str, text: String| (note.to_owned(), text);
    if let Ok(number) = text.parse::<i64>() {
        let others = [number + 1, number - 1, 0, -1];
        return others.into_iter().map(|other| noted(&other.to_string(), other.to_string())).collect();
    }
    if text.starts_with("-----BEGIN") || text.contains('\n') {
        return lines_changed(text);
    }
    if let Some(bytes) = decoded(text) {
        return flipped(&bytes);
    }
    vec![noted("longer", format!("{text}x")), noted("empty", String::new())]
}

/// Base64 of more than a word; shorter texts are words.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let bytes = sigstore_verify::types::PayloadBytes::from_base64(text).ok()?;
    (bytes.len() > 8).then(|| bytes.as_bytes().to_vec())
}

/// How many places of one content are changed.
const PLACES: usize = 10;

/// One bit flipped at places spread over the content, ends included; and the content cut off.
fn flipped(bytes: &[u8]) -> Vec<(String, String)> {
    let encode = |bytes: &[u8]| sigstore_verify::types::PayloadBytes::from_bytes(bytes).to_base64();
    let last = bytes.len() - 1;
    let mut places: Vec<usize> = (0..PLACES).map(|step| step * last / (PLACES - 1)).collect();
    places.dedup();
    let mut texts: Vec<(String, String)> = places
        .into_iter()
        .map(|place| {
            let mut changed = bytes.to_vec();
            changed[place] ^= 1;
            (format!("byte {place}"), encode(&changed))
        })
        .collect();
    texts.push(("cut".to_owned(), encode(&bytes[..last])));
    texts.push(("empty".to_owned(), String::new()));
    texts
}

/// A checkpoint or PEM: in each line that means something a character changed, at its middle and at its second word.
fn lines_changed(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.split('\n').collect();
    let mut texts = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if line.is_empty() || is_of_witness(line, lines[0]) {
            continue;
        }
        let characters: Vec<(usize, char)> = line.char_indices().collect();
        let second_word = line.find(' ').map(|at| at + 1).filter(|_| line.starts_with('\u{2014}'));
        let middle = characters[characters.len() / 2].0;
        for at in second_word.into_iter().chain([middle]) {
            let character = line[at..].chars().next().unwrap();
            let mut changed = (*line).to_owned();
            changed.replace_range(at..at + character.len_utf8(), if character == 'A' { "B" } else { "A" });
            let mut all: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            all[number] = changed;
            texts.push((format!("line {number}"), all.join("\n")));
        }
    }
    texts
}

/// A checkpoint's signature by somebody else than its log. No trust root knows witnesses: their lines prove nothing.
fn is_of_witness(line: &str, origin: &str) -> bool {
    let name = line.strip_prefix("\u{2014} ").and_then(|rest| rest.split(' ').next());
    name.is_some_and(|name| !origin.starts_with(name))
}

fn rearranged(items: &[Value]) -> Vec<Value> {
    let mut found = Vec::new();
    if let Some(first) = items.first() {
        let mut twice = items.to_vec();
        twice.push(first.clone());
        found.push(Value::Array(twice));
    }
    if items.len() > 1 {
        let mut reversed = items.to_vec();
        reversed.reverse();
        found.push(Value::Array(reversed));
    }
    found
}

fn without(document: &Value, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let parent: String = parents.iter().map(|token| format!("/{token}")).collect();
    let mut altered = document.clone();
    match altered.pointer_mut(&parent)? {
        Value::Object(entries) => entries.remove(last)?,
        Value::Array(items) => items.remove(last.parse().ok()?),
        _ => return None,
    };
    Some(altered)
}
