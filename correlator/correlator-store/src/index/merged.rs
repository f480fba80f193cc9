//! The rows of one tree, in order: those that are only in memory above those of the file.

use redb::AccessGuard;

use super::cursor::Cursor;
use super::error::widen;

type FileRow<'a> = (AccessGuard<'a, &'static [u8]>, AccessGuard<'a, &'static [u8]>);

/// Goes through the rows that are there.
pub(super) struct Merged<'a> {
    /// The newest first.
    layers: Vec<Cursor>,
    file: redb::Range<'a, &'static [u8], &'static [u8]>,
    /// The file's next row, once it was looked at.
    file_head: Option<FileRow<'a>>,
}

/// One row.
pub(super) enum Found<'a> {
    InMemory(Vec<u8>, Vec<u8>),
    InFile(FileRow<'a>),
}

impl Found<'_> {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Found::InMemory(key, _) => key,
            Found::InFile((key, _)) => key.value(),
        }
    }

    pub(super) fn value(&self) -> &[u8] {
        match self {
            Found::InMemory(_, value) => value,
            Found::InFile((_, value)) => value.value(),
        }
    }

    pub(super) fn into_value(self) -> Vec<u8> {
        match self {
            Found::InMemory(_, value) => value,
            Found::InFile((_, value)) => value.value().to_vec(),
        }
    }
}

impl<'a> Merged<'a> {
    /// All begin at the same key.
    pub(super) fn new(
        layers: Vec<Cursor>,
        file: redb::Range<'a, &'static [u8], &'static [u8]>,
    ) -> Merged<'a> {
        Merged { layers, file, file_head: None }
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<Found<'a>>, Box<redb::Error>> {
        loop {
            if self.file_head.is_none() {
                self.file_head = self.file.next().transpose().map_err(widen)?;
            }
            let mut least: Option<(usize, &[u8])> = None;
            for (index, layer) in self.layers.iter_mut().enumerate() {
                if let Some((key, _)) = layer.head()
                    && least.is_none_or(|(_, other)| key.as_slice() < other)
                {
                    least = Some((index, key));
                }
            }
            let in_file = self.file_head.as_ref().map(|(key, _)| key.value());
            let Some((index, key)) = least.filter(|(_, key)| in_file.is_none_or(|other| *key <= other))
            else {
                return Ok(self.file_head.take().map(Found::InFile));
            };
            if in_file == Some(key) {
                self.file_head = None;
            }
            let Some((key, value)) = self.layers.get_mut(index).and_then(Cursor::take) else { continue };
            for layer in self.layers.iter_mut().skip(index + 1) {
                if layer.head().is_some_and(|(other, _)| *other == key) {
                    layer.take();
                }
            }
            if let Some(value) = value {
                return Ok(Some(Found::InMemory(key, value)));
            }
        }
    }
}
