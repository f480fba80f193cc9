//! Repository names inside a registry: the `path` of the distribution project's reference grammar.

use crate::ParseError;

/// The longest repository name, in bytes (distribution: `RepositoryNameTotalLengthMax`; the registry is not counted).
pub const IMAGE_NAME_BYTES_MAX: usize = 255;

/// Checks path components: lower-case letters and digits, separated by one dot, one or two underscores, or hyphens.
pub(super) fn check_path(path: &str) -> Result<(), ParseError> {
    if path.is_empty() {
        return Err(ParseError::new("repository", path, 0, "it is empty"));
    }
    if path.len() > IMAGE_NAME_BYTES_MAX {
        return Err(ParseError::new("repository", path, IMAGE_NAME_BYTES_MAX, "longer than 255 bytes"));
    }
    let mut position = 0;
    for component in path.split('/') {
        check_component(path, component, position)?;
        position += component.len() + 1;
    }
    Ok(())
}

fn check_component(path: &str, component: &str, offset: usize) -> Result<(), ParseError> {
    let refuse =
        |at: usize, reason: &'static str| Err(ParseError::new("repository", path, offset + at, reason));
    if component.is_empty() {
        return refuse(0, "an empty path segment");
    }
    let is_word = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let bytes = component.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        if is_word(bytes[index]) {
            index += 1;
            continue;
        }
        let start = index;
        while index < bytes.len()
            && bytes[index] == bytes[start]
            && matches!(bytes[start], b'.' | b'_' | b'-')
        {
            index += 1;
        }
        let run = index - start;
        match bytes[start] {
            b'.' if run == 1 => {}
            b'_' if run <= 2 => {}
            b'-' if run >= 1 => {}
            b'.' | b'_' => return refuse(start, "too many separators in a row"),
            _ => return refuse(start, "not a lower-case letter, digit or separator"),
        }
        if start == 0 || index == bytes.len() || !is_word(bytes[index]) {
            return refuse(start, "a separator that does not stand between letters or digits");
        }
    }
    Ok(())
}
