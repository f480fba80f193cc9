//! What people and scripts read: text with or without colour, or JSON, on standard output.
//!
//! In: values of the program. Out: lines. Text from outside is made harmless before it is printed. A reader that goes away
//! is no failure, and changes nothing of what the exit code says.

pub(crate) mod cases;
pub(crate) mod chain;
pub(crate) mod paint;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use paint::Paint;

use crate::exit::Failure;

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For scripts: one object, with stable fields.
    Json,
}

/// Where a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) paint: Paint,
}

impl Output {
    /// Colours only on a terminal, and not where `NO_COLOR` is set.
    pub(crate) fn new(format: Format) -> Output {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Output { format, paint: Paint::new(!no_color && io::stdout().is_terminal()) }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints text as it is, with a line's end where it has none.
    pub(crate) fn text(&self, text: &str) -> anyhow::Result<()> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let mut out = io::stdout().lock();
        match write!(out, "{text}{end}").and_then(|()| out.flush()) {
            // The verdict is the same when nobody reads it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(not_written(&error)),
            Ok(()) => Ok(()),
        }
    }

    /// Prints one object on one line.
    pub(crate) fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        let value = fleet_runtime::outside_text::whole_json(serde_json::to_value(value)?);
        self.text(&value.to_string())
    }

    /// Prints the object or the text, as was asked.
    pub(crate) fn either(
        &self,
        value: &impl Serialize,
        text: impl FnOnce(Paint) -> String,
    ) -> anyhow::Result<()> {
        match self.format {
            Format::Json => self.json(value),
            Format::Text => self.text(&text(self.paint)),
        }
    }
}

/// By its kind, without the system's number, by which a data folder without room is known: this is where the output
/// goes.
fn not_written(error: &io::Error) -> anyhow::Error {
    Failure::failed(format!("standard output cannot be written to: {}", error.kind()))
}
