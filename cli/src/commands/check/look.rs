//! One look at what is checked: at a registry, into a layout, or at a file.

use std::collections::BTreeMap;
use std::path::Path;

use bus_schema::fleet::Unavailable;
use bus_schema::{Digest, Event, ImageRef, ImageRepository};
use bytes::Bytes;
use registry_agent::{Collected, LookError, Unread, layout, look_once};

use super::subject::Subject;
use super::{docker_config, file};
use crate::exit::Failure;
use crate::settings::{self, Found};

/// What was found.
#[derive(Debug)]
pub(crate) struct Looked {
    /// The digests by which the content is known: two for a file.
    pub(crate) digests: Vec<Digest>,
    pub(crate) events: Vec<Event>,
    pub(crate) blobs: BTreeMap<Digest, Bytes>,
    /// The bytes of a file that is checked, unless it is too large to be kept.
    pub(crate) file: Option<Bytes>,
    pub(crate) unread: Vec<Unread>,
    pub(crate) end: Unavailable,
    pub(crate) end_detail: String,
    /// Where was looked, for people.
    pub(crate) looked_at: String,
    /// Nothing was found, because what was asked gave no answer.
    pub(crate) is_unreachable: bool,
}

pub(crate) async fn look(
    subject: &Subject,
    repository: &ImageRepository,
    config: Option<&Path>,
) -> anyhow::Result<Looked> {
    match subject {
        Subject::File(path) => {
            let hashed = file::hash(path)?;
            Ok(Looked { file: hashed.bytes, ..of_evidence_given(hashed.digests.to_vec()) })
        }
        Subject::Digest(digest) => Ok(of_evidence_given(vec![*digest])),
        Subject::Layout { path, wanted } => {
            let collected = layout::read(path, wanted, repository).await;
            let collected = collected.map_err(|error| Failure::usage(fleet_runtime::error_chain(&error)))?;
            of_image(collected, "the layout".to_owned())
        }
        Subject::Image(image) => {
            let settings = registry_settings(image, config).await?;
            let collected = look_once(&settings, image).await.map_err(failure)?;
            of_image(collected, image.repository.registry().to_owned())
        }
    }
}

/// There is no place to look at.
fn of_evidence_given(digests: Vec<Digest>) -> Looked {
    Looked {
        digests,
        events: Vec::new(),
        blobs: BTreeMap::new(),
        file: None,
        unread: Vec::new(),
        end: Unavailable::NotFound,
        end_detail: "there is nothing beyond the evidence given".to_owned(),
        looked_at: "the evidence given".to_owned(),
        is_unreachable: false,
    }
}

fn of_image(collected: Collected, looked_at: String) -> anyhow::Result<Looked> {
    let is_silent = collected.manifest_unread.as_ref().is_some_and(|unread| is_no_answer(&unread.reason));
    let Collected { digest, events, blobs, is_missing, unread, end, end_detail, .. } = collected;
    if is_missing {
        return Err(Failure::usage(format!("{looked_at} has no manifest {digest}")));
    }
    let is_unreachable = is_silent && events.is_empty();
    let digests = vec![digest];
    Ok(Looked { digests, events, blobs, file: None, unread, end, end_detail, looked_at, is_unreachable })
}

/// Whether it tells nothing about the content, which is as it was.
fn is_no_answer(reason: &Unavailable) -> bool {
    matches!(
        reason,
        Unavailable::Unreachable | Unavailable::Denied | Unavailable::RateLimited | Unavailable::Unconfigured
    )
}

/// The registry as the settings file has it, where one is named; else as the image names it, with docker's login. A file that
/// merely lies in the current folder is not read: checks run where others write, and settings name files whose content goes
/// to addresses that they name.
async fn registry_settings(
    image: &ImageRef,
    config: Option<&Path>,
) -> anyhow::Result<registry_agent::Settings> {
    let host = image.repository.registry();
    if config.is_some()
        && let Found::Settings(settings) = settings::read(config)?
        && let Some(registries) = settings.registries
        && registries.settings.hosts().any(|known| known == host)
    {
        return Ok(registries.settings);
    }
    let login = docker_config::login(&image.repository).await?;
    registry_agent::Settings::of_named_host(host, login).map_err(|problems| {
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::usage(said.join("; "))
    })
}

fn failure(error: LookError) -> anyhow::Error {
    let said = fleet_runtime::error_chain(&error);
    match error {
        LookError::Unresolved { .. } => Failure::unreachable(said),
        LookError::NotThere { .. } | LookError::Unconfigured { .. } | LookError::Client(_) => {
            Failure::usage(said)
        }
    }
}
