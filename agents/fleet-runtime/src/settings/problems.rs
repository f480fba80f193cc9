//! Collects what is wrong with the settings, each problem with its key.

use std::fmt;
use std::path::PathBuf;

use super::secret::{self, Secret};

/// Problems that are collected at most; a file worse than this is another kind of file.
const PROBLEMS_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key as in the file: `registries[1].url`; empty for the whole.
    pub key: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.is_empty() {
            true => f.write_str(&self.message),
            false => write!(f, "{}: {}", self.key, self.message),
        }
    }
}

/// A list of problems that knows under which key it is.
#[derive(Debug, Default)]
pub struct Problems {
    under: String,
    found: Vec<Problem>,
    /// Elements of lists that could not be read: those behind them keep their number in the file.
    taken_out: Vec<(String, usize)>,
}

impl Problems {
    /// Notes a problem at a key below the current one.
    pub fn at(&mut self, key: &str, message: impl Into<String>) {
        if self.found.len() < PROBLEMS_MAX {
            let key = join(&self.under, key);
            self.found.push(Problem { key, message: message.into() });
        }
    }

    /// Checks something that lies under a key (`registry` or `registries[1]`).
    pub fn within<T>(&mut self, key: &str, check: impl FnOnce(&mut Problems) -> T) -> T {
        let inside = join(&self.under, key);
        let outside = std::mem::replace(&mut self.under, inside);
        let result = check(self);
        self.under = outside;
        result
    }

    /// Checks each element of a list; answers those that are right.
    pub fn each<T, C>(
        &mut self,
        key: &str,
        list: impl IntoIterator<Item = T>,
        mut check: impl FnMut(T, &mut Problems) -> Option<C>,
    ) -> Vec<C> {
        let full_key = join(&self.under, key);
        let gone: Vec<usize> =
            self.taken_out.iter().filter(|(list, _)| *list == full_key).map(|(_, place)| *place).collect();
        let mut checked = Vec::new();
        let mut place = 0;
        for element in list {
            while gone.contains(&place) {
                place += 1;
            }
            checked.extend(self.within(&format!("{key}[{place}]"), |problems| check(element, problems)));
            place += 1;
        }
        checked
    }

    pub(super) fn took_out(&mut self, list: String, place: usize) {
        self.taken_out.push((list, place));
    }

    /// A value that must be there.
    pub fn required<T>(&mut self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.at(key, "is missing");
        }
        value
    }

    /// A value that parses; the parser's message is the problem.
    pub fn parsed<T: std::str::FromStr<Err: fmt::Display>>(&mut self, key: &str, text: &str) -> Option<T> {
        text.parse().map_err(|error| self.at(key, format!("{error}"))).ok()
    }

    /// A secret that is given as `<key>` or as a file named by `<key>_file`; `None` when neither is there, or with a
    /// problem when it cannot be had.
    pub fn secret(&mut self, key: &str, value: Option<Secret>, file: Option<PathBuf>) -> Option<Secret> {
        match (value, file) {
            (Some(_), Some(_)) => {
                self.at(key, format!("give either {key} or {key}_file, not both"));
                None
            }
            (Some(value), None) if value.is_empty() => {
                self.at(key, "is empty");
                None
            }
            (value, None) => value,
            (None, Some(path)) => match secret::read(&path) {
                Ok(secret) => Some(secret),
                Err(reason) => {
                    self.at(&format!("{key}_file"), reason);
                    None
                }
            },
        }
    }

    /// A secret that must be there.
    pub fn required_secret(
        &mut self,
        key: &str,
        value: Option<Secret>,
        file: Option<PathBuf>,
    ) -> Option<Secret> {
        if value.is_none() && file.is_none() {
            self.at(key, format!("is missing: give {key} or {key}_file"));
            return None;
        }
        self.secret(key, value, file)
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub fn into_found(self) -> Vec<Problem> {
        self.found
    }
}

fn join(under: &str, key: &str) -> String {
    match (under, key) {
        ("", key) => key.to_owned(),
        (under, "") => under.to_owned(),
        (under, key) => format!("{under}.{key}"),
    }
}
