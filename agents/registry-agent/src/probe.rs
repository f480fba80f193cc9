//! Asks each configured registry whether the agent could do its work there: for people who set it up.
//!
//! In: checked settings. Out: one answer for each thing that the agent needs, with what to do where it is missing. It
//! reads a greeting and the first lists, and changes nothing.

use bus_schema::ImageRepository;

use crate::api::client::RegistryClient;
use crate::api::error::ApiError;
use crate::api::lists;
use crate::distribution::listen::PATH;
use crate::settings::{Registry, RepositoryPattern, Settings};

/// The most repositories of one registry that are asked for.
const REPOSITORIES_MAX: usize = 5;
/// The most tags that are read of each.
const TAGS_MAX: usize = 1000;

/// One thing that the agent needs, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What was asked, for people: `registry.example: list the tags of acme/app`.
    pub what: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Works {
        /// What was found.
        detail: String,
    },
    /// The agent works, but knows less.
    Lacks { reason: String, advice: String },
    /// The agent cannot work.
    Fails { reason: String, advice: String },
}

impl Probed {
    /// Whether the agent can do its work as far as this goes.
    pub fn is_usable(&self) -> bool {
        !matches!(self.outcome, Outcome::Fails { .. })
    }
}

/// Asks for everything that the agent needs.
pub async fn probe(settings: &Settings) -> Vec<Probed> {
    let mut probed = Vec::new();
    for registry in &settings.registries {
        let say = |what: &str, outcome| Probed { what: format!("{}: {what}", registry.host), outcome };
        let client = match RegistryClient::new(registry) {
            Ok(client) => client,
            Err(error) => {
                let reason = fleet_runtime::error_chain(&error);
                let advice = "check its certificate_authority_file".to_owned();
                probed.push(say("be called", Outcome::Fails { reason, advice }));
                continue;
            }
        };
        let greeting = match client.ping().await {
            Ok(()) => Outcome::Works { detail: format!("{} answers", registry.url) },
            Err(error) => failed(&error),
        };
        let answers = matches!(greeting, Outcome::Works { .. });
        probed.push(say("answer", greeting));
        probed.push(say("send notifications", notifications(registry)));
        if answers {
            lists_of(&client, registry, &mut probed).await;
        }
    }
    probed
}

fn notifications(registry: &Registry) -> Outcome {
    match &registry.notification_authorization {
        Some(_) => {
            Outcome::Works { detail: format!("a token is set; the registry is to POST to {PATH} with it") }
        }
        None => Outcome::Lacks {
            reason: "no notification_token: pushes are found by polling, and nobody knows who pushed"
                .to_owned(),
            advice: format!("set notification_token, and the registry's notifications to {PATH}"),
        },
    }
}

async fn lists_of(client: &RegistryClient, registry: &Registry, probed: &mut Vec<Probed>) {
    let say = |what: String, outcome| Probed { what: format!("{}: {what}", registry.host), outcome };
    let Some(poll) = &registry.poll else {
        let reason = "poll_interval is 0s: what no notification tells is found only by asking".to_owned();
        let advice = "remove poll_interval".to_owned();
        probed.push(say("be polled".to_owned(), Outcome::Lacks { reason, advice }));
        return;
    };
    if poll.patterns.iter().any(RepositoryPattern::needs_catalog) {
        let outcome = match lists::repositories(client, poll.repositories_max).await {
            Ok(listed) => Outcome::Works { detail: format!("{} repositories", listed.entries.len()) },
            Err(error) => Outcome::Fails {
                reason: error.to_string(),
                advice: "name each repository instead of a pattern".to_owned(),
            },
        };
        probed.push(say("list its repositories".to_owned(), outcome));
    }
    let named = poll.patterns.iter().filter(|pattern| !pattern.needs_catalog());
    for name in named.take(REPOSITORIES_MAX) {
        let Ok(repository) = ImageRepository::new(&registry.host, &name.to_string()) else { continue };
        let outcome = match lists::tags(client, &repository, TAGS_MAX).await {
            Ok(listed) => Outcome::Works { detail: format!("{} tags", listed.entries.len()) },
            Err(ApiError::NotFound) => Outcome::Lacks {
                reason: "there is no such repository, or nothing was pushed to it".to_owned(),
                advice: "check its name".to_owned(),
            },
            Err(error) => failed(&error),
        };
        probed.push(say(format!("list the tags of {name}"), outcome));
    }
}

fn failed(error: &ApiError) -> Outcome {
    let advice = match error {
        ApiError::Denied { .. } => "check username and password, and that they may pull",
        ApiError::NoToken { .. } => "see why its token realm gives no token",
        ApiError::ForeignRealm { .. } => "set token_realm, if that realm may have the credentials",
        ApiError::ForeignHost { .. } => "name the host in redirect_hosts, if it belongs to the registry",
        ApiError::RateLimited { .. } => "wait, and lower poll_requests_per_second",
        ApiError::NotFound | ApiError::Unexpected { .. } => "check url: this does not answer as a registry",
        _ => "check url, and that the registry can be reached from here",
    };
    Outcome::Fails { reason: error.to_string(), advice: advice.to_owned() }
}
