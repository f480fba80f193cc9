//! What a media type says about content: an image, a piece of evidence, or neither.
//!
//! In: media types as registries and manifests state them. Out: the few classes that this agent tells apart. A media
//! type is a claim of whoever pushed: it decides where to look, never what to trust.

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The artifact manifest of the OCI 1.1 release candidates: `blobs` instead of `layers`, no config.
pub(crate) const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";

/// What is asked for when a manifest is fetched.
pub(crate) const MANIFEST_ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.artifact.manifest.v1+json";

const IMAGE_LAYERS: [&str; 3] = [
    "application/vnd.oci.image.layer.",
    "application/vnd.docker.image.",
    "application/vnd.docker.container.image.rootfs.",
];
const EVIDENCE: [&str; 10] = [
    "application/vnd.dev.sigstore.bundle",
    "application/vnd.dev.cosign.",
    "application/vnd.dsse.envelope",
    "application/vnd.in-toto",
    "application/vnd.cyclonedx",
    "application/vnd.syft+json",
    "application/vnd.spdx",
    "application/spdx",
    "text/spdx",
    "application/vnd.sigstore.",
];

/// A manifest or an index, as the registry names its media type.
pub(crate) fn is_manifest(media_type: &str) -> bool {
    let schema_1 = media_type.starts_with("application/vnd.docker.distribution.manifest.v1+");
    schema_1 || is_index(media_type) || matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST | OCI_ARTIFACT)
}

pub(crate) fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_LIST)
}

/// A signature, attestation or SBOM, as the layer of an attached manifest.
pub(crate) fn is_evidence(media_type: &str) -> bool {
    EVIDENCE.iter().any(|prefix| media_type.starts_with(prefix))
}

fn is_image_layer(media_type: &str) -> bool {
    is_manifest(media_type) || IMAGE_LAYERS.iter().any(|prefix| media_type.starts_with(prefix))
}

fn is_config(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.empty.v1+json" | "application/vnd.docker.container.image.v1+json"
    ) || media_type.contains(".config.")
}

/// What a manifest holds, judged by everything that it references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// It has an image layer, lists manifests, or shows nothing that says otherwise.
    Image,
    /// It has layers, and every one of them is a signature, attestation or SBOM: nothing that could run.
    Evidence,
    /// It has layers, none of them of an image and not all of them evidence.
    Other,
    /// The registry did not say what it references.
    Unknown,
}

impl Content {
    /// Classifies the media types of a manifest's config and layers, in any order. Only content without any layer of
    /// an image is something else than an image: one evidence layer beside a root file system does not hide it.
    pub(crate) fn of<'a>(references: impl IntoIterator<Item = &'a str>) -> Content {
        let (mut layers, mut evidence) = (0_usize, 0_usize);
        for media_type in references {
            if is_image_layer(media_type) {
                return Content::Image;
            }
            if is_evidence(media_type) && !media_type.contains(".config.") {
                evidence += 1;
            }
            layers += usize::from(!is_config(media_type));
        }
        match (layers, evidence) {
            (0, _) => Content::Image,
            (layers, evidence) if evidence >= layers => Content::Evidence,
            _ => Content::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_content_without_any_image_layer_is_evidence() {
        let check = |references: &[&str], expected| {
            assert_eq!(Content::of(references.iter().copied()), expected, "{references:?}");
        };
        let config = "application/vnd.oci.image.config.v1+json";
        let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
        let dsse = "application/vnd.dsse.envelope.v1+json";
        check(&[], Content::Image);
        check(&[config], Content::Image);
        check(&[config, layer], Content::Image);
        check(&[config, dsse], Content::Evidence);
        check(&[config, layer, dsse], Content::Image);
        check(&[dsse, layer], Content::Image);
        check(&[config, "application/vnd.dev.cosign.simplesigning.v1+json"], Content::Evidence);
        check(&["application/vnd.oci.empty.v1+json", "application/spdx+json"], Content::Evidence);
        check(&["application/vnd.cncf.helm.config.v1+json", "application/x-chart"], Content::Other);
        check(&[OCI_MANIFEST, dsse], Content::Image);
    }
}
