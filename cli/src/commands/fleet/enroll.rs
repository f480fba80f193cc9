//! `custody fleet enroll`: a credential for one process of the fleet, and what three configurations say about it.
//!
//! In: who, and what it may speak about. Out: a seed in a file of its own, which is never printed, and the blocks for the
//! servers, the correlator and the process. Nothing is sent anywhere: whoever may change the servers' configuration enrols.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bus_schema::{AgentId, AgentKind};
use correlator_service::AgentGrant;
use fleet_runtime::bus::nats::{NatsSettings, Role, inbox_prefix_of};
use fleet_runtime::settings::Secret;
use nkeys::KeyPair;
use serde::Serialize;

use crate::args::{Enroll, RoleWord};
use crate::exit::{Exit, Failure};
use crate::output::Output;

const CORRELATOR: &str = "correlator";

/// What enrolling made and what is to be told to whom. Each block is a list of its lines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Enrolled {
    role: &'static str,
    id: String,
    /// Where the seed is. Whoever has it is this process.
    seed_file: PathBuf,
    public_key: String,
    /// The account on the servers.
    account: String,
    /// The file of the servers' configuration, beside `nats-server.conf`, and what belongs into it.
    server_file: String,
    server_configuration: Vec<String>,
    /// For the correlator's settings; absent for the correlator itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlator_settings: Option<Vec<String>>,
    /// For the settings of the process.
    process_settings: Vec<String>,
}

pub(crate) fn run(arguments: &Enroll, output: Output) -> anyhow::Result<Exit> {
    let role = role_of(arguments)?;
    let correlator_settings = match &role {
        Role::Correlator { .. } => None,
        Role::Agent { kind, id } => Some(agent_table(*kind, id, &arguments.scope)?),
    };
    check_servers(&arguments.server)?;
    let keys = KeyPair::new_user();
    let seed = Secret::new(keys.seed().context("make a seed")?);
    let seed_file = write_seed(&arguments.out, role.id(), &seed)?;
    let enrolled = Enrolled {
        role: word_of(&role),
        id: role.id().to_string(),
        public_key: keys.public_key(),
        account: role.account(),
        server_file: server_file(&role),
        server_configuration: lines(&role.configuration(&keys.public_key())),
        correlator_settings: correlator_settings.as_deref().map(lines),
        process_settings: lines(&bus_table(&role, &arguments.server, &seed_file)),
        seed_file,
    };
    output.either(&enrolled, |_| enrolled.text())?;
    Ok(Exit::Fine)
}

fn role_of(arguments: &Enroll) -> anyhow::Result<Role> {
    let kind = match arguments.role {
        RoleWord::Source => AgentKind::Source,
        RoleWord::Ci => AgentKind::Ci,
        RoleWord::Registry => AgentKind::Registry,
        RoleWord::Cluster => AgentKind::Cluster,
        RoleWord::Correlator => {
            if !arguments.scope.is_empty() {
                return Err(Failure::usage("--scope is for agents: the correlator speaks about everything"));
            }
            let id = match &arguments.id {
                Some(id) => id.clone(),
                None => CORRELATOR.parse().context("the correlator's name")?,
            };
            return Ok(Role::Correlator { id });
        }
    };
    let word = kind.as_str();
    match &arguments.id {
        None => Err(Failure::usage(format!(
            "an agent needs a name of its own: --id {word}-1 (it becomes a part of everything that the agent says)"
        ))),
        Some(id) if id.as_str() == CORRELATOR => {
            Err(Failure::usage(format!("`{CORRELATOR}` is the correlator's own name: choose another --id")))
        }
        Some(id) => Ok(Role::Agent { kind, id: id.clone() }),
    }
}

fn word_of(role: &Role) -> &'static str {
    match role {
        Role::Correlator { .. } => CORRELATOR,
        Role::Agent { kind, .. } => kind.as_str(),
    }
}

/// The `[[agent]]` of the correlator's settings, when its patterns are such.
fn agent_table(kind: AgentKind, id: &AgentId, scopes: &[String]) -> anyhow::Result<String> {
    if scopes.is_empty() {
        let example = match kind {
            AgentKind::Source | AgentKind::Ci => "'github.com/acme/**'",
            AgentKind::Registry => "'ghcr.io/acme/**'",
            AgentKind::Cluster => {
                "the cluster's id (kubectl get namespace kube-system -o jsonpath='{.metadata.uid}')"
            }
        };
        return Err(Failure::usage(format!(
            "say what the agent may speak about, with --scope: {example}; '**' is everything of its kind"
        )));
    }
    AgentGrant::new(kind, scopes.iter().map(String::as_str))
        .map_err(|reason| Failure::usage(format!("--scope: {reason}")))?;
    let scopes: Vec<String> = scopes.iter().map(|scope| quoted(scope)).collect();
    Ok(format!(
        "[[agent]]\nid = {}\nkind = {}\nscopes = [{}]\n",
        quoted(id.as_str()),
        quoted(kind.as_str()),
        scopes.join(", ")
    ))
}

fn check_servers(servers: &[String]) -> anyhow::Result<()> {
    let servers: Vec<&str> = servers.iter().map(String::as_str).collect();
    NatsSettings::of_servers(&servers).map(|_| ()).map_err(|problems| {
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failure::usage(format!("--server: {}", said.join("; ")))
    })
}

/// Writes the seed for its owner alone. A seed that is there stays: somebody may be using it.
fn write_seed(folder: &Path, id: &AgentId, seed: &Secret) -> anyhow::Result<PathBuf> {
    let shown = folder.display();
    fs::create_dir_all(folder).with_context(|| format!("make the folder {shown}"))?;
    let folder = folder.canonicalize().with_context(|| format!("find the folder {shown}"))?;
    let path = folder.join(format!("{id}.nk"));
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::usage(format!(
                "{} is there already: use it, or move it away before {id} is enrolled anew",
                path.display()
            )));
        }
        Err(error) => return Err(error).with_context(|| format!("make {}", path.display())),
    };
    let written = file.write_all(format!("{}\n", seed.expose()).as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // A part of a seed is of no use, and would be in the way of the next attempt.
        let _ = fs::remove_file(&path);
        return Err(error).with_context(|| format!("write {}", path.display()));
    }
    Ok(path)
}

fn server_file(role: &Role) -> String {
    match role {
        Role::Correlator { .. } => "correlator.conf".to_owned(),
        Role::Agent { id, .. } => format!("agents/{id}.conf"),
    }
}

/// The `[bus]` of the process's settings. What an agent's name decides, the agent knows itself.
fn bus_table(role: &Role, servers: &[String], seed_file: &Path) -> String {
    let id = role.id();
    let servers: Vec<String> = servers.iter().map(|server| quoted(server)).collect();
    let mut lines = vec![
        "[bus]".to_owned(),
        format!("servers = [{}]", servers.join(", ")),
        format!("nkey_seed_file = {}", quoted(&seed_file.to_string_lossy())),
        "root_certificates_file = \"tls/ca.crt\"".to_owned(),
        format!("certificate_file = {}", quoted(&format!("tls/{id}.crt"))),
        format!("certificate_key_file = {}", quoted(&format!("tls/{id}.key"))),
    ];
    if matches!(role, Role::Correlator { .. }) {
        lines.push(format!("inbox_prefix = {}", quoted(&inbox_prefix_of(id))));
    }
    lines.join("\n") + "\n"
}

fn lines(block: &str) -> Vec<String> {
    block.lines().map(str::to_owned).collect()
}

/// A string of TOML: JSON's escapes are among its own.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Enrolled {
    fn text(&self) -> String {
        let Enrolled { id, role, server_file, seed_file, .. } = self;
        let included = match &self.correlator_settings {
            Some(_) => format!(", and `include \"{server_file}\"` in agents.conf"),
            None => String::new(),
        };
        let mut blocks = vec![(
            format!(
                "For the servers: {server_file} beside nats-server.conf{included}; then `nats-server --signal reload`, and again when \
                 it has reloaded: what a new account may say is taken up by the second."
            ),
            &self.server_configuration,
        )];
        if let Some(settings) = &self.correlator_settings {
            blocks.push((
                "For the correlator's custody.toml; then start the correlator again.".to_owned(),
                settings,
            ));
        }
        let command = match self.correlator_settings {
            Some(_) => format!("custody agent {role} --id {id}"),
            None => "custody correlator".to_owned(),
        };
        let own = format!("For the custody.toml of `{command}`; paths are relative to that file.");
        blocks.push((own, &self.process_settings));
        let mut text = format!("# The seed of {id} is in {}. Whoever has it is {id}.\n", seed_file.display());
        for (number, (title, lines)) in blocks.iter().enumerate() {
            text += &format!("\n# {}. {title}\n{}\n", number + 1, lines.join("\n"));
        }
        text
    }
}
