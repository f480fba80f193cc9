//! Generators: near-valid text, and small mistakes in valid text.

use proptest::prelude::*;

/// A small mistake at a place in a text.
#[derive(Debug, Clone)]
pub(super) enum Mistake {
    Remove,
    Insert(char),
    Replace(char),
    Repeat,
    Cut,
    SwapCase,
}

/// One to three mistakes with their places, as fractions of the text.
pub(super) fn mistakes() -> impl Strategy<Value = Vec<(u16, Mistake)>> {
    let any_char = || prop_oneof![4 => proptest::sample::select(odd_chars()), 1 => any::<char>()];
    let mistake = prop_oneof![
        Just(Mistake::Remove),
        any_char().prop_map(Mistake::Insert),
        any_char().prop_map(Mistake::Replace),
        Just(Mistake::Repeat),
        Just(Mistake::Cut),
        Just(Mistake::SwapCase),
    ];
    proptest::collection::vec((any::<u16>(), mistake), 1..=3)
}

/// `text` with the mistakes made.
pub(super) fn with_mistakes(text: &str, mistakes: &[(u16, Mistake)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (place, mistake) in mistakes {
        let at = usize::from(*place) * (chars.len() + 1) / (usize::from(u16::MAX) + 1);
        let here = at < chars.len();
        match mistake {
            Mistake::Remove if here => drop(chars.remove(at)),
            Mistake::Insert(c) => chars.insert(at, *c),
            Mistake::Replace(c) if here => chars[at] = *c,
            Mistake::Repeat if here => chars.insert(at, chars[at]),
            Mistake::Cut => chars.truncate(at),
            Mistake::SwapCase if here && chars[at].is_ascii_uppercase() => chars[at].make_ascii_lowercase(),
            Mistake::SwapCase if here => chars[at].make_ascii_uppercase(),
            _ => {}
        }
    }
    chars.into_iter().collect()
}

/// Characters that mean something to one of the parsers, or that upset careless ones.
fn odd_chars() -> Vec<char> {
    let mut chars: Vec<char> = "/:@.-_#?&=%+[]{}\\\"'<>*~^, 09afgAFZ".chars().collect();
    chars.extend(['\0', '\n', '\u{1b}', '\u{1f}', '\u{7f}', '\u{9b}', 'ß', 'İ', '\u{202e}', '\u{1f600}']);
    chars
}
