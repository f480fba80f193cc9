//! What evidence is verified against: trust roots with their demands, and keys.
//!
//! A set is built once when contracts are loaded and shared by all verifications. Building it parses and checks
//! everything that came from outside; the roots that the program brings along are read when evidence needs them first.
//! Nothing here looks at a clock, a file or the network.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bus_schema::Digest;
use correlator_core::contracts::trust_root::{Demands, EmbeddedRoot, rsa_key_info};
use correlator_core::facts::{RootParts, RootVersion};
use jiff::Timestamp;
use sigstore::crypto::CosignVerificationKey;
use sigstore_verify::Verifier;
use sigstore_verify::trust_root::{
    SIGSTORE_GITHUB_TRUSTED_ROOT, SIGSTORE_PRODUCTION_TRUSTED_ROOT, SIGSTORE_STAGING_TRUSTED_ROOT,
    TrustedRoot,
};
use sigstore_verify::types::{Bundle, DerPublicKey, TimeRange};

use crate::bounds::{KEY_BYTES_MAX, KEYS_MAX, ROOT_BYTES_MAX, ROOTS_MAX};
use crate::log_key::{self, Log};
use crate::once::{self, Authorities};
use crate::signing_authority::SigningAuthorities;
use crate::timestamp_signer::Signers;
use crate::{certificate, pem, rests_on, signature, strict_json};

/// Why a trust root or key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("trust root {name} is larger than {ROOT_BYTES_MAX} bytes")]
    RootTooLarge { name: String },
    #[error("trust root {name} does not parse: {why}")]
    RootMalformed { name: String, why: String },
    #[error("key {name} is larger than {KEY_BYTES_MAX} bytes")]
    KeyTooLarge { name: String },
    #[error("key {name} does not parse: {why}")]
    KeyMalformed { name: String, why: String },
    #[error("more than {ROOTS_MAX} trust roots")]
    TooManyRoots,
    #[error("more than {KEYS_MAX} keys")]
    TooManyKeys,
    #[error("two trust roots are named {name}")]
    RootTwice { name: String },
}

/// The trust roots and keys of one load of the contracts.
#[derive(Debug)]
pub struct TrustSet {
    roots: Vec<Member>,
    keys: Vec<TrustedKey>,
    hash: Digest,
}

/// A root of a set.
#[derive(Debug)]
struct Member {
    version: RootVersion,
    demands: Demands,
    /// What it is read from, where the program brings it along.
    text: &'static str,
    /// `None` where it does not parse: then it vouches for nothing. A test says that each of this build's does.
    root: OnceLock<Option<TrustRoot>>,
}

impl Member {
    fn read(root: TrustRoot) -> Member {
        let (version, demands) = (root.version.clone(), root.demands);
        Member { version, demands, text: "", root: OnceLock::from(Some(root)) }
    }

    fn root(&self) -> Option<&TrustRoot> {
        let read = || TrustRoot::from_json(&self.version.name, self.text, self.demands).ok();
        self.root.get_or_init(read).as_ref()
    }
}

/// A root that the program brings along, as the contracts name it and what they demand of it.
#[derive(Debug, Clone)]
pub struct Embedded {
    pub name: String,
    pub root: EmbeddedRoot,
    pub demands: Demands,
}

impl Embedded {
    fn member(self) -> Member {
        let text = embedded_root(self.root);
        let version = RootVersion { name: self.name, content: Digest::sha256_of(text.as_bytes()) };
        Member { version, demands: self.demands, text, root: OnceLock::new() }
    }
}

impl TrustSet {
    /// Roots are tried in the order of their names. One key given twice counts once, with the weaker demand for a log:
    /// whether a signature was logged is a fact of its own, and the core demands it where the pipeline does.
    pub fn new(roots: Vec<TrustRoot>, keys: Vec<TrustedKey>) -> Result<TrustSet, TrustError> {
        TrustSet::with_embedded(roots, Vec::new(), keys)
    }

    /// The same with roots that the program brings along beside those that were read.
    pub fn with_embedded(
        roots: Vec<TrustRoot>,
        embedded: Vec<Embedded>,
        keys: Vec<TrustedKey>,
    ) -> Result<TrustSet, TrustError> {
        let embedded = embedded.into_iter().map(Embedded::member);
        let mut roots: Vec<Member> = roots.into_iter().map(Member::read).chain(embedded).collect();
        if roots.len() > ROOTS_MAX {
            return Err(TrustError::TooManyRoots);
        }
        if keys.len() > KEYS_MAX {
            return Err(TrustError::TooManyKeys);
        }
        roots.sort_by(|one, other| one.version.name.cmp(&other.version.name));
        if let Some(pair) = roots.windows(2).find(|pair| pair[0].version.name == pair[1].version.name) {
            return Err(TrustError::RootTwice { name: pair[0].version.name.clone() });
        }
        let keys = merge_keys(keys);
        let hash = hash_of(&roots, &keys);
        Ok(TrustSet { roots, keys, hash })
    }

    /// The digest of all that can change a verification's result: names, contents and demands.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The roots, in the order in which they are tried.
    pub fn roots(&self) -> impl Iterator<Item = &TrustRoot> {
        self.roots.iter().filter_map(Member::root)
    }

    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }
}

fn merge_keys(mut keys: Vec<TrustedKey>) -> Vec<TrustedKey> {
    let place = |key: &TrustedKey| (key.fingerprint, key.id.clone(), key.name.clone());
    keys.sort_by_key(place);
    keys.dedup_by(|next, kept| {
        let same = next.fingerprint == kept.fingerprint && next.id == kept.id;
        if same && next.log == LogDemand::NotRequired {
            kept.log = LogDemand::NotRequired;
        }
        same
    });
    keys
}

fn hash_of(roots: &[Member], keys: &[TrustedKey]) -> Digest {
    let mut fields = vec!["trust-set".to_owned()];
    for root in roots {
        fields.extend(["root".to_owned(), root.version.name.clone(), root.version.content.to_string()]);
        fields.push(root.demands.to_string());
    }
    for key in keys {
        fields.extend(["key".to_owned(), key.fingerprint.to_string(), key.log.as_str().to_owned()]);
        fields.extend(key.id.iter().map(|id| format!("id {id}")));
    }
    Digest::Sha256(bus_schema::hash::hash_fields(fields.iter().map(String::as_str)))
}

/// The text of a root that the program brings along, as of its build.
pub fn embedded_root(root: EmbeddedRoot) -> &'static str {
    match root {
        EmbeddedRoot::PublicGood => SIGSTORE_PRODUCTION_TRUSTED_ROOT,
        EmbeddedRoot::Github => SIGSTORE_GITHUB_TRUSTED_ROOT,
    }
}

/// The text of the root of Sigstore's staging instance, as of the program's build: for tests of clients, never in contracts.
pub fn staging_root() -> &'static str {
    SIGSTORE_STAGING_TRUSTED_ROOT
}

/// One Sigstore trust root (`trusted_root.json`), ready to verify with.
pub struct TrustRoot {
    version: RootVersion,
    demands: Demands,
    trusted_root: TrustedRoot,
    verifier: Verifier,
    logs: Vec<Log>,
    signing_authorities: SigningAuthorities,
    /// It has keys that the verifying crate has no words for.
    is_beyond_crate: bool,
    authorities: Arc<Authorities>,
    /// Read with the first timestamp.
    timestamp_signers: OnceLock<Signers>,
}

impl TrustRoot {
    /// Parses a `trusted_root.json`. A root with an unusable part is refused as a whole.
    pub fn from_json(name: &str, text: &str, demands: Demands) -> Result<TrustRoot, TrustError> {
        if text.len() > ROOT_BYTES_MAX {
            return Err(TrustError::RootTooLarge { name: name.to_owned() });
        }
        once::install();
        let malformed = |why: String| TrustError::RootMalformed { name: name.to_owned(), why };
        strict_json::check(text.as_bytes()).map_err(|error| malformed(error.to_string()))?;
        let trusted_root = TrustedRoot::from_json(text).map_err(|error| malformed(error.to_string()))?;
        let logs = log_key::logs_of(&trusted_root).map_err(malformed)?;
        let verifier = verifier(&trusted_root).map_err(malformed)?;
        let is_beyond_crate = is_beyond_crate(&trusted_root);
        let signing_authorities = SigningAuthorities::of(&trusted_root).map_err(malformed)?;
        let content = Digest::sha256_of(text.as_bytes());
        let authorities = Arc::new(Authorities::of(certificates(&trusted_root)));
        Ok(TrustRoot {
            version: RootVersion { name: name.to_owned(), content },
            demands,
            trusted_root,
            verifier,
            is_beyond_crate,
            logs,
            signing_authorities,
            authorities,
            timestamp_signers: OnceLock::new(),
        })
    }

    pub fn version(&self) -> &RootVersion {
        &self.version
    }

    pub fn demands(&self) -> Demands {
        self.demands
    }

    /// Everything of it that a contract can withdraw by name.
    pub fn parts(&self) -> RootParts {
        rests_on::parts_of(self)
    }

    /// The verifier, which is asked about evidence of the thread's from now on.
    pub(crate) fn verifier(&self) -> &Verifier {
        self.authorities.are_used();
        &self.verifier
    }

    pub(crate) fn trusted_root(&self) -> &TrustedRoot {
        &self.trusted_root
    }

    /// Whether it has keys that the verifying crate has no words for, or the bundle's timestamps bring along what it leaves
    /// out: then [`crate::other_schemes`] verifies.
    pub(crate) fn is_beyond_crate(&self, bundle: &Bundle) -> bool {
        let timestamps = &bundle.verification_material.timestamp_verification_data.rfc3161_timestamps;
        self.is_beyond_crate || (!timestamps.is_empty() && self.timestamp_signers().are_left_out())
    }

    /// The signature log of this id.
    pub(crate) fn log(&self, id: &[u8]) -> Option<&Log> {
        self.logs.iter().find(|log| log.id == id)
    }

    /// What certificates of signers are issued by.
    pub(crate) fn signing_authorities(&self) -> &SigningAuthorities {
        &self.signing_authorities
    }

    pub(crate) fn timestamp_signers(&self) -> &Signers {
        self.timestamp_signers.get_or_init(|| Signers::of(&self.trusted_root))
    }

    /// Whether these bytes are a certificate of one of the root's authorities.
    pub(crate) fn has_authority_certificate(&self, der: &[u8]) -> bool {
        let authorities = self.trusted_root.certificate_authorities.iter();
        authorities
            .flat_map(|authority| &authority.cert_chain.certificates)
            .any(|certificate| certificate.raw_bytes.as_bytes() == der)
    }

    /// Whether a time has come, by the clock of the verifying crate, which alone may read one: it gives out no key of a log
    /// that begins later.
    pub(crate) fn has_come(&self, time: Timestamp) -> bool {
        let mut root = self.trusted_root.clone();
        root.tlogs.truncate(1);
        let Some(log) = root.tlogs.first_mut() else { return false };
        log.public_key.valid_for = Some(TimeRange::new(time, None));
        let id = log.log_id.key_id.clone();
        root.rekor_key_for_log(&id).is_ok()
    }

    /// Whether the root has a signature log of this id.
    pub(crate) fn knows_log(&self, log_id: &[u8]) -> bool {
        self.log(log_id).is_some()
    }
}

/// The verifying crate's view of a root: without the logs that it has no words for.
fn verifier(root: &TrustedRoot) -> Result<Verifier, String> {
    let mut known = root.clone();
    known.tlogs.retain(|log| !signature::is_p521(log.public_key.raw_bytes.as_bytes()));
    Verifier::new(&known).map_err(|error| error.to_string())
}

fn is_beyond_crate(root: &TrustedRoot) -> bool {
    let of_log = root.tlogs.iter().any(|log| signature::is_p521(log.public_key.raw_bytes.as_bytes()));
    let signers =
        root.certificate_authorities.iter().flat_map(|authority| &authority.cert_chain.certificates);
    let mut keys = signers.filter_map(|signer| certificate::key_of(signer.raw_bytes.as_bytes()));
    of_log || keys.any(|key| signature::is_p521(&key))
}

/// The certificates of all authorities, in DER.
fn certificates(root: &TrustedRoot) -> impl Iterator<Item = &[u8]> {
    let signers = root.certificate_authorities.iter().map(|authority| &authority.cert_chain);
    let timers = root.timestamp_authorities.iter().map(|authority| &authority.cert_chain);
    let certificates = signers.chain(timers).flat_map(|chain| &chain.certificates);
    certificates.map(|certificate| certificate.raw_bytes.as_bytes())
}

impl fmt::Debug for TrustRoot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TrustRoot")
            .field("version", &self.version)
            .field("demands", &self.demands)
            .finish_non_exhaustive()
    }
}

/// Whether a key's signatures must be in a transparency log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogDemand {
    #[default]
    Required,
    NotRequired,
}

impl LogDemand {
    fn as_str(self) -> &'static str {
        match self {
            LogDemand::Required => "log",
            LogDemand::NotRequired => "no log",
        }
    }
}

/// A public key of the contracts. Its validity in time is judged by the core, with the facts made here.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    name: String,
    /// What signatures must call it, where it is not named by its fingerprint.
    id: Option<String>,
    fingerprint: Digest,
    log: LogDemand,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    der: DerPublicKey,
}

impl TrustedKey {
    /// Parses one `PUBLIC KEY` block (SubjectPublicKeyInfo): ECDSA P-256, P-384 or P-521, Ed25519, or RSA.
    pub fn from_pem(name: &str, text: &str, log: LogDemand) -> Result<TrustedKey, TrustError> {
        if text.len() > KEY_BYTES_MAX {
            return Err(TrustError::KeyTooLarge { name: name.to_owned() });
        }
        let malformed = |why: String| TrustError::KeyMalformed { name: name.to_owned(), why };
        let blocks = pem::blocks(text, "PUBLIC KEY", 1).or_else(|error| {
            let of_rsa = pem::blocks(text, "RSA PUBLIC KEY", 1);
            of_rsa.map(|keys| keys.iter().map(|key| rsa_key_info(key)).collect()).map_err(|_| error)
        });
        let blocks = blocks.map_err(|error: pem::PemError| malformed(error.to_string()))?;
        let Some(der) = blocks.into_iter().next() else {
            return Err(malformed("no PEM block".to_owned()));
        };
        CosignVerificationKey::try_from_der(&der).map_err(|error| malformed(error.to_string()))?;
        Ok(TrustedKey {
            name: name.to_owned(),
            id: None,
            fingerprint: Digest::sha256_of(&der),
            log,
            not_before: None,
            not_after: None,
            der: DerPublicKey::new(der),
        })
    }

    /// The same key under an id that its signer gives it: a signature with another id is not by it. Under a resource name
    /// of Google Cloud Build's keys it signs nothing but that builder's provenance.
    pub fn with_id(mut self, id: Option<String>) -> TrustedKey {
        self.id = id;
        self
    }

    /// The same key with the contract's validity, for those who judge it.
    pub fn with_validity(
        mut self,
        not_before: Option<Timestamp>,
        not_after: Option<Timestamp>,
    ) -> TrustedKey {
        self.not_before = not_before;
        self.not_after = not_after;
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The SHA-256 digest of the key's SubjectPublicKeyInfo in DER.
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    pub fn log(&self) -> LogDemand {
        self.log
    }

    pub fn validity(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.not_before, self.not_after)
    }

    pub(crate) fn der(&self) -> &DerPublicKey {
        &self.der
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use correlator_core::contracts::trust_root::pem_fingerprint;

    use super::*;
    use crate::testing::Key;

    #[test]
    fn a_root_that_the_program_brings_along_is_read_when_it_is_needed_and_is_the_same_root() {
        let (root, demands) = (EmbeddedRoot::PublicGood, Demands::default());
        let embedded = Embedded { name: "own".to_owned(), root, demands };
        let later = TrustSet::with_embedded(Vec::new(), vec![embedded], Vec::new()).unwrap();
        let read = TrustRoot::from_json("own", embedded_root(root), demands).unwrap();
        let at_once = TrustSet::new(vec![read], Vec::new()).unwrap();
        assert!(later.roots[0].root.get().is_none());
        assert_eq!(later.hash(), at_once.hash());
        let versions = |set: &TrustSet| set.roots().map(|root| root.version().clone()).collect::<Vec<_>>();
        assert_eq!(versions(&later), versions(&at_once));
        assert!(later.roots[0].root.get().is_some());
        let twice = |name: &str| Embedded { name: name.to_owned(), root, demands };
        assert_eq!(
            TrustSet::with_embedded(Vec::new(), vec![twice("one"), twice("one")], Vec::new()).unwrap_err(),
            TrustError::RootTwice { name: "one".to_owned() }
        );
    }

    #[test]
    fn the_embedded_roots_parse_and_have_versions() {
        let roots = EmbeddedRoot::ALL
            .map(|root| TrustRoot::from_json(root.as_str(), embedded_root(root), root.demands()).unwrap());
        assert_ne!(roots[0].version().content, roots[1].version().content);
        assert_eq!(roots[0].demands(), Demands::default());
        // What GitHub's instance cannot give is not demanded of it: it has neither kind of log.
        assert!(roots[1].trusted_root().tlogs.is_empty() && roots[1].trusted_root().ctlogs.is_empty());
        assert!(!roots[1].demands().log && !roots[1].demands().certificate_transparency);
    }

    #[test]
    fn a_time_has_come_or_not() {
        let root = embedded_root(EmbeddedRoot::PublicGood);
        let root = TrustRoot::from_json("root", root, Demands::default()).unwrap();
        assert!(root.has_come("2024-01-02T00:00:00Z".parse().unwrap()));
        assert!(!root.has_come("9000-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn the_hash_follows_names_contents_and_demands_but_not_order_or_validity() {
        let root = |name: &str, demands| {
            TrustRoot::from_json(name, SIGSTORE_PRODUCTION_TRUSTED_ROOT, demands).unwrap()
        };
        let (one, two) = (Key::generate(), Key::generate());
        let key = |key: &Key, log| TrustedKey::from_pem("k", &key.pem(), log).unwrap();
        let hash = |roots, keys| TrustSet::new(roots, keys).unwrap().hash();
        let all = Demands::default();
        let base = hash(
            vec![root("a", all), root("b", all)],
            vec![key(&one, LogDemand::Required), key(&two, LogDemand::Required)],
        );
        let reordered = hash(
            vec![root("b", all), root("a", all)],
            vec![
                key(&two, LogDemand::Required).with_validity(Some(Timestamp::UNIX_EPOCH), None),
                key(&one, LogDemand::Required),
            ],
        );
        assert_eq!(base, reordered);
        let keys = || vec![key(&one, LogDemand::Required), key(&two, LogDemand::Required)];
        assert_ne!(base, hash(vec![root("a", all), root("c", all)], keys()));
        assert_ne!(base, hash(vec![root("a", all), root("b", Demands::TIME_ONLY)], keys()));
        assert_ne!(base, hash(vec![root("a", all)], keys()));
        let weaker = vec![key(&one, LogDemand::NotRequired), key(&two, LogDemand::Required)];
        assert_ne!(base, hash(vec![root("a", all), root("b", all)], weaker));
    }

    /// One key of OpenSSL's, as `rsa -RSAPublicKey_out` and as `rsa -pubout` write it.
    const OLDER_RSA_KEY: &str = "\
-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAoyvZIJfypFqwCJfGJBwDTw+k5mibIhlWV0gT2IHSCNe16YHdmdXj
6pVR8M0rvBDUaN48c6Z12HsfjhIClzVfjSnK2pLHPg/MNkXhcTRB/Wi/lwTvTN2k
VpISlYcjUa5gkyh92KW7JJ6LC9fgHgxpONivdcyDo+iEpnI+jmlsO6RLhX8dB2rm
OgM8Xr5GCiKU+HmBlwaK2gkI/roEVsJiUqevEy2kOyAjZvjxg080fXnrqO1ehr8X
BYx1CyC6w/U4oDbWoToYYjn/cKxc+L8Ru2AnB1rsGpKlmYtKqGtJEBwzUEJbZex5
+ifpQomFz9D7+WuhuM1TAf8XGoC4MZAW8wIDAQAB
-----END RSA PUBLIC KEY-----
";
    const RSA_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAoyvZIJfypFqwCJfGJBwD
Tw+k5mibIhlWV0gT2IHSCNe16YHdmdXj6pVR8M0rvBDUaN48c6Z12HsfjhIClzVf
jSnK2pLHPg/MNkXhcTRB/Wi/lwTvTN2kVpISlYcjUa5gkyh92KW7JJ6LC9fgHgxp
ONivdcyDo+iEpnI+jmlsO6RLhX8dB2rmOgM8Xr5GCiKU+HmBlwaK2gkI/roEVsJi
UqevEy2kOyAjZvjxg080fXnrqO1ehr8XBYx1CyC6w/U4oDbWoToYYjn/cKxc+L8R
u2AnB1rsGpKlmYtKqGtJEBwzUEJbZex5+ifpQomFz9D7+WuhuM1TAf8XGoC4MZAW
8wIDAQAB
-----END PUBLIC KEY-----
";

    #[test]
    fn a_key_of_rsa_is_the_same_in_its_older_form() {
        let key = |text| TrustedKey::from_pem("k", text, LogDemand::Required).unwrap().fingerprint();
        assert_eq!(key(OLDER_RSA_KEY), key(RSA_KEY));
        for text in [OLDER_RSA_KEY, RSA_KEY] {
            assert_eq!(pem_fingerprint(text), Some(key(RSA_KEY)));
        }
        let mixed = OLDER_RSA_KEY.replacen("RSA PUBLIC", "PUBLIC", 1);
        assert!(TrustedKey::from_pem("k", &mixed, LogDemand::Required).is_err());
    }

    #[test]
    fn bad_trust_is_refused_with_its_name() {
        for text in
            ["", "{}", "[1]", r#"{"mediaType":"x","tlogs":[{}]}"#, r#"{"mediaType":"a","mediaType":"b"}"#]
        {
            let refused = TrustRoot::from_json("mine", text, Demands::default());
            assert!(
                matches!(refused, Err(TrustError::RootMalformed { name, .. }) if name == "mine"),
                "{text}"
            );
        }
        let good = Key::generate().pem();
        for text in [String::new(), "x".to_owned(), format!("{good}tail"), good.replace("PUBLIC", "PRIVATE")]
        {
            let refused = TrustedKey::from_pem("mine", &text, LogDemand::Required);
            assert!(
                matches!(refused, Err(TrustError::KeyMalformed { name, .. }) if name == "mine"),
                "{text}"
            );
        }
        let text = embedded_root(EmbeddedRoot::PublicGood);
        let twice = || TrustRoot::from_json("same", text, Demands::default()).unwrap();
        assert!(matches!(TrustSet::new(vec![twice(), twice()], vec![]), Err(TrustError::RootTwice { .. })));
    }
}
