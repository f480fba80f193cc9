//! Variables as a source of settings: `CUSTODY__REGISTRIES__0__TOKEN` is `registries[0].token`.

use config::{ConfigError, Map, Source, Value};

use super::VARIABLE_PREFIX;

/// The highest place in a list that a variable may name.
const INDEX_MAX: usize = 99;

#[derive(Clone, Debug)]
pub(super) struct Environment {
    values: Vec<(String, String)>,
}

impl Environment {
    /// Splits into usable variables and the names of those that cannot be a key.
    pub(super) fn new(variables: &[(String, String)]) -> (Environment, Vec<String>) {
        let (mut values, mut odd) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
            match path(rest) {
                Some(path) => values.push((path, value.clone())),
                None => odd.push(name.clone()),
            }
        }
        // Lists grow from their first place on.
        values.sort();
        (Environment { values }, odd)
    }
}

fn path(rest: &str) -> Option<String> {
    let mut path = String::new();
    for part in rest.split("__") {
        let is_plain = part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if part.is_empty() || !is_plain {
            return None;
        }
        match part.parse::<usize>() {
            Ok(index) if !path.is_empty() && index <= INDEX_MAX => path.push_str(&format!("[{index}]")),
            Ok(_) => return None,
            Err(_) => {
                let dot = if path.is_empty() { "" } else { "." };
                path.push_str(&format!("{dot}{}", part.to_ascii_lowercase()));
            }
        }
    }
    Some(path)
}

impl Source for Environment {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let origin = "environment".to_owned();
        let value = |text: &String| Value::new(Some(&origin), text.clone());
        Ok(self.values.iter().map(|(path, text)| (path.clone(), value(text))).collect())
    }
}
