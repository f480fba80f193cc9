//! Logs of one process, as text for people or JSON for machines, on standard error.
//!
//! In: the chosen form and filter; `RUST_LOG` wins over the filter, `NO_COLOR` over colour. Never logged: payloads,
//! tokens, personal data.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// What the client of NATS says of its connection, the bus says in its own words, and once instead of with
/// each attempt.
const DEFAULT_FILTER: &str = "info,async_nats=off";

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
    let has_color = !no_color && std::io::stderr().is_terminal();
    subscriber(settings.format, parsed, std::io::stderr, has_color).try_init()?;
    Ok(())
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, writer: W, has_color: bool) -> Dispatch
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(has_color);
    match format {
        LogFormat::Text => Dispatch::new(builder.with_target(false).finish()),
        LogFormat::Json => Dispatch::new(builder.json().flatten_event(true).with_current_span(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{Arc, Mutex};

    use super::*;

    /// Text from outside, as hostile as it comes.
    const OUTSIDE: &str = "v1\u{1b}[2J\nINFO forged";

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written of one event that is wanted and one that the filter leaves out.
    fn logged(format: LogFormat) -> String {
        let sink = Sink::default();
        let writer = {
            let sink = sink.clone();
            move || sink.clone()
        };
        let dispatch = subscriber(format, EnvFilter::new("info"), writer, false);
        tracing::dispatcher::with_default(&dispatch, || {
            let _span = tracing::info_span!("delivery", event = "push").entered();
            tracing::info!(tag = OUTSIDE, count = 3, "took a delivery");
            tracing::debug!("not wanted");
        });
        let written = sink.0.lock().unwrap().clone();
        String::from_utf8(written).unwrap()
    }

    #[test]
    fn text_is_one_line_with_level_span_message_and_fields() {
        let text = logged(LogFormat::Text);
        for part in ["INFO", "delivery{event=\"push\"}", "took a delivery", "count=3"] {
            assert!(text.contains(part), "{part} is not in {text:?}");
        }
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn json_is_one_object_per_event_with_the_fields_as_values() {
        let text = logged(LogFormat::Json);
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["level"], "INFO");
        assert_eq!(object["message"], "took a delivery");
        assert_eq!((&object["tag"], &object["count"]), (&OUTSIDE.into(), &3.into()));
        assert_eq!(object["span"], serde_json::json!({ "name": "delivery", "event": "push" }));
    }

    #[test]
    fn the_form_is_a_word_and_another_word_is_refused() {
        let read = |text: &str| serde_json::from_value::<LogSettings>(serde_json::json!({ "format": text }));
        assert_eq!(read("json").unwrap().format, LogFormat::Json);
        assert_eq!(read("text").unwrap().format, LogFormat::Text);
        assert!(read("xml").is_err());
        assert_eq!(LogSettings::default().format, LogFormat::Text);
    }
}
