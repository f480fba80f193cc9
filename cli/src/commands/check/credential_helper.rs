//! Credential helpers of docker (docker/docker-credential-helpers, "Development"): programs that keep logins elsewhere.
//!
//! In: the name of a helper, from the person's own configuration, and a registry. Out: name and password, or that it has
//! none. A helper has a bound in time and output, and what it writes is never repeated: it may hold a password.

use std::process::Stdio;
use std::time::Duration;

use fleet_runtime::settings::Secret;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::exit::Failure;

/// How long a helper may take: some ask a cloud.
const PATIENCE: Duration = Duration::from_secs(20);
const OUTPUT_BYTES_MAX: u64 = 64 << 10;
/// What every helper says when it has no login for a registry.
const NONE_FOUND: &str = "credentials not found in native keychain";
/// The name under which a helper hands out a token that is no password.
const IDENTITY_TOKEN: &str = "<token>";

/// The part of a helper's name behind `docker-credential-`: a word, never a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct HelperName(String);

impl TryFrom<String> for HelperName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<HelperName, &'static str> {
        let is_word = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if is_word { Ok(HelperName(name)) } else { Err("the name of a credential helper is one word") }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Login {
    username: String,
    secret: Secret,
}

impl HelperName {
    fn program(&self) -> String {
        format!("docker-credential-{}", self.0)
    }

    /// The login for a registry; `None` where the helper has none.
    pub(crate) async fn ask(&self, registry: &str) -> anyhow::Result<Option<(String, Secret)>> {
        let program = self.program();
        let asked = tokio::time::timeout(PATIENCE, self.run(registry)).await;
        let Ok(answer) = asked else {
            let seconds = PATIENCE.as_secs();
            return Err(Failure::unreachable(format!("{program} did not answer within {seconds} s")));
        };
        let (is_fine, output) = answer?;
        if !is_fine {
            let said = String::from_utf8_lossy(&output);
            return match said.contains(NONE_FOUND) {
                true => Ok(None),
                false => {
                    Err(Failure::unreachable(format!("{program} has no login for {registry}: it failed")))
                }
            };
        }
        let unreadable = || Failure::usage(format!("the answer of {program} for {registry} is not a login"));
        let Login { username, secret } = serde_json::from_slice(&output).map_err(|_| unreadable())?;
        if username == IDENTITY_TOKEN {
            let said =
                format!("{program} has an identity token for {registry}, and this takes a name and password");
            return Err(Failure::usage(said));
        }
        Ok(Some((username, secret)))
    }

    /// Whether it ended well, and what it wrote.
    async fn run(&self, registry: &str) -> anyhow::Result<(bool, Vec<u8>)> {
        let program = self.program();
        let started = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut child =
            started.map_err(|error| Failure::usage(format!("{program} cannot be started: {error}")))?;
        let output = exchange(&mut child, registry).await?;
        Ok((child.wait().await?.success(), output))
    }
}

async fn exchange(child: &mut Child, registry: &str) -> std::io::Result<Vec<u8>> {
    if let Some(mut input) = child.stdin.take() {
        // One that has answered without reading has answered.
        let _ = input.write_all(registry.as_bytes()).await;
    }
    let mut output = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut output).await?;
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_helper_is_named_by_a_word() {
        for name in ["pass", "ecr-login", "gcr_1.2"] {
            assert_eq!(
                HelperName::try_from(name.to_owned()).unwrap().program(),
                format!("docker-credential-{name}")
            );
        }
        for name in ["", "../evil", "a b", "a/b", "a\0", &"a".repeat(65)] {
            assert!(HelperName::try_from(name.to_owned()).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there_is_named() {
        let helper = HelperName::try_from("nobody-has-this".to_owned()).unwrap();
        let said = helper.ask("ghcr.io").await.unwrap_err().to_string();
        assert!(said.contains("docker-credential-nobody-has-this"), "{said}");
    }
}
