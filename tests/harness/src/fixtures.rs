//! Where the fixtures are: the folder that `CUSTODY_FIXTURES` names, else `../shared/fixtures`, both from the
//! root of the repository. Other folders of the same layout may lack any part.

use std::path::PathBuf;

use crate::provision::repository_root;
use crate::said::skipped;

/// A file or folder of the fixtures by its name, whether it is there or not.
pub fn path(name: &str) -> PathBuf {
    let root = std::env::var_os("CUSTODY_FIXTURES").unwrap_or_else(|| "../shared/fixtures".into());
    repository_root().join(root).join(name)
}

/// A file or folder of the fixtures, or `None` after saying that this test is skipped without it.
pub fn found(name: &str) -> Option<PathBuf> {
    let path = path(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("fixtures absent: {}", path.display()));
    None
}
