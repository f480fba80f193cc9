//! Reads PEM (RFC 7468) strictly: whole blocks of one label, nothing but white space around them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Why a text is not the PEM that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemError {
    #[error("text outside of the PEM blocks")]
    TextAround,
    #[error("no PEM block")]
    Empty,
    #[error("more than {max} PEM blocks")]
    TooMany { max: usize },
    #[error("a PEM block that does not end")]
    Unfinished,
    #[error("the content of a PEM block is not base64")]
    NotBase64,
}

/// The contents of all blocks in `text`, in their order. Each must have this label, and there is at least one.
pub(crate) fn blocks(text: &str, label: &str, blocks_max: usize) -> Result<Vec<Vec<u8>>, PemError> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut rest = text.trim_start();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let Some(after_begin) = rest.strip_prefix(begin.as_str()) else {
            return Err(PemError::TextAround);
        };
        let Some((content, after_end)) = after_begin.split_once(end.as_str()) else {
            return Err(PemError::Unfinished);
        };
        if found.len() == blocks_max {
            return Err(PemError::TooMany { max: blocks_max });
        }
        let packed: String = content.chars().filter(|character| !character.is_ascii_whitespace()).collect();
        found.push(STANDARD.decode(packed).map_err(|_| PemError::NotBase64)?);
        rest = after_end.trim_start();
    }
    if found.is_empty() { Err(PemError::Empty) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const ONE: &str = "-----BEGIN THING-----\nAAEC\n-----END THING-----\n";

    #[test]
    fn blocks_come_back_in_order() {
        let two = format!("\n{ONE}\r\n-----BEGIN THING-----\r\nAw==\r\n-----END THING-----");
        assert_eq!(blocks(&two, "THING", 2), Ok(vec![vec![0, 1, 2], vec![3]]));
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(blocks("", "THING", 2), Err(PemError::Empty));
        assert_eq!(blocks(&format!("{ONE}{ONE}"), "THING", 1), Err(PemError::TooMany { max: 1 }));
        assert_eq!(blocks(&format!("{ONE}tail"), "THING", 1), Err(PemError::TextAround));
        assert_eq!(blocks(ONE, "OTHER", 1), Err(PemError::TextAround));
        assert_eq!(blocks("-----BEGIN THING-----\nAAEC\n", "THING", 1), Err(PemError::Unfinished));
        assert_eq!(blocks(&ONE.replace("AAEC", "AAE"), "THING", 1), Err(PemError::NotBase64));
    }
}
