//! Dead letters over the API: list, show, replay, discard.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::Engine as _;
use fleet_runtime::bus::BusError;
use fleet_runtime::dead_letters::{DeadLetter, DeadLetterError, DeadLetters as Letters, Listed};
use fleet_runtime::error_chain;

use super::Api;
use super::answer::{Answer, Refused};
use super::types::{
    DeadLetterDetail, DeadLetterSummary, DeadLetters, DeadLettersAsked, LetterOutcome, LetterOutcomes,
    LettersChosen,
};
use crate::deliver::{Resend, ResendError};
use fleet_runtime::outside_text::shown;

const LETTERS_PER_PAGE_MAX: usize = 200;
const LETTERS_PER_CHANGE_MAX: usize = 1000;

pub(super) async fn list(
    State(api): State<Api>,
    query: Result<Query<DeadLettersAsked>, QueryRejection>,
) -> Answer<DeadLetters> {
    let Query(asked) = query.map_err(|rejection| Refused::bad_request(rejection.body_text()))?;
    let limit = asked.limit.unwrap_or(LETTERS_PER_PAGE_MAX).clamp(1, LETTERS_PER_PAGE_MAX);
    let listed = letters(&api).list(asked.from.unwrap_or(1), limit).await.map_err(|error| failed(&error))?;
    // A page is also cut by its size, so that only an empty one is known to be the last.
    let next = listed.last().map(|last| last.sequence + 1);
    Ok(Json(DeadLetters { letters: listed.into_iter().map(summary).collect(), next }))
}

pub(super) async fn show(
    State(api): State<Api>,
    path: Result<Path<u64>, PathRejection>,
) -> Answer<DeadLetterDetail> {
    let Path(number) = path.map_err(|rejection| Refused::bad_request(rejection.body_text()))?;
    let (letter, payload) = letters(&api).show(number).await.map_err(refused)?;
    let payload = payload.map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes));
    Ok(Json(DeadLetterDetail { summary: of_letter(number, &letter), payload_base64: payload }))
}

pub(super) async fn replay(
    State(api): State<Api>,
    chosen: Result<Json<LettersChosen>, JsonRejection>,
) -> Answer<LetterOutcomes> {
    let mut outcomes = Vec::new();
    for number in numbers(chosen)? {
        outcomes.push(outcome(number, replay_one(&api, number).await));
    }
    Ok(Json(LetterOutcomes { letters: outcomes }))
}

/// Puts a message on the bus again, or sends an alert again; the letter goes when that is done.
async fn replay_one(api: &Api, number: u64) -> Result<(), ReplayError> {
    let letters = letters(api);
    let (letter, payload) = letters.show(number).await?;
    if !is_alert(&letter) {
        return Ok(letters.replay(number).await.map(|_| ())?);
    }
    let body = payload.ok_or(DeadLetterError::PayloadNotKept(number))?;
    api.resend.send(&letter.source, body.to_vec()).await?;
    letters.discard(number).await.map_err(DeadLetterError::from)?;
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Letter(#[from] DeadLetterError),
    #[error(transparent)]
    Alert(#[from] ResendError),
}

pub(super) async fn discard(
    State(api): State<Api>,
    chosen: Result<Json<LettersChosen>, JsonRejection>,
) -> Answer<LetterOutcomes> {
    let mut outcomes = Vec::new();
    for number in numbers(chosen)? {
        let result = match letters(&api).discard(number).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(DeadLetterError::NotFound(number)),
            Err(error) => Err(error.into()),
        };
        outcomes.push(outcome(number, result.map_err(ReplayError::from)));
    }
    Ok(Json(LetterOutcomes { letters: outcomes }))
}

fn letters(api: &Api) -> Letters {
    let kinds = api.answers.agents.iter().map(|(agent, grant)| (agent.clone(), grant.kind));
    Letters::new(Arc::clone(&api.bus)).from_agents(kinds.collect())
}

fn numbers(chosen: Result<Json<LettersChosen>, JsonRejection>) -> Result<Vec<u64>, Refused> {
    let Json(chosen) =
        chosen.map_err(|rejection| Refused::new(rejection.status(), "bad_request", rejection.body_text()))?;
    match chosen.numbers.len() {
        0 => Err(Refused::bad_request("no number is given")),
        count if count > LETTERS_PER_CHANGE_MAX => {
            Err(Refused::bad_request(format!("more than {LETTERS_PER_CHANGE_MAX} numbers")))
        }
        _ => Ok(chosen.numbers),
    }
}

fn outcome(number: u64, result: Result<(), ReplayError>) -> LetterOutcome {
    let problem = result.err().map(|error| error_chain(&error));
    LetterOutcome { number, done: problem.is_none(), problem }
}

fn summary(listed: Listed) -> DeadLetterSummary {
    match &listed.letter {
        Ok(letter) => of_letter(listed.sequence, letter),
        Err(error) => DeadLetterSummary {
            number: listed.sequence,
            source: "unknown".to_owned(),
            agent: None,
            reason: error_chain(error),
            subject: None,
            bytes: 0,
            replayable: false,
            first_seen: None,
            at: None,
        },
    }
}

fn of_letter(number: u64, letter: &DeadLetter) -> DeadLetterSummary {
    DeadLetterSummary {
        number,
        source: shown(&letter.source),
        agent: letter.agent().map(ToString::to_string),
        reason: shown(&letter.reason),
        subject: letter.undelivered.as_ref().map(|undelivered| shown(&undelivered.subject)),
        bytes: letter.payload.bytes(),
        replayable: letter.undelivered.is_some() || is_alert(letter),
        first_seen: Some(letter.first_seen),
        at: Some(letter.at),
    }
}

/// Nobody but the correlator has an alert sent in its name.
fn is_alert(letter: &DeadLetter) -> bool {
    letter.undelivered.is_none() && letter.is_the_fleets() && Resend::is_alert(&letter.source)
}

fn refused(error: DeadLetterError) -> Refused {
    match &error {
        DeadLetterError::NotFound(_) => Refused::new(StatusCode::NOT_FOUND, "not_found", error_chain(&error)),
        DeadLetterError::Bus(bus) => failed(bus),
        _ => Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "unreadable", error_chain(&error)),
    }
}

fn failed(error: &BusError) -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error_chain(error))
}
