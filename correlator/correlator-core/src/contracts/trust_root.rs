//! `kind: TrustRoot`: a Sigstore trust root, what it demands, and for which forges and issuers it speaks; and the keys of
//! pipelines.

use std::collections::BTreeMap;
use std::fmt;

use bus_schema::{Digest, ForgeHost};
use jiff::Timestamp;
use serde::Deserialize;

use crate::contracts::GITHUB_ISSUER;
use crate::contracts::identity::TextDemand;
use crate::contracts::pattern::Glob;
use crate::contracts::pipeline::Day;
use crate::contracts::regexp::WholeRegexp;
use crate::facts::{RootParts, RootVersion};

/// A checked trust root. Its content is a `trusted_root.json`, carried with the contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustRootContract {
    pub name: String,
    pub source: RootSource,
    pub content: Digest,
    pub demands: Demands,
    pub forges: Vec<ForgeIssuer>,
    /// Issuers of identities that belong to no forge, such as people's.
    pub issuers: Vec<TextDemand>,
    /// What counts no more, each from a time on.
    pub revoked: Vec<RevokedPart>,
}

/// A part of a trust root that counts until a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedPart {
    pub part: RootPart,
    pub from: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootPart {
    Whole,
    /// A certificate or timestamp authority, by the SHA-256 digest of any certificate of its chain in DER.
    Authority(Digest),
    /// A signature or certificate log, by the SHA-256 digest of its public key (SubjectPublicKeyInfo in DER), or by its id
    /// where that is another one.
    Log(Digest),
}

/// Something that was withdrawn, and since when; the earliest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revocation {
    pub from: Timestamp,
    pub what: String,
}

impl TrustRootContract {
    /// The earliest withdrawal of anything that a statement rests on.
    pub(crate) fn revocation_of(&self, rests_on: &RootParts) -> Option<Revocation> {
        let name = &self.name;
        let withdrawn = |revoked: &RevokedPart| {
            let what = match &revoked.part {
                RootPart::Whole => format!("trust root {name}"),
                RootPart::Authority(authority) if rests_on.authorities.contains(authority) => {
                    format!("authority {authority} of trust root {name}")
                }
                RootPart::Log(log) if rests_on.logs.contains(log) => {
                    format!("log {log} of trust root {name}")
                }
                RootPart::Authority(_) | RootPart::Log(_) => return None,
            };
            Some(Revocation { from: revoked.from, what })
        };
        self.revoked.iter().filter_map(withdrawn).min()
    }

    pub fn version(&self) -> RootVersion {
        RootVersion { name: self.name.clone(), content: self.content }
    }

    /// Whether a certificate of this issuer under this root counts for runs of a forge.
    pub fn speaks_for_forge(&self, host: &str, issuer: &str) -> bool {
        self.forges.iter().any(|forge| forge.host.as_str() == host && forge.issuer == issuer)
    }

    /// Whether a certificate of this issuer under this root counts at all.
    pub fn speaks_for_issuer(&self, issuer: &str) -> bool {
        self.forges.iter().any(|forge| forge.issuer == issuer)
            || self.issuers.iter().any(|one| one.is_met_by(issuer))
    }
}

/// Where a trust root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// A file of the contracts folder.
    File(String),
    Embedded(EmbeddedRoot),
    /// A repository of The Update Framework, read again and again.
    Tuf(TufSource),
}

impl RootSource {
    /// All files that it is made of, by their names in [`crate::input::ContractLoaded::files`].
    pub(crate) fn files(&self) -> Vec<String> {
        match self {
            RootSource::Tuf(source) => vec![source.root.clone(), source.copy.clone()],
            other => vec![other.file().to_owned()],
        }
    }

    /// The name of its text in [`crate::input::ContractLoaded::files`].
    pub fn file(&self) -> &str {
        match self {
            RootSource::File(file) => file,
            RootSource::Embedded(root) => root.file(),
            RootSource::Tuf(source) => &source.copy,
        }
    }
}

/// Where a trust root is kept fresh from: a repository of The Update Framework (theupdateframework.io, specification 1.0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TufSource {
    /// The name of the last good copy's text in [`crate::input::ContractLoaded::files`]; no file of a folder may be called so.
    pub copy: String,
    /// The address of the metadata; targets lie below it, in `targets`.
    pub url: String,
    /// The file of the contracts folder with a root of the repository that is trusted from the start (`root.json`).
    pub root: String,
    /// Which target is the trust root.
    pub target: String,
}

/// What begins the names of copies of targets among the files.
pub(crate) const TUF_PREFIX: &str = "tuf:";
/// The issuers of enterprises that GitHub Actions signs tokens for in their own name.
const GITHUB_ISSUERS_OF_ENTERPRISES: &str = "https://token.actions.githubusercontent.com/*";
const TUF_TARGET: &str = "trusted_root.json";
const TUF_URL_BYTES_MAX: usize = 2048;

/// A trust root that the program brings along. Its text enters with the contracts like that of a file, so that what was
/// verified with it can be told from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddedRoot {
    /// The public-good instance of Sigstore.
    PublicGood,
    /// GitHub's own instance, which signs for private repositories.
    Github,
}

/// The most parts of one root that may be revoked.
const REVOKED_MAX: usize = 64;

/// What begins the names of embedded roots among the files; no file of a folder may be called so.
pub(crate) const EMBEDDED_PREFIX: &str = "embedded:";

impl EmbeddedRoot {
    /// All of them: they hold where the contracts name no trust root.
    pub const ALL: [EmbeddedRoot; 2] = [EmbeddedRoot::PublicGood, EmbeddedRoot::Github];

    pub fn as_str(self) -> &'static str {
        match self {
            EmbeddedRoot::PublicGood => "public-good",
            EmbeddedRoot::Github => "github",
        }
    }

    /// The name of its text in [`crate::input::ContractLoaded::files`].
    pub fn file(self) -> &'static str {
        match self {
            EmbeddedRoot::PublicGood => "embedded:public-good",
            EmbeddedRoot::Github => "embedded:github",
        }
    }

    pub fn from_file(file: &str) -> Option<EmbeddedRoot> {
        EmbeddedRoot::ALL.into_iter().find(|root| root.file() == file)
    }

    /// What its instance gives to every signature.
    pub fn demands(self) -> Demands {
        match self {
            EmbeddedRoot::PublicGood => Demands::default(),
            EmbeddedRoot::Github => Demands::TIME_ONLY,
        }
    }

    /// The forges whose tokens its authority takes.
    fn forges(self) -> Vec<ForgeIssuer> {
        let known: &[(&str, &str)] = match self {
            EmbeddedRoot::PublicGood => {
                &[("github.com", GITHUB_ISSUER), ("gitlab.com", "https://gitlab.com")]
            }
            EmbeddedRoot::Github => &[("github.com", GITHUB_ISSUER)],
        };
        let forge = |(host, issuer): &(&str, &str)| {
            let host = host.parse::<ForgeHost>().ok()?;
            Some(ForgeIssuer { host, issuer: (*issuer).to_owned() })
        };
        known.iter().filter_map(forge).collect()
    }

    /// Other issuers whose tokens its authority takes (sigstore/fulcio, config/identity), an asterisk standing for a part of
    /// one: an organisation, a cluster.
    fn issuers(self) -> Vec<TextDemand> {
        let known: &[&str] = match self {
            EmbeddedRoot::PublicGood => &[
                "https://accounts.google.com",
                "https://agent.buildkite.com",
                "https://auth.eclipse.org/auth/realms/foundation-service-accounts",
                "https://container.googleapis.com/v1/projects/*/locations/*/clusters/*",
                "https://dev.gitlab.org",
                "https://github.com/login/oauth",
                "https://gitlab.archlinux.org",
                "https://issuer.enforce.dev",
                "https://login.microsoftonline.com",
                "https://oauth2.sigstore.dev/auth",
                "https://oidc.buddyusercontent.com",
                "https://oidc.circleci.com",
                "https://oidc.circleci.com/org/*",
                "https://oidc.codefresh.io",
                "https://oidc.eks.*.amazonaws.com/id/*",
                "https://oidc.prod-aks.azure.com/*",
                "https://ops.gitlab.net",
                GITHUB_ISSUERS_OF_ENTERPRISES,
            ],
            EmbeddedRoot::Github => &[GITHUB_ISSUERS_OF_ENTERPRISES],
        };
        let demand = |issuer: &&str| match issuer.contains('*') {
            true => Glob::parse(issuer).ok().map(TextDemand::Matches),
            false => Some(TextDemand::Is((*issuer).to_owned())),
        };
        known.iter().filter_map(demand).collect()
    }

    /// Whether certificates of this issuer count under it where no document says more.
    pub fn speaks_for_issuer(self, issuer: &str) -> bool {
        self.forges().iter().any(|forge| forge.issuer == issuer)
            || self.issuers().iter().any(|one| one.is_met_by(issuer))
    }

    /// The root as it is where no document says more.
    fn contract(self, content: Digest) -> TrustRootContract {
        TrustRootContract {
            name: self.as_str().to_owned(),
            source: RootSource::Embedded(self),
            content,
            demands: self.demands(),
            forges: self.forges(),
            issuers: self.issuers(),
            revoked: Vec::new(),
        }
    }
}

/// What a signature must carry under this root; everything by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demands {
    pub certificate_transparency: bool,
    pub log: bool,
    pub signed_time: bool,
}

impl Demands {
    /// What an instance can meet that has neither a certificate log nor a signature log: its timestamp authority is the
    /// only witness.
    pub const TIME_ONLY: Demands = Demands { certificate_transparency: false, log: false, signed_time: true };
}

impl Default for Demands {
    fn default() -> Demands {
        Demands { certificate_transparency: true, log: true, signed_time: true }
    }
}

impl fmt::Display for Demands {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Demands { certificate_transparency, log, signed_time } = self;
        write!(formatter, "ct={certificate_transparency} log={log} time={signed_time}")
    }
}

/// The issuer whose certificates under this root speak for a forge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ForgeIssuer {
    pub host: ForgeHost,
    pub issuer: String,
}

/// A public key that a pipeline trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKeyContract {
    pub file: String,
    pub content: Digest,
    /// The SHA-256 digest of the SubjectPublicKeyInfo in DER; `None` when the file is not a public key in PEM.
    pub fingerprint: Option<Digest>,
    /// What signatures must call it, where its signer gives it a name.
    pub id: Option<String>,
    pub log_required: bool,
    /// Signatures from this time on count no more.
    pub revoked_from: Option<Timestamp>,
}

/// The digest of the DER of a PEM public key (RFC 7468, section 13), whichever of the two forms it is in.
pub fn pem_fingerprint(pem: &str) -> Option<Digest> {
    let of_any = pem_block(pem, "PUBLIC KEY");
    let der = of_any.or_else(|| pem_block(pem, "RSA PUBLIC KEY").map(|key| rsa_key_info(&key)))?;
    Some(Digest::sha256_of(&der))
}

fn pem_block(pem: &str, label: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(body).ok()
}

/// The older form of an RSA key (`BEGIN RSA PUBLIC KEY`, RFC 8017, appendix A.1.1) in the one of every key, which names the
/// algorithm before it (RFC 3279, section 2.3.1).
pub fn rsa_key_info(key: &[u8]) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    /// `rsaEncryption` with its parameter NULL.
    const ALGORITHM: [u8; 15] =
        [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
    let bits = der(BIT_STRING, &[&[0], key].concat());
    der(SEQUENCE, &[&ALGORITHM[..], &bits].concat())
}

/// One value in DER: its tag, its length, its content.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut encoded = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..=0x7f) => encoded.push(short),
        // The bytes of a length are eight at most.
        _ => {
            encoded.push(0x80 | u8::try_from(length.len()).unwrap_or(u8::MAX));
            encoded.extend_from_slice(length);
        }
    }
    encoded.extend_from_slice(content);
    encoded
}

/// The document as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TrustRootSpec {
    #[serde(default)]
    source: SourceSpec,
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    tuf: Option<TufSpec>,
    #[serde(default)]
    demands: DemandsSpec,
    #[serde(default)]
    forges: Option<Vec<ForgeIssuer>>,
    #[serde(default)]
    issuers: Option<Vec<String>>,
    #[serde(default)]
    issuer_patterns: Vec<String>,
    #[serde(default)]
    issuer_regexps: Vec<String>,
    #[serde(default)]
    revoked_from: Option<Day>,
    #[serde(default)]
    revoked: Vec<RevokedSpec>,
}

/// One part of the root, named by exactly one of its fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RevokedSpec {
    #[serde(default)]
    authority: Option<Digest>,
    #[serde(default)]
    log: Option<Digest>,
    from: Day,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SourceSpec {
    #[default]
    File,
    PublicGood,
    Github,
    Tuf,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TufSpec {
    url: String,
    root: String,
    #[serde(default)]
    target: Option<String>,
}

impl TufSpec {
    /// Plain HTTP is for mirrors on the machine itself: what is fetched is verified, but its freshness is worth hiding. A
    /// folder (`file:///srv/tuf`) is for machines without a network.
    fn check(&self, name: &str) -> Result<TufSource, String> {
        let is_known = ["https://", "http://", "file:///"].iter().any(|scheme| self.url.starts_with(scheme));
        if !is_known || self.url.len() > TUF_URL_BYTES_MAX {
            return Err(format!("tuf.url: {:?} is no address of a repository", self.url));
        }
        if self.root.starts_with(EMBEDDED_PREFIX) || self.root.starts_with(TUF_PREFIX) {
            return Err(format!("tuf.root: {:?} is no file", self.root));
        }
        let target = self.target.as_deref().unwrap_or(TUF_TARGET);
        if target.is_empty() || target.starts_with('/') || target.split('/').any(|part| part == "..") {
            return Err(format!("tuf.target: {target:?} is no name of a target"));
        }
        Ok(TufSource {
            copy: format!("{TUF_PREFIX}{name}"),
            url: self.url.clone(),
            root: self.root.clone(),
            target: target.to_owned(),
        })
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct DemandsSpec {
    certificate_transparency: Option<bool>,
    log: Option<bool>,
    signed_time: Option<bool>,
}

impl DemandsSpec {
    /// What is not said is as the source has it.
    fn over(self, source: Demands) -> Demands {
        Demands {
            certificate_transparency: self
                .certificate_transparency
                .unwrap_or(source.certificate_transparency),
            log: self.log.unwrap_or(source.log),
            signed_time: self.signed_time.unwrap_or(source.signed_time),
        }
    }
}

impl TrustRootSpec {
    /// Where its text is, or what is wrong with saying so.
    pub(crate) fn source(&self, name: &str) -> Result<RootSource, String> {
        if self.tuf.is_some() != matches!(self.source, SourceSpec::Tuf) {
            return Err("tuf and source: tuf belong together".to_owned());
        }
        let embedded = match (self.source, &self.file, &self.tuf) {
            (SourceSpec::File, Some(file), _)
                if file.starts_with(EMBEDDED_PREFIX) || file.starts_with(TUF_PREFIX) =>
            {
                return Err(format!("file: {file:?} is no file: write source: public-good, github or tuf"));
            }
            (SourceSpec::File, Some(file), _) => return Ok(RootSource::File(file.clone())),
            (SourceSpec::File, None, _) => {
                return Err("file is missing, or source: public-good, github or tuf".to_owned());
            }
            (SourceSpec::Tuf, None, Some(tuf)) => return tuf.check(name).map(RootSource::Tuf),
            (SourceSpec::PublicGood, None, _) => EmbeddedRoot::PublicGood,
            (SourceSpec::Github, None, _) => EmbeddedRoot::Github,
            (SourceSpec::PublicGood | SourceSpec::Github | SourceSpec::Tuf, ..) => {
                return Err("file and another source exclude each other".to_owned());
            }
        };
        Ok(RootSource::Embedded(embedded))
    }

    /// The checked root around its text.
    pub(crate) fn check(
        self,
        name: &str,
        source: RootSource,
        content: Digest,
        problem: &mut impl FnMut(String),
    ) -> TrustRootContract {
        let base = match source {
            RootSource::Embedded(root) => root.contract(content),
            RootSource::File(_) | RootSource::Tuf(_) => TrustRootContract {
                name: String::new(),
                source,
                content,
                demands: Demands::default(),
                forges: Vec::new(),
                issuers: Vec::new(),
                revoked: Vec::new(),
            },
        };
        let named = self.issuers.map(|issuers| issuers.into_iter().map(TextDemand::Is).collect());
        let mut issuers: Vec<TextDemand> = named.unwrap_or(base.issuers);
        let patterns = self.issuer_patterns.iter().map(|text| Glob::parse(text).map(TextDemand::Matches));
        let regexps =
            self.issuer_regexps.iter().map(|text| WholeRegexp::parse(text).map(TextDemand::MatchesRegexp));
        for read in patterns.chain(regexps) {
            match read {
                Ok(demand) => issuers.push(demand),
                Err(why) => problem(format!("issuers: {why}")),
            }
        }
        TrustRootContract {
            name: name.to_owned(),
            demands: self.demands.over(base.demands),
            forges: self.forges.unwrap_or(base.forges),
            issuers,
            revoked: check_revoked(self.revoked_from, self.revoked, problem),
            ..base
        }
    }
}

fn check_revoked(
    whole: Option<Day>,
    parts: Vec<RevokedSpec>,
    problem: &mut impl FnMut(String),
) -> Vec<RevokedPart> {
    if parts.len() > REVOKED_MAX {
        problem(format!("revoked: {} parts, the limit is {REVOKED_MAX}", parts.len()));
    }
    let whole = whole.map(|from| RevokedPart { part: RootPart::Whole, from: from.0 });
    let parts = parts.into_iter().filter_map(|spec| {
        let part = match (spec.authority, spec.log) {
            (Some(authority @ Digest::Sha256(_)), None) => RootPart::Authority(authority),
            (None, Some(log @ Digest::Sha256(_))) => RootPart::Log(log),
            _ => {
                problem("revoked: each names one authority or one log, by its sha256 digest".to_owned());
                return None;
            }
        };
        Some(RevokedPart { part, from: spec.from.0 })
    });
    whole.into_iter().chain(parts).collect()
}

/// The roots of a set that names none: those that the program brings along, as far as they came with the set.
pub(crate) fn by_default(files: &BTreeMap<String, String>) -> Vec<TrustRootContract> {
    let root = |root: EmbeddedRoot| {
        files.get(root.file()).map(|text| root.contract(Digest::sha256_of(text.as_bytes())))
    };
    EmbeddedRoot::ALL.into_iter().filter_map(root).collect()
}
