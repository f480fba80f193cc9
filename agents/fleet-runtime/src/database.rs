//! The file of a database: made beside its place, and put there when it is whole.
//!
//! In: its path. Out: the open database. A process that ended while it made the file in its place would leave one that is no
//! database, and that no process opens again.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use redb::Database;

/// Opens the database, or makes it.
pub fn open(path: &Path, cache_bytes_max: usize) -> Result<Database, redb::Error> {
    if !path.try_exists()? {
        make(path)?;
    }
    Ok(Database::builder().set_cache_size(cache_bytes_max).create(path)?)
}

fn make(path: &Path) -> Result<(), redb::Error> {
    let unfinished = path.with_extension("redb.new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    drop(Database::create(&unfinished)?);
    File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_was_cut_off_while_it_was_made_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.redb");
        // As a process leaves it that ends after it has made room in the file.
        let unfinished = File::create(folder.path().join("kept.redb.new")).unwrap();
        unfinished.set_len(1 << 20).unwrap();
        assert!(Database::create(folder.path().join("kept.redb.new")).is_err());
        drop(open(&path, 1 << 20).unwrap());
        drop(open(&path, 1 << 20).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
