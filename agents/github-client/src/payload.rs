//! The foreign shapes that webhooks and API answers share, with only the fields in use, and what they mean here.

use bus_schema::{Actor, ForgeHost, ForgeId, ParseError, RepositoryRef};
use serde::Deserialize;

use crate::time::ForgeTime;

/// The longest name of a person or machine that is kept, in bytes.
pub const ACTOR_NAME_BYTES_MAX: usize = 256;
/// GitHub shows actions of deleted accounts under this name.
const DELETED_ACCOUNT: &str = "ghost";

/// An account: a user, an organisation, or an app's bot.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    pub login: String,
    #[serde(default)]
    pub id: Option<u64>,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

impl Account {
    pub fn actor(&self) -> Actor {
        Actor {
            name: cut_name(&self.login),
            id: self.id.map(ForgeId::from),
            bot: self.kind.as_deref() == Some("Bot") || names_a_bot(&self.login),
        }
    }
}

/// The actor of an account that may be gone.
pub fn actor_or_deleted(account: Option<&Account>) -> Actor {
    account.map_or_else(|| Actor::named(DELETED_ACCOUNT), Account::actor)
}

/// Author or committer as git records them: a claim of whoever made the commit. The e-mail address stays out.
#[derive(Debug, Clone, Deserialize)]
pub struct GitPerson {
    #[serde(default)]
    pub name: Option<String>,
    /// The account that the forge matched to the e-mail address (webhooks only).
    #[serde(default)]
    pub username: Option<String>,
}

impl GitPerson {
    pub fn actor(&self) -> Option<Actor> {
        let name = self.username.as_deref().or(self.name.as_deref())?;
        Some(Actor { name: cut_name(name), id: None, bot: names_a_bot(name) })
    }
}

/// A repository.
#[derive(Debug, Clone, Deserialize)]
pub struct Repository {
    pub id: u64,
    pub name: String,
    pub owner: Account,
    /// Its page: where the host is named.
    #[serde(default)]
    pub html_url: Option<String>,
    /// The branch that people start from; left out inside other things.
    #[serde(default)]
    pub default_branch: Option<String>,
    /// Seconds in `push` webhooks, text elsewhere; null for a repository without pushes.
    #[serde(default)]
    pub pushed_at: Option<ForgeTime>,
}

impl Repository {
    /// The identity on `host`, with the forge's ids.
    pub fn reference(&self, host: &ForgeHost) -> Result<RepositoryRef, ParseError> {
        let path: RepositoryRef = format!("{host}/{}/{}", self.owner.login, self.name).parse()?;
        Ok(path.with_ids(Some(ForgeId::from(self.id)), self.owner.id.map(ForgeId::from)))
    }
}

/// GitHub's own account for changes made on its web pages: it commits, but a person acted.
pub fn is_web_flow(account: &Account) -> bool {
    account.id == Some(19_864_447) || (account.id.is_none() && account.login == "web-flow")
}

fn names_a_bot(login: &str) -> bool {
    login.ends_with("[bot]")
}

fn cut_name(name: &str) -> String {
    let mut end = name.len().min(ACTOR_NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn an_account_becomes_an_actor_with_its_id() {
        let account: Account =
            serde_json::from_str(r#"{"login":"dependabot[bot]","id":49699333,"type":"Bot"}"#).unwrap();
        let actor = account.actor();
        assert!(actor.bot);
        assert_eq!(actor.id, Some(ForgeId::from(49_699_333)));
        assert_eq!(actor_or_deleted(None).name, "ghost");
    }

    #[test]
    fn a_long_name_is_cut_on_a_character() {
        let account = Account { login: "ä".repeat(400), id: None, kind: None };
        assert_eq!(account.actor().name.len(), 256);
    }
}
