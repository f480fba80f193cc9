//! What happened in a registry, whoever told it: the one input of the tag state.

use bus_schema::registry::Observation;
use bus_schema::{Actor, Digest, ImageRepository, Tag};
use jiff::Timestamp;

use crate::media_type::Content;

/// One change and how it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) change: Change,
    pub(crate) observation: Observation,
    /// The registry's time, or the end of the poll's window.
    pub(crate) at: Timestamp,
}

/// A push or a deletion of manifests and tags; blobs, mounts and pulls are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Pushed(Pushed),
    Deleted { repository: ImageRepository, what: Deleted, actor: Option<Actor> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) repository: ImageRepository,
    pub(crate) digest: Digest,
    pub(crate) media_type: Option<String>,
    pub(crate) tag: Option<Tag>,
    pub(crate) content: Content,
    pub(crate) actor: Option<Actor>,
    pub(crate) client: Option<String>,
}

/// The forms in which registries tell a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// The tag is gone; what it pointed at is not said.
    Tag(Tag),
    /// The manifest is gone, and with it every tag that pointed at it.
    Manifest(Digest),
    /// The tag is gone, and it pointed at this.
    TagOf(Tag, Digest),
}

impl Change {
    pub(crate) fn repository(&self) -> &ImageRepository {
        match self {
            Change::Pushed(pushed) => &pushed.repository,
            Change::Deleted { repository, .. } => repository,
        }
    }
}
