//! GitHub's OpenAPI description, as the judge of what the stand-in says. Without the fixtures nothing is checked, and that
//! is said once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, Once};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::deliver::Delivery;
use crate::fixtures;
use crate::said::say;

/// How many findings one body may bring.
const FINDINGS_MAX: usize = 5;

static REST: LazyLock<Option<Value>> = LazyLock::new(|| read("rest.trimmed.json"));
static WEBHOOKS: LazyLock<Option<Value>> = LazyLock::new(|| read("webhooks.trimmed.json"));
static VALIDATORS: LazyLock<Mutex<BTreeMap<String, Option<Arc<Validator>>>>> = LazyLock::new(Mutex::default);

/// What does not fit in the answer of a route, given as its template: `/repos/{owner}/{repo}`.
pub fn check_answer(template: &str, body: &Value) -> Vec<String> {
    check(&format!("GET {template}"), REST.as_ref(), || schema_of_answer(template), body)
}

/// Whether the description has the answer of a route.
pub fn describes_answer(template: &str) -> bool {
    schema_of_answer(template).is_some()
}

/// What does not fit in a webhook.
pub fn check_webhook(delivery: &Delivery) -> Vec<String> {
    let name = name_of(delivery);
    check(&format!("webhook {name}"), WEBHOOKS.as_ref(), || schema_of_webhook(&name), &delivery.body)
}

/// Whether the description has a webhook.
pub fn describes_webhook(delivery: &Delivery) -> bool {
    schema_of_webhook(&name_of(delivery)).is_some()
}

fn schema_of_answer(template: &str) -> Option<Value> {
    let answer = REST.as_ref()?.pointer(&format!("/paths/{}/get/responses/200", escape(template)))?;
    answer.pointer("/content/application~1json/schema").cloned()
}

fn schema_of_webhook(name: &str) -> Option<Value> {
    let webhook = WEBHOOKS.as_ref()?.pointer(&format!("/webhooks/{}/post/requestBody", escape(name)))?;
    webhook.pointer("/content/application~1json/schema").cloned()
}

fn name_of(delivery: &Delivery) -> String {
    match delivery.body["action"].as_str() {
        Some(action) => format!("{}-{action}", delivery.event).replace('_', "-"),
        None => delivery.event.replace('_', "-"),
    }
}

fn check(
    name: &str,
    document: Option<&Value>,
    schema: impl Fn() -> Option<Value>,
    body: &Value,
) -> Vec<String> {
    let Some(document) = document else { return Vec::new() };
    let Some(validator) = validator(name, document, schema) else { return Vec::new() };
    let finding = |error: jsonschema::ValidationError<'_>| {
        format!(
            "{name}: {} at {}",
            error.to_string().chars().take(300).collect::<String>(),
            error.instance_path()
        )
    };
    validator.iter_errors(body).take(FINDINGS_MAX).map(finding).collect()
}

/// Compiled once per schema; `None` where the description does not have it.
fn validator(name: &str, document: &Value, schema: impl Fn() -> Option<Value>) -> Option<Arc<Validator>> {
    let mut validators = super::lock(&VALIDATORS);
    if let Some(known) = validators.get(name) {
        return known.clone();
    }
    let built = schema().and_then(|schema| {
        let closed = with_components(schema, document);
        match jsonschema::options().build(&closed) {
            Ok(validator) => Some(Arc::new(validator)),
            Err(error) => {
                say("stand-in forge", &format!("the schema of {name} cannot be used: {error}"));
                None
            }
        }
    });
    validators.insert(name.to_owned(), built.clone());
    built
}

/// The schema with the components that it leads to, as JSON Schema.
fn with_components(schema: Value, document: &Value) -> Value {
    let mut wanted = BTreeSet::new();
    references(&schema, &mut wanted);
    let mut schemas = Map::new();
    while let Some(name) = wanted.iter().find(|name| !schemas.contains_key(*name)).cloned() {
        let component = document.pointer(&format!("/components/schemas/{}", escape(&name)));
        let component = component.cloned().unwrap_or(Value::Bool(true));
        references(&component, &mut wanted);
        schemas.insert(name, nullable(component));
    }
    json!({ "allOf": [nullable(schema)], "components": { "schemas": schemas } })
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(Value::as_str).and_then(component) {
                found.insert(name.to_owned());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(entries) => entries.iter().for_each(|entry| references(entry, found)),
        _ => {}
    }
}

fn component(reference: &str) -> Option<&str> {
    reference.strip_prefix("#/components/schemas/")
}

/// OpenAPI 3.0's `nullable` in JSON Schema's words; examples go, they may hold anything.
fn nullable(value: Value) -> Value {
    match value {
        Value::Object(mut fields) => {
            fields.remove("example");
            fields.remove("examples");
            let is_nullable = fields.get("nullable") == Some(&Value::Bool(true));
            if is_nullable {
                fields.remove("nullable");
            }
            let plain =
                Value::Object(fields.into_iter().map(|(name, field)| (name, nullable(field))).collect());
            match is_nullable {
                true => json!({ "anyOf": [plain, { "type": "null" }] }),
                false => plain,
            }
        }
        Value::Array(entries) => Value::Array(entries.into_iter().map(nullable).collect()),
        other => other,
    }
}

fn escape(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

fn read(file: &str) -> Option<Value> {
    static SAID: Once = Once::new();
    let path = fixtures::path("github/openapi").join(file);
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    match read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string())) {
        Ok(document) => Some(document),
        Err(error) => {
            let line = format!("nothing that it says is checked: {}: {error}", path.display());
            SAID.call_once(|| say("stand-in forge", &line));
            None
        }
    }
}
