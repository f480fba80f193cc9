//! From a missing thing to a link state: windows, questions and answers.
//!
//! A contradiction breaks a link at once; only absence settles. Until the settling window ends a missing thing is
//! pending. After it every source is asked (again), and only when all of them say that there is nothing is it absent.

use bus_schema::fleet::Unavailable;
use bus_schema::question::Question;
use bus_schema::verdict::{LinkState, UnknownReason};
use jiff::Timestamp;

use crate::chain::image_facts::ImageFacts;
use crate::chain::inquiry::Inquiry;
use crate::chain::{Finding, Missing};
use crate::contracts::duration::Span;
use crate::contracts::pipeline::Pipeline;
use crate::ledger::questions::Wanted;
use crate::records::RecordsError;
use crate::state::lane::{self, Queued};
use crate::state::question::{Answer, QuestionRecord, is_failure};

/// What runs and lacks something is looked for again so long after its window, then so long after that, and then so often:
/// no event announces what comes late.
const FIRST_LATE_LOOK: Span = Span::from_secs(15 * 60);
const SECOND_LATE_LOOK: Span = Span::from_hours(1);
const LATE_LOOKS: Span = Span::from_hours(24);
/// A look so shortly before serves as well: one question is asked for many digests.
const LATE_LOOKS_APART_MIN: Span = Span::from_secs(5 * 60);

/// The state of a link from its finding.
pub(crate) fn settle(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    finding: Finding,
) -> Result<LinkState, RecordsError> {
    Ok(match finding {
        Finding::Proven(witnesses) => LinkState::Proven { witnesses, copied_from: None },
        Finding::Broken(breaks) => LinkState::Broken { breaks },
        Finding::Waived { exception, instead_of } => LinkState::Waived { exception, instead_of },
        Finding::Expired { since, what } => LinkState::Expired { since, what },
        Finding::Revoked { since, what } => LinkState::Revoked { since, what },
        Finding::Unknown { reason, detail } => LinkState::Unknown { reason, detail },
        Finding::Missing(missing) => settle_missing(inquiry, image, pipeline, missing)?,
    })
}

/// When the settling window of a digest ends.
pub(crate) fn settles_at(image: &ImageFacts, pipeline: &Pipeline) -> Timestamp {
    pipeline.settle.after(image.first_recorded)
}

fn settle_missing(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    missing: Missing,
) -> Result<LinkState, RecordsError> {
    let windows = &inquiry.contracts.installation.windows;
    let settles_at = settles_at(image, pipeline);
    let pending = |until: Timestamp, waiting_for: String| {
        inquiry.look_again_at(until);
        LinkState::Pending { until, waiting_for }
    };
    // What is attached after the window has ended changes nothing before it is verified: the window never restarts.
    let awaited = image.awaited_since.filter(|since| *since < settles_at);
    if let Some(since) = awaited.max(image.awaited_again_since) {
        let until = windows.evidence.after(since);
        if inquiry.now < until {
            return Ok(pending(until, "the verification of attached evidence".to_owned()));
        }
        return Ok(LinkState::Unknown {
            reason: UnknownReason::Unreachable,
            detail: "attached evidence could not be verified in time".to_owned(),
        });
    }
    let search = Search { settles_at, placed_since: image.placed_since(inquiry) };
    let mut waits = Vec::new();
    let mut looked_at = Vec::new();
    let mut failure: Option<LinkState> = None;
    let mut not_asked: Option<&Question> = None;
    for question in &missing.questions {
        match consult(inquiry, question, &missing.waiting_for, search)? {
            Consulted::Waiting { until } => waits.push(until),
            Consulted::Nothing { source } if looked_at.contains(&source) => {}
            Consulted::Nothing { source } => looked_at.push(source),
            // The forge's attestations count where they are configured; every other source must have its say.
            Consulted::NotASource if matches!(question, Question::Attestations { .. }) => {}
            Consulted::NotASource => not_asked = not_asked.or(Some(question)),
            Consulted::Failed(state) => failure = failure.or(Some(state)),
        }
    }
    if inquiry.now < settles_at {
        return Ok(pending(settles_at, missing.waiting_for));
    }
    if let Some(until) = waits.into_iter().max() {
        return Ok(pending(until, missing.waiting_for));
    }
    if let Some(state) = failure {
        return Ok(state);
    }
    if let Some(question) = not_asked {
        let (host, what) = (question.host(), &missing.waiting_for);
        let detail = format!("no agent is configured for {host}, where {what} would be");
        return Ok(LinkState::Unknown { reason: UnknownReason::Unresolvable, detail });
    }
    if image.cut {
        let detail = format!("a bound cut off the list in which {} would stand", missing.waiting_for);
        return Ok(LinkState::Unknown { reason: UnknownReason::CutOff, detail });
    }
    if let Some(detail) = missing.uncovered {
        return Ok(LinkState::Unknown { reason: UnknownReason::Uncovered, detail });
    }
    if looked_at.is_empty() && !missing.questions.is_empty() {
        let detail = format!("no configured source can tell of {}", missing.waiting_for);
        return Ok(LinkState::Unknown { reason: UnknownReason::Unresolvable, detail });
    }
    Ok(match (missing.absence_breaks, missing.claimed) {
        (Some(a_break), _) => LinkState::Broken { breaks: vec![a_break] },
        (None, Some(why)) => LinkState::Claimed { why },
        (None, None) => LinkState::Absent { looked_at },
    })
}

/// How long a missing thing is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    /// What was said before does not speak for what is there when the window has ended.
    pub(crate) settles_at: Timestamp,
    /// Since when the digest that lacks it is placed, where it is: it is looked for again then, and on from time to time.
    pub(crate) placed_since: Option<Timestamp>,
}

/// What a source says about a missing thing.
pub(crate) enum Consulted {
    Waiting {
        until: Timestamp,
    },
    /// The source says that there is nothing (more).
    Nothing {
        source: String,
    },
    /// The host is nobody's to ask.
    NotASource,
    Failed(LinkState),
}

/// Asks a question when it must be asked, and reads what its answers say now.
pub(crate) fn consult(
    inquiry: &Inquiry<'_>,
    question: &Question,
    waiting_for: &str,
    search: Search,
) -> Result<Consulted, RecordsError> {
    let Search { settles_at, placed_since } = search;
    let windows = &inquiry.contracts.installation.windows;
    let want = |attempt: u32| {
        let why = format!("looking for {waiting_for}");
        inquiry.want(Wanted { question: question.clone(), why, attempt });
    };
    let record = inquiry.question(question)?;
    // One more attempt that waits for a place changes nothing of what is known from those before.
    let is_first = |record: &&QuestionRecord| record.attempts == 0 || record.last_asked < settles_at;
    if let Some(queued) = record.as_ref().filter(is_first).and_then(|record| record.queued.as_ref()) {
        return Ok(waits_for_a_place(inquiry, queued));
    }
    let asked = record.as_ref().filter(|record| record.attempts > 0);
    let Some(known) = asked else {
        want(1);
        return Ok(Consulted::Waiting { until: windows.evidence.after(inquiry.now) });
    };
    let must_be_after = settles_at;
    let latest = known.answers.last();
    let is_fresh = latest.is_some_and(|answer| answer.recorded >= must_be_after);
    if inquiry.now < settles_at {
        return Ok(match latest {
            Some(_) => Consulted::Waiting { until: settles_at },
            None => Consulted::Waiting { until: gives_up_at(inquiry, known, settles_at) },
        });
    }
    if known.last_asked < must_be_after && !is_fresh {
        // The window has ended: what was not there before may be there now.
        want(known.attempts.saturating_add(1));
        let failing_since = known.failing_since.unwrap_or(inquiry.now);
        let until = windows.evidence.after(failing_since).max(windows.retry.after(inquiry.now));
        return Ok(Consulted::Waiting { until });
    }
    let is_answered = known.answers.iter().any(|answer| Some(answer.recorded) >= placed_since);
    if !is_answered
        && said_nothing(known, settles_at).is_some()
        && let Some(until) = search.placed_late_until(inquiry)
    {
        // It was not there when the window ended, and may have come since.
        if Some(known.last_asked) < placed_since {
            want(known.attempts.saturating_add(1));
        }
        return Ok(Consulted::Waiting { until });
    }
    let gives_up_at = gives_up_at(inquiry, known, settles_at);
    if !known.is_answered() && !is_fresh {
        inquiry.look_again_at(gives_up_at);
        if inquiry.now < gives_up_at {
            return Ok(Consulted::Waiting { until: gives_up_at });
        }
        retry(inquiry, question, known, gives_up_at, "the last attempt failed");
        // What was said before the window ended does not speak for what is there now.
        return Ok(failed(inquiry, question, "nobody answered"));
    }
    Ok(read_answer(inquiry, question, known, search))
}

/// Whether a digest was placed after its window had ended, so lately that another look is waited for.
pub(crate) fn is_looked_for_again(inquiry: &Inquiry<'_>, image: &ImageFacts, pipeline: &Pipeline) -> bool {
    let settles_at = settles_at(image, pipeline);
    let search = Search { settles_at, placed_since: image.placed_since(inquiry) };
    search.placed_late_until(inquiry).is_some()
}

impl Search {
    /// Until when another look is waited for where the digest was placed after its window had ended. What a source said
    /// before stands where that takes longer than one attempt more.
    fn placed_late_until(self, inquiry: &Inquiry<'_>) -> Option<Timestamp> {
        let since = self.placed_since.filter(|since| *since > self.settles_at)?;
        let until = inquiry.contracts.installation.windows.retry.after(since);
        (inquiry.now < until).then_some(until)
    }
}

/// The newest answer since the window that there is nothing. One to an attempt from before may only have come late.
fn said_nothing(known: &QuestionRecord, settles_at: Timestamp) -> Option<&Answer> {
    let was_asked_since = |answer: &Answer| answer.attempt > 1 || known.first_asked >= settles_at;
    let is_one = |answer: &&Answer| {
        answer.reason == Unavailable::NotFound && answer.recorded >= settles_at && was_asked_since(answer)
    };
    known.answers.iter().rev().find(is_one)
}

/// A question that waits has not failed, but what it would tell is not known either.
fn waits_for_a_place(inquiry: &Inquiry<'_>, queued: &Queued) -> Consulted {
    let until = inquiry.contracts.installation.windows.evidence.after(queued.since);
    inquiry.look_again_at(until);
    if inquiry.now < until {
        return Consulted::Waiting { until };
    }
    let detail = format!(
        "{} questions of {} are not answered yet, and this one waits behind them",
        lane::OUT_MAX,
        lane::shown(&queued.lane)
    );
    Consulted::Failed(LinkState::Unknown { reason: UnknownReason::CutOff, detail })
}

/// When silence counts as a failure: 15 minutes after the first attempt that failed, whatever was asked again since; and no
/// sooner than the last attempt could have been answered. One question serves many digests, so that an attempt of long ago
/// which was answered does not count. What was given up stays so while it is asked again.
fn gives_up_at(inquiry: &Inquiry<'_>, known: &QuestionRecord, settles_at: Timestamp) -> Timestamp {
    let windows = &inquiry.contracts.installation.windows;
    let failing_since = known.failing_since.unwrap_or(known.last_asked);
    let gives_up_at = windows.evidence.after(failing_since);
    let was_asked = known.asked_before.is_some_and(|before| before >= settles_at);
    match was_asked && gives_up_at <= known.last_asked {
        true => gives_up_at,
        false => gives_up_at.max(windows.retry.after(known.last_asked)),
    }
}

/// What the newest answer says; no answer at all is unreachable. One more look that fails takes nothing back of what was
/// said since the window ended.
fn read_answer(
    inquiry: &Inquiry<'_>,
    question: &Question,
    known: &QuestionRecord,
    search: Search,
) -> Consulted {
    let windows = &inquiry.contracts.installation.windows;
    let Some(answer) = known.answers.last() else {
        return failed(inquiry, question, "nobody answered");
    };
    if is_failure(&answer.reason)
        && let Some(nothing) = said_nothing(known, search.settles_at)
    {
        inquiry.rest_on(std::slice::from_ref(&nothing.ground));
        retry(inquiry, question, known, windows.evidence.after(answer.recorded), "the last attempt failed");
        return Consulted::Nothing { source: nothing.source.clone() };
    }
    inquiry.rest_on(std::slice::from_ref(&answer.ground));
    match &answer.reason {
        Unavailable::NotFound => {
            if let Some(at) = late_look_at(answer, search) {
                retry(inquiry, question, known, at, "what is missing may have come late");
            }
            Consulted::Nothing { source: answer.source.clone() }
        }
        Unavailable::Unconfigured => Consulted::NotASource,
        Unavailable::CutOff => Consulted::Failed(LinkState::Unknown {
            reason: UnknownReason::CutOff,
            detail: format!("{}: {}", answer.source, answer.detail),
        }),
        Unavailable::Denied
        | Unavailable::RateLimited
        | Unavailable::Unreachable
        | Unavailable::Unreadable
        | Unavailable::Other(_) => {
            let failing_since = known.failing_since.unwrap_or(known.last_asked);
            let gives_up_at = windows.evidence.after(failing_since);
            if inquiry.now >= gives_up_at {
                // Still asked from time to time, so that a registry that comes back heals what it left open.
                let at = windows.evidence.after(answer.recorded);
                retry(inquiry, question, known, at, "the last attempt failed");
                return failed(inquiry, question, &format!("{}: {}", answer.reason, answer.detail));
            }
            let at = windows.retry.after(answer.recorded);
            retry(inquiry, question, known, at, "the last attempt failed");
            inquiry.look_again_at(gives_up_at);
            Consulted::Waiting { until: gives_up_at }
        }
    }
}

/// Asks again at a time. An attempt that is not answered is waited for as long as an agent would still take it up.
fn retry(inquiry: &Inquiry<'_>, question: &Question, known: &QuestionRecord, retry_at: Timestamp, why: &str) {
    let window = inquiry.contracts.installation.windows.evidence;
    let retry_at = match known.is_answered() {
        true => retry_at,
        false => retry_at.max(window.after(known.last_asked)),
    };
    if inquiry.now < retry_at {
        return inquiry.look_again_at(retry_at);
    }
    inquiry.look_again_at(window.after(inquiry.now));
    let attempt = known.attempts.saturating_add(1);
    inquiry.want(Wanted { question: question.clone(), why: why.to_owned(), attempt });
}

/// When what is placed and lacks something is looked for again after an answer that there is nothing.
fn late_look_at(answer: &Answer, search: Search) -> Option<Timestamp> {
    let placed_since = search.placed_since?;
    if answer.recorded < placed_since {
        return Some(placed_since);
    }
    let first_at = FIRST_LATE_LOOK.after(search.settles_at.max(placed_since));
    let second_at = SECOND_LATE_LOOK.after(first_at);
    let serves_until = LATE_LOOKS_APART_MIN.after(answer.recorded);
    let next = [first_at, second_at].into_iter().find(|at| serves_until < *at);
    Some(next.unwrap_or(LATE_LOOKS.after(answer.recorded)))
}

fn failed(inquiry: &Inquiry<'_>, question: &Question, detail: &str) -> Consulted {
    inquiry.could_not_ask(question.host(), detail);
    Consulted::Failed(LinkState::Unknown {
        reason: UnknownReason::Unreachable,
        detail: format!("{}: {detail}", question.host()),
    })
}
