//! Bounds for text that others wrote: names, images, reasons.

/// The longest text from a pod that is said on the bus, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1024;

/// Cuts `text` to [`TEXT_BYTES_MAX`] bytes, on a character boundary.
pub(crate) fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_kept_and_long_text_ends_on_a_character() {
        assert_eq!(cut("nginx"), "nginx");
        assert_eq!(cut(&"a".repeat(5000)).len(), TEXT_BYTES_MAX);
        let cut_text = cut(&"é€".repeat(1000));
        assert!(cut_text.len() <= TEXT_BYTES_MAX && cut_text.len() > TEXT_BYTES_MAX - 4);
    }
}
