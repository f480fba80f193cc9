//! The login for a registry as docker or podman keep it: in a file, or with a credential helper that the file names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
}

/// Name and password for a host; `None` where no file has any.
pub(crate) async fn login(host: &str) -> anyhow::Result<Option<(String, Secret)>> {
    for path in files() {
        if !path.is_file() {
            continue;
        }
        // The parser's message is not repeated: it may quote a password.
        let unreadable = || Failure::usage(format!("{} is not docker's configuration", path.display()));
        let configuration: Configuration =
            serde_json::from_str(&file::text(&path)?).map_err(|_| unreadable())?;
        let own_helper = configuration.cred_helpers.iter().find(|(key, _)| host_of(key) == host);
        let found = match own_helper {
            Some((key, helper)) => helper.ask(key).await?,
            None => match (login_in(&configuration, host, &path)?, &configuration.creds_store) {
                (Some(found), _) => Some(found),
                (None, Some(helper)) => helper.ask(asked_as(host)).await?,
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
    host: &str,
    path: &Path,
) -> anyhow::Result<Option<(String, Secret)>> {
    let entry = configuration.auths.iter().find(|(key, _)| host_of(key) == host);
    let Some(auth) = entry.and_then(|(_, entry)| entry.auth.as_ref()).filter(|auth| !auth.is_empty()) else {
        return Ok(None);
    };
    let pair = STANDARD.decode(auth.expose().trim()).ok().and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    let (user, password) = pair.ok_or_else(|| {
        Failure::usage(format!("the login for {host} in {} cannot be read", path.display()))
    })?;
    // docker pads what it writes with zero bytes.
    Ok(Some((user.to_owned(), Secret::new(password.trim_end_matches('\0').to_owned()))))
}

/// docker's stores know its own registry by its first address.
fn asked_as(host: &str) -> &str {
    if host == DEFAULT_REGISTRY { "https://index.docker.io/v1/" } else { host }
}

/// docker writes `https://index.docker.io/v1/`, podman `docker.io`.
fn host_of(key: &str) -> &str {
    let host = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let host = host.split('/').next().unwrap_or_default();
    match host {
        "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY,
        host => host,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn find(text: &str, host: &str) -> anyhow::Result<Option<(String, String)>> {
        let configuration: Configuration = serde_json::from_str(text).unwrap();
        let found = login_in(&configuration, host, Path::new("config.json"))?;
        Ok(found.map(|(user, password)| (user, password.expose().to_owned())))
    }

    #[test]
    fn a_login_is_found_under_every_way_of_writing_its_host() {
        let pair = STANDARD.encode("ada:pass:word");
        for (key, host) in [
            ("ghcr.io", "ghcr.io"),
            ("https://ghcr.io/v2/", "ghcr.io"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("https://index.docker.io/v1/", "docker.io"),
        ] {
            let text = format!(r#"{{"auths":{{"{key}":{{"auth":"{pair}"}}}},"credsStore":"x"}}"#);
            assert_eq!(find(&text, host).unwrap(), Some(("ada".to_owned(), "pass:word".to_owned())), "{key}");
            assert_eq!(find(&text, "other.example").unwrap(), None);
        }
    }

    #[test]
    fn an_entry_without_a_login_is_none_and_a_broken_one_is_named_without_its_text() {
        assert_eq!(find(r#"{"auths":{"ghcr.io":{}}}"#, "ghcr.io").unwrap(), None);
        let refused =
            find(r#"{"auths":{"ghcr.io":{"auth":"c2VjcmV0"}}}"#, "ghcr.io").unwrap_err().to_string();
        assert!(refused.contains("ghcr.io") && !refused.contains("c2VjcmV0"), "{refused}");
    }
}
