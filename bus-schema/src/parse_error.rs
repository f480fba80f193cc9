//! The one error of every identity parser: what was parsed, where it went wrong, and why.

use std::borrow::Cow;

/// The longest excerpt of refused text that an error repeats, in characters.
pub const EXCERPT_CHARS_MAX: usize = 80;

/// Text that is not the identity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {excerpt:?} is refused at byte {position}: {reason}")]
pub struct ParseError {
    /// The identity that was expected, for example `digest`.
    pub kind: &'static str,
    /// The start of the refused text, at most [`EXCERPT_CHARS_MAX`] characters.
    pub excerpt: String,
    /// The byte offset of the first offending byte.
    pub position: usize,
    /// What is wrong there.
    pub reason: Cow<'static, str>,
}

impl ParseError {
    /// An error about `text`, of which it keeps an excerpt.
    pub fn new(
        kind: &'static str,
        text: &str,
        position: usize,
        reason: impl Into<Cow<'static, str>>,
    ) -> ParseError {
        let excerpt = text.chars().take(EXCERPT_CHARS_MAX).collect();
        ParseError { kind, excerpt, position, reason: reason.into() }
    }

    /// The same error seen from an enclosing text in which this one starts at `offset`.
    pub fn inside(mut self, kind: &'static str, whole: &str, offset: usize) -> ParseError {
        self.reason = Cow::Owned(format!("{}: {}", self.kind, self.reason));
        self.kind = kind;
        self.excerpt = whole.chars().take(EXCERPT_CHARS_MAX).collect();
        self.position += offset;
        self
    }
}

/// Refuses text that is empty, longer than `bytes_max`, or holds a byte that `allowed` does not accept.
pub(crate) fn check_token(
    kind: &'static str,
    text: &str,
    bytes_max: usize,
    allowed: impl Fn(u8) -> bool,
    alphabet: &'static str,
) -> Result<(), ParseError> {
    if text.is_empty() {
        return Err(ParseError::new(kind, text, 0, "it is empty"));
    }
    if text.len() > bytes_max {
        return Err(ParseError::new(
            kind,
            text,
            bytes_max,
            format!("it is {} bytes long, the limit is {bytes_max}", text.len()),
        ));
    }
    match text.bytes().position(|byte| !allowed(byte)) {
        Some(position) => Err(ParseError::new(kind, text, position, alphabet)),
        None => Ok(()),
    }
}
