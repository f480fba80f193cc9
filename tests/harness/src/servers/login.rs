//! Names and passwords of registry users, in the forms that the tools want.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, json};

/// A registry user.
#[derive(Debug, Clone)]
pub struct Login {
    pub name: String,
    pub password: String,
}

impl Login {
    /// A user by name and password.
    pub fn new(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self { name: name.into(), password: password.into() }
    }

    /// The value of the header `Authorization`.
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.name, self.password)))
    }
}

/// Writes `config.json` with one user per registry host into the folder, which is what `DOCKER_CONFIG` has to name.
pub fn write_docker_config(folder: &Path, logins: &[(&str, &Login)]) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let hosts: Map<_, _> = logins
        .iter()
        .map(|(host, login)| {
            let auth = STANDARD.encode(format!("{}:{}", login.name, login.password));
            ((*host).to_owned(), json!({ "auth": auth }))
        })
        .collect();
    fs::write(folder.join("config.json"), json!({ "auths": hosts }).to_string())?;
    Ok(folder.to_path_buf())
}
