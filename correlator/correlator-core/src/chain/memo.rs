//! What judgements that are made together share: facts that many units look at are read and followed once.
//!
//! It lives as long as these are made. Judging changes no fact, so nothing in it can grow old.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bus_schema::Digest;

use crate::chain::recorded::Recorded;
use crate::chain::review::Remembered;
use crate::chain::walked::WalkedBranches;
use crate::records::{Draft, RecordsError, Table};
use crate::state::digest::{self, DigestRecord};

#[derive(Default)]
pub(crate) struct Memo {
    /// Without what they list: an index lies above each of its thousand manifests.
    digests: RefCell<BTreeMap<Digest, Option<DigestRecord>>>,
    reviews: RefCell<BTreeMap<String, Rc<Remembered>>>,
    /// The branch that was read last, by its name.
    branch: RefCell<Option<(String, Option<Rc<Recorded>>)>>,
    /// What outlives the judgements: it is cut off where facts change.
    walked: RefCell<WalkedBranches>,
}

impl Memo {
    pub(crate) fn with(walked: WalkedBranches) -> Memo {
        Memo { walked: RefCell::new(walked), ..Memo::default() }
    }

    pub(crate) fn into_walked(self) -> WalkedBranches {
        self.walked.into_inner()
    }

    pub(crate) fn walked<T>(&self, work: impl FnOnce(&mut WalkedBranches) -> T) -> T {
        work(&mut self.walked.borrow_mut())
    }

    /// What is known of a digest, without what it lists.
    pub(crate) fn digest(
        &self,
        draft: &Draft<'_>,
        digest: &Digest,
    ) -> Result<Option<DigestRecord>, RecordsError> {
        if let Some(known) = self.digests.borrow().get(digest) {
            return Ok(known.clone());
        }
        let mut record: Option<DigestRecord> = draft.get(Table::Digests, &digest::key(digest))?;
        if let Some(record) = &mut record {
            record.resolved = None;
        }
        self.digests.borrow_mut().insert(*digest, record.clone());
        Ok(record)
    }

    pub(crate) fn review(&self, key: &str) -> Option<Rc<Remembered>> {
        self.reviews.borrow().get(key).cloned()
    }

    pub(crate) fn keep_review(&self, key: String, review: Rc<Remembered>) {
        self.reviews.borrow_mut().insert(key, review);
    }

    pub(crate) fn branch(&self, name: &str) -> Option<Option<Rc<Recorded>>> {
        let known = self.branch.borrow();
        known.as_ref().filter(|(known, _)| known == name).map(|(_, recorded)| recorded.clone())
    }

    pub(crate) fn keep_branch(&self, name: String, recorded: Option<Rc<Recorded>>) {
        self.branch.replace(Some((name, recorded)));
    }
}
