//! Text from outside on its way to people: nothing in it may steer a terminal or hide what it says.

use serde_json::Value;

/// The longest single text that people are shown, in characters.
const SHOWN_CHARS_MAX: usize = 2000;

/// The text, cut to what people read, with control characters, terminal escapes, and characters that reorder or hide
/// text made visible.
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).map(visible).collect()
}

/// Every text in a JSON value, keys included, as [`shown`].
pub fn shown_json(value: Value) -> Value {
    each_text(value, &shown)
}

/// Every text in a JSON value, keys included, made harmless and left whole: for programs, which must not lose
/// the end. Line breaks and tabs stay: JSON writes them as escapes, so that they reach no terminal.
pub fn whole_json(value: Value) -> Value {
    let kept = |c: char| if matches!(c, '\n' | '\t') { c } else { visible(c) };
    each_text(value, &|text| text.chars().map(kept).collect())
}

fn each_text(value: Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| each_text(item, change)).collect()),
        Value::Object(fields) => {
            let changed = fields.into_iter().map(|(key, value)| (change(&key), each_text(value, change)));
            Value::Object(changed.collect())
        }
        other => other,
    }
}

fn visible(c: char) -> char {
    if is_harmful(c) { '\u{fffd}' } else { c }
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
    fn escapes_and_reordering_are_made_visible() {
        assert_eq!(shown("v1\u{1b}[2Jx\r\n"), "v1\u{fffd}[2Jx\u{fffd}\u{fffd}");
        assert_eq!(shown("a\u{202e}b\u{200b}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(shown("größe 大きさ"), "größe 大きさ");
        assert_eq!(shown(&"x".repeat(3000)).chars().count(), SHOWN_CHARS_MAX);
    }

    #[test]
    fn a_program_gets_the_whole_of_a_long_text() {
        let long = "x".repeat(3000);
        assert_eq!(whole_json(serde_json::json!([long, "\u{1b}"])), serde_json::json!([long, "\u{fffd}"]));
        let lines = serde_json::json!({ "a\tb": "one\ntwo\r" });
        assert_eq!(whole_json(lines), serde_json::json!({ "a\tb": "one\ntwo\u{fffd}" }));
    }

    #[test]
    fn every_text_of_a_value_is_made_harmless() {
        let value = serde_json::json!({ "a\u{7}": ["\u{9b}31m", { "b": "ok" }], "n": 1 });
        assert_eq!(
            shown_json(value),
            serde_json::json!({ "a\u{fffd}": ["\u{fffd}31m", { "b": "ok" }], "n": 1 })
        );
    }
}
