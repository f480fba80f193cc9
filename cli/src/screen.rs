//! The lines of a running process for people: on standard output, or on standard error where scripts read the output.
//!
//! A reader that went away does not end the process.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::output::paint::Paint;
use crate::output::{Format, Output};

/// Where live lines go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    to_errors: bool,
    pub(crate) paint: Paint,
}

impl Screen {
    pub(crate) fn new(output: Output) -> Screen {
        let to_errors = output.format == Format::Json;
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let paint = match to_errors {
            true => Paint::new(!no_color && io::stderr().is_terminal()),
            false => output.paint,
        };
        Screen { to_errors, paint }
    }

    /// Prints an object on a line of its own on standard output where scripts read it; else the text for people.
    pub(crate) fn tell(&self, value: &impl Serialize, text: &str) {
        self.say(text);
        if self.to_errors
            && let Err(error) = Output::new(Format::Json).json(value)
        {
            tracing::debug!(%error, "nobody reads the output");
        }
    }

    /// Prints lines. What is in them is harmless already.
    pub(crate) fn say(&self, text: &str) {
        let written = match self.to_errors {
            true => writeln!(io::stderr().lock(), "{text}"),
            false => writeln!(io::stdout().lock(), "{text}"),
        };
        if let Err(error) = written {
            tracing::debug!(%error, "nobody reads the output");
        }
    }
}
