//! Brings the servers to what is declared, and says where they differ from it.
//!
//! In: declarations. Out: streams that are as declared, or each difference with what was declared and what was found.
//! An update changes the declared settings only; what an operator has added beside them (placement, metadata) stays. It
//! never deletes a stream.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::declared::Declaration;
use super::fault::{Fault, code};
use super::link::Link;

/// Settings that belong to the servers or to an operator.
const NOT_OURS: [&str; 7] =
    ["metadata", "placement", "consumer_limits", "pause_until", "sealed", "description", "persist_mode"];

/// One difference between what is declared and what the servers have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// What differs: `stream events`, `consumer correlator of events`, `server`.
    pub what: String,
    pub setting: String,
    pub declared: String,
    pub found: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Drift { what, setting, declared, found } = self;
        write!(f, "{what}: {setting} is {found}, declared is {declared}")
    }
}

#[derive(Deserialize)]
pub(super) struct Info {
    pub(super) config: Map<String, Value>,
    #[serde(default)]
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
}

/// A stream as it is; nothing when there is none.
pub(super) async fn stream_info(link: &Link, name: &str) -> Result<Option<Info>, Fault> {
    match link.ask_until_answered(&format!("STREAM.INFO.{name}"), &json!({})).await {
        Ok(info) => Ok(Some(info)),
        Err(fault) if fault.has_code(code::STREAM_NOT_FOUND) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Creates a stream, or updates it where it differs.
pub(super) async fn apply(link: &Link, declared: &Declaration) -> Result<(), Fault> {
    let Some(info) = stream_info(link, &declared.name).await? else {
        let subject = format!("STREAM.CREATE.{}", declared.name);
        let created =
            link.ask_until_answered::<Value>(&subject, &Value::Object(declared.config.clone())).await;
        return match created {
            // Another process was faster, or the answer to our first try was lost.
            Err(fault) if fault.has_code(code::STREAM_NAME_IN_USE) => Ok(()),
            created => created.map(|_| tracing::info!(stream = declared.name, "created a stream")),
        };
    };
    let differences = differences(&declared.config, &info.config);
    if differences.is_empty() {
        return Ok(());
    }
    for (setting, declared_as, found) in &differences {
        tracing::warn!(stream = declared.name, setting, declared = declared_as, found, "updating a stream");
    }
    let mut config = info.config;
    for (setting, ..) in &differences {
        config.remove(setting);
    }
    config.extend(declared.config.clone());
    let subject = format!("STREAM.UPDATE.{}", declared.name);
    link.ask_until_answered::<Value>(&subject, &Value::Object(config)).await.map(|_| ())
}

/// Setting, declared, found.
pub(super) fn differences(
    declared: &Map<String, Value>,
    found: &Map<String, Value>,
) -> Vec<(String, String, String)> {
    let mut differences = Vec::new();
    for (setting, value) in declared {
        let is = found.get(setting).unwrap_or(&Value::Null);
        if is != value && !(is_nothing(is) && is_nothing(value)) && setting != "description" {
            differences.push((setting.clone(), shown(value), shown(is)));
        }
    }
    for (setting, is) in found {
        let is_ours = !NOT_OURS.contains(&setting.as_str()) && !declared.contains_key(setting);
        if is_ours && !is_nothing(is) {
            differences.push((setting.clone(), "not set".to_owned(), shown(is)));
        }
    }
    differences
}

/// What the servers write for "not set".
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_i64().is_some_and(|number| number <= 0),
        Value::String(text) => text.is_empty() || text == "none" || text == "default",
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_nothing),
    }
}

fn shown(value: &Value) -> String {
    const SHOWN_CHARS_MAX: usize = 200;
    match value {
        Value::Null => "not set".to_owned(),
        value => value.to_string().chars().take(SHOWN_CHARS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn only_what_is_declared_or_changed_is_a_difference() {
        let declared = map(json!({ "max_bytes": 10, "max_msgs": -1, "discard": "new" }));
        let same = map(json!({
            "max_bytes": 10, "max_msgs": 0, "discard": "new", "sealed": false, "compression": "none",
            "metadata": { "_nats.level": "1" }, "consumer_limits": {}, "placement": { "cluster": "a" },
        }));
        assert!(differences(&declared, &same).is_empty(), "{:?}", differences(&declared, &same));
        let other = map(json!({ "max_bytes": 11, "max_msgs": -1, "allow_direct": true }));
        let found: Vec<String> = differences(&declared, &other).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(found, ["discard", "max_bytes", "allow_direct"]);
    }
}
