//! Who may say what: the one table of the rights that a process of the fleet has on the servers.
//!
//! In: a role. Out: the exact subjects that its user may publish and subscribe to. An agent may say its own and nothing
//! else: no bucket of keys, no administration, nobody else's inbox, and nothing is read back. The servers do not look at
//! where a request wants its answer, so that a list of subjects alone would let an agent have its answers delivered as
//! somebody else's words, or as an order to delete a stream. Each agent therefore has an account of its own, which imports
//! exactly what it may publish: an answer cannot leave it. `SECURITY.md` shows the table; a test compares them.

mod configuration;

use bus_schema::{AgentId, AgentKind, Stage};

use super::declared::{BLOB_BUCKET, KEY_VALUE_BUCKETS};
use super::roles::inbox_of;
use crate::bus::Stream;

/// A process of the fleet, as the servers know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes and tends what is declared, reads what all say, and concludes.
    Correlator {
        id: AgentId,
    },
    Agent {
        kind: AgentKind,
        id: AgentId,
    },
}

/// What the user of one role may do; everything else is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    pub publish: Vec<Right>,
    pub subscribe: Vec<Right>,
}

/// One subject or pattern, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub subject: String,
    pub why: &'static str,
}

impl Role {
    pub fn id(&self) -> &AgentId {
        match self {
            Role::Correlator { id } | Role::Agent { id, .. } => id,
        }
    }

    pub fn rights(&self) -> Rights {
        match self {
            Role::Correlator { id } => of_correlator(id.as_str()),
            Role::Agent { kind, id } => of_agent(*kind, id.as_str()),
        }
    }
}

impl Rights {
    /// The subjects that may be published.
    pub fn publish_subjects(&self) -> impl Iterator<Item = &str> {
        self.publish.iter().map(|right| right.subject.as_str())
    }

    /// The subjects that may be subscribed to.
    pub fn subscribe_subjects(&self) -> impl Iterator<Item = &str> {
        self.subscribe.iter().map(|right| right.subject.as_str())
    }
}

/// `id` is a token of subjects: an agent's id, or the word that stands for it in a document.
fn of_agent(kind: AgentKind, id: &str) -> Rights {
    let bucket = super::roles::bucket_of(id);
    let mut publish = vec![
        right(format!("custody.in.{}.{id}.>", kind.stage().as_str()), "its own stage"),
        right(format!("custody.in.{}.{id}.>", Stage::Fleet.as_str()), "its heartbeat, its gaps, its answers"),
    ];
    if kind == AgentKind::Ci {
        // The forge keeps evidence, which is the registry's stage.
        let subject = format!("custody.in.{}.{id}.*.attestation.attached.*", Stage::Registry.as_str());
        publish.push(right(subject, "evidence that the forge keeps"));
    }
    publish.push(right(crate::dead_letters::subject_of(id), "its own dead letters"));
    if kind.answers().is_some() {
        let questions = Stream::Questions;
        publish.extend([
            right(format!("$JS.API.CONSUMER.MSG.NEXT.{questions}.{id}"), "the next questions for it"),
            right(format!("$JS.ACK.{questions}.{id}.>"), "settling them"),
        ]);
    }
    publish.extend([
        right(format!("$O.{bucket}.C.*"), "the pieces of its blobs"),
        right(format!("$O.{bucket}.M.*"), "the names of its blobs"),
    ]);
    Rights { publish, subscribe: vec![inbox(id)] }
}

fn of_correlator(id: &str) -> Rights {
    let mut publish = vec![
        right("custody.ask.>", "questions"),
        right("custody.out.>", "conclusions"),
        right("custody.in.>", "giving a dead letter back to its reader"),
        right("custody.dead.>", "what it could not understand"),
    ];
    let buckets =
        KEY_VALUE_BUCKETS.map(|bucket| right(format!("$KV.{bucket}.>"), "verdicts and the log's head"));
    publish.extend(buckets);
    publish.extend([
        right(format!("$O.{BLOB_BUCKET}.C.*"), "the pieces of its blobs"),
        right(format!("$O.{BLOB_BUCKET}.M.*"), "the names of its blobs"),
        right("$JS.API.INFO", "knowing that its last words have arrived"),
        right("$JS.API.STREAM.CREATE.*", "making what is declared"),
        right("$JS.API.STREAM.UPDATE.*", "mending what differs"),
        right("$JS.API.STREAM.INFO.*", "seeing what differs"),
        right("$JS.API.STREAM.PURGE.*", "trimming what everybody has settled"),
        right("$JS.API.STREAM.MSG.GET.*", "reading keys, blobs and dead letters"),
        right("$JS.API.STREAM.MSG.DELETE.*", "removing a dead letter"),
        right("$JS.API.CONSUMER.CREATE.>", "making the consumers, the agents' too"),
        right("$JS.API.CONSUMER.DELETE.*.*", "removing a consumer"),
        right("$JS.API.CONSUMER.INFO.*.*", "looking for a consumer"),
        right("$JS.API.CONSUMER.LIST.*", "seeing who has settled what"),
        right("$JS.API.CONSUMER.MSG.NEXT.*.*", "reading what agents report"),
        right("$JS.ACK.>", "settling it"),
    ]);
    Rights { publish, subscribe: vec![inbox(id)] }
}

fn inbox(id: &str) -> Right {
    right(format!("{}.>", inbox_of(id)), "answers to its own requests")
}

fn right(subject: impl Into<String>, why: &'static str) -> Right {
    Right { subject: subject.into(), why }
}

/// The table as a document shows it: each right once, with who has it.
pub fn table() -> String {
    const ID: &str = "<id>";
    let kinds = AgentKind::ALL.map(|kind| (kind.as_str(), of_agent(kind, ID)));
    let roles: Vec<(&str, Rights)> = kinds.into_iter().chain([("correlator", of_correlator(ID))]).collect();
    let mut text = String::from("| May | Subject | Who | What for |\n|---|---|---|---|\n");
    for (verb, of) in [
        ("publish", (|rights| &rights.publish) as fn(&Rights) -> &Vec<Right>),
        ("subscribe", |rights| &rights.subscribe),
    ] {
        let mut shown: Vec<&Right> = Vec::new();
        for right in roles.iter().flat_map(|(_, rights)| of(rights)) {
            if shown.contains(&right) {
                continue;
            }
            shown.push(right);
            let who = roles.iter().filter(|(_, rights)| of(rights).contains(right));
            let who: Vec<&str> = who.map(|(name, _)| *name).collect();
            let Right { subject, why } = right;
            text.push_str(&format!("| {verb} | `{subject}` | {} | {why} |\n", who.join(", ")));
        }
    }
    text
}

#[cfg(test)]
mod tests;
