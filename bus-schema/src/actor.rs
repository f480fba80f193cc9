//! People and machines as a source names them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ForgeId;

/// Who did something, as the source reports it. Names are display; the forge's id is the identity where there is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// The account's name, for display.
    pub name: String,
    /// The forge's or registry's immutable id of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ForgeId>,
    /// A bot or an app rather than a person.
    #[serde(default)]
    pub bot: bool,
}

impl Actor {
    /// A person or machine of whom only the name is known.
    pub fn named(name: impl Into<String>) -> Actor {
        Actor { name: name.into(), id: None, bot: false }
    }

    /// Whether both are one account: by id where both have one, else by name.
    pub fn is_same(&self, other: &Actor) -> bool {
        match (&self.id, &other.id) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => self.name.eq_ignore_ascii_case(&other.name),
        }
    }
}
