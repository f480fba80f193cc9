//! What a runtime says in `imageID`: a manifest's or index's digest in a repository, an image's config digest, or nothing.
//!
//! In: hostile text. Out: the digest with what it is the digest of. Never a guess: text that is none of the known
//! forms has no digest.

use bus_schema::Digest;

/// What `imageID` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImageId {
    /// `repository@digest`: the digest of a manifest or an index. The repository is kept as text: an image that was
    /// loaded by hand has one that exists nowhere (`import-2024-11-07`).
    Manifest { repository: String, digest: Digest },
    /// A bare digest: the image's config. It is not the digest of any manifest.
    Config { digest: Digest },
    /// The runtime says nothing, or nothing that is known.
    Absent,
}

impl ImageId {
    pub(crate) fn parse(text: &str) -> ImageId {
        let name = without_scheme(text);
        if let Some((repository, digest)) = name.rsplit_once('@') {
            return match digest.parse() {
                Ok(digest) if !repository.is_empty() => {
                    ImageId::Manifest { repository: repository.to_owned(), digest }
                }
                _ => ImageId::Absent,
            };
        }
        // CRI-O gives the image's id without an algorithm; it is the SHA-256 of the config.
        match name.parse().or_else(|_| Digest::from_parts("sha256", name)) {
            Ok(digest) => ImageId::Config { digest },
            Err(_) => ImageId::Absent,
        }
    }

    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            ImageId::Manifest { digest, .. } | ImageId::Config { digest } => Some(*digest),
            ImageId::Absent => None,
        }
    }
}

/// Without `docker-pullable://`, `docker://` and their like.
fn without_scheme(text: &str) -> &str {
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => {
            rest
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e94d2f21bc0c297cb74c1dfdd23e2eace013f532c60726601af67984d97f718a";

    fn check(text: &str, expected: ImageId) {
        assert_eq!(ImageId::parse(text), expected, "{text}");
    }

    fn digest() -> Digest {
        Digest::from_parts("sha256", HEX).unwrap()
    }

    fn manifest(repository: &str) -> ImageId {
        ImageId::Manifest { repository: repository.to_owned(), digest: digest() }
    }

    #[test]
    fn a_repository_and_a_digest_name_a_manifest() {
        check(&format!("docker-pullable://nginx@sha256:{HEX}"), manifest("nginx"));
        check(&format!("ghcr.io/acme/app@sha256:{HEX}"), manifest("ghcr.io/acme/app"));
        check(&format!("localhost:5000/app@sha256:{HEX}"), manifest("localhost:5000/app"));
        let imported = "docker.io/library/import-2024-11-07";
        check(&format!("{imported}@sha256:{HEX}"), manifest(imported));
    }

    #[test]
    fn a_digest_alone_names_a_config() {
        for text in [
            format!("sha256:{HEX}"),
            format!("docker://sha256:{HEX}"),
            format!("docker-pullable://sha256:{HEX}"),
            HEX.to_owned(),
        ] {
            check(&text, ImageId::Config { digest: digest() });
        }
    }

    #[test]
    fn anything_else_has_no_digest() {
        for text in [
            "",
            "@",
            "://",
            "nginx",
            "nginx:1.25",
            "nginx@sha256:abc",
            &format!("@sha256:{HEX}"),
            &format!("nginx@md5:{HEX}"),
            &format!("sha256:{}", HEX.to_uppercase()),
            &HEX[..63],
            &format!("{HEX}0"),
        ] {
            check(text, ImageId::Absent);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = ImageId::parse(&text);
        }
    }
}
