//! Logs of one process, as text for people or JSON for machines, on standard error.
//!
//! In: the chosen form and filter; `RUST_LOG` wins over the filter, `NO_COLOR` over colour. Never logged: payloads,
//! tokens, personal data.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

const DEFAULT_FILTER: &str = "info";

/// How a process logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// `text` or `json`.
    pub format: LogFormat,
    /// What is logged, as `RUST_LOG` has it; `info` when absent.
    pub filter: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("`{filter}` is not a log filter")]
    Filter { filter: String, source: tracing_subscriber::filter::ParseError },
    #[error("logging has begun already")]
    Begun(#[from] tracing_subscriber::util::TryInitError),
}

/// Begins logging for the whole process; once.
pub fn begin(settings: &LogSettings) -> Result<(), LogError> {
    let chosen = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let filter = chosen.or_else(|| settings.filter.clone()).unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|source| LogError::Filter { filter, source })?;
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(!no_color && std::io::stderr().is_terminal());
    match settings.format {
        LogFormat::Text => builder.with_target(false).finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).finish().try_init()?,
    }
    Ok(())
}
