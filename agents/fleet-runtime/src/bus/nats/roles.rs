//! The two roles that a process of a fleet has on the servers.
//!
//! The manager (the correlator, or the one process of `custody up`) makes what is declared and reads what all agents keep.
//! An agent makes nothing: it publishes its own subjects, and has an inbox and a bucket of blobs of its own.

use bus_schema::AgentId;

use super::declared::BLOB_BUCKET;
use super::settings::NatsSettings;

/// The bucket in which an agent keeps blobs.
pub fn blob_bucket_of(agent: &AgentId) -> String {
    bucket_of(agent.as_str())
}

/// What the name of an agent's bucket begins with.
pub(super) const OF_BUCKETS: &str = "blobs-";

pub(super) fn bucket_of(id: &str) -> String {
    format!("{OF_BUCKETS}{id}")
}

/// The prefix of an agent's inboxes: nobody else may listen there.
pub fn inbox_prefix_of(agent: &AgentId) -> String {
    inbox_of(agent.as_str())
}

pub(super) fn inbox_of(id: &str) -> String {
    format!("_INBOX.{id}")
}

impl NatsSettings {
    /// As an agent: its own names where the settings give none, no administration, and no end of waiting for a server.
    pub fn for_agent(mut self, agent: &AgentId) -> NatsSettings {
        self.manages = false;
        self.waits_for_servers = true;
        self.inbox_prefix.get_or_insert_with(|| inbox_prefix_of(agent));
        if self.blob_bucket == BLOB_BUCKET {
            self.blob_bucket = blob_bucket_of(agent);
        }
        self
    }

    /// As the manager of a fleet with these agents.
    pub fn for_manager<'a>(mut self, agents: impl IntoIterator<Item = &'a AgentId>) -> NatsSettings {
        self.manages = true;
        for bucket in agents.into_iter().map(blob_bucket_of) {
            if bucket != self.blob_bucket && !self.other_blob_buckets.contains(&bucket) {
                self.other_blob_buckets.push(bucket);
            }
        }
        self
    }

    /// The same on other servers.
    pub fn with_servers(mut self, servers: &[String]) -> Result<NatsSettings, Vec<crate::settings::Problem>> {
        let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
        let other = NatsSettings::of_servers(&servers)?;
        self.tls.is_required |= other.tls.is_required;
        self.servers = other.servers;
        Ok(self)
    }

    /// The same under another name in the servers' lists of connections.
    pub fn named(mut self, name: impl Into<String>) -> NatsSettings {
        self.name = name.into();
        self
    }
}
