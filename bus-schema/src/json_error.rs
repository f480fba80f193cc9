//! Why JSON does not fit, in words that may be logged: the parser repeats what it refuses, which is outside text.

use std::fmt;

/// The longest reason that is kept, in characters.
pub const REASON_CHARS_MAX: usize = 240;

/// An error of the JSON parser: where, and why, with outside text cut short and made visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// The line of the offending byte, counted from 1; 0 when the error has no place.
    pub line: usize,
    /// Its column, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> JsonError {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        let reason = text.strip_suffix(&place).unwrap_or(&text);
        JsonError { line, column, reason: visible(reason) }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => formatter.write_str(&self.reason),
            line => write!(formatter, "line {line} column {}: {}", self.column, self.reason),
        }
    }
}

impl std::error::Error for JsonError {}

/// `text` cut to [`REASON_CHARS_MAX`] characters, with what a terminal would obey escaped.
fn visible(text: &str) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == REASON_CHARS_MAX {
            shown.push('…');
            break;
        }
        match c {
            '"' | '\'' | '\\' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}
