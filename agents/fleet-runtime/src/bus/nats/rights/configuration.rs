//! A role's rights in the words of the servers' configuration.

use std::fmt::Write as _;

use super::{Rights, Role};

/// The account that holds the streams, and in it the correlator.
pub(super) const ACCOUNT: &str = "CUSTODY";

impl Role {
    /// The account of this role.
    pub fn account(&self) -> String {
        match self {
            Role::Correlator { .. } => ACCOUNT.to_owned(),
            // An agent's id has lower-case letters only: it is no other account's name.
            Role::Agent { id, .. } => format!("agent-{id}"),
        }
    }

    /// What to include in the servers' configuration: for the correlator inside its account, for an agent beside the others.
    pub fn configuration(&self, public_key: &str) -> String {
        let rights = self.rights();
        match self {
            Role::Correlator { .. } => users(public_key, &rights, ""),
            Role::Agent { .. } => {
                let mut text =
                    format!("{}: {{\n{}  imports: [\n", self.account(), users(public_key, &rights, "  "));
                for subject in rights.publish_subjects() {
                    // Writing into a string does not fail.
                    let _ =
                        writeln!(text, "    {{ service: {{ account: {ACCOUNT}, subject: {subject:?} }} }}");
                }
                text + "  ]\n}\n"
            }
        }
    }
}

fn users(public_key: &str, rights: &Rights, indent: &str) -> String {
    let mut text = format!("{indent}users: [ {{ nkey: {public_key}, permissions: {{\n");
    text += &allowed("publish", rights.publish_subjects(), indent);
    text += &allowed("subscribe", rights.subscribe_subjects(), indent);
    text + indent + "} } ]\n"
}

fn allowed<'a>(verb: &str, subjects: impl Iterator<Item = &'a str>, indent: &str) -> String {
    let mut text = format!("{indent}  {verb}: {{ allow: [\n");
    for subject in subjects {
        let _ = writeln!(text, "{indent}    {subject:?}");
    }
    text + indent + "  ] }\n"
}
