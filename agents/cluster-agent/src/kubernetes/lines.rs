//! Lines of a watch, each bounded in size.
//!
//! In: a byte stream. Out: lines; of one that is too long only the beginning, and the stream goes on behind it.

use futures::io::{AsyncBufRead, AsyncBufReadExt};

/// The longest line, in bytes: one object of the largest size that the API server accepts, and what is around it.
pub(crate) const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a watch's connection gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Whole(Vec<u8>),
    /// The first [`LINE_BYTES_MAX`] bytes, and how many there were.
    TooLong {
        beginning: Vec<u8>,
        bytes: usize,
    },
}

/// The next line without its end; `None` at the end of the stream, where half a line is nothing.
/// Not safe to cancel: what was read of a line is lost with the future.
pub(crate) async fn next_line(
    stream: &mut (impl AsyncBufRead + Unpin),
    line_bytes_max: usize,
) -> std::io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut bytes = 0;
    loop {
        let chunk = stream.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        bytes += part.len();
        line.extend_from_slice(&part[..part.len().min(line_bytes_max - line.len())]);
        let consumed = part.len() + usize::from(end.is_some());
        stream.consume_unpin(consumed);
        if end.is_some() {
            return Ok(Some(match bytes > line_bytes_max {
                true => Line::TooLong { beginning: line, bytes },
                false => Line::Whole(line),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_long_ones_do_not_hide_those_behind() {
        let mut stream = futures::io::Cursor::new(b"one\n\nfour5\ntwo\nhalf".to_vec());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut stream, 4).await.unwrap() {
            lines.push(line);
        }
        let too_long = Line::TooLong { beginning: b"four".to_vec(), bytes: 5 };
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        assert_eq!(lines, [whole("one"), whole(""), too_long, whole("two")]);
    }

    #[tokio::test]
    async fn lines_over_several_reads_are_put_together() {
        let inner = futures::io::Cursor::new(b"abcdefgh\nij\n".to_vec());
        let mut stream = futures::io::BufReader::with_capacity(3, inner);
        assert_eq!(next_line(&mut stream, 100).await.unwrap(), Some(Line::Whole(b"abcdefgh".to_vec())));
        assert_eq!(next_line(&mut stream, 100).await.unwrap(), Some(Line::Whole(b"ij".to_vec())));
        assert_eq!(next_line(&mut stream, 100).await.unwrap(), None);
    }
}
