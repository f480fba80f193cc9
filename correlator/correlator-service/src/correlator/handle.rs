//! The correlator as the rest of its process sees it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use correlator_store::Lane;
use jiff::{SignedDuration, Timestamp};

use crate::query::{Answers, QueryError};
use crate::shared::Consuming;

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Asks the correlator from within its process.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) answers: Answers,
    pub(super) address: SocketAddr,
}

/// What is not done yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unfinished {
    /// Events may be on the bus that were not taken.
    pub events: bool,
    /// Entries of the log that are not judged.
    pub entries: u64,
    pub verifications: u64,
    pub publications: u64,
    pub deliveries: u64,
    /// A window that ends soon enough to be waited for.
    pub deadline: Option<Timestamp>,
}

impl Unfinished {
    pub fn is_nothing(&self) -> bool {
        *self == Unfinished::default()
    }
}

impl Handle {
    /// Where the API is served.
    pub fn api_address(&self) -> SocketAddr {
        self.address
    }

    /// Questions about the state, without HTTP.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// What is not done yet of everything that was on the bus at `since`, windows included that end by `until`.
    pub async fn unfinished(&self, since: Instant, until: Timestamp) -> Result<Unfinished, QueryError> {
        let shared = &self.answers.shared;
        let events = match *shared.consuming.borrow() {
            Consuming::CaughtUp { since: caught_up } => caught_up < since,
            Consuming::Busy => true,
        };
        let head = self.answers.store.log().head().position;
        let progress = *shared.progress.borrow();
        let verifying = shared.verifications_waiting() as u64;
        let waiting = self.answers.waiting_rows().await?;
        let of = |lane: Lane| waiting.iter().find(|(other, _)| *other == lane).map_or(0, |(_, count)| *count);
        Ok(Unfinished {
            events,
            entries: head.saturating_sub(progress.applied),
            verifications: of(Lane::Verification).max(verifying),
            publications: of(Lane::Bus),
            deliveries: of(Lane::Delivery),
            deadline: progress.next_deadline.filter(|deadline| *deadline <= until),
        })
    }

    /// Waits until everything that is on the bus now is judged and delivered, and every window that ends within `windows`
    /// from then is over.
    pub async fn until_idle(&self, windows: Duration) -> Result<(), QueryError> {
        let since = Instant::now();
        let windows = SignedDuration::try_from(windows).ok();
        let until =
            windows.and_then(|windows| Timestamp::now().checked_add(windows).ok()).unwrap_or(Timestamp::MAX);
        let mut idle_at = None;
        loop {
            let is_idle = self.unfinished(since, until).await?.is_nothing();
            let head = self.answers.store.log().head().position;
            // Two looks at one head: nothing moved from one part to another in between.
            if is_idle && idle_at == Some(head) {
                return Ok(());
            }
            idle_at = is_idle.then_some(head);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
