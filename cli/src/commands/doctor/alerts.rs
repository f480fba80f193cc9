//! Whether the webhooks for alerts can be called. Nothing is sent to them.

use correlator_service::AlertSettings;

use super::Finding;

pub(super) async fn look(alerts: &[AlertSettings]) -> Vec<Finding> {
    if alerts.is_empty() {
        return vec![Finding::lacks("alerts", "nobody is told", "name a webhook with [[alert]]")];
    }
    let mut findings = Vec::new();
    for alert in alerts {
        let what = format!("alert {}", alert.name());
        findings.push(match correlator_service::probe_alert(alert).await {
            Ok(address) => Finding::works(what, format!("{address} takes connections; no alert was sent")),
            Err(reason) => Finding::fails(what, reason, "check its url, and the way to it from here"),
        });
    }
    findings
}
