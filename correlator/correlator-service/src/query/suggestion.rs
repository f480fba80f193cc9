//! The pipeline to write for a repository that nothing claims: a beginning that loads, for a person to complete.

use bus_schema::ImageRepository;

use crate::api::types::Suggestion;

const NAME_BYTES_MAX: usize = 63;

pub(super) fn suggest(repository: &ImageRepository) -> Suggestion {
    let name = name(repository);
    let yaml = match source(repository) {
        Some(source) => own_image(&name, repository, &source),
        None => foreign_image(&name, repository),
    };
    Suggestion { repository: repository.to_string(), file: format!("{name}.yaml"), yaml }
}

/// The forge repository that an image most likely comes from: ghcr.io keeps images beside their owners' sources.
fn source(repository: &ImageRepository) -> Option<String> {
    let (owner, rest) = repository.name().split_once('/')?;
    let name = rest.split('/').next()?;
    (repository.registry() == "ghcr.io").then(|| format!("github.com/{owner}/{name}"))
}

fn own_image(name: &str, repository: &ImageRepository, source: &str) -> String {
    format!(
        "\
apiVersion: custody.dev/v1
kind: Pipeline
metadata: {{ name: {name} }}
spec:
  images: [\"{repository}\"]
  mode: observe                # change nothing yet; judge and tell
  require: [source, build, provenance, artifact, signature]
  source:
    repository: {source}       # a guess from the image's name
    refs: [refs/heads/main, \"refs/tags/v*\"]
    reviews: 1
  build:
    workflows: [.github/workflows/release.yml]   # the workflow that publishes the image
    triggers: [push, workflow_dispatch]
    runners: github-hosted
  provenance: {{ builders: [github-hosted] }}
  signatures:
    anyOf:
      - keyless: {{ issuer: github-actions, workflow: .github/workflows/release.yml }}
"
    )
}

fn foreign_image(name: &str, repository: &ImageRepository) -> String {
    format!(
        "\
apiVersion: custody.dev/v1
kind: Pipeline
metadata: {{ name: {name} }}
spec:
  images: [\"{repository}\"]
  mode: observe                # change nothing yet; judge and tell
  # An image of your own: name its repository and workflow, and require the whole chain:
  #   require: [source, build, provenance, artifact, signature]
  #   source: {{ repository: github.com/<owner>/<name>, refs: [refs/heads/main] }}
  # An image of somebody else: require their signature, or list the digests that you reviewed.
  require: [signature]
  source:
    repository: github.com/owner/name            # the repository whose workflow signs the image
    refs: [refs/heads/main, \"refs/tags/v*\"]
  signatures:
    anyOf:
      - keyless: {{ issuer: github-actions, workflow: .github/workflows/release.yml }}
"
    )
}

/// A name from the repository's last parts.
fn name(repository: &ImageRepository) -> String {
    let mut parts: Vec<&str> = repository.name().rsplit('/').take(2).collect();
    parts.reverse();
    let text = parts.join("-");
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let name: String = text.chars().map(plain).take(NAME_BYTES_MAX).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() || name == correlator_core::contracts::DEFAULT_PIPELINE {
        "image".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::collections::BTreeMap;

    use correlator_core::contracts::{Claim, parse};
    use correlator_core::input::ContractLoaded;

    use super::*;

    #[test]
    fn every_suggestion_loads_and_claims_its_repository() {
        for text in [
            "ghcr.io/acme/payments-api",
            "ghcr.io/acme/deep/er",
            "docker.io/library/nginx",
            "localhost:5000/x/y_z",
        ] {
            let repository: ImageRepository = text.parse().unwrap();
            let suggestion = suggest(&repository);
            let documents = BTreeMap::from([(suggestion.file.clone(), suggestion.yaml.clone())]);
            let loaded = ContractLoaded { documents, files: BTreeMap::new() };
            let set = parse::parse(&loaded)
                .unwrap_or_else(|problems| panic!("{text}: {problems}\n{}", suggestion.yaml));
            assert!(matches!(set.claim(&repository), Claim::Claimed(_)), "{text}");
        }
    }
}
