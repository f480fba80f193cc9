//! What a body says it is about: the repository, organisation or account that it names, checked against a scope.

use bus_schema::{ForgeHost, RepositoryRef};
use serde::Deserialize;

use crate::json::{self, JsonError};
use crate::payload::{Account, Repository};
use crate::scope::ForgeScope;

/// The parts of any webhook body that name an owner.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    repository: Option<Repository>,
    #[serde(default)]
    organization: Option<Account>,
    #[serde(default)]
    installation: Option<Installation>,
}

#[derive(Debug, Deserialize)]
struct Installation {
    #[serde(default)]
    account: Option<Account>,
}

/// Why a body is not one that its secret may sign.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    #[error("the repository {0} is outside the secret's scope")]
    Repository(String),
    #[error("the owner {0} is outside the secret's scope")]
    Owner(String),
    #[error("the repository's page is on {found:?}, the secret speaks for {expected}")]
    Host { expected: ForgeHost, found: String },
    #[error("the repository's name is refused")]
    Name,
    #[error("nothing fits")]
    Nothing,
}

pub(super) fn read(body: &[u8]) -> Result<Claims, JsonError> {
    json::read_object(body)
}

impl Claims {
    /// Everything that the body names must lie in the scope. A body that names nobody (an advisory, a ping of an app)
    /// passes: no agent reads an event of that kind.
    pub(super) fn check(&self, scope: &ForgeScope) -> Result<(), ClaimRefusal> {
        if let Some(repository) = &self.repository {
            check_repository(repository, scope)?;
        }
        if let Some(organization) = &self.organization {
            check_owner(organization, scope)?;
        }
        match self.installation.as_ref().and_then(|installation| installation.account.as_ref()) {
            Some(account) => check_owner(account, scope),
            None => Ok(()),
        }
    }
}

fn check_repository(repository: &Repository, scope: &ForgeScope) -> Result<(), ClaimRefusal> {
    let reference = repository.reference(&scope.host).map_err(|_| ClaimRefusal::Name)?;
    if !scope.holds(&reference) {
        return Err(ClaimRefusal::Repository(reference.path()));
    }
    if let Some(page) = &repository.html_url {
        let found = RepositoryRef::from_url(page).map_err(|_| ClaimRefusal::Name)?;
        if found.host != scope.host {
            return Err(ClaimRefusal::Host { expected: scope.host.clone(), found: found.host.to_string() });
        }
        if !found.is_same(&reference) {
            return Err(ClaimRefusal::Repository(found.path()));
        }
    }
    Ok(())
}

/// A secret of single repositories may still receive what concerns their owner, for example a ping.
fn check_owner(account: &Account, scope: &ForgeScope) -> Result<(), ClaimRefusal> {
    match scope.owners().any(|owner| owner.eq_ignore_ascii_case(&account.login)) {
        true => Ok(()),
        false => Err(ClaimRefusal::Owner(account.actor().name)),
    }
}
