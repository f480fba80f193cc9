//! The names of Google Cloud Build's signing keys, read from end to end: a name that only begins or ends like one is none.

/// `projects/verified-builder/locations/global/keyRings/attestor/cryptoKeys/builtByGCB/cryptoKeyVersions/1`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyId<'a> {
    pub(crate) location: &'a str,
    pub(crate) key: &'a str,
}

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// The bytes of the payload alone, as before DSSE.
    Payload,
    /// The pre-authentication encoding, payload type included.
    Envelope,
}

impl<'a> KeyId<'a> {
    pub(crate) fn parse(name: &'a str) -> Option<KeyId<'a>> {
        let parts: Vec<&str> = name.split('/').collect();
        let [
            "projects",
            "verified-builder",
            "locations",
            location,
            "keyRings",
            "attestor",
            "cryptoKeys",
            key @ ("builtByGCB" | "provenanceSigner" | "google-hosted-worker"),
            "cryptoKeyVersions",
            version,
        ] = parts[..]
        else {
            return None;
        };
        let is_location = !location.is_empty()
            && location.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        (is_location && is_version).then_some(KeyId { location, key })
    }

    pub(crate) fn signed(&self) -> Signed {
        match self.key {
            "builtByGCB" => Signed::Payload,
            _ => Signed::Envelope,
        }
    }

    /// Whether this key signs provenance of this type.
    pub(crate) fn signs(&self, predicate_type: &str) -> bool {
        match self.key {
            "google-hosted-worker" => predicate_type == "https://slsa.dev/provenance/v1",
            _ => predicate_type == "https://slsa.dev/provenance/v0.1",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_name_is_read_from_end_to_end() {
        let name = |location: &str, key: &str, version: &str| {
            format!(
                "projects/verified-builder/locations/{location}/keyRings/attestor/cryptoKeys/{key}/cryptoKeyVersions/{version}"
            )
        };
        let good = name("us-west2", "builtByGCB", "1");
        assert_eq!(KeyId::parse(&good), Some(KeyId { location: "us-west2", key: "builtByGCB" }));
        assert!(KeyId::parse(&name("global", "google-hosted-worker", "12")).is_some());
        for bad in [
            String::new(),
            format!("{good}/"),
            format!("/{good}"),
            format!("x{good}"),
            name("", "builtByGCB", "1"),
            name("global/invalid-field", "builtByGCB", "1"),
            name("Global", "builtByGCB", "1"),
            name("global", "mine", "1"),
            name("global", "builtByGCB", ""),
            name("global", "builtByGCB", "1a"),
            good.replace("verified-builder", "verified-builder-2"),
        ] {
            assert_eq!(KeyId::parse(&bad), None, "{bad}");
        }
    }
}
