//! The agents of the data folder that are processes of their own, as their health says.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use reqwest::{Client, Url};
use serde::Deserialize;
use url::Host;

use super::Finding;
use crate::client::is_of;
use crate::data::RunningAgent;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
const START_IT: &str = "start it again: custody agent";

/// What `/readyz` says.
#[derive(Deserialize)]
struct Report {
    ready: bool,
    checks: BTreeMap<String, Check>,
}

#[derive(Deserialize)]
struct Check {
    state: String,
    reason: Option<String>,
}

pub(super) async fn look(agents: &[(String, RunningAgent)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, running) in agents {
        findings.push(one(name, running).await);
    }
    findings
}

async fn one(name: &str, running: &RunningAgent) -> Finding {
    let (what, process) = (format!("agent {name}"), running.process);
    let Some(url) = on_this_machine(&running.operations) else {
        let detail =
            format!("process {process} says to run, and that its health is at {}", running.operations);
        return Finding::lacks(what, detail, "ask it there: only loopback is asked from here");
    };
    let report = match ask(url, &running.instance).await {
        Answer::Its(report) => report,
        Answer::Nobodys => {
            let detail = format!("process {process} said to run, and does no more");
            return Finding::lacks(what, detail, START_IT);
        }
        Answer::Anothers => {
            let detail = format!("process {process} said to run, and another one answers at its address");
            return Finding::lacks(what, detail, START_IT);
        }
        Answer::None(why) => {
            let detail = format!("process {process} does not answer: {why}");
            return Finding::fails(what, detail, "see its log; stop it, and start it again");
        }
    };
    let runs = format!("process {process} runs and answers");
    let waiting: Vec<String> = report.checks.iter().filter_map(|(check, said)| said.unready(check)).collect();
    match report.ready {
        true => Finding::works(what, runs),
        false => {
            let detail = format!("{runs}, and is not ready\n{}", waiting.join("\n"));
            Finding::lacks(what, detail, "see its log, and that it reaches its source and the servers")
        }
    }
}

impl Check {
    fn unready(&self, name: &str) -> Option<String> {
        let reason = self.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        (self.state != "ready").then(|| format!("{name} is {}{reason}", self.state))
    }
}

/// What a file says is not trusted further than this machine. All of its addresses are also that of loopback.
fn on_this_machine(operations: &str) -> Option<Url> {
    let mut url: Url = format!("{operations}/readyz").parse().ok()?;
    let address = match url.host()? {
        Host::Ipv4(address) => IpAddr::V4(address),
        Host::Ipv6(address) => IpAddr::V6(address),
        Host::Domain(_) => return None,
    };
    if address.is_unspecified() {
        url.set_ip_host(IpAddr::V4(Ipv4Addr::LOCALHOST)).ok()?;
    }
    (address.is_unspecified() || address.is_loopback()).then_some(url)
}

/// What came back from where an agent said to be.
enum Answer {
    Its(Report),
    /// Nothing listens there.
    Nobodys,
    Anothers,
    /// Something listens, and says nothing of use.
    None(String),
}

async fn ask(url: Url, instance: &str) -> Answer {
    let redirects = reqwest::redirect::Policy::none();
    let none = |error: reqwest::Error| Answer::None(fleet_runtime::error_chain(&error.without_url()));
    let client = Client::builder().timeout(ANSWER_TIME_MAX).redirect(redirects).no_proxy().build();
    let asked = match client {
        Ok(client) => client.get(url).send().await,
        Err(error) => return none(error),
    };
    match asked {
        Ok(response) if !is_of(&response, instance) => Answer::Anothers,
        // Not ready is 503, with the same report.
        Ok(response) => response.json().await.map_or_else(none, Answer::Its),
        Err(error) if error.is_connect() && !error.is_timeout() => Answer::Nobodys,
        Err(error) => none(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn only_this_machine_is_asked() {
        let asked = |operations: &str| on_this_machine(operations).map(|url| url.to_string());
        assert_eq!(asked("http://127.0.0.1:9464").unwrap(), "http://127.0.0.1:9464/readyz");
        assert_eq!(asked("http://0.0.0.0:9464").unwrap(), "http://127.0.0.1:9464/readyz");
        assert_eq!(asked("http://[::]:9464").unwrap(), "http://127.0.0.1:9464/readyz");
        for elsewhere in ["http://192.0.2.1:9464", "http://registry.example:9464", "nonsense"] {
            assert_eq!(asked(elsewhere), None);
        }
    }
}
