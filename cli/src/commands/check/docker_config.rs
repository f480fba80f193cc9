//! The login for an image as docker or podman keep it: in a file, or with a credential helper that the file
//! names.
//!
//! A login may be meant for one namespace of its registry (containers-auth.json(5)): it is never sent for
//! another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::ImageRepository;
use bus_schema::image::DEFAULT_REGISTRY;
use fleet_runtime::settings::Secret;
use serde::Deserialize;

use super::credential_helper::HelperName;
use super::file;
use crate::exit::Failure;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    auths: BTreeMap<String, Entry>,
    /// The helper for each host.
    cred_helpers: BTreeMap<String, HelperName>,
    /// The helper for all other hosts.
    creds_store: Option<HelperName>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    /// `user:password` in base64.
    auth: Option<Secret>,
    /// The same in plain text, where there is no `auth`.
    username: Option<String>,
    password: Option<Secret>,
    /// What some clouds hand out instead of a password.
    #[serde(rename = "identitytoken")]
    identity_token: Option<Secret>,
}

/// Name and password for the images of a repository; `None` where no file has any.
pub(crate) async fn login(repository: &ImageRepository) -> anyhow::Result<Option<(String, Secret)>> {
    for path in files() {
        if !path.is_file() {
            continue;
        }
        // The parser's message is not repeated: it may quote a password.
        let unreadable = || Failure::usage(format!("{} is not docker's configuration", path.display()));
        let configuration: Configuration =
            serde_json::from_str(&file::text(&path)?).map_err(|_| unreadable())?;
        let found = match closest(configuration.cred_helpers.iter(), repository) {
            Some((key, helper)) => helper.ask(key).await?,
            None => match (login_in(&configuration, repository, &path)?, &configuration.creds_store) {
                (Some(found), _) => Some(found),
                (None, Some(helper)) => helper.ask(asked_as(repository.registry())).await?,
                (None, None) => None,
            },
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Where logins are kept, first those that somebody named.
fn files() -> Vec<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let named = folder("REGISTRY_AUTH_FILE");
    let docker = folder("DOCKER_CONFIG").or_else(|| folder("HOME").map(|home| home.join(".docker")));
    let podman = folder("XDG_RUNTIME_DIR").map(|runtime| runtime.join("containers/auth.json"));
    [named, docker.map(|docker| docker.join("config.json")), podman].into_iter().flatten().collect()
}

fn login_in(
    configuration: &Configuration,
    repository: &ImageRepository,
    path: &Path,
) -> anyhow::Result<Option<(String, Secret)>> {
    let with_login = configuration.auths.iter().filter(|(_, entry)| entry.has_login());
    let Some((key, entry)) = closest(with_login, repository) else { return Ok(None) };
    let shown = path.display();
    let (user, password) = entry
        .login()
        .ok_or_else(|| Failure::usage(format!("the login for {key} in {shown} cannot be read")))?;
    match (password.is_empty(), &entry.identity_token) {
        (false, _) => Ok(Some((user, password))),
        (true, Some(token)) if !token.is_empty() => Err(Failure::usage(format!(
            "{shown} has an identity token for {key}, and this takes a name and password"
        ))),
        (true, _) => Err(Failure::usage(format!("the login for {key} in {shown} has no password"))),
    }
}

impl Entry {
    fn has_login(&self) -> bool {
        let secrets = [&self.auth, &self.password, &self.identity_token];
        secrets.into_iter().flatten().any(|secret| !secret.is_empty())
    }

    /// `None` where it cannot be read. The password is empty where an identity token stands for it.
    fn login(&self) -> Option<(String, Secret)> {
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) else {
            let password = self.password.clone().unwrap_or_else(|| Secret::new(""));
            return Some((self.username.clone().unwrap_or_default(), password));
        };
        let pair = String::from_utf8(STANDARD.decode(auth.expose().trim()).ok()?).ok()?;
        let (user, password) = pair.split_once(':')?;
        // docker pads what it writes with zero bytes.
        Some((user.to_owned(), Secret::new(password.trim_end_matches('\0').to_owned())))
    }
}

/// What is meant for the repository most closely: for the longest of its namespaces, else for its whole
/// registry.
fn closest<'a, T>(
    entries: impl Iterator<Item = (&'a String, T)>,
    repository: &ImageRepository,
) -> Option<(&'a str, T)> {
    let meant = entries.filter_map(|(key, entry)| {
        let (host, namespace) = host_and_namespace(key);
        let is_within = namespace.is_empty()
            || repository
                .name()
                .strip_prefix(namespace)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (host == repository.registry() && is_within).then_some((namespace.len(), key.as_str(), entry))
    });
    let closest = meant.reduce(|best, other| if other.0 > best.0 { other } else { best });
    closest.map(|(_, key, entry)| (key, entry))
}

/// docker's stores know its own registry by its first address.
fn asked_as(host: &str) -> &str {
    if host == DEFAULT_REGISTRY { "https://index.docker.io/v1/" } else { host }
}

/// docker writes `https://index.docker.io/v1/`, podman `docker.io` and `quay.io/acme`. The version of an
/// interface is no namespace.
fn host_and_namespace(key: &str) -> (&str, &str) {
    let plain = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = plain.split_once('/').unwrap_or((plain, ""));
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
        host => host,
    };
    match path.trim_end_matches('/') {
        "v1" | "v2" => (host, ""),
        namespace => (host, namespace),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn find(text: &str, repository: &str) -> anyhow::Result<Option<(String, String)>> {
        let configuration: Configuration = serde_json::from_str(text).unwrap();
        let found = login_in(&configuration, &repository.parse().unwrap(), Path::new("config.json"))?;
        Ok(found.map(|(user, password)| (user, password.expose().to_owned())))
    }

    fn refused(text: &str) -> String {
        find(text, "ghcr.io/acme/app").unwrap_err().to_string()
    }

    #[test]
    fn a_login_is_found_under_every_way_of_writing_its_host() {
        let pair = STANDARD.encode("ada:pass:word");
        for (key, host) in [
            ("ghcr.io", "ghcr.io"),
            ("https://ghcr.io/v2/", "ghcr.io"),
            ("ghcr.io/v1", "ghcr.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("https://index.docker.io/v1/", "docker.io"),
        ] {
            let text = format!(r#"{{"auths":{{"{key}":{{"auth":"{pair}"}}}},"credsStore":"x"}}"#);
            let found = find(&text, &format!("{host}/acme/app")).unwrap();
            assert_eq!(found, Some(("ada".to_owned(), "pass:word".to_owned())), "{key}");
            assert_eq!(find(&text, "other.example/acme/app").unwrap(), None);
        }
    }

    #[test]
    fn a_login_for_a_namespace_is_sent_for_nothing_outside_it() {
        let auth = |user: &str| format!(r#"{{"auth":"{}"}}"#, STANDARD.encode(format!("{user}:word")));
        let text = |keys: &[&str]| {
            let entries: Vec<String> = keys.iter().map(|key| format!(r#""{key}":{}"#, auth(key))).collect();
            format!(r#"{{"auths":{{{}}}}}"#, entries.join(","))
        };
        let user = |keys: &[&str], repository: &str| {
            find(&text(keys), repository).unwrap().map(|(user, _)| user).unwrap_or_default()
        };
        let all = ["quay.io", "quay.io/acme", "quay.io/acme/deep"];
        assert_eq!(user(&all, "quay.io/acme/deep/app"), "quay.io/acme/deep");
        assert_eq!(user(&all, "quay.io/acme/deep"), "quay.io/acme/deep");
        assert_eq!(user(&all, "quay.io/acme/deeper/app"), "quay.io/acme");
        assert_eq!(user(&all, "quay.io/acmeevil/app"), "quay.io");
        assert_eq!(user(&all[1..], "quay.io/other/app"), "");
        assert_eq!(user(&all[1..], "quay.io/acmeevil/app"), "");
        assert_eq!(user(&["docker.io/library"], "docker.io/library/alpine"), "docker.io/library");
        assert_eq!(user(&["docker.io/library"], "docker.io/acme/app"), "");
    }

    #[test]
    fn a_helper_of_a_namespace_is_asked_for_nothing_outside_it() {
        let text = r#"{"credHelpers":{"quay.io/acme":"a","ghcr.io":"b"}}"#;
        let configuration: Configuration = serde_json::from_str(text).unwrap();
        let key = |repository: &str| {
            closest(configuration.cred_helpers.iter(), &repository.parse().unwrap()).map(|(key, _)| key)
        };
        assert_eq!(key("quay.io/acme/app"), Some("quay.io/acme"));
        assert_eq!(key("quay.io/other/app"), None);
        assert_eq!(key("ghcr.io/acme/app"), Some("ghcr.io"));
    }

    #[test]
    fn name_and_password_in_plain_text_are_read_where_there_is_no_auth() {
        let pair = STANDARD.encode("bob:other");
        let plain = r#""username":"ada","password":"pass:word""#;
        let login = |text: &str| {
            find(&format!(r#"{{"auths":{{"ghcr.io":{{{text}}}}}}}"#), "ghcr.io/acme/app").unwrap().unwrap()
        };
        assert_eq!(login(plain), ("ada".to_owned(), "pass:word".to_owned()));
        assert_eq!(login(&format!(r#"{plain},"auth":"""#)), ("ada".to_owned(), "pass:word".to_owned()));
        assert_eq!(login(&format!(r#"{plain},"auth":"{pair}""#)), ("bob".to_owned(), "other".to_owned()));
    }

    #[test]
    fn an_identity_token_is_no_password_and_is_named_without_its_text() {
        let pair = STANDARD.encode("00000000-0000-0000-0000-000000000000:");
        for entry in [
            format!(r#"{{"auth":"{pair}","identitytoken":"t0ken"}}"#),
            r#"{"identitytoken":"t0ken"}"#.to_owned(),
        ] {
            let said = refused(&format!(r#"{{"auths":{{"ghcr.io":{entry}}}}}"#));
            assert!(said.contains("an identity token for ghcr.io") && !said.contains("t0ken"), "{said}");
        }
        let said = refused(&format!(r#"{{"auths":{{"ghcr.io":{{"auth":"{pair}"}}}}}}"#));
        assert!(said.contains("has no password"), "{said}");
        let both = STANDARD.encode("ada:word");
        let text = format!(r#"{{"auths":{{"ghcr.io":{{"auth":"{both}","identitytoken":"t0ken"}}}}}}"#);
        assert_eq!(find(&text, "ghcr.io/acme/app").unwrap(), Some(("ada".to_owned(), "word".to_owned())));
    }

    #[test]
    fn an_entry_without_a_login_is_none_and_a_broken_one_is_named_without_its_text() {
        assert_eq!(find(r#"{"auths":{"ghcr.io":{}}}"#, "ghcr.io/acme/app").unwrap(), None);
        let said = refused(r#"{"auths":{"ghcr.io":{"auth":"c2VjcmV0"}}}"#);
        assert!(said.contains("ghcr.io") && !said.contains("c2VjcmV0"), "{said}");
    }
}
