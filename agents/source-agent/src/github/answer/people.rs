//! Who may write: the permission of each reviewer, asked once per answer.

use std::collections::BTreeMap;

use bus_schema::source::Permission;
use github_client::answering::LookUpEnd;
use github_client::api::ApiFailure;
use github_client::payload::Account;

use super::LookUp;
use crate::github::payload::CollaboratorPermission;
use crate::github::translate::change;

/// The most people whose permission one answer asks for.
pub(super) const PEOPLE_MAX: usize = 100;

/// The permissions that one answer has learned, by login.
#[derive(Debug, Default)]
pub(super) struct People {
    permissions: BTreeMap<String, Permission>,
}

impl People {
    pub(super) async fn permission(
        &mut self,
        look_up: LookUp<'_>,
        account: &Account,
    ) -> Result<Permission, LookUpEnd> {
        let login = account.login.to_ascii_lowercase();
        if let Some(known) = self.permissions.get(&login) {
            return Ok(known.clone());
        }
        if self.permissions.len() >= PEOPLE_MAX {
            return Err(LookUpEnd::cut_off(format!("more than {PEOPLE_MAX} reviewers")));
        }
        let route = look_up.route(["collaborators", account.login.as_str(), "permission"]);
        let permission = match look_up.api.get::<CollaboratorPermission>(&route).await {
            Ok(answer) => change::permission(&answer.permission, answer.role_name.as_deref()),
            // An account that is gone, or an app's: it has no permission of its own.
            Err(ApiFailure::NotFound) => Permission::None,
            Err(failure) => return Err(LookUpEnd::failed("a reviewer's permission", &failure)),
        };
        self.permissions.insert(login, permission.clone());
        Ok(permission)
    }
}
