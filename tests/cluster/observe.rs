//! What custody concludes and tells, as a person sees it: its API and the alerts that arrive.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use harness::servers::listener::{Listener, Received};
use harness::servers::process::Process;
use serde_json::Value;

use crate::estate::Ports;

/// How long anything may take that custody does by itself, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(150);
/// How long an alert may be on its way to the one who listens.
const DELIVERY: Duration = Duration::from_secs(2);

pub(crate) struct Custody {
    process: Mutex<Process>,
    intake: String,
    api: String,
    alerts: Listener,
    http: reqwest::Client,
}

/// One alert that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    pub(crate) change: String,
    pub(crate) rule: String,
    pub(crate) subject: String,
    pub(crate) id: String,
}

impl Custody {
    pub(crate) fn new(process: Process, ports: &Ports, alerts: Listener) -> anyhow::Result<Custody> {
        Ok(Custody {
            process: Mutex::new(process),
            intake: format!("http://127.0.0.1:{}", ports.intake),
            api: format!("http://127.0.0.1:{}/api/v1", ports.api),
            alerts,
            http: harness::http::client()?,
        })
    }

    pub(crate) fn webhook_url(&self) -> String {
        format!("{}/github/webhook", self.intake)
    }

    pub(crate) fn log_tail(&self) -> String {
        self.process.lock().unwrap().log_tail()
    }

    /// Everything that the program has printed.
    pub(crate) fn printed(&self) -> anyhow::Result<String> {
        let log = self.process.lock().unwrap().log_file();
        Ok(String::from_utf8_lossy(&fs::read(log)?).into_owned())
    }

    /// Ends the process as a service manager would.
    #[allow(dead_code, reason = "the recorder ends it")]
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        let process = self.process.lock().unwrap();
        process.signal("TERM")
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let start = Instant::now();
        let (status, body) = loop {
            let response =
                self.http.get(format!("{}{path}", self.api)).send().await.context("ask custody")?;
            let status = response.status();
            let body = response.text().await?;
            // Many stories ask at once, and it answers a bounded number of them.
            if status != reqwest::StatusCode::SERVICE_UNAVAILABLE || start.elapsed() > LIMIT {
                break (status, body);
            }
            tokio::time::sleep(PAUSE).await;
        };
        if !status.is_success() {
            bail!("{path} was answered with {status}: {body}");
        }
        Ok(serde_json::from_str(&body)?)
    }

    /// Waits until something is so; says what was seen last when it does not come.
    pub(crate) async fn wait<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> anyhow::Result<Result<T, String>>,
    ) -> anyhow::Result<T> {
        let start = Instant::now();
        loop {
            let seen = match look().await? {
                Ok(found) => return Ok(found),
                Err(seen) => seen,
            };
            if start.elapsed() > LIMIT {
                bail!("waited {LIMIT:?} for {what}; last seen: {seen}\n{}", self.log_tail());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    pub(crate) async fn wait_for_pipeline(&self, name: &str) -> anyhow::Result<()> {
        self.wait(&format!("pipeline {name} to be loaded"), async || {
            let status = self.get("/status").await?;
            let text = status.to_string();
            Ok(match text.contains(&format!("\"{name}\"")) {
                true => Ok(()),
                false => Err(text),
            })
        })
        .await
    }

    pub(crate) async fn verdict(&self, pipeline: &str, digest: &str) -> anyhow::Result<Option<Value>> {
        Ok(self.judged(pipeline, digest).await?.map(|judged| judged["verdict"].clone()))
    }

    /// A verdict with what stands beside it.
    async fn judged(&self, pipeline: &str, digest: &str) -> anyhow::Result<Option<Value>> {
        let judged = self.all("/verdicts", "verdicts", &format!("pipeline={pipeline}")).await?;
        Ok(judged.into_iter().find(|judged| judged["verdict"]["digest"] == digest))
    }

    /// Every verdict of a pipeline.
    pub(crate) async fn verdicts(&self, pipeline: &str) -> anyhow::Result<Vec<Value>> {
        let judged = self.all("/verdicts", "verdicts", &format!("pipeline={pipeline}")).await?;
        Ok(judged.into_iter().map(|judged| judged["verdict"].clone()).collect())
    }

    /// Waits until the digest's window has ended with nothing pending, and what that brings has had the time to be told.
    pub(crate) async fn past_settling(&self, pipeline: &str, digest: &str) -> anyhow::Result<()> {
        self.wait(&format!("{digest} to be settled under {pipeline}"), async || {
            let judged = self.judged(pipeline, digest).await?;
            Ok(match judged {
                Some(judged) if judged["settled"] == true => Ok(()),
                other => {
                    Err(other.map_or_else(|| "no verdict".to_owned(), |judged| shown(&judged["verdict"])))
                }
            })
        })
        .await?;
        tokio::time::sleep(DELIVERY).await;
        Ok(())
    }

    /// Waits until so many pieces of a digest's evidence are verified.
    pub(crate) async fn wait_verified(
        &self,
        pipeline: &str,
        digest: &str,
        count: usize,
    ) -> anyhow::Result<()> {
        self.wait(&format!("{count} verified pieces of evidence of {digest}"), async || {
            if self.verdict(pipeline, digest).await?.is_none() {
                return Ok(Err("it is not known".to_owned()));
            }
            let trace = self.get(&format!("/trace?digest={digest}")).await?;
            let evidence = trace["evidence"].as_array().into_iter().flatten();
            let verified = evidence.filter(|piece| piece["state"] == "verified").count();
            Ok(if verified == count { Ok(()) } else { Err(trace["evidence"].to_string()) })
        })
        .await
    }

    /// Waits until a digest runs in a workload, given as kind and name, and checks that it is and was nowhere else.
    pub(crate) async fn runs_only_in(&self, digest: &str, workload: &str) -> anyhow::Result<()> {
        self.is_only_in(digest, workload, "running").await
    }

    /// Waits until a digest has ended in a workload, and checks that it is and was nowhere else.
    pub(crate) async fn ran_only_in(&self, digest: &str, workload: &str) -> anyhow::Result<()> {
        self.is_only_in(digest, workload, "ended").await
    }

    async fn is_only_in(&self, digest: &str, workload: &str, state: &str) -> anyhow::Result<()> {
        let places = self
            .wait(&format!("{digest} in {workload} to be {state}"), async || {
                let answer = self.get(&format!("/where?digest={digest}")).await?;
                let named = |place: &Value| {
                    [&place["kind"], &place["name"]].map(|text| text.as_str().unwrap_or("?")).join("/")
                };
                let places = answer["places"].as_array().map(Vec::as_slice).unwrap_or_default();
                // A place where it ran before stays in the answer.
                let is_meant = |place: &Value| named(place) == workload && place["state"] == state;
                let is_there = places.iter().any(is_meant);
                let places: BTreeSet<String> = places.iter().map(named).collect();
                Ok(if is_there { Ok(places) } else { Err(format!("{places:?}")) })
            })
            .await?;
        anyhow::ensure!(places.len() == 1, "it is in more than {workload}: {places:?}");
        Ok(())
    }

    /// Every row of a list, page by page.
    async fn all(&self, path: &str, field: &str, query: &str) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.get(&format!("{path}?{query}{after}")).await?;
            rows.extend(page[field].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// Waits for a verdict's state and answers the verdict.
    pub(crate) async fn wait_verdict(
        &self,
        pipeline: &str,
        digest: &str,
        state: &str,
    ) -> anyhow::Result<Value> {
        self.wait(&format!("{digest} to be {state} under {pipeline}"), async || {
            let verdict = self.verdict(pipeline, digest).await?;
            Ok(match verdict {
                Some(verdict) if verdict["verdict"] == state => Ok(verdict),
                other => Err(other.map_or_else(|| "no verdict".to_owned(), |verdict| shown(&verdict))),
            })
        })
        .await
    }

    /// How many containers run a digest.
    pub(crate) async fn running(&self, digest: &str) -> anyhow::Result<u64> {
        let answer = self.get(&format!("/where?digest={digest}")).await?;
        let places = answer["places"].as_array().into_iter().flatten();
        Ok(places.filter_map(|place| place["containers"].as_u64()).sum())
    }

    pub(crate) async fn cases(&self) -> anyhow::Result<Vec<Value>> {
        self.all("/cases", "cases", "limit=200").await
    }

    /// The cases of a rule whose subject names a text.
    pub(crate) async fn cases_of(&self, rule: &str, subject: &str) -> anyhow::Result<Vec<Value>> {
        let is_wanted = |case: &Value| {
            case["rule"] == rule && case["subject"].as_str().is_some_and(|text| text.contains(subject))
        };
        Ok(self.cases().await?.into_iter().filter(is_wanted).collect())
    }

    /// Waits for a case in a state.
    pub(crate) async fn wait_case(&self, rule: &str, subject: &str, state: &str) -> anyhow::Result<Value> {
        self.wait(&format!("a case of {rule} about {subject} to be {state}"), async || {
            let cases = self.cases_of(rule, subject).await?;
            let found = cases.iter().find(|case| case["state"] == state).cloned();
            Ok(found.ok_or_else(|| format!("{cases:?}")))
        })
        .await
    }

    /// Alerts that arrived so far, in their order. One that cannot be read ends the test.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let read = |received: &Received| {
            let id = received.headers.get("webhook-id").context("no id")?.to_str()?.to_owned();
            let body: Value = serde_json::from_slice(&received.body)?;
            let text = |value: &Value| value.as_str().map(str::to_owned).context("a text is missing");
            let case = &body["data"]["case"];
            // dev.custody.case.<change>.v1
            let change = text(&body["type"])?.rsplit('.').nth(1).context("an odd type")?.to_owned();
            anyhow::Ok(Alert { change, rule: text(&case["rule"])?, subject: text(&case["subject"])?, id })
        };
        self.alerts.received().iter().map(|received| read(received).expect("an alert is readable")).collect()
    }

    pub(crate) fn alerts_about(&self, subject: &str) -> Vec<Alert> {
        self.alerts().into_iter().filter(|alert| alert.subject.contains(subject)).collect()
    }

    /// Waits for an alert.
    pub(crate) async fn wait_alert(&self, change: &str, rule: &str, subject: &str) -> anyhow::Result<Alert> {
        self.wait(&format!("the alert {change} {rule} about {subject}"), async || {
            let alerts = self.alerts_about(subject);
            let found = alerts.iter().find(|alert| alert.change == change && alert.rule == rule).cloned();
            Ok(found.ok_or_else(|| format!("{alerts:?}")))
        })
        .await
    }

    /// These changes of cases were told about a subject, each as often as it is listed, and nothing else. An attempt that is
    /// repeated has the same id, and is one.
    pub(crate) fn exactly_told(&self, subject: &str, changes: &[(&str, &str)]) -> anyhow::Result<()> {
        self.exactly_told_beside(subject, changes, "")
    }

    /// The same, whatever else was told by one rule.
    pub(crate) fn exactly_told_beside(
        &self,
        subject: &str,
        changes: &[(&str, &str)],
        rule: &str,
    ) -> anyhow::Result<()> {
        let mut ids = BTreeSet::new();
        let alerts = self.alerts_about(subject);
        let mut told: Vec<(&str, &str)> = alerts
            .iter()
            .filter(|alert| alert.rule != rule && ids.insert(alert.id.as_str()))
            .map(|alert| (alert.change.as_str(), alert.rule.as_str()))
            .collect();
        let mut expected = changes.to_vec();
        told.sort_unstable();
        expected.sort_unstable();
        anyhow::ensure!(
            told == expected,
            "expected to be told {expected:?} about {subject}, found {alerts:#?}"
        );
        Ok(())
    }

    /// Nothing but these rules was told about a subject.
    pub(crate) fn only_told(&self, subject: &str, rules: &[&str]) -> anyhow::Result<()> {
        let other: Vec<Alert> = self
            .alerts_about(subject)
            .into_iter()
            .filter(|alert| !rules.contains(&alert.rule.as_str()))
            .collect();
        anyhow::ensure!(other.is_empty(), "told too much about {subject}: {other:?}");
        Ok(())
    }
}

/// A verdict in one line.
pub(crate) fn shown(verdict: &Value) -> String {
    let links: Vec<String> = verdict["links"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|link| {
            let mut link = link.clone();
            let kind = link["kind"].as_str().unwrap_or("?").to_owned();
            if let Some(fields) = link.as_object_mut() {
                fields.remove("kind");
                fields.remove("witnesses");
            }
            format!("{kind} {link}")
        })
        .collect();
    format!("{}: {}", verdict["verdict"], links.join("; "))
}

/// The state of one link of a verdict.
pub(crate) fn link<'a>(verdict: &'a Value, kind: &str) -> &'a Value {
    verdict["links"]
        .as_array()
        .and_then(|links| links.iter().find(|link| link["kind"] == kind))
        .unwrap_or(&Value::Null)
}

/// Whether a link is broken for a reason.
pub(crate) fn is_broken_by(verdict: &Value, kind: &str, reason: &str) -> bool {
    let breaks = &link(verdict, kind)["breaks"];
    breaks.as_array().is_some_and(|breaks| breaks.iter().any(|one| one["reason"] == reason))
}

/// Fails unless these links, and no others, are required and not proven: given as kind and state.
pub(crate) fn ensure_only(verdict: &Value, expected: &[(&str, &str)]) -> anyhow::Result<()> {
    let links = verdict["links"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let found: BTreeSet<(String, String)> = links
        .map(|link| (text(&link["kind"]), text(&link["state"])))
        .filter(|(_, state)| !["proven", "not_required"].contains(&state.as_str()))
        .collect();
    let expected: BTreeSet<(String, String)> =
        expected.iter().map(|(kind, state)| ((*kind).to_owned(), (*state).to_owned())).collect();
    anyhow::ensure!(found == expected, "expected only {expected:?}, found {}", shown(verdict));
    Ok(())
}
