//! One handler per question.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use bus_schema::CaseId;

use super::Api;
use super::answer::{Answer, Refused};
use super::types::{
    CaseDetail, Cases, CasesAsked, ContractsInForce, LogHead, LogVerified, Places, Status, Trace, TraceAsked,
    Verdicts, VerdictsAsked, WhereAsked,
};

type Asked<T> = Result<Query<T>, QueryRejection>;

fn asked<T>(query: Asked<T>) -> Result<T, Refused> {
    query.map(|Query(asked)| asked).map_err(|rejection| Refused::bad_request(rejection.body_text()))
}

pub(super) async fn status(State(api): State<Api>) -> Answer<Status> {
    Ok(Json(api.answers.status().await?))
}

pub(super) async fn trace(State(api): State<Api>, query: Asked<TraceAsked>) -> Answer<Trace> {
    let TraceAsked { image, digest } = asked(query)?;
    let subject = match (image, digest) {
        (Some(image), None) => image,
        (None, Some(digest)) => digest,
        _ => return Err(Refused::bad_request("give either image= or digest=")),
    };
    Ok(Json(api.answers.trace(&subject).await?))
}

pub(super) async fn places(State(api): State<Api>, query: Asked<WhereAsked>) -> Answer<Places> {
    let WhereAsked { digest } = asked(query)?;
    Ok(Json(api.answers.places(&digest).await?))
}

pub(super) async fn cases(State(api): State<Api>, query: Asked<CasesAsked>) -> Answer<Cases> {
    Ok(Json(api.answers.cases(asked(query)?).await?))
}

pub(super) async fn case(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
) -> Answer<CaseDetail> {
    let Path(id) = path.map_err(|rejection| Refused::bad_request(rejection.body_text()))?;
    let id: CaseId =
        id.parse().map_err(|error: bus_schema::ParseError| Refused::bad_request(error.to_string()))?;
    Ok(Json(api.answers.case(id).await?))
}

pub(super) async fn verdicts(State(api): State<Api>, query: Asked<VerdictsAsked>) -> Answer<Verdicts> {
    Ok(Json(api.answers.verdicts(asked(query)?).await?))
}

pub(super) async fn contracts(State(api): State<Api>) -> Answer<ContractsInForce> {
    Ok(Json(api.answers.contracts()))
}

pub(super) async fn log_head(State(api): State<Api>) -> Answer<LogHead> {
    Ok(Json(api.answers.log_head()))
}

pub(super) async fn log_verify(State(api): State<Api>) -> Answer<LogVerified> {
    Ok(Json(api.answers.verify_log().await?))
}

pub(super) async fn nothing() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not_found", "there is nothing under this path")
}
