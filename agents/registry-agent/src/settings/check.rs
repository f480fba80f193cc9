//! Raw settings → checked settings: every problem at once, each with its key.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bus_schema::ImageRepository;
use bus_schema::image::DEFAULT_REGISTRY;
use fleet_runtime::settings::{Checked, DurationText, Problems, Secret};
use reqwest::Url;

use super::{
    Credentials, Poll, RawRegistry, RawSettings, RawTuning, Registry, Settings, Tuning, is_loopback,
};

const REGISTRIES_MAX: usize = 100;
const CERTIFICATES_BYTES_MAX: u64 = 1024 * 1024;
/// The shortest token that may stand for a registry, in bytes.
const TOKEN_BYTES_MIN: usize = 8;
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(50);

impl Checked for Settings {
    type Raw = RawSettings;

    fn check(raw: RawSettings, problems: &mut Problems) -> Option<Settings> {
        if raw.registry.len() > REGISTRIES_MAX {
            problems.at("registry", format!("more than {REGISTRIES_MAX} registries"));
            return None;
        }
        let count = raw.registry.len();
        let registries = problems.each("registry", raw.registry, check_registry);
        check_distinct(&registries, problems);
        let tuning =
            problems.within("registry_agent", |problems| check_tuning(&raw.registry_agent, problems));
        (registries.len() == count).then_some(Settings { registries, tuning: tuning? })
    }
}

fn check_registry(raw: RawRegistry, problems: &mut Problems) -> Option<Registry> {
    let host = problems.required("host", raw.host.clone());
    let host = host.and_then(|host| check_host(&host, problems))?;
    let defaults = Defaults::of(&host);
    let url = check_url(raw.url.as_deref().unwrap_or(&defaults.url), raw.plain_http, problems);
    let credentials = check_credentials(&raw, problems);
    let token_realm = raw.token_realm.as_deref().or(defaults.token_realm);
    let token_realm = token_realm.map(|realm| check_realm(realm, url.as_ref(), problems));
    let redirect_hosts = raw.redirect_hosts.clone();
    let redirect_hosts = redirect_hosts
        .unwrap_or_else(|| defaults.redirect_hosts.iter().map(|host| (*host).to_owned()).collect());
    for (index, redirect) in redirect_hosts.iter().enumerate() {
        if ImageRepository::new(redirect, "x").is_err() {
            problems.at(&format!("redirect_hosts[{index}]"), "is not a host");
        }
    }
    let certificates = raw.certificate_authority_file.as_deref().map(read_certificates).transpose();
    let certificates = certificates.map_err(|reason| problems.at("certificate_authority_file", reason)).ok();
    let token = problems.secret(
        "notification_token",
        raw.notification_token.clone(),
        raw.notification_token_file.clone(),
    );
    let token = token.map(|token| check_token(token, problems));
    let poll = check_poll(&raw, problems);
    let connect_timeout =
        positive("connect_timeout", raw.connect_timeout, DurationText::seconds(5), problems);
    let request_timeout =
        positive("request_timeout", raw.request_timeout, DurationText::seconds(30), problems);
    let in_flight = at_least_one("requests_in_flight_max", raw.requests_in_flight_max, 8, problems);
    Some(Registry {
        host,
        url: url?,
        credentials: credentials.ok()?,
        token_realm: token_realm.map_or(Some(None), |realm| realm.map(Some))?,
        redirect_hosts,
        may_lead_on: false,
        certificates: certificates?.unwrap_or_default(),
        referrers_api: raw.referrers_api.unwrap_or(true),
        notification_authorization: token.map_or(Some(None), |token| token.map(Some))?,
        poll: poll.ok()?,
        connect_timeout: connect_timeout?,
        request_timeout: request_timeout?,
        requests_in_flight_max: in_flight?,
    })
}

/// What is known of public registries, so that their sections are short. The hosts of redirects are those of
/// blobs: Docker's list of what to allow, GitLab's runbooks. Anybody may keep content at some of them; no
/// credential goes there, and what comes back must have the digest that was asked for.
struct Defaults {
    url: String,
    token_realm: Option<&'static str>,
    redirect_hosts: &'static [&'static str],
}

impl Defaults {
    fn of(host: &str) -> Defaults {
        match host {
            DEFAULT_REGISTRY => Defaults {
                url: "https://registry-1.docker.io".to_owned(),
                token_realm: Some("https://auth.docker.io/token"),
                redirect_hosts: &[
                    "production.cloudflare.docker.com",
                    "production.cloudfront.docker.com",
                    "docker-images-prod.6aa30f8b08e16409b46e0173d6de2f56.r2.cloudflarestorage.com",
                ],
            },
            "ghcr.io" => Defaults {
                url: "https://ghcr.io".to_owned(),
                token_realm: None,
                redirect_hosts: &["pkg-containers.githubusercontent.com"],
            },
            "registry.gitlab.com" => Defaults {
                url: "https://registry.gitlab.com".to_owned(),
                token_realm: Some("https://gitlab.com/jwt/auth"),
                redirect_hosts: &["cdn.registry.gitlab-static.net", "storage.googleapis.com"],
            },
            _ => Defaults { url: format!("https://{host}"), token_realm: None, redirect_hosts: &[] },
        }
    }
}

fn check_host(host: &str, problems: &mut Problems) -> Option<String> {
    match ImageRepository::new(host, "x") {
        Ok(repository) => Some(repository.registry().to_owned()),
        Err(error) => {
            problems.at("host", format!("{error}"));
            None
        }
    }
}

fn check_url(text: &str, plain_http: bool, problems: &mut Problems) -> Option<Url> {
    let url: Url = problems.parsed("url", text)?;
    let found = problems_of_url(&url).or_else(|| match url.scheme() {
        "https" => None,
        "http" if is_loopback(&url) || plain_http => None,
        "http" => Some("is plain HTTP and not on loopback; say plain_http = true if that is meant"),
        _ => Some("is neither https nor http"),
    });
    match found {
        Some(problem) => {
            problems.at("url", problem);
            None
        }
        None => Some(url),
    }
}

/// A realm gets the credentials: it is as well protected as the registry.
fn check_realm(text: &str, registry: Option<&Url>, problems: &mut Problems) -> Option<Url> {
    let url: Url = problems.parsed("token_realm", text)?;
    let plain_is_meant = is_loopback(&url) || registry.is_some_and(|registry| registry.scheme() == "http");
    let found = problems_of_url(&url).or_else(|| match url.scheme() {
        "https" => None,
        "http" if plain_is_meant => None,
        _ => Some("is not https"),
    });
    match found {
        Some(problem) => {
            problems.at("token_realm", problem);
            None
        }
        None => Some(url),
    }
}

fn problems_of_url(url: &Url) -> Option<&'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Some("holds credentials; give username and password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Some("has a query or a fragment");
    }
    url.host().is_none().then_some("has no host")
}

fn check_credentials(raw: &RawRegistry, problems: &mut Problems) -> Result<Option<Credentials>, ()> {
    let given = raw.password.is_some() || raw.password_file.is_some();
    let password = problems.secret("password", raw.password.clone(), raw.password_file.clone());
    match (raw.username.clone(), given) {
        (None, false) => Ok(None),
        (Some(username), true) if !username.is_empty() && !username.contains(':') => {
            password.map(|password| Some(Credentials { username, password })).ok_or(())
        }
        (Some(_), true) => {
            problems.at("username", "is empty or holds a colon");
            Err(())
        }
        (Some(_), false) => {
            problems.at("password", "is missing: give password or password_file");
            Err(())
        }
        (None, true) => {
            problems.at("username", "is missing");
            Err(())
        }
    }
}

fn check_token(token: Secret, problems: &mut Problems) -> Option<Secret> {
    let is_plain = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    match is_plain && token.expose().len() >= TOKEN_BYTES_MIN {
        true => Some(Secret::new(format!("Bearer {}", token.expose()))),
        false => {
            let message = format!("must be at least {TOKEN_BYTES_MIN} visible ASCII characters");
            problems.at("notification_token", message);
            None
        }
    }
}

fn check_poll(raw: &RawRegistry, problems: &mut Problems) -> Result<Option<Poll>, ()> {
    let count = raw.repositories.len();
    let patterns: Vec<_> = raw
        .repositories
        .iter()
        .enumerate()
        .filter_map(|(index, text)| problems.parsed(&format!("repositories[{index}]"), text))
        .collect();
    let interval = raw.poll_interval.unwrap_or(DurationText::seconds(300)).get();
    let requests = at_least_one("poll_requests_per_second", raw.poll_requests_per_second, 10, problems);
    let tags_max = at_least_one("tags_max", raw.tags_max, 10_000, problems);
    let repositories_max = at_least_one("repositories_max", raw.repositories_max, 1000, problems);
    if interval.is_zero() {
        return Ok(None);
    }
    if interval < POLL_INTERVAL_MIN {
        problems.at("poll_interval", "is shorter than 50ms");
        return Err(());
    }
    let (true, Some(requests_per_second), Some(tags_max), Some(repositories_max)) =
        (patterns.len() == count, requests, tags_max, repositories_max)
    else {
        return Err(());
    };
    Ok(Some(Poll { patterns, interval, requests_per_second, tags_max, repositories_max }))
}

fn check_tuning(raw: &RawTuning, problems: &mut Problems) -> Option<Tuning> {
    let questions = at_least_one("questions_in_hand_max", raw.questions_in_hand_max, 4, problems);
    let look_ups = at_least_one("look_ups_in_hand_max", raw.look_ups_in_hand_max, 2, problems);
    let attempts = at_least_one("look_up_attempts_max", raw.look_up_attempts_max, 6, problems);
    let body = at_least_one("notification_bytes_max", raw.notification_bytes_max, 16 * 1024 * 1024, problems);
    let timeout = positive("look_up_timeout", raw.look_up_timeout, DurationText::seconds(120), problems);
    let backoff = positive("look_up_backoff", raw.look_up_backoff, DurationText::seconds(2), problems);
    let report = positive("report_interval", raw.report_interval, DurationText::seconds(30), problems);
    let gap_after = positive("gap_after", raw.gap_after, DurationText::seconds(60), problems);
    Some(Tuning {
        questions_in_hand_max: questions?,
        look_ups_in_hand_max: look_ups?,
        look_up_timeout: timeout?,
        look_up_attempts_max: attempts?,
        look_up_backoff: backoff?,
        poll_grace: raw.poll_grace.unwrap_or(DurationText::seconds(3)).get(),
        report_interval: report?,
        gap_after: gap_after?,
        notification_bytes_max: body?,
    })
}

/// Two sections of one host would disagree; one token for two registries would let one speak for the other.
fn check_distinct(registries: &[Registry], problems: &mut Problems) {
    let (mut hosts, mut tokens) = (BTreeSet::new(), BTreeSet::new());
    for registry in registries {
        if !hosts.insert(registry.host.as_str()) {
            problems.at("registry", format!("{} has two sections", registry.host));
        }
        let token = registry.notification_authorization.as_ref();
        if token.is_some_and(|token| !tokens.insert(token.expose().to_owned())) {
            let message = format!("{} has the notification_token of another registry", registry.host);
            problems.at("registry", message);
        }
    }
}

fn positive(
    key: &str,
    given: Option<DurationText>,
    default: DurationText,
    problems: &mut Problems,
) -> Option<Duration> {
    let duration = given.unwrap_or(default).get();
    if duration.is_zero() {
        problems.at(key, "is zero");
        return None;
    }
    Some(duration)
}

fn at_least_one<T: PartialEq + Default>(
    key: &str,
    given: Option<T>,
    default: T,
    problems: &mut Problems,
) -> Option<T> {
    let value = given.unwrap_or(default);
    if value == T::default() {
        problems.at(key, "is zero");
        return None;
    }
    Some(value)
}

fn read_certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|error| format!("cannot open {shown}: {error}"))?;
    let mut pem = Vec::new();
    let read = file.take(CERTIFICATES_BYTES_MAX).read_to_end(&mut pem);
    read.map_err(|error| format!("cannot read {shown}: {error}"))?;
    match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{shown} holds no certificate in PEM")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::io::Write;

    use fleet_runtime::settings::{SettingsError, Sources, load};

    use super::*;

    fn load_text(text: &str) -> Result<Settings, Vec<String>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        match load(&Sources { file: Some(file.path().to_owned()), variables: Vec::new() }) {
            Ok(settings) => Ok(settings),
            Err(SettingsError::Problems { problems }) => {
                Err(problems.iter().map(ToString::to_string).collect())
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_host_is_enough_and_public_registries_are_known() {
        let settings =
            load_text("[[registry]]\nhost = \"ghcr.io\"\n[[registry]]\nhost = \"index.docker.io\"\n")
                .unwrap();
        let [ghcr, hub] = &settings.registries[..] else { panic!() };
        assert_eq!((ghcr.url.as_str(), ghcr.redirect_hosts.len()), ("https://ghcr.io/", 1));
        assert_eq!((hub.host.as_str(), hub.url.as_str()), ("docker.io", "https://registry-1.docker.io/"));
        assert_eq!(hub.token_realm.as_ref().unwrap().host_str(), Some("auth.docker.io"));
        assert!(hub.redirect_hosts.iter().any(|host| host == "production.cloudfront.docker.com"));
        assert!(!settings.takes_notifications());
    }

    #[test]
    fn loopback_may_be_plain_and_secrets_are_not_printed() {
        let settings = load_text(
            "[[registry]]\nhost = \"127.0.0.1:5000\"\nurl = \"http://127.0.0.1:5000\"\nusername = \"u\"\n\
             password = \"pa55word\"\nnotification_token = \"notify-token\"\npoll_interval = \"0s\"\n",
        );
        let settings = settings.unwrap();
        assert!(settings.registries[0].poll.is_none());
        let printed = format!("{settings:?}");
        assert!(
            printed.contains("***") && !printed.contains("pa55word") && !printed.contains("notify-token")
        );
    }

    #[test]
    fn every_problem_is_named() {
        let found = load_text(
            r#"
            [[registry]]
            host = "a b"
            [[registry]]
            host = "r.example"
            url = "http://r.example"
            username = "u"
            notification_token = "short"
            repositories = ["ok/app", "Not/Ok"]
            tags_max = 0
            certificate_authority_file = "/nowhere.pem"
            [[registry]]
            host = "s.example"
            url = "https://user:secret@s.example"
            token_realm = "http://auth.example/token"
            redirect_hosts = ["https://x"]
            poll_interval = "1ms"
            password = "p"
            colour = "blue"
            [registry_agent]
            look_up_attempts_max = 0
            "#,
        );
        let found = found.unwrap_err();
        for expected in [
            "registry[0].host: ",
            "registry[1].url: is plain HTTP",
            "registry[1].password: is missing",
            "registry[1].certificate_authority_file: cannot open",
            "registry[2].url: holds credentials",
            "registry[2].token_realm: is not https",
            "registry[2].redirect_hosts[0]: ",
            "registry[2].username: is missing",
            "registry[2].poll_interval: ",
            "registry[2].colour: unknown key",
            "registry_agent.look_up_attempts_max: is zero",
        ] {
            assert!(
                found.iter().any(|problem| problem.starts_with(expected)),
                "no {expected:?} in {found:#?}"
            );
        }
        assert!(!found.iter().any(|problem| problem.contains("secret@")), "{found:#?}");
    }

    #[test]
    fn one_token_cannot_stand_for_two_registries() {
        let section =
            |host: &str| format!("[[registry]]\nhost = \"{host}\"\nnotification_token = \"same-token\"\n");
        let found = load_text(&format!("{}{}", section("a.example"), section("b.example"))).unwrap_err();
        assert!(found[0].contains("notification_token of another"), "{found:?}");
        let found = load_text(&format!("{}{}", section("a.example"), section("A.example"))).unwrap_err();
        assert!(found.iter().any(|problem| problem.contains("two sections")), "{found:?}");
    }
}
