//! What a digest is: an index to its manifests, a manifest to its config. Pure; the look-up fetches.

use bus_schema::registry::{ImageResolved, ListedManifest, Resolved};
use bus_schema::{Digest, ImageRepository};
use jiff::Timestamp;

use crate::api::manifest::{Body, Manifest};
use crate::media_type::{Content, is_index};

/// The platform that BuildKit gives to the attestations it lists beside platforms.
const NO_PLATFORM: &str = "unknown/unknown";

/// The event for a manifest. `None` where it is no image: evidence, an artifact, or something without a config.
pub(crate) fn resolved(
    repository: &ImageRepository,
    manifest: &Manifest,
    at: Timestamp,
) -> Option<ImageResolved> {
    let resolved = match &manifest.body {
        Body::Index { entries, cut } => Resolved::Index {
            manifests: entries
                .iter()
                .map(|entry| ListedManifest {
                    digest: entry.digest,
                    media_type: (!entry.media_type.is_empty()).then(|| entry.media_type.clone()),
                    platform: entry.platform.clone(),
                    attestation: entry.platform.as_deref() == Some(NO_PLATFORM),
                })
                .collect(),
            cut: *cut,
        },
        Body::Manifest { config: Some(config), .. } if manifest.content() == Content::Image => {
            Resolved::Manifest { config: config.digest }
        }
        Body::Manifest { .. } => return None,
    };
    Some(ImageResolved {
        repository: repository.clone(),
        digest: manifest.digest,
        media_type: manifest.media_type.clone(),
        resolved,
        resolved_at: at,
    })
}

/// A manifest that an index lists and that may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) digest: Digest,
    pub(crate) is_index: bool,
}

/// The manifests of an index that may run, attestations left out.
pub(crate) fn children(manifest: &Manifest) -> Vec<Child> {
    let Body::Index { entries, .. } = &manifest.body else { return Vec::new() };
    let may_run = entries.iter().filter(|entry| entry.platform.as_deref() != Some(NO_PLATFORM));
    may_run.map(|entry| Child { digest: entry.digest, is_index: is_index(&entry.media_type) }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::media_type::{OCI_INDEX, OCI_MANIFEST};

    fn parse(media_type: &str, json: &str) -> Manifest {
        Manifest::parse(Digest::sha256_of(json.as_bytes()), media_type, json.as_bytes()).unwrap()
    }

    #[test]
    fn an_entry_without_a_platform_of_its_own_is_an_attestation() {
        let (image, attestation) = (Digest::sha256_of(b"image"), Digest::sha256_of(b"attestation"));
        let json = format!(
            r#"{{"manifests":[
                {{"mediaType":"{OCI_MANIFEST}","digest":"{image}","platform":{{"os":"linux","architecture":"arm64","variant":"v8"}}}},
                {{"mediaType":"{OCI_MANIFEST}","digest":"{attestation}","platform":{{"os":"unknown","architecture":"unknown"}}}}]}}"#
        );
        let manifest = parse(OCI_INDEX, &json);
        let repository = "r.example/a".parse().unwrap();
        let event = resolved(&repository, &manifest, Timestamp::UNIX_EPOCH).unwrap();
        let Resolved::Index { manifests, cut: false } = event.resolved else { panic!() };
        assert_eq!(manifests[0].platform.as_deref(), Some("linux/arm64/v8"));
        assert_eq!((manifests[0].attestation, manifests[1].attestation), (false, true));
        assert_eq!(children(&manifest), [Child { digest: image, is_index: false }]);
    }

    #[test]
    fn a_manifest_leads_to_its_config_and_evidence_to_nothing() {
        let config = Digest::sha256_of(b"config");
        let of_layers = |layer: &str| {
            let json = format!(
                r#"{{"config":{{"digest":"{config}","mediaType":"application/vnd.oci.image.config.v1+json"}},"layers":[{{"digest":"{config}","mediaType":"{layer}"}}]}}"#
            );
            resolved(&"r.example/a".parse().unwrap(), &parse(OCI_MANIFEST, &json), Timestamp::UNIX_EPOCH)
        };
        let image = of_layers("application/vnd.oci.image.layer.v1.tar+gzip").unwrap();
        assert_eq!(image.resolved, Resolved::Manifest { config });
        assert_eq!(of_layers("application/vnd.in-toto+json"), None);
    }
}
