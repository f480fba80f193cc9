//! What container runtimes say in `imageID`.

use proptest::prelude::*;

use crate::Digest;
use crate::image_id::ImageId;

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
