//! What the running process says of itself: its contracts, its agents, gaps that are open, and images that nothing claims.

use bus_schema::case::Case;
use correlator_service::api::types::{
    AgentStatus, Cases, CasesAsked, ContractsInForce, Fleet, ImageCounts, Status,
};

use super::Finding;
use crate::client::Api;
use crate::first_look;

/// The rule whose open cases are gaps.
const GAPS: &str = "events-missing";

pub(super) async fn look(api: &Api) -> Vec<Finding> {
    let mut findings = Vec::new();
    match api.get::<Status>("/status", &()).await {
        Ok(status) => {
            findings.push(contracts(&status.contracts));
            findings.extend(status.agents.iter().map(agent));
            findings.push(images(&status.images));
        }
        Err(error) => findings.push(no_answer(&error)),
    }
    match api.get::<Fleet>("/fleet", &()).await {
        Ok(fleet) => findings.push(bus(&fleet)),
        Err(error) => findings.push(no_answer(&error)),
    }
    let asked =
        CasesAsked { state: Some("open".to_owned()), rule: Some(GAPS.to_owned()), ..CasesAsked::default() };
    match api.get::<Cases>("/cases", &asked).await {
        Ok(gaps) => findings.extend(gaps.cases.iter().map(gap)),
        Err(error) => findings.push(no_answer(&error)),
    }
    findings
}

fn bus(fleet: &Fleet) -> Finding {
    if let Some(problem) = &fleet.bus_problem {
        return Finding::fails("bus", problem.clone(), "see that its servers run and can be reached");
    }
    match fleet.differences.is_empty() {
        true => Finding::works("bus", "its streams are as declared"),
        false => Finding::lacks(
            "bus",
            fleet.differences.join("\n"),
            "somebody changed the streams: restart the correlator, which brings them to what is declared, or mend the servers",
        ),
    }
}

fn no_answer(error: &anyhow::Error) -> Finding {
    Finding::fails("process", format!("{error:#}"), "stop it and start it again")
}

fn contracts(contracts: &ContractsInForce) -> Finding {
    let what = "contracts in force";
    let names: Vec<&str> = contracts.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    let detail = match names.is_empty() {
        true => "no pipeline".to_owned(),
        false => names.join(", "),
    };
    if !contracts.problems.is_empty() {
        let problems = contracts.problems.join("\n");
        let advice = "mend the folder: `custody policy check` tells everything that is wrong";
        return Finding::lacks(what, format!("{detail}\nnewer ones are refused: {problems}"), advice);
    }
    if let Some(problem) = &contracts.trust_problem {
        return Finding::lacks(what, format!("{detail}\n{problem}"), "mend the trust roots of the contracts");
    }
    Finding::works(what, detail)
}

fn agent(agent: &AgentStatus) -> Finding {
    let what = format!("agent {}", agent.id);
    let advice = "see its log, and that it reaches its source";
    let Some(reported_at) = agent.reported_at else {
        return Finding::lacks(what, "it has not reported since the start", advice);
    };
    let now = jiff::Timestamp::now();
    let silent = now.duration_since(reported_at).as_secs();
    if agent.is_silent(now) {
        return Finding::lacks(what, format!("its last report came {silent} s ago"), advice);
    }
    let mut detail = format!("it reported {silent} s ago");
    for covered in &agent.coverage {
        detail.push_str(&format!("\nwatches {} since {}", covered.scope, covered.since));
    }
    match agent.dead_lettered {
        0 => Finding::works(what, detail),
        letters => {
            let detail = format!("{detail}\n{letters} messages could not be understood");
            Finding::lacks(what, detail, "look at them: custody deadletter list")
        }
    }
}

fn gap(case: &Case) -> Finding {
    let said: Vec<&str> = case.findings.iter().map(|finding| finding.what.as_str()).collect();
    let advice = format!("see `custody cases {}` and {}", case.id, case.runbook);
    Finding::lacks(format!("gap of {}", case.subject), said.join("\n"), advice)
}

fn images(images: &ImageCounts) -> Finding {
    let counts = first_look::counts(images);
    match &images.suggestion {
        None => Finding::works("images", counts),
        Some(suggestion) => {
            let advice = format!(
                "write a pipeline, and save it as {}:\n{}",
                suggestion.file,
                suggestion.yaml.trim_end()
            );
            Finding::lacks("images", counts, advice)
        }
    }
}
