//! `custody cases [ID]`.

use bus_schema::case::{Case, CaseState};
use serde::Serialize;

use crate::answers::Answers;
use crate::data::DataFolder;
use crate::exit::{Exit, Failure};
use crate::output::{Output, cases};

#[derive(Serialize)]
struct Listed<'a> {
    cases: &'a [Case],
}

pub(crate) async fn run(
    id: Option<&str>,
    all: bool,
    data: &DataFolder,
    output: Output,
) -> anyhow::Result<Exit> {
    let answers = Answers::of(data).await?;
    match id {
        Some(id) => one(&answers, id, output).await,
        None => list(&answers, all, output).await,
    }
}

async fn list(answers: &Answers, all: bool, output: Output) -> anyhow::Result<Exit> {
    let mut found = answers.cases().await?;
    found.retain(|case| all || case.state != CaseState::Resolved);
    output.either(&Listed { cases: &found }, |paint| cases::list(&found, paint))?;
    let is_open = found.iter().any(|case| case.state == CaseState::Open);
    Ok(if is_open { Exit::Finding } else { Exit::Fine })
}

async fn one(answers: &Answers, id: &str, output: Output) -> anyhow::Result<Exit> {
    let all = answers.cases().await?;
    let matching: Vec<&Case> = all.iter().filter(|case| begins_with(case.id.as_str(), id)).collect();
    let case = match matching.as_slice() {
        [] => return Err(Failure::usage(format!("there is no case {id}: `custody cases --all` lists them"))),
        [case] => *case,
        _ => {
            return Err(Failure::usage(format!(
                "{} cases begin with {id}: give more of the id",
                matching.len()
            )));
        }
    };
    let detail = answers.case(case.id.as_str()).await?;
    output.either(&detail, |paint| {
        let mut text = cases::one(&detail.case, paint);
        if !detail.covers.is_empty() {
            let ids: Vec<&str> = detail.covers.iter().map(|id| id.as_str()).collect();
            let more = if detail.covers_cut { " and more" } else { "" };
            text.push_str(&format!("covers     {}{more}\n", ids.join(", ")));
        }
        text
    })?;
    Ok(if detail.case.state == CaseState::Open { Exit::Finding } else { Exit::Fine })
}

/// Whether the id begins with what was typed. Every id begins with `case-`, which can be left out.
fn begins_with(id: &str, typed: &str) -> bool {
    id.starts_with(typed) || id.strip_prefix("case-").is_some_and(|rest| rest.starts_with(typed))
}
