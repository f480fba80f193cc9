//! What is expected, as a contract: the one that was named, or the one that the flags amount to.

use bus_schema::ImageRepository;
use correlator_core::contracts::ContractSet;
use correlator_core::contracts::pattern::ImagePattern;
use correlator_core::input::ContractLoaded;
use correlator_service::one_shot;
use correlator_service::one_shot::expectation::{
    Expectation, ExpectationError, Identity, Lenience, Ref, Roots, Signer, Source, Text, with_roots,
};
use jiff::Timestamp;

use super::arguments::Check;
use super::subject::Subject;
use super::{failure, file};
use crate::exit::Failure;

/// The repositories as which flags judge what has none.
const LAYOUT: &str = "localhost/layout";
const FILE: &str = "localhost/file";
/// Stands for the rest of a claim such as `ghcr.io/acme/**`.
const ANY_NAME: &str = "any";

/// The contract, and the repository through which it claims what is checked.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) checked: one_shot::Terms,
    pub(crate) repository: ImageRepository,
}

pub(crate) fn terms(check: &Check, subject: &Subject, now: Timestamp) -> anyhow::Result<Terms> {
    let checked = |contracts: &ContractLoaded| one_shot::Terms::check(contracts, now).map_err(failure);
    match &check.pipeline {
        Some(path) => {
            let loaded = correlator_service::read_contracts_at(path);
            let loaded = loaded.map_err(|error| Failure::usage(fleet_runtime::error_chain(&error)))?;
            let contracts = match roots(check)? {
                Roots::Embedded => loaded,
                given => with_roots(loaded, &given, Lenience::default()).map_err(|error| usage(&error))?,
            };
            let checked = checked(&contracts)?;
            let repository = repository_of(checked.contracts(), check, subject)?;
            Ok(Terms { checked, repository })
        }
        None => {
            let expectation = expectation(check, subject)?;
            let contracts = expectation.contracts().map_err(|error| usage(&error))?;
            Ok(Terms { checked: checked(&contracts)?, repository: expectation.repository })
        }
    }
}

fn expectation(check: &Check, subject: &Subject) -> anyhow::Result<Expectation> {
    let repository = match subject {
        Subject::Image(image) => image.repository.clone(),
        Subject::Layout { .. } => LAYOUT.parse()?,
        Subject::File(_) | Subject::Digest(_) => FILE.parse()?,
    };
    let subject = text(&check.certificate_identity, &check.certificate_identity_regexp);
    let issuer = text(&check.certificate_oidc_issuer, &check.certificate_oidc_issuer_regexp);
    // No more than one of them is given.
    let signer = match &check.key {
        Some(key) => Some(Signer::Key(file::text(key)?)),
        None => {
            subject.zip(issuer).map(|(subject, issuer)| Signer::Certificate(Identity { subject, issuer }))
        }
    };
    let git_ref = match (&check.source_tag, &check.source_branch) {
        (Some(tag), _) => Ref::Tag(tag.clone()),
        (None, Some(branch)) => Ref::Branch(branch.clone()),
        (None, None) => Ref::Any,
    };
    Ok(Expectation {
        repository,
        signer,
        source: check.source_uri.clone().map(|uri| Source { uri, git_ref }),
        builder: check.builder_id.clone(),
        roots: roots(check)?,
        lenience: Lenience {
            ignore_certificate_log: check.insecure_ignore_sct,
            ignore_log: check.insecure_ignore_tlog,
            allow_undated: check.allow_undated,
        },
    })
}

fn text(exact: &Option<String>, regexp: &Option<String>) -> Option<Text> {
    exact.clone().map(Text::Exact).or_else(|| regexp.clone().map(Text::Regexp))
}

fn roots(check: &Check) -> anyhow::Result<Roots> {
    Ok(match &check.trusted_root {
        Some(path) => Roots::Given(file::text(path)?),
        None => Roots::Embedded,
    })
}

/// An image is judged as what it is called. What has no name is judged as what was said, or as what the only pipeline claims.
fn repository_of(set: &ContractSet, check: &Check, subject: &Subject) -> anyhow::Result<ImageRepository> {
    if let Subject::Image(image) = subject {
        return match &check.judged_as {
            Some(_) => {
                Err(Failure::usage("an image is judged as its own repository: --as is for layouts and files"))
            }
            None => Ok(image.repository.clone()),
        };
    }
    if let Some(repository) = &check.judged_as {
        return Ok(repository.clone());
    }
    let mut pipelines = set.pipelines.values();
    let (Some(only), None) = (pipelines.next(), pipelines.next()) else {
        let count = set.pipelines.len();
        return Err(Failure::usage(format!(
            "the contract has {count} pipelines: name the repository to judge it as, with --as"
        )));
    };
    match only.images.first() {
        Some(ImagePattern::One(repository)) => Ok(repository.clone()),
        Some(ImagePattern::Below(prefix)) => Ok(format!("{prefix}{ANY_NAME}").parse()?),
        None => Err(Failure::usage(format!("pipeline {} claims no image", only.name))),
    }
}

fn usage(error: &ExpectationError) -> anyhow::Error {
    Failure::usage(fleet_runtime::error_chain(error))
}
