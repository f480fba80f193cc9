//! Merges the sources and turns them into the raw settings, going on after each problem.
//!
//! A value that does not fit is noted, taken out, and the rest is read again: so one start names everything that is
//! wrong.

use config::{Config, File, FileFormat, Value, ValueKind};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use super::environment::Environment;
use super::problems::Problems;
use super::secret::is_secret_key;

/// Rounds of reading; each takes out one wrong value.
const ROUNDS_MAX: usize = 100;

pub(super) fn merge(text: &str, variables: &[(String, String)], problems: &mut Problems) -> Option<Value> {
    let (environment, odd) = Environment::new(variables);
    for name in odd {
        problems.at("", format!("the variable {name} names no key"));
    }
    let file = File::from_str(text, FileFormat::Toml);
    let merged = Config::builder().add_source(file).add_source(environment).build();
    match merged {
        Ok(config) => Some(config.cache),
        Err(error) => {
            problems.at("", without_quote(&error.to_string()));
            None
        }
    }
}

pub(super) fn deserialize<R: DeserializeOwned>(mut values: Value, problems: &mut Problems) -> Option<R> {
    let mut taken_out: Vec<Vec<Step>> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let (path, error) = match serde_path_to_error::deserialize(values.clone()) {
            Ok(raw) => return Some(raw),
            Err(error) => (steps(error.path()), error.into_inner().to_string()),
        };
        let (mut named, message) = said(path.clone(), &error);
        restore_places(&mut named, &taken_out);
        // A required value that was wrong is missing once it is taken out; that is one problem.
        if !taken_out.contains(&named) {
            let key = key(&named);
            let message = if is_secret_key(&key) && !is_about_the_key(&error) {
                "does not fit".to_owned()
            } else {
                message
            };
            problems.at(&key, message);
        }
        let mut place = path.clone();
        restore_places(&mut place, &taken_out);
        if path.is_empty() || !take_out(&mut values, &path) {
            return None;
        }
        if let Some((Step::Index(index), list)) = place.split_last() {
            problems.took_out(key(list), *index);
        }
        taken_out.push(place);
    }
    None
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

fn steps(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

fn key(steps: &[Step]) -> String {
    let mut key = String::new();
    for step in steps {
        match step {
            Step::Key(name) if key.is_empty() => key.push_str(name),
            Step::Key(name) => key.push_str(&format!(".{name}")),
            Step::Index(index) => key.push_str(&format!("[{index}]")),
        }
    }
    key
}

/// The key that an error is about and what to say of it.
fn said(mut path: Vec<Step>, error: &str) -> (Vec<Step>, String) {
    let error = without_key(error);
    if let Some(field) = missing_field(error, &key(&path)) {
        path.push(Step::Key(field.to_owned()));
        return (path, "is missing".to_owned());
    }
    if error.starts_with("unknown field `") {
        let known = error.split_once("`, ").map_or("", |(_, rest)| rest);
        let message =
            if known.is_empty() { "unknown key".to_owned() } else { format!("unknown key, {known}") };
        return (path, message);
    }
    (path, error.to_owned())
}

/// Serde names the field; `config` puts the key of its table before it.
fn missing_field<'e>(error: &'e str, table: &str) -> Option<&'e str> {
    if let Some(rest) = error.strip_prefix("missing field `") {
        return rest.split('`').next();
    }
    let named = error.strip_prefix("missing configuration field \"")?.split('"').next()?;
    Some(named.strip_prefix(table).unwrap_or(named).trim_start_matches('.'))
}

fn is_about_the_key(error: &str) -> bool {
    error.starts_with("missing ") || error.starts_with("unknown field")
}

/// `config` appends the key and the origin of a value; the key is ours to say.
fn without_key(error: &str) -> &str {
    let end = error.find(" for key `").or_else(|| error.rfind(" in <")).unwrap_or(error.len());
    &error[..end]
}

/// Elements taken out before shift the places of those behind them.
fn restore_places(path: &mut [Step], taken_out: &[Vec<Step>]) {
    for at in 0..path.len() {
        let (before, rest) = path.split_at_mut(at);
        let Some(Step::Index(index)) = rest.first_mut() else { continue };
        let mut gone: Vec<usize> = taken_out
            .iter()
            .filter(|taken| taken.len() == at + 1 && taken.starts_with(before))
            .filter_map(|taken| match taken.last() {
                Some(Step::Index(place)) => Some(*place),
                _ => None,
            })
            .collect();
        gone.sort_unstable();
        for place in gone {
            if place <= *index {
                *index += 1;
            }
        }
    }
}

fn take_out(values: &mut Value, path: &[Step]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let mut at = values;
    for step in parents {
        let next = match (&mut at.kind, step) {
            (ValueKind::Table(table), Step::Key(key)) => table.get_mut(key),
            (ValueKind::Array(array), Step::Index(index)) => array.get_mut(*index),
            _ => None,
        };
        let Some(next) = next else { return false };
        at = next;
    }
    match (&mut at.kind, last) {
        (ValueKind::Table(table), Step::Key(key)) => table.remove(key).is_some(),
        (ValueKind::Array(array), Step::Index(index)) if *index < array.len() => {
            array.remove(*index);
            true
        }
        _ => false,
    }
}

/// A syntax error without the quoted line, which may hold a secret.
fn without_quote(error: &str) -> String {
    let is_quote = |line: &str| {
        line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().starts_with('|')
    };
    let lines: Vec<&str> =
        error.lines().map(str::trim).filter(|line| !line.is_empty() && !is_quote(line)).collect();
    lines.join(": ")
}
