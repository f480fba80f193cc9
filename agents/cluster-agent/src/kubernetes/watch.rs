//! Follows the pods of one scope: a list, then everything that happens after it.
//!
//! In: an API. Out: what was seen, in order, into a bounded channel. A watch that breaks is resumed where it was. When
//! the server has forgotten that place (410 Gone), a new list follows, and its cause says from when on changes may have
//! been missed. One object that cannot be read stops nothing behind it.
//!
//! `kube`'s own watcher is not used: one object that does not parse fails its whole page there, forever, and neither
//! pages nor lines are bounded.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::api::{Api, ApiError, PodScope};
use super::lines::{LINE_BYTES_MAX, Line, next_line};
use super::list::{ListError, ListLimits, Listed, Listing};
use super::payload::{
    ErrorStatus, Marked, ReadPod, UnreadablePod, UnreadableReason, WatchLine, describe, read_pod,
};

/// How long to wait after the first failure; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// So many times in a row a watch may be refused as if its resource version were none, before a new list is made: a
/// server that was restored from a backup does not know versions that it once gave.
const REFUSALS_MAX: u32 = 3;
/// A watch that ends sooner than this counts as a failure.
const WATCH_TIME_MIN: Duration = Duration::from_secs(1);

/// What was seen of one scope.
#[derive(Debug)]
pub(crate) enum Seen {
    /// A list of all pods as of one moment begins. What an earlier one said that did not end counts no more.
    ListBegun {
        at: Timestamp,
        cause: ListCause,
    },
    /// Some pods of the list. The next ones are asked for when these are dropped.
    ListedPods {
        pods: Vec<ReadPod>,
        at: Timestamp,
        page: OwnedSemaphorePermit,
    },
    /// What was known before and was not in the list is gone.
    ListEnded {
        at: Timestamp,
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

/// What followers work with.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) api: Api,
    pub(crate) limits: ListLimits,
    /// How many pages of lists there may be at once, those of all followers together.
    pub(crate) pages: Arc<Semaphore>,
    pub(crate) seen: mpsc::Sender<ScopeSeen>,
}

/// Follows a scope until nobody listens.
pub(crate) async fn follow(tools: Tools, index: usize, scope: PodScope) {
    let follower = Follower { tools, index, scope, pause: PAUSE_MIN, in_touch: Timestamp::now() };
    // The only way out is a closed channel.
    let Err(Closed) = follower.run().await;
}

struct Follower {
    tools: Tools,
    index: usize,
    scope: PodScope,
    pause: Duration,
    /// Until when everything has been seen.
    in_touch: Timestamp,
}

impl Follower {
    async fn run(mut self) -> Result<std::convert::Infallible, Closed> {
        let mut cause = ListCause::Start;
        loop {
            let mut version = match self.list(cause).await? {
                Ok(version) => version,
                Err(error) => {
                    self.fail(fleet_runtime::error_chain(&error)).await?;
                    continue;
                }
            };
            self.watch_until_forgotten(&mut version).await?;
            cause = ListCause::Forgotten { from: self.in_touch };
        }
    }

    /// One list. Returns the version to watch from.
    async fn list(&mut self, cause: ListCause) -> Result<Result<String, ListError>, Closed> {
        // Not a borrow of the follower: what is listed is said meanwhile.
        let (tools, scope) = (self.tools.clone(), self.scope.clone());
        let mut list = Listing::begin(&tools.api, &scope, tools.limits);
        let mut begun = None;
        loop {
            let page = Arc::clone(&tools.pages).acquire_owned().await.map_err(|_| Closed)?;
            let listed = match list.next().await {
                Ok(listed) => listed,
                Err(error) => return Ok(Err(error)),
            };
            let at = list.requested_at();
            match listed {
                Listed::Pods(pods) => {
                    if begun.replace(at) != Some(at) {
                        self.say(Seen::ListBegun { at, cause }).await?;
                    }
                    self.say(Seen::ListedPods { pods, at, page }).await?;
                }
                Listed::Anew => begun = None,
                Listed::End { resource_version } => {
                    self.in_touch = at;
                    self.say(Seen::ListEnded { at, cause }).await?;
                    return Ok(Ok(resource_version));
                }
            }
        }
    }

    async fn watch_until_forgotten(&mut self, version: &mut String) -> Result<(), Closed> {
        let mut refusals = 0;
        loop {
            let begun = tokio::time::Instant::now();
            let watched = self.watch(version).await?;
            refusals = match &watched {
                Err(ApiError::Refused { code: 400 | 504, .. }) => refusals + 1,
                _ => 0,
            };
            match watched {
                Ok(()) if begun.elapsed() < WATCH_TIME_MIN => {
                    self.fail("the watch ends as soon as it begins".to_owned()).await?;
                }
                Ok(()) => {}
                Err(ApiError::Gone) => return Ok(()),
                Err(_) if refusals == REFUSALS_MAX => return Ok(()),
                Err(error) => self.fail(fleet_runtime::error_chain(&error)).await?,
            }
        }
    }

    /// One connection. Moves `version` forward with what was said.
    async fn watch(&mut self, version: &mut String) -> Result<Result<(), ApiError>, Closed> {
        let mut stream = match self.tools.api.watch(&self.scope, version).await {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        self.say(Seen::Connected).await?;
        let silence_max = self.tools.api.watch_silence_max();
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
            () = self.tools.seen.closed() => return Err(Closed),
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    async fn say(&self, seen: Seen) -> Result<(), Closed> {
        self.tools.seen.send((self.index, seen)).await.map_err(|_| Closed)
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
    let version_of = |pod: &ReadPod| match pod {
        Ok(pod) => Some(pod.metadata.resource_version.clone()).filter(|version| !version.is_empty()),
        Err(_) => version(),
    };
    match line.kind.as_str() {
        "ADDED" | "MODIFIED" => {
            let pod = read_pod(object);
            Ok(Said { version: version_of(&pod), seen: Seen::Applied { pod, at } })
        }
        "DELETED" => {
            let pod = read_pod(object);
            Ok(Said { version: version_of(&pod), seen: Seen::Deleted { pod, at } })
        }
        "BOOKMARK" => Ok(Said { seen: Seen::InTouch { at }, version: version() }),
        "ERROR" => Err(match serde_json::from_str::<ErrorStatus>(object) {
            Ok(status) if status.code == 410 => ApiError::Gone,
            Ok(status) => ApiError::Refused { code: status.code, reason: super::cut::cut(&status.reason) },
            Err(_) => ApiError::Unreadable("an error that cannot be read".to_owned()),
        }),
        _ => malformed("an unknown type of watch event".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Said, ApiError> {
        read_line(Line::Whole(text.as_bytes().to_vec()), Timestamp::UNIX_EPOCH)
    }

    const POD: &str = r#"{"metadata":{"name":"a","namespace":"b","uid":"c","resourceVersion":"7"}}"#;

    #[test]
    fn every_kind_of_line_is_read_as_what_it_is() {
        for kind in ["ADDED", "MODIFIED"] {
            let said = read(&format!(r#"{{"type":"{kind}","object":{POD}}}"#)).unwrap();
            assert!(matches!(said.seen, Seen::Applied { pod: Ok(_), .. }));
            assert_eq!(said.version.as_deref(), Some("7"));
        }
        let said = read(&format!(r#"{{"object":{POD},"type":"DELETED"}}"#)).unwrap();
        assert!(matches!(said.seen, Seen::Deleted { pod: Ok(_), .. }));
        let said = read(r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#).unwrap();
        assert!(matches!(said.seen, Seen::InTouch { .. }));
        assert_eq!(said.version.as_deref(), Some("9"));
    }

    #[test]
    fn a_forgotten_version_is_told_from_other_errors() {
        let gone = read(r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#);
        assert!(matches!(gone, Err(ApiError::Gone)));
        let other = read(r#"{"type":"ERROR","object":{"code":500,"reason":"InternalError"}}"#);
        assert!(matches!(other, Err(ApiError::Refused { code: 500, .. })));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_kept_and_the_place_after_it_is_known_where_it_says_so() {
        let odd =
            read(r#"{"type":"MODIFIED","object":{"metadata":{"uid":"c","resourceVersion":"8"},"spec":7}}"#);
        let odd = odd.unwrap();
        assert!(matches!(odd.seen, Seen::Applied { pod: Err(_), .. }));
        assert_eq!(odd.version.as_deref(), Some("8"));
        for text in ["", "{", "null", r#"{"type":"EXPLODED","object":{}}"#] {
            assert!(matches!(read(text).unwrap().seen, Seen::Applied { pod: Err(_), .. }), "{text}");
        }
        let long = Line::TooLong { beginning: b"{".to_vec(), bytes: 99 };
        let said = read_line(long, Timestamp::UNIX_EPOCH).unwrap();
        assert!(matches!(said.seen, Seen::Applied { pod: Err(_), .. }));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_line(Line::Whole(bytes), Timestamp::UNIX_EPOCH);
        }

        #[test]
        fn no_pod_makes_it_panic(at in 0..POD.len(), odd in "\\PC{0,12}") {
            let mut text = POD.to_owned();
            text.replace_range(at..=at, &odd);
            let _ = read(&format!(r#"{{"type":"ADDED","object":{text}}}"#));
        }
    }
}
