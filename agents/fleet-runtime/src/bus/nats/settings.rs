//! How a process reaches its NATS servers and what it may do there: as written, and as checked.
//!
//! In: a table of the configuration. Out: checked settings, or every problem at once with its key. Secrets print as
//! `***`; a key's file is read once, here. Never a password inside an address, and never plain text over a network
//! unless the operator says so.

mod tls;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;

use super::declared::NatsLimits;
use crate::bus::{check_key, check_subject};
use crate::settings::{Checked, DurationText, Problems, Secret};

pub(super) use tls::Tls;

const SERVERS_MAX: usize = 16;
const BLOB_BUCKETS_MAX: usize = 256;
const REPLICAS_MAX: usize = 5;
const NAME_BYTES_MAX: usize = 64;
const BUCKET_BYTES_MAX: usize = 128;
const MIB_MAX: u64 = 1 << 30;
const WITHIN_MAX: Duration = Duration::from_secs(600);
const MIB: u64 = 1 << 20;

/// NATS, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNatsSettings {
    /// The servers of one cluster: `tls://nats-0.example:4222`. `nats://` is taken for loopback addresses, and for others
    /// with `plain_text_allowed`. Required.
    pub servers: Vec<String>,
    /// What the servers' lists of connections call this process.
    pub name: Option<String>,
    /// Whether this process creates, updates and trims the streams, and takes over what the server gave up. One process
    /// of a fleet does: the correlator. The others need no right to administrate.
    pub manages: bool,
    /// Copies of each stream: 1, 3 or 5. Without it 3 on a cluster, else 1.
    pub replicas: Option<usize>,
    /// The prefix of the inboxes that this process may subscribe to: `_INBOX.ci-agent`.
    pub inbox_prefix: Option<String>,
    /// The object bucket that this process writes blobs to.
    pub blob_bucket: Option<String>,
    /// Further object buckets in which blobs are looked for.
    pub other_blob_buckets: Vec<String>,
    /// How long a publish is tried before it has failed, 1s to 10m.
    pub publish_within: DurationText,
    /// How long anything else is tried before it has failed, 1s to 10m. A fetch ends this long after its own time when no
    /// server says whether anything is there.
    pub answer_within: DurationText,
    /// How long the first connection may take, 1s to 10m.
    pub connect_within: DurationText,
    /// Allows `nats://` to other machines: only where the network itself is encrypted.
    pub plain_text_allowed: bool,
    /// A file of certificates (PEM) that the servers' certificates are checked against; without it those of the system.
    pub root_certificates_file: Option<PathBuf>,
    /// The certificate (PEM) that this process shows.
    pub certificate_file: Option<PathBuf>,
    /// The private key (PEM) of that certificate.
    pub certificate_key_file: Option<PathBuf>,
    /// An nkey's seed (`SU…`), itself or in a file.
    pub nkey_seed: Option<Secret>,
    pub nkey_seed_file: Option<PathBuf>,
    /// The contents of a credentials file (JWT and seed), or the file.
    pub credentials: Option<Secret>,
    pub credentials_file: Option<PathBuf>,
    /// A user with a password.
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    /// What the streams and buckets may hold.
    pub limits: RawNatsLimits,
}

/// What the streams and buckets may hold, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNatsLimits {
    /// What agents reported, in MiB. At the bound the oldest that everybody has settled goes; else publishing is refused.
    pub events_mib_max: u64,
    /// What agents are asked, in MiB.
    pub questions_mib_max: u64,
    /// What was concluded, in MiB.
    pub verdicts_mib_max: u64,
    /// What could not be understood, in MiB. Goes by age or by a person's hand only.
    pub dead_letters_mib_max: u64,
    /// Each key-value bucket, in MiB.
    pub key_value_mib_max: u64,
    /// Each object bucket, in MiB.
    pub blobs_mib_max: u64,
}

impl Default for RawNatsSettings {
    fn default() -> RawNatsSettings {
        RawNatsSettings {
            servers: Vec::new(),
            name: None,
            manages: true,
            replicas: None,
            inbox_prefix: None,
            blob_bucket: None,
            other_blob_buckets: Vec::new(),
            publish_within: DurationText::seconds(30),
            answer_within: DurationText::seconds(15),
            connect_within: DurationText::seconds(30),
            plain_text_allowed: false,
            root_certificates_file: None,
            certificate_file: None,
            certificate_key_file: None,
            nkey_seed: None,
            nkey_seed_file: None,
            credentials: None,
            credentials_file: None,
            user: None,
            password: None,
            password_file: None,
            limits: RawNatsLimits::default(),
        }
    }
}

impl Default for RawNatsLimits {
    fn default() -> RawNatsLimits {
        let NatsLimits {
            events_bytes_max,
            questions_bytes_max,
            verdicts_bytes_max,
            dead_letters_bytes_max,
            key_value_bytes_max,
            blobs_bytes_max,
        } = NatsLimits::default();
        RawNatsLimits {
            events_mib_max: events_bytes_max / MIB,
            questions_mib_max: questions_bytes_max / MIB,
            verdicts_mib_max: verdicts_bytes_max / MIB,
            dead_letters_mib_max: dead_letters_bytes_max / MIB,
            key_value_mib_max: key_value_bytes_max / MIB,
            blobs_mib_max: blobs_bytes_max / MIB,
        }
    }
}

/// NATS, checked.
#[derive(Clone, Debug)]
pub struct NatsSettings {
    pub(super) servers: Vec<async_nats::ServerAddr>,
    pub(super) name: String,
    pub(super) manages: bool,
    pub(super) replicas: Option<usize>,
    pub(super) inbox_prefix: Option<String>,
    pub(super) blob_bucket: String,
    pub(super) other_blob_buckets: Vec<String>,
    pub(super) publish_within: Duration,
    pub(super) answer_within: Duration,
    pub(super) connect_within: Duration,
    /// Whether the first connection is waited for without an end, while everything else goes on.
    pub(super) waits_for_servers: bool,
    pub(super) tls: Tls,
    pub(super) login: Option<NatsLogin>,
    pub(super) limits: NatsLimits,
}

/// How this process says who it is.
#[derive(Clone)]
pub(super) enum NatsLogin {
    NkeySeed(Secret),
    Credentials(Secret),
    Password { user: String, password: Secret },
}

impl fmt::Debug for NatsLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NatsLogin::NkeySeed(_) => "an nkey",
            NatsLogin::Credentials(_) => "credentials",
            NatsLogin::Password { .. } => "a password",
        })
    }
}

impl NatsSettings {
    /// The usual settings for servers on this machine.
    pub fn of_servers(servers: &[&str]) -> Result<NatsSettings, Vec<crate::settings::Problem>> {
        let servers = servers.iter().map(|server| (*server).to_owned()).collect();
        NatsSettings::from_raw(RawNatsSettings { servers, ..RawNatsSettings::default() })
    }

    /// Checks settings that were not read from a file.
    pub fn from_raw(raw: RawNatsSettings) -> Result<NatsSettings, Vec<crate::settings::Problem>> {
        let mut problems = Problems::default();
        let checked = NatsSettings::check(raw, &mut problems);
        match (checked, problems.into_found()) {
            (Some(checked), found) if found.is_empty() => Ok(checked),
            (_, found) => Err(found),
        }
    }
}

impl Checked for NatsSettings {
    type Raw = RawNatsSettings;

    fn check(raw: RawNatsSettings, problems: &mut Problems) -> Option<NatsSettings> {
        if raw.servers.is_empty() || raw.servers.len() > SERVERS_MAX {
            problems.at("servers", format!("give 1 to {SERVERS_MAX} servers"));
        }
        let plain_text_allowed = raw.plain_text_allowed;
        let servers = problems
            .each("servers", raw.servers, |text, problems| server(&text, plain_text_allowed, problems));
        let name = raw.name.unwrap_or_else(|| "custody".to_owned());
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            problems.at("name", format!("must be 1 to {NAME_BYTES_MAX} bytes without control characters"));
        }
        if raw.replicas.is_some_and(|count| count == 0 || count > REPLICAS_MAX || count % 2 == 0) {
            problems.at("replicas", "must be 1, 3 or 5");
        }
        if raw.inbox_prefix.as_ref().is_some_and(|prefix| check_subject(prefix).is_err()) {
            problems.at("inbox_prefix", "must be a subject such as _INBOX.ci-agent");
        }
        let blob_bucket = raw.blob_bucket.unwrap_or_else(|| super::declared::BLOB_BUCKET.to_owned());
        if !is_bucket(&blob_bucket) {
            problems.at("blob_bucket", BUCKET_NAME);
        }
        if raw.other_blob_buckets.len() > BLOB_BUCKETS_MAX {
            problems.at("other_blob_buckets", format!("at most {BLOB_BUCKETS_MAX}"));
        }
        if !raw.other_blob_buckets.iter().all(|bucket| is_bucket(bucket)) {
            problems.at("other_blob_buckets", BUCKET_NAME);
        }
        let publish_within = within("publish_within", raw.publish_within, problems);
        let answer_within = within("answer_within", raw.answer_within, problems);
        let connect_within = within("connect_within", raw.connect_within, problems);
        let mut tls =
            Tls::check(raw.root_certificates_file, raw.certificate_file, raw.certificate_key_file, problems);
        tls.is_required |= servers.iter().any(|server| server.scheme() == "tls");
        let seed = problems.secret("nkey_seed", raw.nkey_seed, raw.nkey_seed_file);
        let credentials = problems.secret("credentials", raw.credentials, raw.credentials_file);
        let password = problems.secret("password", raw.password, raw.password_file);
        let login = login(seed, credentials, raw.user, password, problems);
        let limits = problems.within("limits", |problems| limits(&raw.limits, problems));
        Some(NatsSettings {
            servers,
            name,
            manages: raw.manages,
            replicas: raw.replicas,
            inbox_prefix: raw.inbox_prefix,
            blob_bucket,
            other_blob_buckets: raw.other_blob_buckets,
            publish_within,
            answer_within,
            connect_within,
            waits_for_servers: false,
            tls,
            login,
            limits,
        })
    }
}

const BUCKET_NAME: &str = "must be ASCII letters, digits, `-` and `_`";

/// Whether a bucket's name is one that a stream can carry.
pub(super) fn is_bucket(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    check_key(name).is_ok() && is_plain && name.len() <= BUCKET_BYTES_MAX
}

fn server(text: &str, plain_text_allowed: bool, problems: &mut Problems) -> Option<async_nats::ServerAddr> {
    // The text itself is not repeated: somebody may have put a password into it.
    let Ok(server) = text.parse::<async_nats::ServerAddr>() else {
        problems.at("", "must be an address such as tls://nats.example:4222");
        return None;
    };
    if server.has_user_pass() || server.password().is_some() {
        problems.at("", "must not hold a user or password: give them as user and password_file");
        return None;
    }
    match server.scheme() {
        "tls" => {}
        "nats" if plain_text_allowed || is_loopback(server.host()) => {}
        "nats" => problems.at("", "would be reached in plain text: use tls://, or set plain_text_allowed"),
        _ => problems.at("", "must begin with tls:// or nats://"),
    }
    Some(server)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn within(key: &str, duration: DurationText, problems: &mut Problems) -> Duration {
    if !(Duration::from_secs(1)..=WITHIN_MAX).contains(&duration.get()) {
        problems.at(key, "must be 1s to 10m");
    }
    duration.get()
}

fn login(
    seed: Option<Secret>,
    credentials: Option<Secret>,
    user: Option<String>,
    password: Option<Secret>,
    problems: &mut Problems,
) -> Option<NatsLogin> {
    let login = match (seed, credentials, user, password) {
        (None, None, None, None) => return None,
        (Some(seed), None, None, None) => {
            if !is_users(&seed) {
                problems.at("nkey_seed", "is not the seed of a user's nkey (`SU…`)");
            }
            NatsLogin::NkeySeed(seed)
        }
        (None, Some(credentials), None, None) => {
            if async_nats::ConnectOptions::new().credentials(credentials.expose()).is_err() {
                problems.at("credentials", "are not a user's JWT and seed, as `nsc` writes them");
            }
            NatsLogin::Credentials(credentials)
        }
        (None, None, Some(user), Some(password)) => NatsLogin::Password { user, password },
        _ => {
            problems.at("", "give one of nkey_seed, credentials, or user with password");
            return None;
        }
    };
    Some(login)
}

fn is_users(seed: &Secret) -> bool {
    KeyPair::from_seed(seed.expose()).is_ok_and(|pair| pair.key_pair_type() == KeyPairType::User)
}

fn limits(raw: &RawNatsLimits, problems: &mut Problems) -> NatsLimits {
    let mut bytes = |key: &str, mib: u64| {
        if !(1..=MIB_MAX).contains(&mib) {
            problems.at(key, format!("must be 1 to {MIB_MAX}"));
        }
        mib.clamp(1, MIB_MAX) * MIB
    };
    NatsLimits {
        events_bytes_max: bytes("events_mib_max", raw.events_mib_max),
        questions_bytes_max: bytes("questions_mib_max", raw.questions_mib_max),
        verdicts_bytes_max: bytes("verdicts_mib_max", raw.verdicts_mib_max),
        dead_letters_bytes_max: bytes("dead_letters_mib_max", raw.dead_letters_mib_max),
        key_value_bytes_max: bytes("key_value_mib_max", raw.key_value_mib_max),
        blobs_bytes_max: bytes("blobs_mib_max", raw.blobs_mib_max),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn raw(server: &str) -> RawNatsSettings {
        RawNatsSettings { servers: vec![server.to_owned()], ..RawNatsSettings::default() }
    }

    fn problems(raw: RawNatsSettings) -> String {
        let found = NatsSettings::from_raw(raw).unwrap_err();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn plain_text_is_for_this_machine_or_by_word() {
        for here in ["nats://127.0.0.1:4222", "nats://localhost", "nats://[::1]:4222", "tls://nats.example"] {
            NatsSettings::from_raw(raw(here)).unwrap();
        }
        assert!(problems(raw("nats://nats.example")).contains("plain text"));
        let allowed = RawNatsSettings { plain_text_allowed: true, ..raw("nats://nats.example") };
        NatsSettings::from_raw(allowed).unwrap();
        assert!(problems(raw("ws://nats.example")).contains("must begin with"));
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let found = problems(raw("tls://me:swordfish@nats.example"));
        assert!(found.contains("servers[0]") && !found.contains("swordfish"), "{found}");
    }

    #[test]
    fn every_problem_is_told() {
        let found = problems(RawNatsSettings {
            replicas: Some(2),
            inbox_prefix: Some("_INBOX.>".to_owned()),
            blob_bucket: Some("a.b".to_owned()),
            certificate_file: Some("tls.crt".into()),
            user: Some("me".to_owned()),
            publish_within: DurationText::seconds(0),
            limits: RawNatsLimits { events_mib_max: 0, ..RawNatsLimits::default() },
            ..RawNatsSettings::default()
        });
        for key in [
            "servers",
            "replicas",
            "inbox_prefix",
            "blob_bucket",
            "certificate_file",
            "give one of",
            "publish_within",
            "limits.events_mib_max",
        ] {
            assert!(found.contains(key), "{key} is not in\n{found}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let seed = KeyPair::new_user().seed().unwrap();
        let settings = NatsSettings::from_raw(RawNatsSettings {
            nkey_seed: Some(Secret::new(seed.clone())),
            ..raw("tls://nats.example")
        });
        assert!(!format!("{:?}", settings.unwrap()).contains(&seed));
    }

    #[test]
    fn a_file_or_seed_that_is_none_is_a_problem_of_its_key_and_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("odd.pem");
        std::fs::write(&odd, "swordfish").unwrap();
        let account = KeyPair::new_account().seed().unwrap();
        for (text, seed) in [("an account's", account), ("none", "SUAswordfish".to_owned())] {
            let found = problems(RawNatsSettings {
                nkey_seed: Some(Secret::new(seed.clone())),
                ..raw("tls://nats.example")
            });
            assert!(found.contains("nkey_seed: is not") && !found.contains(&seed), "{text}: {found}");
        }
        for file in [odd, folder.path().join("missing.pem")] {
            let found = problems(RawNatsSettings {
                root_certificates_file: Some(file.clone()),
                certificate_file: Some(file.clone()),
                certificate_key_file: Some(file),
                credentials: Some(Secret::new("swordfish")),
                ..raw("tls://nats.example")
            });
            for key in ["root_certificates_file", "certificate_file", "certificate_key_file", "credentials"] {
                let named = found.lines().any(|line| line.starts_with(&format!("{key}: ")));
                assert!(named && !found.contains("swordfish"), "{key} is not in\n{found}");
            }
        }
    }
}
