//! Whether a merge of the base adds nothing of its own: whoever makes a merge commit chooses its whole tree.
//!
//! A clean merge differs from what it merged in by the change alone, as the change was before: the same paths
//! with the same blobs. A file that both sides touched differs between the two comparisons, so that a merge
//! in which anything was to be decided counts as one that adds something.

use bus_schema::CommitId;
use github_client::answering::LookUpEnd;

use super::LookUp;
use crate::github::payload::ChangedFile;
use crate::github::translate::commits::FILES_ON_PAGE;

impl LookUp<'_> {
    /// Whether `merge`, the merge of `merged` into `earlier`, holds what these two hold and nothing else.
    /// What the forge does not list to the end is not known to be clean.
    pub(super) async fn adds_nothing(
        &self,
        merge: &CommitId,
        earlier: &CommitId,
        merged: &CommitId,
    ) -> Result<bool, LookUpEnd> {
        let Some(after) = self.files_beyond(merged, merge).await? else { return Ok(false) };
        let Some(before) = self.files_beyond(merged, earlier).await? else { return Ok(false) };
        Ok(after == before)
    }

    /// What `head` has beyond the newest commit that it shares with `base`. `None`: the list is not whole.
    async fn files_beyond(&self, base: &CommitId, head: &CommitId) -> Result<Option<Vec<Beyond>>, LookUpEnd> {
        let Some(comparison) = self.compare(base, head).await? else { return Ok(None) };
        Ok(comparison.files.and_then(whole))
    }
}

/// One file of a comparison; two are the same when all of it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Beyond {
    path: String,
    blob: String,
    status: String,
    path_before: Option<String>,
}

/// All files in the order of their paths; nothing when some may be left out, or one does not say what it
/// holds.
fn whole(files: Vec<ChangedFile>) -> Option<Vec<Beyond>> {
    if files.len() >= FILES_ON_PAGE {
        return None;
    }
    let told = files.into_iter().map(|file| {
        Some(Beyond {
            path: file.filename,
            blob: file.sha?,
            status: file.status?,
            path_before: file.previous_filename,
        })
    });
    let mut files = told.collect::<Option<Vec<Beyond>>>()?;
    files.sort();
    Some(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn files(of: impl IntoIterator<Item = serde_json::Value>) -> Vec<ChangedFile> {
        of.into_iter().map(|file| serde_json::from_value(file).unwrap()).collect()
    }

    fn file(path: &str) -> serde_json::Value {
        json!({ "filename": path, "sha": "a".repeat(40), "status": "modified" })
    }

    #[test]
    fn a_list_that_is_cut_or_does_not_say_what_a_file_holds_is_not_whole() {
        assert_eq!(whole(Vec::new()), Some(Vec::new()));
        assert!(whole(files((1..FILES_ON_PAGE).map(|n| file(&n.to_string())))).is_some());
        assert_eq!(whole(files((0..FILES_ON_PAGE).map(|n| file(&n.to_string())))), None);
        for field in ["sha", "status"] {
            let mut silent = file("b");
            silent[field] = json!(null);
            assert_eq!(whole(files([file("a"), silent])), None, "{field}");
        }
    }

    #[test]
    fn the_order_of_a_list_says_nothing_and_every_field_of_a_file_does() {
        assert_eq!(whole(files([file("a"), file("b")])), whole(files([file("b"), file("a")])));
        let other = |field: &str, value: &str| {
            let mut file = file("a");
            file[field] = json!(value);
            whole(files([file]))
        };
        let same = whole(files([file("a")]));
        for (field, value) in
            [("filename", "b"), ("sha", "b"), ("status", "added"), ("previous_filename", "b")]
        {
            assert_ne!(other(field, value), same, "{field}");
        }
    }
}
