//! Settings: one TOML file and the environment (`CUSTODY__REGISTRY__URL`), raw first, then checked, once, at start.
//!
//! In: a file and variables. Out: checked settings, or every problem at once, each with its key. Unknown keys are
//! refused. A value of a secret key never appears in a problem.

mod duration;
mod environment;
mod problems;
mod secret;
mod tree;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use duration::DurationText;
pub use problems::{Problem, Problems};
pub use secret::Secret;

/// The largest settings file.
pub const SETTINGS_BYTES_MAX: u64 = 1 << 20;
/// Variables of this prefix are settings; `__` separates the parts of a key, a number is a place in a list.
pub const VARIABLE_PREFIX: &str = "CUSTODY__";

/// Settings that are made from a raw form by checking it.
pub trait Checked: Sized {
    /// The shape of the file: optional fields, plain types, `deny_unknown_fields`.
    type Raw: DeserializeOwned;

    /// Collects every problem; `None` needs at least one.
    fn check(raw: Self::Raw, problems: &mut Problems) -> Option<Self>;
}

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    /// Names and values; only those with the prefix count.
    pub variables: Vec<(String, String)>,
}

impl Sources {
    /// The given file and the environment of this process. A variable that is not UTF-8 is left out.
    pub fn of_process(file: Option<PathBuf>) -> Sources {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .collect();
        Sources { file, variables }
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the settings file {path} could not be read")]
    Unreadable { path: String, source: std::io::Error },
    #[error("the settings file {path} is larger than {SETTINGS_BYTES_MAX} bytes")]
    TooLarge { path: String },
    #[error("the settings are not right:{}", problems.iter().map(|p| format!("\n  {p}")).collect::<String>())]
    Problems { problems: Vec<Problem> },
}

/// Reads and checks settings.
pub fn load<S: Checked>(sources: &Sources) -> Result<S, SettingsError> {
    let text = match &sources.file {
        Some(path) => read(path)?,
        None => String::new(),
    };
    let mut problems = Problems::default();
    let values = tree::merge(&text, &sources.variables, &mut problems);
    let raw: Option<S::Raw> = values.and_then(|values| tree::deserialize(values, &mut problems));
    let checked = raw.and_then(|raw| S::check(raw, &mut problems));
    match (checked, problems.into_found()) {
        (Some(checked), found) if found.is_empty() => Ok(checked),
        (_, problems) => Err(SettingsError::Problems { problems }),
    }
}

fn read(path: &Path) -> Result<String, SettingsError> {
    let shown = path.display().to_string();
    let unreadable = |source| SettingsError::Unreadable { path: shown.clone(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(SETTINGS_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    match text.len() as u64 > SETTINGS_BYTES_MAX {
        true => Err(SettingsError::TooLarge { path: shown }),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests;
