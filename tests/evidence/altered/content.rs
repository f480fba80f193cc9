//! Other texts in the place of one. What a text holds decides how it is changed: numbers, digests, base64 of DER, of JSON
//! or of plain bytes, PEM, words.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use crate::altered::der;
use crate::altered::spans::{Kind, nodes, removal, spliced};

/// How many places inside the JSON of one text are changed.
const PLACES_INSIDE_MAX: usize = 48;
/// How many changes are made to what lies in a text inside of another.
const CHANGES_INSIDE_MAX: usize = 6;

/// A changed text, with a note of what is other in it.
pub(crate) type Other<T> = (String, T);

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// In the evidence itself.
    Evidence,
    /// In another text, all of which one signature or hash covers.
    Inside,
}

/// Other texts in the place of this one.
pub(crate) fn others(text: &str, level: Level) -> Vec<Other<String>> {
    let mut found = others_of_kind(text, level);
    found.retain(|(_, other)| other != text);
    if level == Level::Inside {
        found = spread(found, CHANGES_INSIDE_MAX);
    }
    found
}

fn others_of_kind(text: &str, level: Level) -> Vec<Other<String>> {
    let noted = |note: &str, text: String| (note.to_owned(), text);
    if let Ok(number) = text.parse::<i64>() {
        let others = [number + 1, number - 1, 0, -1, number ^ 1 << 20];
        return others.into_iter().map(|other| noted(&other.to_string(), other.to_string())).collect();
    }
    if text.starts_with(['{', '[']) && !nodes(text.as_bytes()).is_empty() {
        let others = inside(text.as_bytes(), level, usize::MAX);
        return others.into_iter().map(|(note, other)| (note, String::from_utf8(other).unwrap())).collect();
    }
    if text.starts_with("-----BEGIN") {
        return pem(text);
    }
    if let Some(hex) = text.strip_prefix("sha256:").or(Some(text)).filter(|text| is_hexadecimal(text)) {
        return hexadecimal(text, text.len() - hex.len());
    }
    match decoded(text) {
        Some((engine, bytes)) => {
            let others = bytes_changed(&bytes, level).into_iter();
            let mut texts: Vec<Other<String>> =
                others.map(|(note, other)| (note, engine.encode(other))).collect();
            texts.push(noted("empty", String::new()));
            texts
        }
        None => word(text),
    }
}

fn word(text: &str) -> Vec<Other<String>> {
    let mut found = vec![("longer".to_owned(), format!("{text}x")), ("empty".to_owned(), String::new())];
    let characters: Vec<char> = text.chars().collect();
    let Some(last) = characters.len().checked_sub(1) else { return found };
    found.push(("cut".to_owned(), characters[..last].iter().collect()));
    let is_lower = characters.iter().any(char::is_ascii_lowercase);
    found.push(("case".to_owned(), if is_lower { text.to_uppercase() } else { text.to_lowercase() }));
    for at in [0, last / 2] {
        let mut other = characters.clone();
        other[at] = if other[at] == 'q' { 'z' } else { 'q' };
        found.push((format!("character {at}"), other.into_iter().collect()));
    }
    found
}

fn is_hexadecimal(text: &str) -> bool {
    [40, 64, 96, 128].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn hexadecimal(text: &str, start: usize) -> Vec<Other<String>> {
    let mut found = word(text);
    found.retain(|(note, _)| !note.starts_with("character") && note != "case");
    for at in [start, (start + text.len()) / 2, text.len() - 1] {
        let mut other = text.to_owned();
        other.replace_range(at..=at, if &text[at..=at] == "0" { "1" } else { "0" });
        found.push((format!("digit {}", at - start), other));
    }
    found
}

/// Base64 of more than a word, with the form that it is written in.
pub(crate) fn decoded(text: &str) -> Option<(GeneralPurpose, Vec<u8>)> {
    let is_whole = |bytes: &Vec<u8>| bytes.len() > 8;
    let forms = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
    forms.into_iter().find_map(|form| Some((form.clone(), form.decode(text).ok().filter(is_whole)?)))
}

pub(crate) fn bytes_changed(bytes: &[u8], level: Level) -> Vec<Other<Vec<u8>>> {
    let of_json = inside(bytes, level, PLACES_INSIDE_MAX);
    if !of_json.is_empty() {
        return of_json;
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.starts_with("-----BEGIN")
    {
        return pem(text).into_iter().map(|(note, other)| (note, other.into_bytes())).collect();
    }
    let of_der = der::changed(bytes);
    if !of_der.is_empty() {
        return of_der;
    }
    let last = bytes.len() - 1;
    let quarters = if bytes.len() > 32 { 4 } else { 2 };
    let mut found: Vec<Other<Vec<u8>>> = (0..=quarters)
        .map(|quarter| quarter * last / quarters)
        .map(|at| {
            let mut other = bytes.to_vec();
            other[at] ^= 1;
            (format!("byte {at}"), other)
        })
        .collect();
    found.push(("cut".to_owned(), bytes[..last].to_vec()));
    found.push(("with a byte more".to_owned(), [bytes, &[0]].concat()));
    found
}

/// JSON with one of its values changed or gone, or an entry twice; nothing for what is not JSON.
fn inside(text: &[u8], level: Level, places_max: usize) -> Vec<Other<Vec<u8>>> {
    let nodes = nodes(text);
    if !nodes.first().is_some_and(|root| root.kind == Kind::Object) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let head = nodes.len().min(places_max);
    let chosen = nodes[..head].iter().chain(spread(nodes[head..].iter().collect(), places_max));
    for node in chosen.skip(1) {
        let place = &node.place;
        let level = if level == Level::Evidence && places_max == usize::MAX { level } else { Level::Inside };
        for (note, other) in other_values(&text[node.at.clone()], node.kind, level) {
            found.push((format!("{place} {note}"), spliced(text, &node.at, &other)));
        }
        found.push((format!("{place} gone"), spliced(text, &removal(text, node), b"")));
        if node.member.start < node.at.start {
            let member = &text[node.member.clone()];
            let twice = [member, b",", member].concat();
            found.push((format!("{place} twice"), spliced(text, &node.member, &twice)));
        }
    }
    found
}

/// Other values in JSON in the place of one.
pub(crate) fn other_values(value: &[u8], kind: Kind, level: Level) -> Vec<Other<Vec<u8>>> {
    match kind {
        Kind::Text => {
            let text: String = serde_json::from_slice(value).unwrap();
            let texts = others(&text, level).into_iter();
            texts.map(|(note, other)| (note, serde_json::to_vec(&other).unwrap())).collect()
        }
        Kind::Word => {
            let word = std::str::from_utf8(value).unwrap();
            let other = match word {
                "true" => "false".to_owned(),
                "false" => "true".to_owned(),
                "null" => "0".to_owned(),
                number => number.parse::<i64>().map_or("0".to_owned(), |number| (number + 1).to_string()),
            };
            vec![(other.clone(), other.into_bytes())]
        }
        Kind::Object => vec![("empty".to_owned(), b"{}".to_vec())],
        Kind::Array => vec![("empty".to_owned(), b"[]".to_vec())],
    }
}

/// The certificate in its first block changed, and each line around it.
fn pem(text: &str) -> Vec<Other<String>> {
    let lines: Vec<&str> = text.lines().collect();
    let Some(end) = lines.iter().position(|line| line.starts_with("-----END")) else { return word(text) };
    let packed = lines[1..end].concat();
    let mut found = Vec::new();
    if let Ok(bytes) = STANDARD.decode(&packed) {
        for (note, other) in bytes_changed(&bytes, Level::Evidence) {
            let encoded = STANDARD.encode(other);
            found.push((note, text.replacen(&lines[1..end].join("\n"), &encoded, 1)));
        }
    }
    for number in [0, end] {
        let mut other: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        other[number] = other[number].replace('E', "F");
        found.push((format!("line {number}"), other.join("\n")));
        other.remove(number);
        found.push((format!("without line {number}"), other.join("\n")));
    }
    found.push(("cut".to_owned(), lines[..end].join("\n")));
    found
}

/// At most so many of these, spread evenly, first and last included.
pub(crate) fn spread<T>(items: Vec<T>, most: usize) -> Vec<T> {
    let count = items.len();
    if count <= most {
        return items;
    }
    let is_chosen = |at: usize| (0..most).any(|step| step * (count - 1) / (most - 1) == at);
    items.into_iter().enumerate().filter(|(at, _)| is_chosen(*at)).map(|(_, item)| item).collect()
}
