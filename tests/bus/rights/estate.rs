//! A fleet on a server that runs from the files of `deploy/streams/server`, with a credential for every role.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bus_schema::{AgentId, AgentKind};
use fleet_runtime::asked;
use fleet_runtime::bus::nats::{NatsBus, NatsSettings, RawNatsSettings, Role, inbox_prefix_of};
use fleet_runtime::bus::{Bus, Message, Stream};
use fleet_runtime::settings::{DurationText, Secret};
use harness::provision::repository_root;
use harness::servers::certificates::{CertificateFiles, TestAuthority};
use harness::servers::nats::{NODES, Nats, NatsCluster};
use harness::servers::nats_wire::{NatsWire, Shown};
use nkeys::KeyPair;
use tempfile::TempDir;

use super::attempts::may;
use crate::jetstream::{folder, settings};

/// Two of a kind, so that one can try to speak for the other.
const AGENTS: [(AgentKind, &str); 5] = [
    (AgentKind::Source, "source-1"),
    (AgentKind::Ci, "ci-1"),
    (AgentKind::Ci, "ci-2"),
    (AgentKind::Registry, "registry-1"),
    (AgentKind::Cluster, "cluster-1"),
];

/// A role with its credential.
pub(crate) struct Member {
    pub(crate) role: Role,
    seed: String,
}

impl Member {
    fn new(role: Role) -> Member {
        Member { role, seed: KeyPair::new_user().seed().unwrap() }
    }

    fn configuration(&self) -> String {
        self.role.configuration(&KeyPair::from_seed(&self.seed).unwrap().public_key())
    }

    pub(crate) fn may(&self, subject: &str) -> bool {
        may(&self.role, subject)
    }
}

pub(crate) struct Estate {
    server: Nats,
    authority: TestAuthority,
    client: CertificateFiles,
    members: Vec<Member>,
    /// Last, so that the server is gone when it goes.
    folder: TempDir,
}

/// How many messages lie under each subject of each stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State(BTreeMap<String, u64>);

impl State {
    /// Without what agents may add to: their own events, letters and blobs.
    pub(crate) fn untouched(&self) -> BTreeMap<&str, u64> {
        let own = |what: &str| {
            AGENTS.iter().any(|(kind, id)| {
                let role = Role::Agent { kind: *kind, id: id.parse().unwrap() };
                what.split_once(' ').is_some_and(|(_, subject)| may(&role, subject))
            })
        };
        self.0.iter().filter(|(what, _)| !own(what)).map(|(what, count)| (what.as_str(), *count)).collect()
    }
}

impl Estate {
    /// As the README of the server's folder says.
    pub(crate) async fn new() -> Estate {
        let (folder, members) = (prepared(), members());
        include(&members, &folder.path().join("server"));
        Estate::start(folder, members).await
    }

    /// The same, in which one agent is not enrolled yet.
    pub(crate) async fn without(late: &str) -> Estate {
        let (folder, members) = (prepared(), members());
        include(members.iter().filter(|one| one.role.id().as_str() != late), &folder.path().join("server"));
        Estate::start(folder, members).await
    }

    /// Puts everybody's account into the server's files, as enrolling says.
    pub(crate) fn include_all(&self) {
        include(&self.members, &self.folder.path().join("server"));
    }

    /// `nats-server --signal reload`.
    pub(crate) fn reload(&self) {
        self.server.process.signal("HUP").unwrap();
    }

    /// The same users with the same rights, all in the account of the streams.
    pub(crate) async fn in_one_account() -> Estate {
        let (folder, members) = (prepared(), members());
        let users = members.iter().map(|member| {
            let text = member.configuration();
            let (_, user) = text.split_once("users: [").unwrap();
            user.split_once("} } ]").unwrap().0.to_owned() + "} }"
        });
        let users = format!("users: [\n{}\n]\n", users.collect::<Vec<_>>().join("\n"));
        fs::write(folder.path().join("server/correlator.conf"), users).unwrap();
        Estate::start(folder, members).await
    }

    async fn start(folder: TempDir, members: Vec<Member>) -> Estate {
        let server = folder.path().join("server");
        let authority = TestAuthority::new().unwrap();
        fs::write(server.join("tls/ca.crt"), authority.certificate_pem()).unwrap();
        authority.issue_files(&server.join("tls"), "server").unwrap();
        let client = authority.issue_files(folder.path(), "client").unwrap();
        let server = Nats::start_file(&server).await.unwrap();
        Estate { server, authority, client, members, folder }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    pub(crate) fn agents(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| matches!(member.role, Role::Agent { .. }))
    }

    pub(crate) fn roles(&self) -> Vec<Role> {
        self.members.iter().map(|member| member.role.clone()).collect()
    }

    /// The correlator, with everything made that the agents need.
    pub(crate) async fn correlator(&self) -> Arc<NatsBus> {
        let member =
            self.members.iter().find(|member| matches!(member.role, Role::Correlator { .. })).unwrap();
        let ids: Vec<&AgentId> = self.agents().map(|member| member.role.id()).collect();
        let bus = NatsBus::connect(self.settings(member, true).for_manager(ids)).await.unwrap();
        for (kind, id) in AGENTS {
            if let Some(answerer) = kind.answers() {
                bus.consumer(asked::consumer(&id.parse().unwrap(), answerer).unwrap()).await.unwrap();
            }
        }
        bus
    }

    pub(crate) async fn agent(&self, member: &Member) -> Arc<NatsBus> {
        NatsBus::connect(self.settings(member, true).for_agent(member.role.id())).await.unwrap()
    }

    /// As `custody fleet enroll` prints them; with or without the client's certificate.
    pub(crate) fn settings(&self, member: &Member, shows_certificate: bool) -> NatsSettings {
        let url = self.server.url().replace("nats://127.0.0.1", "tls://localhost");
        let raw = RawNatsSettings {
            nkey_seed: Some(Secret::new(member.seed.clone())),
            inbox_prefix: Some(inbox_prefix_of(member.role.id())),
            root_certificates_file: Some(self.folder.path().join("server/tls/ca.crt")),
            certificate_file: shows_certificate.then(|| self.client.certificate.clone()),
            certificate_key_file: shows_certificate.then(|| self.client.key.clone()),
            connect_within: DurationText::seconds(5),
            ..settings(&[url], None)
        };
        NatsSettings::from_raw(raw).unwrap()
    }

    pub(crate) async fn wire(&self, member: &Member) -> NatsWire {
        self.try_wire(member).await.unwrap()
    }

    /// The same where the server may not know the member.
    pub(crate) async fn try_wire(&self, member: &Member) -> anyhow::Result<NatsWire> {
        self.wire_with(member, Some(&member.seed)).await
    }

    pub(crate) async fn wire_with(&self, member: &Member, seed: Option<&str>) -> anyhow::Result<NatsWire> {
        let shown = Shown {
            authority: self.authority.certificate_pem(),
            certificate: &self.client,
            seed,
            inbox: inbox_prefix_of(member.role.id()),
        };
        NatsWire::connect_shown(self.server.url(), &shown).await
    }

    /// What lies in the streams, as the correlator sees it; a stream that is gone is not in it.
    pub(crate) async fn state(&self, correlator: &NatsBus) -> State {
        let mut found = BTreeMap::new();
        for stream in Stream::ALL {
            found.insert(stream.name().to_owned(), 0);
            for stored in correlator.read(stream, 0, 1024).await.unwrap() {
                *found.entry(format!("{stream} {}", stored.message.subject)).or_default() += 1;
            }
        }
        let drift = correlator.drift().await.unwrap();
        found.extend(drift.iter().map(|one| (format!("drift: {one}"), 1)));
        let url = format!("{}/jsz?acc=CUSTODY&streams=true&consumers=true", self.server.monitoring_url());
        let told: serde_json::Value = harness::http::get(url).await.unwrap().json().await.unwrap();
        for stream in told["account_details"][0]["stream_detail"].as_array().unwrap() {
            let name = stream["name"].as_str().unwrap();
            // What agents write is looked at above.
            let is_own = name.starts_with("OBJ_blobs-") || ["events", "dead-letters"].contains(&name);
            let messages = if is_own { 0 } else { stream["state"]["messages"].as_u64().unwrap() };
            found.insert(format!("{name} messages"), messages);
            for consumer in stream["consumer_detail"].as_array().into_iter().flatten() {
                found.insert(format!("{name}/{}", consumer["name"].as_str().unwrap()), 1);
            }
        }
        State(found)
    }
}

fn members() -> Vec<Member> {
    let agents = AGENTS.map(|(kind, id)| Member::new(Role::Agent { kind, id: id.parse().unwrap() }));
    let correlator = Member::new(Role::Correlator { id: "correlator".parse().unwrap() });
    agents.into_iter().chain([correlator]).collect()
}

/// Puts what enrolling printed where the README says.
fn include<'a>(members: impl IntoIterator<Item = &'a Member>, server: &Path) {
    let mut included = String::new();
    fs::create_dir_all(server.join("agents")).unwrap();
    for member in members {
        let id = member.role.id();
        match &member.role {
            Role::Correlator { .. } => {
                fs::write(server.join("correlator.conf"), member.configuration()).unwrap();
            }
            Role::Agent { .. } => {
                fs::write(server.join(format!("agents/{id}.conf")), member.configuration()).unwrap();
                included += &format!("include \"agents/{id}.conf\"\n");
            }
        }
    }
    fs::write(server.join("agents.conf"), included).unwrap();
}

/// The same accounts on three nodes, in plain text: who is who, and how to reach each node.
pub(crate) async fn three_nodes() -> (TempDir, NatsCluster, Vec<Member>) {
    let (folder, members) = (folder(), members());
    let configuration = repository_root().join("deploy/streams/server/nats-server.conf");
    let configuration = fs::read_to_string(configuration).unwrap();
    let (_, accounts) = configuration.split_once("\naccounts {").unwrap();
    for number in 0..NODES {
        include(&members, &folder.path().join(format!("node-{number}")));
    }
    let cluster = NatsCluster::start_with(folder.path(), &format!("accounts {{{accounts}")).await.unwrap();
    (folder, cluster, members)
}

/// A member's connection to one node.
pub(crate) async fn at(url: &str, member: &Member) -> Arc<NatsBus> {
    let raw = RawNatsSettings {
        nkey_seed: Some(Secret::new(member.seed.clone())),
        inbox_prefix: Some(inbox_prefix_of(member.role.id())),
        ..settings(&[url.to_owned()], None)
    };
    let checked = NatsSettings::from_raw(raw).unwrap();
    let agents: Vec<AgentId> = AGENTS.iter().map(|(_, id)| id.parse().unwrap()).collect();
    let own = match member.role {
        Role::Agent { .. } => checked.for_agent(member.role.id()),
        Role::Correlator { .. } => checked.for_manager(&agents),
    };
    NatsBus::connect(own).await.unwrap()
}

/// A copy of the server's folder, to be filled.
fn prepared() -> TempDir {
    let folder = folder();
    let server = folder.path().join("server");
    fs::create_dir_all(server.join("tls")).unwrap();
    copy(&repository_root().join("deploy/streams/server"), &server);
    folder
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// An event on a subject of this agent.
pub(crate) fn own_event(kind: AgentKind, id: &AgentId, message_id: &str) -> Message {
    let (noun, verb) = match kind {
        AgentKind::Source => ("commit", "pushed"),
        AgentKind::Ci => ("run", "finished"),
        AgentKind::Registry => ("image", "pushed"),
        AgentKind::Cluster => ("container", "started"),
    };
    let subject = format!("custody.in.{}.{id}.0123456789abcdef.{noun}.{verb}.v1", kind.as_str());
    Message::new(subject, format!("{id}-{message_id}"), "{}")
}
