//! Our own account of the forge's rate limit, from `x-ratelimit-*` and `retry-after`: nobody sleeps inside a request,
//! and some of the limit is left to others who use the same credential.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::ApiFailure;
use super::failure::{Limited, says_secondary_limit};

/// The wait after a refusal that names no time ("Best practices for using the REST API": at least one minute).
const PAUSE_SECONDS: i64 = 60;
/// The longest wait that is believed, in seconds: GitHub's window is one hour.
const PAUSE_SECONDS_MAX: i64 = 2 * 60 * 60;
const PAUSE_MAX: Duration = Duration::from_secs(PAUSE_SECONDS_MAX.unsigned_abs());

/// What is left of the limit, and until when nothing may be sent.
#[derive(Debug)]
pub struct Budget {
    reserve_requests: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    limit: Option<u64>,
    remaining: Option<u64>,
    reset: Option<Timestamp>,
    paused_until: Option<Timestamp>,
}

impl Budget {
    pub fn new(reserve_requests: u64) -> Budget {
        Budget { reserve_requests, state: Mutex::default() }
    }

    /// Requests left in this window, where the forge told.
    pub fn left(&self) -> Option<u64> {
        self.state().remaining
    }

    /// Whether a request may be sent now.
    pub fn check(&self, now: Timestamp) -> Result<(), ApiFailure> {
        let state = *self.state();
        if let Some(until) = state.paused_until.filter(|until| now < *until) {
            return Err(ApiFailure::RateLimited { until: Some(until) });
        }
        let (Some(remaining), Some(reset)) = (state.remaining, state.reset) else { return Ok(()) };
        // A small limit (60 an hour without a credential) must not be all reserve.
        let reserve = self.reserve_requests.min(state.limit.unwrap_or(u64::MAX) / 10);
        match remaining <= reserve && now < reset {
            true => Err(ApiFailure::RateLimited { until: Some(reset) }),
            false => Ok(()),
        }
    }

    /// Takes in what any answer says about the limit.
    pub fn learn(&self, headers: &HeaderMap, now: Timestamp) {
        let mut state = self.state();
        if let Some(remaining) = number(headers, "x-ratelimit-remaining") {
            state.remaining = u64::try_from(remaining).ok();
            state.limit = number(headers, "x-ratelimit-limit").and_then(|limit| u64::try_from(limit).ok());
            state.reset = number(headers, "x-ratelimit-reset")
                .and_then(|second| Timestamp::from_second(second).ok())
                .map(|reset| reset.min(latest(now)));
        }
    }

    /// Whether a refusal is a rate limit. Then nothing is sent until it ends.
    pub fn refused(&self, status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<Limited> {
        if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::FORBIDDEN {
            return None;
        }
        let after = headers.get("retry-after").and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| fleet_runtime::retry_after(text, now, PAUSE_MAX));
        let after = after.map(|pause| now.checked_add(pause).unwrap_or(now));
        let used_up = number(headers, "x-ratelimit-remaining") == Some(0);
        let reset = number(headers, "x-ratelimit-reset").and_then(|s| Timestamp::from_second(s).ok());
        let until = match (after, status) {
            (Some(after), _) => after,
            (None, _) if used_up => reset.map_or(add_seconds(now, PAUSE_SECONDS), |r| r.min(latest(now))),
            (None, StatusCode::TOO_MANY_REQUESTS) => add_seconds(now, PAUSE_SECONDS),
            _ => return None,
        };
        Some(self.pause(until))
    }

    /// The same for what only the body says: a secondary limit leaves requests of the primary one, and may
    /// name no time.
    pub fn refused_in_words(&self, status: StatusCode, said: &[u8], now: Timestamp) -> Option<Limited> {
        let is_limit = status == StatusCode::FORBIDDEN && says_secondary_limit(said);
        is_limit.then(|| self.pause(add_seconds(now, PAUSE_SECONDS)))
    }

    fn pause(&self, until: Timestamp) -> Limited {
        self.state().paused_until = Some(until);
        Limited { until: Some(until) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn latest(now: Timestamp) -> Timestamp {
    add_seconds(now, PAUSE_SECONDS_MAX)
}

fn add_seconds(now: Timestamp, seconds: i64) -> Timestamp {
    let pause = SignedDuration::from_secs(seconds.clamp(0, PAUSE_SECONDS_MAX));
    now.checked_add(pause).unwrap_or(now)
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_reserve_is_left_to_others_until_the_window_ends() {
        let budget = Budget::new(100);
        budget.check(at(0)).unwrap();
        let fields =
            [("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "100"), ("x-ratelimit-reset", "900")];
        budget.learn(&headers(&fields), at(0));
        assert_eq!(budget.check(at(899)), Err(ApiFailure::RateLimited { until: Some(at(900)) }));
        budget.check(at(900)).unwrap();
        assert_eq!(budget.left(), Some(100));
    }

    #[test]
    fn a_small_limit_is_not_all_reserve() {
        let budget = Budget::new(100);
        let fields =
            [("x-ratelimit-limit", "60"), ("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "900")];
        budget.learn(&headers(&fields), at(0));
        budget.check(at(0)).unwrap();
    }

    #[test]
    fn a_refusal_pauses_only_when_it_is_a_rate_limit() {
        let check = |status: u16, fields: &[(&'static str, &str)], until: Option<i64>| {
            let budget = Budget::new(0);
            let status = StatusCode::from_u16(status).unwrap();
            let limited = budget.refused(status, &headers(fields), at(1000));
            assert_eq!(limited, until.map(|second| Limited { until: Some(at(second)) }));
            assert_eq!(budget.check(at(1000)).is_err(), until.is_some());
        };
        check(403, &[], None);
        check(404, &[("retry-after", "5")], None);
        check(403, &[("retry-after", "5")], Some(1005));
        check(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1300")], Some(1300));
        check(403, &[("retry-after", "Thu, 01 Jan 1970 00:17:00 GMT")], Some(1020));
        check(429, &[], Some(1060));
        check(429, &[("retry-after", "999999999")], Some(1000 + 7200));
    }

    #[test]
    fn a_secondary_limit_that_only_the_body_names_pauses_too() {
        let check = |status: u16, said: &str, is_limit: bool| {
            let budget = Budget::new(0);
            let limited =
                budget.refused_in_words(StatusCode::from_u16(status).unwrap(), said.as_bytes(), at(1000));
            assert_eq!(limited, is_limit.then_some(Limited { until: Some(at(1060)) }), "{said}");
            assert_eq!(budget.check(at(1059)).is_err(), is_limit, "{said}");
            budget.check(at(1060)).unwrap();
        };
        check(403, r#"{"message":"You have exceeded a secondary rate limit. Please wait."}"#, true);
        let page = "https://docs.github.com/rest/using-the-rest-api/rate-limits#about-secondary-rate-limits";
        check(403, &format!(r#"{{"message":"Forbidden","documentation_url":"{page}"}}"#), true);
        check(403, r#"{"message":"Resource not accessible by integration"}"#, false);
        check(403, "You have exceeded a secondary rate limit", false);
        check(404, r#"{"message":"You have exceeded a secondary rate limit."}"#, false);
    }
}
