//! Follows the pods of one scope: a list, then everything that happens after it.
//!
//! In: an API. Out: what was seen, in order, into a bounded channel. A watch that breaks is resumed where it was. When
//! the server has forgotten that place (410 Gone), a new list follows, and its cause says from when on changes may have
//! been missed. One object that cannot be read stops nothing behind it.
//!
//! `kube`'s own watcher is not used: one object that does not parse fails its whole page there, forever, and neither
//! pages nor lines are bounded.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::api::{Api, ApiError, PodScope};
use super::lines::{LINE_BYTES_MAX, Line, next_line};
use super::list::{ListLimits, PodList, list};
use super::payload::{
    ErrorStatus, Marked, ReadPod, UnreadablePod, UnreadableReason, WatchLine, describe, read_pod,
};

/// How long to wait after the first failure; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A watch that ends sooner than this counts as a failure.
const WATCH_TIME_MIN: Duration = Duration::from_secs(1);

/// What was seen of one scope.
#[derive(Debug)]
pub(crate) enum Seen {
    /// All pods as of one moment. What was known before and is not listed is gone.
    Listed {
        list: PodList,
        cause: ListCause,
    },
    Applied {
        pod: ReadPod,
        at: Timestamp,
    },
    Deleted {
        pod: ReadPod,
        at: Timestamp,
    },
    /// The watch goes on where it was.
    Connected,
    /// Everything up to this time has been seen.
    InTouch {
        at: Timestamp,
    },
    /// The server does not answer as it should; it is tried again.
    OutOfTouch {
        reason: String,
    },
}

/// Why a list was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListCause {
    Start,
    /// The server no longer knew what happened after this time.
    Forgotten {
        from: Timestamp,
    },
}

/// What was seen, and in which scope.
pub(crate) type ScopeSeen = (usize, Seen);

/// Nobody listens any more.
struct Closed;

/// Follows a scope until nobody listens.
pub(crate) async fn follow(
    api: Api,
    index: usize,
    scope: PodScope,
    limits: ListLimits,
    seen: mpsc::Sender<ScopeSeen>,
) {
    let follower = Follower { api, index, scope, limits, seen, pause: PAUSE_MIN, in_touch: Timestamp::now() };
    // The only way out is a closed channel.
    let Err(Closed) = follower.run().await;
}

struct Follower {
    api: Api,
    index: usize,
    scope: PodScope,
    limits: ListLimits,
    seen: mpsc::Sender<ScopeSeen>,
    pause: Duration,
    /// Until when everything has been seen.
    in_touch: Timestamp,
}

impl Follower {
    async fn run(mut self) -> Result<std::convert::Infallible, Closed> {
        let mut cause = ListCause::Start;
        loop {
            let list = match list(&self.api, &self.scope, self.limits).await {
                Ok(list) => list,
                Err(error) => {
                    self.fail(fleet_runtime::error_chain(&error)).await?;
                    continue;
                }
            };
            let mut version = list.resource_version.clone();
            self.in_touch = list.requested_at;
            self.say(Seen::Listed { list, cause }).await?;
            self.watch_until_forgotten(&mut version).await?;
            cause = ListCause::Forgotten { from: self.in_touch };
        }
    }

    async fn watch_until_forgotten(&mut self, version: &mut String) -> Result<(), Closed> {
        loop {
            let begun = tokio::time::Instant::now();
            match self.watch(version).await? {
                Ok(()) if begun.elapsed() < WATCH_TIME_MIN => {
                    self.fail("the watch ends as soon as it begins".to_owned()).await?;
                }
                Ok(()) => {}
                Err(ApiError::Gone) => return Ok(()),
                Err(error) => self.fail(fleet_runtime::error_chain(&error)).await?,
            }
        }
    }

    /// One connection. Moves `version` forward with what was said.
    async fn watch(&mut self, version: &mut String) -> Result<Result<(), ApiError>, Closed> {
        let mut stream = match self.api.watch(&self.scope, version).await {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        self.say(Seen::Connected).await?;
        let silence_max = self.api.watch_silence_max();
        loop {
            let line = tokio::time::timeout(silence_max, next_line(&mut stream, LINE_BYTES_MAX)).await;
            let line = match line {
                // The connection may be dead without saying so.
                Err(_) => return Ok(Err(ApiError::TimedOut { seconds: silence_max.as_secs() })),
                Ok(Err(error)) => return Ok(Err(ApiError::Broken(error))),
                // The server ends watches by itself.
                Ok(Ok(None)) => return Ok(Ok(())),
                Ok(Ok(Some(line))) => line,
            };
            let at = Timestamp::now();
            let said = match read_line(line, at) {
                Ok(said) => said,
                Err(error) => return Ok(Err(error)),
            };
            self.pause = PAUSE_MIN;
            if let Some(newer) = said.version {
                *version = newer;
            }
            self.in_touch = at;
            self.say(said.seen).await?;
        }
    }

    async fn fail(&mut self, reason: String) -> Result<(), Closed> {
        tracing::warn!(scope = ?self.scope, reason, pause_ms = self.pause.as_millis(), "pods cannot be followed, trying again");
        self.say(Seen::OutOfTouch { reason }).await?;
        tokio::select! {
            () = tokio::time::sleep(self.pause) => {}
            () = self.seen.closed() => return Err(Closed),
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    async fn say(&self, seen: Seen) -> Result<(), Closed> {
        self.seen.send((self.index, seen)).await.map_err(|_| Closed)
    }
}

/// What one line says.
#[derive(Debug)]
struct Said {
    seen: Seen,
    /// The resource version to go on from.
    version: Option<String>,
}

fn read_line(line: Line, at: Timestamp) -> Result<Said, ApiError> {
    let text = match line {
        Line::Whole(text) => text,
        Line::TooLong { beginning, bytes } => {
            let unreadable = UnreadablePod::new(None, UnreadableReason::TooLarge { bytes }, &beginning);
            return Ok(Said { seen: Seen::Applied { pod: Err(Box::new(unreadable)), at }, version: None });
        }
    };
    let malformed = |reason: String| {
        let unreadable = UnreadablePod::new(None, UnreadableReason::Malformed(reason), &text);
        Ok(Said { seen: Seen::Applied { pod: Err(Box::new(unreadable)), at }, version: None })
    };
    let line: WatchLine<'_> = match serde_json::from_slice(&text) {
        Ok(line) => line,
        Err(error) => return malformed(describe(&error)),
    };
    let object = line.object.get();
    let version = || {
        let marked: Option<Marked> = serde_json::from_str(object).ok();
        marked.map(|marked| marked.metadata.resource_version).filter(|version| !version.is_empty())
    };
    match line.kind.as_str() {
        "ADDED" | "MODIFIED" => {
            Ok(Said { seen: Seen::Applied { pod: read_pod(object), at }, version: version() })
        }
        "DELETED" => Ok(Said { seen: Seen::Deleted { pod: read_pod(object), at }, version: version() }),
        "BOOKMARK" => Ok(Said { seen: Seen::InTouch { at }, version: version() }),
        "ERROR" => Err(match serde_json::from_str::<ErrorStatus>(object) {
            Ok(status) if status.code == 410 => ApiError::Gone,
            Ok(status) => ApiError::Refused { code: status.code, reason: super::cut::cut(&status.reason) },
            Err(_) => ApiError::Unreadable("an error that cannot be read".to_owned()),
        }),
        _ => malformed("an unknown type of watch event".to_owned()),
    }
}
