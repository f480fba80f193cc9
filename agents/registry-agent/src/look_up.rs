//! One look at one digest: what it is, what it lists, and what is attached to each.
//!
//! In: a digest in a repository of a configured registry, or of a layout. Out: `image.resolved` and `attestation.attached`
//! events, said as they are found, and at the end what could not be looked at. It holds one attached manifest
//! in memory at a time, beside what the places of one digest answered. It never calls something absent because it could not
//! be asked for.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bus_schema::fleet::Unavailable;
use bus_schema::registry::{BLOB_BYTES_MAX, INDEX_ENTRIES_MAX};
use bus_schema::{Digest, Event, ImageRepository};
use bytes::Bytes;
use fleet_runtime::bus::BusError;
use fleet_runtime::publisher::PublishError;
use jiff::Timestamp;

use crate::api::error::{ApiError, found};
use crate::api::manifest::Body;
use crate::collect::{collect, collect_after};
use crate::contents::Contents;
use crate::media_type::Content;
use crate::resolve::{Child, children, resolved};
use crate::sink::Sink;
use crate::tags::What;

/// The most manifests that one look fetches below an index.
pub(crate) const CHILDREN_MAX: usize = 64;
/// How deep indexes may lie in indexes.
const DEPTH_MAX: usize = 3;
/// Of how many listed manifests it is found out whether one may run; an index of more counts as an image.
const LISTED_MAX: usize = 128;
/// The most bytes of evidence that one look fetches.
pub(crate) const LOOK_UP_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The places of problems with the digest's own manifest, and with time for anything at all.
pub(crate) const MANIFESTS: &str = "manifests";
pub(crate) const WHOLE_LOOK: &str = "the whole look";
/// How many problems the answer names.
const PROBLEMS_NAMED_MAX: usize = 3;

/// What came of a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Events published.
    pub(crate) events: u32,
    /// The registry has no manifest of this digest.
    pub(crate) is_missing: bool,
    /// What the manifest holds, where it could be read.
    pub(crate) content: Option<Content>,
    pub(crate) problem: Option<Problem>,
    /// Each place that could not be looked at, and why.
    pub(crate) unread: Vec<(String, ApiError)>,
}

/// What could not be looked at, for the correlator and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) reason: Unavailable,
    pub(crate) detail: String,
    pub(crate) retry_after: Option<Duration>,
}

/// What came of the manifest itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Read(Content),
    Missing,
    Unread,
}

/// A look in progress.
#[derive(Debug)]
pub(crate) struct LookingUp<'a> {
    pub(crate) contents: &'a dyn Contents,
    pub(crate) repository: &'a ImageRepository,
    pub(crate) has_referrers_api: bool,
    sink: &'a dyn Sink,
    events: AtomicU32,
    bytes: AtomicUsize,
    problems: Mutex<Vec<(String, ApiError)>>,
}

impl<'a> LookingUp<'a> {
    pub(crate) fn new(
        contents: &'a dyn Contents,
        repository: &'a ImageRepository,
        has_referrers_api: bool,
        sink: &'a dyn Sink,
    ) -> LookingUp<'a> {
        LookingUp {
            contents,
            repository,
            has_referrers_api,
            sink,
            events: AtomicU32::new(0),
            bytes: AtomicUsize::new(0),
            problems: Mutex::default(),
        }
    }

    /// Looks, within `deadline`. Fails only where our own bus does.
    pub(crate) async fn run(
        self,
        digest: Digest,
        what: What,
        deadline: Duration,
    ) -> Result<Found, PublishError> {
        let work = async {
            match what {
                What::Evidence => collect(&self, digest).await.map(|()| Root::Unread),
                What::Image => self.image(digest).await,
                What::Named => self.named(digest).await,
            }
        };
        let root = match tokio::time::timeout(deadline, work).await {
            Ok(done) => done?,
            Err(_) => {
                self.problem(WHOLE_LOOK, &ApiError::TimedOut { seconds: deadline.as_secs() });
                Root::Unread
            }
        };
        let events = self.events.load(Ordering::Relaxed);
        let problems = self.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
        let content = match root {
            Root::Read(content) => Some(content),
            Root::Missing | Root::Unread => None,
        };
        let problem = summary(&problems);
        // Who looks for evidence alone was told that there is some.
        let is_missing =
            root == Root::Missing || (what == What::Evidence && events == 0 && problems.is_empty());
        Ok(Found { events, is_missing, content, problem, unread: problems })
    }

    /// What was pushed under the name of evidence. Where it is evidence, what it is attached to is looked at
    /// by itself.
    async fn named(&self, digest: Digest) -> Result<Root, PublishError> {
        match self.may_run(digest).await {
            Ok(Some(true)) => self.image(digest).await,
            Ok(Some(false)) => Ok(Root::Read(Content::Evidence)),
            Ok(None) => Ok(Root::Missing),
            Err(error) => {
                self.problem(MANIFESTS, &error);
                Ok(Root::Unread)
            }
        }
    }

    /// Whether a digest is of an image. A list of referrers is an index like any other: what it lists tells.
    async fn may_run(&self, digest: Digest) -> Result<Option<bool>, ApiError> {
        let Some(manifest) = found(self.contents.manifest(self.repository, &digest).await)? else {
            return Ok(None);
        };
        let entries = match &manifest.body {
            Body::Index { entries, cut: false } if entries.len() <= LISTED_MAX => entries,
            _ => return Ok(Some(manifest.content() == Content::Image)),
        };
        for entry in entries {
            let listed = found(self.contents.manifest(self.repository, &entry.digest).await)?;
            if listed.is_some_and(|listed| listed.content() == Content::Image) {
                return Ok(Some(true));
            }
        }
        Ok(Some(false))
    }

    /// The digest, what it lists, and the evidence of each.
    async fn image(&self, root: Digest) -> Result<Root, PublishError> {
        let mut waiting = VecDeque::from([(root, 0_usize)]);
        let mut seen = BTreeSet::from([root]);
        let mut what_it_is = Root::Unread;
        while let Some((digest, depth)) = waiting.pop_front() {
            let (below, read) = self.one(digest).await?;
            if digest == root {
                what_it_is = read;
            }
            for child in below {
                if !seen.insert(child.digest) {
                    continue;
                }
                let too_deep = child.is_index && depth + 1 >= DEPTH_MAX;
                if seen.len() > CHILDREN_MAX + 1 || too_deep {
                    let what = if too_deep { "the nesting of indexes" } else { "the index" };
                    let count_max = if too_deep { DEPTH_MAX } else { CHILDREN_MAX };
                    self.problem(MANIFESTS, &ApiError::TooMany { what, count_max });
                    break;
                }
                waiting.push_back((child.digest, depth + 1));
            }
        }
        Ok(what_it_is)
    }

    /// One digest: its manifest and its evidence, asked for at once. Returns what it lists, and what it is.
    async fn one(&self, digest: Digest) -> Result<(Vec<Child>, Root), PublishError> {
        collect_after(self, digest, Box::pin(self.manifest(digest))).await
    }

    async fn manifest(&self, digest: Digest) -> Result<(Vec<Child>, Root), PublishError> {
        let manifest = match found(self.contents.manifest(self.repository, &digest).await) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.problem(MANIFESTS, &error);
                return Ok((Vec::new(), Root::Unread));
            }
        };
        let Some(manifest) = manifest else { return Ok((Vec::new(), Root::Missing)) };
        if let Some(event) = resolved(self.repository, &manifest, Timestamp::now()) {
            self.report(Event::ImageResolved(event)).await?;
        }
        if let Body::Index { cut: true, .. } = manifest.body {
            let error = ApiError::TooMany { what: "the index", count_max: INDEX_ENTRIES_MAX };
            self.problem(MANIFESTS, &error);
        }
        if let Some(subject) = manifest.subject.filter(|subject| *subject != digest) {
            collect(self, subject).await?;
        }
        Ok((children(&manifest), Root::Read(manifest.content())))
    }

    pub(crate) async fn report(&self, event: Event) -> Result<(), PublishError> {
        match self.sink.report(event).await {
            Ok(()) => {
                self.events.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            // What the registry says does not fit into an event, and would not the next time.
            Err(error) if error.is_of_the_event() => {
                let bytes_max = bus_schema::envelope::ENVELOPE_BYTES_MAX as u64;
                let error = ApiError::TooLarge { what: "what was found", bytes_max };
                self.problem("the answer", &error);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Stores bytes that are too many for an event. Nothing where the store is full: that says nothing of the bus, and
    /// holds up no other look.
    pub(crate) async fn keep(&self, bytes: Bytes) -> Result<Option<Digest>, PublishError> {
        match self.sink.keep(bytes).await {
            Ok(digest) => Ok(Some(digest)),
            Err(PublishError::Bus(BusError::Full { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn problem(&self, place: &str, error: &ApiError) {
        tracing::info!(
            registry = self.repository.registry(),
            repository = self.repository.name(),
            place,
            error = %error,
            "could not look at a place of evidence"
        );
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).push((place.to_owned(), error.clone()));
    }

    /// How large the next blob may be.
    pub(crate) fn bytes_left(&self) -> usize {
        let one = usize::try_from(BLOB_BYTES_MAX).unwrap_or(usize::MAX);
        LOOK_UP_BYTES_MAX.saturating_sub(self.bytes.load(Ordering::Relaxed)).min(one)
    }

    pub(crate) fn spend(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// One problem for all: what passes by itself comes before what somebody must change, that before a bound.
fn summary(problems: &[(String, ApiError)]) -> Option<Problem> {
    let rank = |error: &ApiError| match error.unavailable() {
        Unavailable::RateLimited => 0,
        Unavailable::Unreachable => 1,
        Unavailable::Denied => 2,
        Unavailable::Unreadable => 3,
        _ => 4,
    };
    let (_, worst) = problems.iter().min_by_key(|(_, error)| rank(error))?;
    let mut named: Vec<String> = Vec::new();
    for (place, error) in problems {
        let text = format!("{place}: {error}");
        if !named.contains(&text) {
            named.push(text);
        }
    }
    let more = named.len().saturating_sub(PROBLEMS_NAMED_MAX);
    named.truncate(PROBLEMS_NAMED_MAX);
    let mut detail = named.join("; ");
    if more > 0 {
        detail.push_str(&format!("; and {more} more"));
    }
    let retry_after = problems.iter().filter_map(|(_, error)| error.retry_after()).max();
    Some(Problem { reason: worst.unavailable(), detail, retry_after })
}
