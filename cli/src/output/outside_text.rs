//! Text from outside on its way to a terminal: nothing in it may steer the terminal or hide what it says.

use serde_json::Value;

/// The longest single text that is printed, in characters.
const SHOWN_CHARS_MAX: usize = 4000;

/// The text with control characters, terminal escapes, and characters that reorder or hide text made visible.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// Every text in a JSON value, keys included, as [`harmless`].
pub(crate) fn harmless_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(harmless(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(harmless_json).collect()),
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(key, value)| (harmless(&key), harmless_json(value))).collect(),
        ),
        other => other,
    }
}

/// Control characters, line and paragraph separators, and the format characters of bidirectional and invisible text.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00ad}'
            | '\u{061c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_hidden_characters_become_visible() {
        assert_eq!(harmless("v1\u{1b}]0;owned\u{7}\r\n"), "v1\u{fffd}]0;owned\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(harmless("a\u{202e}b\u{9b}31m"), "a\u{fffd}b\u{fffd}31m");
        assert_eq!(harmless("größe"), "größe");
        let value = serde_json::json!({ "k\u{1b}": ["\u{1b}[2J", 1] });
        assert_eq!(harmless_json(value), serde_json::json!({ "k\u{fffd}": ["\u{fffd}[2J", 1] }));
    }
}
