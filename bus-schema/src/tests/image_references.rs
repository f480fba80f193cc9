//! Image references in every form that people, Kubernetes and registries write, against the distribution project's
//! reference grammar and Docker's normalisation.

use crate::image::{EvidenceTag, IMAGE_NAME_BYTES_MAX};
use crate::{Digest, ImageRef, ImageRepository, Tag};

const HASH: &str = "84c5b3e1a9f0d2c7b6e5f4a3928170605f4e3d2c1b0a99887766554433221100";

/// `text` parses and prints as `expected`; none means that it is refused.
fn check(text: &str, expected: Option<&str>) {
    match (text.parse::<ImageRef>(), expected) {
        (Ok(reference), Some(expected)) => assert_eq!(reference.to_string(), expected),
        (Err(_), None) => {}
        (Ok(reference), None) => panic!("{text:?} parses as {reference}"),
        (Err(error), Some(_)) => panic!("{error}"),
    }
}

/// `text` is refused at `position`.
fn refused(text: &str, position: usize, reason: &str) {
    let error = text.parse::<ImageRef>().expect_err(text);
    assert_eq!(error.position, position, "{error}");
    assert!(error.reason.contains(reason), "{error}");
}

#[test]
fn a_name_without_a_registry_is_docker_hubs() {
    check("nginx", Some("docker.io/library/nginx"));
    check("nginx:1.27", Some("docker.io/library/nginx:1.27"));
    check("acme/api", Some("docker.io/acme/api"));
    check("library/nginx", Some("docker.io/library/nginx"));
    check("a/b/c", Some("docker.io/a/b/c"));
    check("localhost", Some("docker.io/library/localhost"));
    check("localhost:5000", Some("docker.io/library/localhost:5000"));
}

#[test]
fn docker_hub_has_one_name() {
    check("docker.io/nginx", Some("docker.io/library/nginx"));
    check("index.docker.io/nginx:1", Some("docker.io/library/nginx:1"));
    check("registry-1.docker.io/acme/api", Some("docker.io/acme/api"));
    check("Docker.IO/nginx", Some("docker.io/library/nginx"));
    let by_parts = |registry| ImageRepository::new(registry, "nginx").unwrap().to_string();
    for registry in ["docker.io", "index.docker.io", "REGISTRY-1.docker.io"] {
        assert_eq!(by_parts(registry), "docker.io/library/nginx");
    }
}

#[test]
fn a_first_part_with_a_dot_a_port_or_localhost_is_the_registry() {
    check("ghcr.io/acme/api", Some("ghcr.io/acme/api"));
    check("ghcr.io/api", Some("ghcr.io/api"));
    check("localhost/x", Some("localhost/x"));
    check("localhost:5000/x:1", Some("localhost:5000/x:1"));
    check("registry:5000/x", Some("registry:5000/x"));
    check("10.0.0.7:5000/team/x", Some("10.0.0.7:5000/team/x"));
    check("[::1]:5000/x", Some("[::1]:5000/x"));
    check("[2001:DB8:0::1]/x", Some("[2001:db8::1]/x"));
    check("xn--n3h.example/x", Some("xn--n3h.example/x"));
}

#[test]
fn hosts_ignore_case_and_names_do_not() {
    check("GHCR.io/acme/api", Some("ghcr.io/acme/api"));
    refused("ghcr.io/Acme/api", 8, "lower-case");
    refused("Acme/api", 0, "without a dot or port");
    refused("ghcr.io/acme/apI", 15, "lower-case");
}

#[test]
fn a_host_that_is_none_is_refused() {
    refused("my_host.example/x", 2, "hyphen or dot");
    refused("-a.example/x", 0, "begins with a hyphen");
    refused("a-.example/x", 1, "ends with a hyphen");
    refused("a..example/x", 2, "empty label");
    refused("a.example./x", 10, "empty label");
    refused("a.example:/x", 10, "port");
    refused("a.example:0/x", 10, "port");
    refused("a.example:080/x", 10, "port");
    refused("a.example:65536/x", 10, "port");
    refused("a.example:+80/x", 10, "port");
    refused("[::g]:80/x", 1, "IPv6");
    refused("[]:80/x", 1, "IPv6");
    refused("[fe80::1%eth0]:80/x", 1, "IPv6");
    refused("[::1:80/x", 0, "close");
    refused("[::1]80/x", 5, "colon");
}

#[test]
fn separators_stand_between_letters_and_digits() {
    check("a.example/a.b_c__d-e---f/g0", Some("a.example/a.b_c__d-e---f/g0"));
    refused("a.example/a..b", 11, "too many separators");
    refused("a.example/a___b", 11, "too many separators");
    refused("a.example/-a", 10, "between letters");
    refused("a.example/a-", 11, "between letters");
    refused("a.example/a._b", 11, "between letters");
    refused("a.example//a", 10, "empty path segment");
    refused("a.example/", 10, "empty");
    refused("/a", 0, "empty path segment");
    refused("a//b", 2, "empty path segment");
}

#[test]
fn a_tag_and_a_digest_may_both_be_there() {
    let both = format!("ghcr.io/acme/api:v1@sha256:{HASH}");
    let reference: ImageRef = both.parse().unwrap();
    assert_eq!(reference.tag.as_ref().map(Tag::as_str), Some("v1"));
    assert_eq!(reference.digest.map(|digest| digest.hex()), Some(HASH.to_owned()));
    assert_eq!(reference.to_string(), both);
    refused("ghcr.io/acme/api:", 17, "empty");
    refused("ghcr.io/acme/api:-v1", 17, "dot or hyphen");
    refused("ghcr.io/acme/api@", 17, "no colon");
    refused("ghcr.io/acme/api@sha256:12", 26, "2 hex digits");
    refused("ghcr.io/acme/api@md5:d41d8cd98f00b204e9800998ecf8427e", 17, "algorithm");
    refused(&format!("ghcr.io/acme/api@sha256:{}", HASH.to_uppercase()), 26, "lower-case hex");
    refused(&format!("ghcr.io/acme/api@sha256:{HASH}:v1"), 24 + 64, "lower-case hex");
    refused(&format!("ghcr.io/acme/api@sha256:{HASH}@sha256:{HASH}"), 24 + 64, "lower-case hex");
}

#[test]
fn an_image_id_is_no_reference() {
    refused(&format!("sha256:{HASH}"), 0, "without a repository");
    refused(HASH, 0, "without a repository");
    check(&format!("acme/{HASH}"), Some(&format!("docker.io/acme/{HASH}")));
}

#[test]
fn a_repository_name_has_255_bytes_at_most() {
    let longest = format!("a.example/{}", "a".repeat(IMAGE_NAME_BYTES_MAX));
    check(&longest, Some(&longest));
    refused(&format!("{longest}a"), 10 + IMAGE_NAME_BYTES_MAX, "255 bytes");
    let hub = "a".repeat(IMAGE_NAME_BYTES_MAX - "library/".len());
    check(&hub, Some(&format!("docker.io/library/{hub}")));
    refused(&format!("{hub}a"), 0, "255 bytes");
    refused(&"a".repeat(5000), 1024, "1,024 bytes");
    let host = format!("{}.example", ["a"; 130].join("."));
    refused(&format!("{host}/x"), 255, "255 bytes");
}

#[test]
fn a_tag_has_128_bytes_at_most() {
    let longest = "t".repeat(128);
    check(&format!("a.example/x:{longest}"), Some(&format!("a.example/x:{longest}")));
    refused(&format!("a.example/x:{longest}t"), 12 + 128, "the limit is 128");
}

#[test]
fn a_repository_alone_has_neither_tag_nor_digest() {
    let refused = |text: &str, position: usize| {
        assert_eq!(text.parse::<ImageRepository>().expect_err(text).position, position);
    };
    refused("ghcr.io/acme/api:v1", 16);
    refused(&format!("ghcr.io/acme/api:v1@sha256:{HASH}"), 19);
    let error = ImageRepository::new("registry", "acme/api").unwrap_err();
    assert!(error.reason.contains("without a dot or port"), "{error}");
}

#[test]
fn evidence_tags_name_their_subject() {
    let check = |text: &str, expected: Option<EvidenceTag>| {
        let subject = text.parse::<Tag>().unwrap().evidence_subject();
        assert_eq!(subject.map(|(_, kind)| kind), expected, "{text}");
        if let Some((digest, _)) = subject {
            assert_eq!(digest.hex(), HASH);
        }
    };
    check(&format!("sha256-{HASH}"), Some(EvidenceTag::Referrers));
    check(&format!("sha256-{HASH}.sig"), Some(EvidenceTag::Signature));
    check(&format!("sha256-{HASH}.att"), Some(EvidenceTag::Attestation));
    check(&format!("sha256-{HASH}.sbom"), Some(EvidenceTag::Sbom));
    check(&format!("sha256-{HASH}.bin"), None);
    check(&format!("sha256-{}", &HASH[1..]), None);
    check("v1.sig", None);
}

#[test]
fn the_fallback_tag_of_any_digest_is_a_tag() {
    for digest in [Digest::sha256_of(b"x"), Digest::sha512_of(b"x")] {
        let tag: Tag = digest.fallback_tag().parse().unwrap();
        assert_eq!(tag.as_str().len(), "sha256-".len() + 64);
    }
}
