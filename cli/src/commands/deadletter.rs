//! `custody deadletter list|show|replay`: what could not be understood or did not succeed.
//!
//! The running process is asked where one runs; else the bus of the data folder is opened.

use std::sync::Arc;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use correlator_service::api::types::{
    DeadLetterDetail, DeadLetterSummary, DeadLetters as Page, DeadLettersAsked, LetterOutcome,
    LetterOutcomes, LettersChosen,
};
use fleet_runtime::bus::Bus;
use fleet_runtime::bus::embedded::{EmbeddedBus, EmbeddedLimits};
use fleet_runtime::dead_letters::{DeadLetter, DeadLetterError, DeadLetters, Listed};
use serde::Serialize;

use crate::args;
use crate::client::Api;
use crate::data::{DataFolder, LastBus};
use crate::exit::{Exit, Failure};
use crate::house::bus_failure;
use crate::output::Output;
use fleet_runtime::outside_text::shown;

/// The most letters of a list.
const LETTERS_MAX: usize = 10_000;
const PAGE: usize = 200;
/// How much of a payload is shown as text.
const PAYLOAD_BYTES_SHOWN_MAX: usize = 16 * 1024;

#[derive(Serialize)]
struct Letters<'a> {
    letters: &'a [DeadLetterSummary],
}

pub(crate) async fn run(
    command: &args::DeadLetter,
    data: &DataFolder,
    output: Output,
) -> anyhow::Result<Exit> {
    let desk = Desk::open(data).await?;
    let exit = desk.work(command, output).await;
    desk.close().await?;
    exit
}

/// Where the letters are.
enum Desk {
    Process(Api),
    Folder(Arc<EmbeddedBus>),
}

impl Desk {
    async fn open(data: &DataFolder) -> anyhow::Result<Desk> {
        if let Some(api) = Api::of_running(data).await? {
            return Ok(Desk::Process(api));
        }
        must_hold_letters(data)?;
        let bus = EmbeddedBus::open(&data.bus(), EmbeddedLimits::default()).await;
        Ok(Desk::Folder(bus.map_err(|error| bus_failure(&error))?))
    }

    async fn close(self) -> anyhow::Result<()> {
        match self {
            Desk::Process(_) => Ok(()),
            Desk::Folder(bus) => bus.close().await.context("close the bus"),
        }
    }

    async fn work(&self, command: &args::DeadLetter, output: Output) -> anyhow::Result<Exit> {
        match command {
            args::DeadLetter::List => {
                let letters = self.list().await?;
                output.either(&Letters { letters: &letters }, |_| list_text(&letters))?;
                Ok(Exit::Fine)
            }
            args::DeadLetter::Show { number } => {
                let letter = self.show(*number).await?;
                output.either(&letter, |_| letter_text(&letter))?;
                Ok(Exit::Fine)
            }
            args::DeadLetter::Replay { number } => {
                self.must_have(*number).await?;
                let outcome = self.replay(*number).await?;
                output.either(&outcome, |_| match &outcome.problem {
                    None => format!("letter {number} is with its reader again\n"),
                    Some(problem) => format!("letter {number} stays: {}\n", shown(problem)),
                })?;
                Ok(if outcome.done { Exit::Fine } else { Exit::Finding })
            }
        }
    }

    async fn list(&self) -> anyhow::Result<Vec<DeadLetterSummary>> {
        let mut letters = Vec::new();
        let mut from = Some(1);
        while let Some(number) = from.filter(|_| letters.len() < LETTERS_MAX) {
            let page = self.page(number, PAGE).await?;
            from = page.next;
            letters.extend(page.letters);
        }
        Ok(letters)
    }

    /// A letter that is not there is the caller's error; one that cannot be replayed is not.
    async fn must_have(&self, number: u64) -> anyhow::Result<()> {
        let page = self.page(number, 1).await?;
        match page.letters.iter().any(|letter| letter.number == number) {
            true => Ok(()),
            false => Err(failure(&DeadLetterError::NotFound(number))),
        }
    }

    async fn page(&self, from: u64, limit: usize) -> anyhow::Result<Page> {
        match self {
            Desk::Process(api) => {
                let asked = DeadLettersAsked { from: Some(from), limit: Some(limit) };
                api.get("/deadletters", &asked).await
            }
            Desk::Folder(bus) => {
                let listed = letters_of(bus).list(from, limit).await.context("read the dead letters")?;
                let next = listed.last().map(|last| last.sequence + 1);
                Ok(Page { letters: listed.into_iter().map(summary).collect(), next })
            }
        }
    }

    async fn show(&self, number: u64) -> anyhow::Result<DeadLetterDetail> {
        match self {
            Desk::Process(api) => api.get(&format!("/deadletters/{number}"), &()).await,
            Desk::Folder(bus) => {
                let (letter, payload) =
                    letters_of(bus).show(number).await.map_err(|error| failure(&error))?;
                let payload_base64 = payload.map(|bytes| STANDARD.encode(bytes));
                Ok(DeadLetterDetail { summary: of_letter(number, &letter), payload_base64 })
            }
        }
    }

    async fn replay(&self, number: u64) -> anyhow::Result<LetterOutcome> {
        match self {
            Desk::Process(api) => {
                let chosen = LettersChosen { numbers: vec![number] };
                let outcomes: LetterOutcomes = api.post("/deadletters/replay", &chosen).await?;
                outcomes.letters.into_iter().next().context("the running process said nothing of the letter")
            }
            Desk::Folder(bus) => {
                let problem = letters_of(bus)
                    .replay(number)
                    .await
                    .err()
                    .map(|error| fleet_runtime::error_chain(&error));
                Ok(LetterOutcome { number, done: problem.is_none(), problem })
            }
        }
    }
}

/// Refuses a folder whose letters are somewhere else: no letters there are no answer.
fn must_hold_letters(data: &DataFolder) -> anyhow::Result<()> {
    let is_elsewhere = match LastBus::of(data)? {
        Some(last) => last == LastBus::Servers,
        None => !data.has(&data.bus())? && (data.has(&data.correlator())? || !data.agents().is_empty()),
    };
    if is_elsewhere {
        return Err(Failure::unreachable(format!(
            "no process answers on {}, and its dead letters are not in it: those of a fleet are on its NATS servers, and its \
             correlator reads them; start it, or name its folder with --data",
            data.path().display()
        )));
    }
    data.must_exist()
}

fn letters_of(bus: &Arc<EmbeddedBus>) -> DeadLetters {
    let bus: Arc<dyn Bus> = bus.clone();
    DeadLetters::new(bus)
}

fn failure(error: &DeadLetterError) -> anyhow::Error {
    match error {
        DeadLetterError::Bus(bus) => bus_failure(bus),
        _ => Failure::usage(fleet_runtime::error_chain(error)),
    }
}

fn summary(listed: Listed) -> DeadLetterSummary {
    match &listed.letter {
        Ok(letter) => of_letter(listed.sequence, letter),
        Err(error) => DeadLetterSummary {
            number: listed.sequence,
            source: "unknown".to_owned(),
            agent: None,
            reason: fleet_runtime::error_chain(error),
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
        source: letter.source.clone(),
        agent: letter.agent().map(ToString::to_string),
        reason: letter.reason.clone(),
        subject: letter.undelivered.as_ref().map(|undelivered| undelivered.subject.clone()),
        bytes: letter.payload.bytes(),
        replayable: letter.undelivered.is_some(),
        first_seen: Some(letter.first_seen),
        at: Some(letter.at),
    }
}

fn list_text(letters: &[DeadLetterSummary]) -> String {
    if letters.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(["NUMBER", "AT", "FROM", "BYTES", "REASON"]);
    for letter in letters {
        table.add_row([
            letter.number.to_string(),
            letter.at.map(|at| at.to_string()).unwrap_or_default(),
            from(letter),
            letter.bytes.to_string(),
            shown(&letter.reason),
        ]);
    }
    table.trim_fmt() + "\n"
}

/// What put it aside, and whose word that is.
fn from(letter: &DeadLetterSummary) -> String {
    match &letter.agent {
        Some(agent) if *agent != letter.source => {
            format!("{} (agent {})", shown(&letter.source), shown(agent))
        }
        _ => shown(&letter.source),
    }
}

fn letter_text(letter: &DeadLetterDetail) -> String {
    let summary = &letter.summary;
    let mut lines = vec![
        format!("letter   {}", summary.number),
        format!("from     {}", from(summary)),
        format!("reason   {}", shown(&summary.reason)),
    ];
    lines.extend(summary.subject.iter().map(|subject| format!("subject  {}", shown(subject))));
    lines.extend(summary.at.iter().map(|at| format!("at       {at}")));
    match &letter.payload_base64 {
        Some(payload) => {
            let bytes = STANDARD.decode(payload).unwrap_or_default();
            let beginning = bytes.get(..PAYLOAD_BYTES_SHOWN_MAX).unwrap_or(&bytes);
            lines.push(format!("payload  {} bytes", bytes.len()));
            lines.extend(String::from_utf8_lossy(beginning).lines().map(|line| format!("  {}", shown(line))));
        }
        None => lines.push("payload  not kept: it was larger than anything that is".to_owned()),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_letter_cannot_steer_the_terminal() {
        let summary = DeadLetterSummary {
            number: 1,
            source: "registry-agent".to_owned(),
            agent: Some("registry".to_owned()),
            reason: "tag \u{1b}[31mred\u{7}".to_owned(),
            subject: None,
            bytes: 3,
            replayable: false,
            first_seen: None,
            at: None,
        };
        let payload_base64 = Some(STANDARD.encode("{\n\u{1b}c}"));
        let detail = DeadLetterDetail { summary: summary.clone(), payload_base64 };
        for text in [list_text(&[summary]), letter_text(&detail)] {
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}
