//! Prints verdicts, and cases where no alert can be delivered, as the correlator publishes them.
//!
//! In: the stream of conclusions. Out: lines on the screen. What was printed before a restart may be printed again.

use std::sync::Arc;
use std::time::Duration;

use bus_schema::case::Case;
use bus_schema::verdict::{LinkState, VerdictChanged};
use bus_schema::{Envelope, Event};
use correlator_service::Handle;
use fleet_runtime::bus::reader::Reader;
use fleet_runtime::bus::{Bus, ConsumerConfig, Pattern, Stream};
use tokio_util::sync::CancellationToken;

use crate::output::{cases, chain};
use crate::screen::Screen;
use fleet_runtime::outside_text::shown;

const CONSUMER: &str = "sample-console";
const FETCH_MESSAGES_MAX: usize = 64;
const FETCH_WAIT: Duration = Duration::from_millis(250);
/// How much of a digest names it on a screen.
const DIGEST_CHARS: usize = 19;

/// Opens the consumer. Before the correlator begins, so that nothing is missed.
pub(crate) async fn open(bus: &Arc<dyn Bus>) -> anyhow::Result<Reader> {
    let filter: Pattern = format!("{}>", Stream::Verdicts.subject_prefix()).parse()?;
    Ok(Reader::open(bus, ConsumerConfig::new(CONSUMER, Stream::Verdicts, filter)).await?)
}

/// Prints until the stop. `tells_cases` where nothing else tells them.
pub(crate) async fn run(
    reader: Reader,
    handle: Handle,
    screen: Screen,
    tells_cases: bool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let deliveries = match reader.fetch(FETCH_MESSAGES_MAX, FETCH_WAIT).await {
            Ok(deliveries) => deliveries,
            // The play itself says what is wrong; the lines come when the bus is there again.
            Err(error) if error.is_temporary() => {
                tokio::time::sleep(FETCH_WAIT).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for delivery in deliveries {
            if let Ok(envelope) = Envelope::from_json(&delivery.message.payload)
                && let Some(line) = line(&envelope.event, screen, tells_cases)
                && !is_config(&handle, &envelope.event).await
            {
                screen.say(&line);
            }
            match reader.ack(&delivery).await {
                // It comes again.
                Err(error) if error.is_temporary() => break,
                acknowledged => acknowledged?,
            }
        }
    }
    Ok(())
}

/// An image's configuration is judged like the image: one line for both is enough.
async fn is_config(handle: &Handle, event: &Event) -> bool {
    let Event::VerdictChanged(changed) = event else { return false };
    let trace = handle.answers().trace(&changed.verdict.digest.to_string()).await;
    trace.is_ok_and(|trace| trace.level == "config")
}

fn line(event: &Event, screen: Screen, tells_cases: bool) -> Option<String> {
    match event {
        Event::VerdictChanged(changed) => verdict(changed, screen),
        Event::CaseOpened(opened) if tells_cases => told("opened", &opened.case, screen),
        Event::CaseUpdated(updated) if tells_cases => told("changed", &updated.case, screen),
        Event::CaseResolved(resolved) if tells_cases => told("resolved", &resolved.case, screen),
        _ => None,
    }
}

/// The verdict and what does not hold. A change that says nothing new to a person is left out.
fn verdict(changed: &VerdictChanged, screen: Screen) -> Option<String> {
    let verdict = &changed.verdict;
    let word = verdict.state.as_str();
    if changed.previous.as_deref() == Some(word)
        || verdict.pipeline == correlator_core::contracts::DEFAULT_PIPELINE
    {
        return None;
    }
    let digest: String = verdict.digest.to_string().chars().take(DIGEST_CHARS).collect();
    let pad = " ".repeat(10_usize.saturating_sub(word.len()));
    let state = chain::state(&verdict.state, screen.paint);
    let mut text = format!("{state}{pad} {}@{digest}…", shown(&verdict.image.to_string()));
    for link in &verdict.links {
        if let LinkState::Broken { .. } = &link.state {
            let said = chain::details(&link.state);
            let said: Vec<String> =
                said.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            text.push_str(&format!("\n           {}: {}", link.kind, said.join(", ")));
        }
    }
    Some(text)
}

fn told(change: &str, case: &Case, screen: Screen) -> Option<String> {
    // What another case covers is not told to anybody.
    if case.covered_by.is_some() {
        return None;
    }
    let mut lines = vec![format!(
        "{}  [{}] {} {change}: {}",
        screen.paint.bad("ALERT"),
        cases::severity(case, screen.paint),
        shown(&case.rule),
        shown(&case.subject)
    )];
    lines.extend(cases::findings(case).into_iter().map(|line| format!("     {line}")));
    Some(lines.join("\n"))
}
