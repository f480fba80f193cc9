//! Questions that were asked, and how they ended.

use bus_schema::RequestId;
use bus_schema::fleet::Unavailable;
use bus_schema::question::Question;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::state::Ground;
use crate::state::lane::Queued;

/// One question over all its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionRecord {
    pub question: Question,
    /// How often it was asked.
    pub attempts: u32,
    pub first_asked: Timestamp,
    pub last_asked: Timestamp,
    /// When it was asked the time before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_before: Option<Timestamp>,
    /// The first attempt since which nothing but failures came back, or nothing at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// The lane in which an attempt is out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// The next attempt waits for a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<Queued>,
    /// The answers, by attempt. Agents also look up by themselves, with attempt 0.
    pub answers: Vec<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub attempt: u32,
    pub reason: Unavailable,
    pub source: String,
    pub detail: String,
    pub found: u32,
    /// The log's time.
    pub recorded: Timestamp,
    pub ground: Ground,
}

/// The most answers of one question that are remembered: the newest stay.
pub const ANSWERS_MAX: usize = 16;

/// Whether an answer says nothing about the subject, because the source could not be asked.
pub fn is_failure(reason: &Unavailable) -> bool {
    match reason {
        Unavailable::NotFound | Unavailable::Unconfigured | Unavailable::CutOff => false,
        Unavailable::Denied
        | Unavailable::RateLimited
        | Unavailable::Unreachable
        | Unavailable::Unreadable
        | Unavailable::Other(_) => true,
    }
}

impl QuestionRecord {
    /// The latest answer to an attempt that was asked, or looked up unasked, at or after a time.
    pub fn latest(&self) -> Option<&Answer> {
        self.answers.iter().max_by_key(|answer| (answer.recorded, answer.attempt))
    }

    /// Whether the last attempt has its answer.
    pub fn is_answered(&self) -> bool {
        self.answers.iter().any(|answer| answer.attempt >= self.attempts)
    }
}

pub fn key(request: &RequestId) -> String {
    request.to_string()
}
