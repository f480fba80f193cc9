//! The command line.

mod environment;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::check::arguments::Check;
use crate::output::Format;

pub(crate) use environment::parse;

const EXITS: &str = "Exit codes: 0 fine, 1 a finding (untrusted, open case, log does not verify), 2 usage, settings or \
                     contracts, 3 unreachable or in use, 4 our own failure.";

/// The chain of custody of every container that runs.
///
/// Each running image must lead back through an unbroken chain: reviewed source, trusted build, signed provenance, the
/// digest in the registry, a trusted signature, an SBOM. custody watches registries, forges, CI and clusters, judges every
/// digest, and opens one case per problem.
#[derive(Debug, Parser)]
#[command(name = "custody", version, after_help = EXITS, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The settings file; without it, custody.toml in the current folder where there is one. `check` reads only one that is
    /// named: the folder may be anybody's.
    #[arg(long, global = true, env = "CUSTODY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data folder; without it, $XDG_STATE_HOME/custody or ~/.local/state/custody.
    #[arg(long, global = true, env = "CUSTODY_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The form of the output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the fleet in one process: bus, correlator, and the agents of the settings file.
    #[command(
        after_help = "Examples:\n  custody up --sample --once            see it work on a recording, offline\n  \
                            custody up --config custody.toml      watch your own\n\nStop it with Ctrl-C: what is in hand is \
                            finished first. With --output json \
                            it prints one object when it runs (event \"started\") and one when it knows what runs (event \
                            \"images\")."
    )]
    Up(Up),
    /// Run one agent of a fleet, as a process of its own on NATS servers.
    #[command(
        after_help = "Examples:\n  custody agent registry --config custody.toml\n  custody agent cluster --cluster prod-eu \
                            \\\n    --id cluster-prod-eu --bus tls://nats.acme.example:4222\n\nWhat it sees is kept on its own disk while the \
                            servers are away. `custody fleet enroll` makes its credential."
    )]
    Agent(AgentArguments),
    /// Run the correlator of a fleet, as a process of its own on NATS servers.
    #[command(after_help = "Examples:\n  custody correlator --config custody.toml\n  custody correlator \
                            --bus tls://nats-0.acme.example:4222 \\\n    --bus tls://nats-1.acme.example:4222\n\nOne is active per data folder. It \
                            makes the streams, and reads only what the agents of [[agent]] may say.")]
    Correlator(CorrelatorArguments),
    /// Show every agent and how the bus stands: coverage, lag, last event, version, budget, errors, streams and consumers.
    #[command(
        after_help = "Examples:\n  custody fleet\n  custody fleet --data /var/lib/custody --output json\n  custody fleet enroll \
                            --help\n\nExits 1 when an agent is silent or was refused, or the bus is nearly full or not as declared."
    )]
    Fleet {
        #[command(subcommand)]
        command: Option<Fleet>,
    },
    /// Draw the chain of one image, link by link.
    #[command(after_help = "Examples:\n  custody trace ghcr.io/acme/payments-api:v1.4.0\n  custody trace \
                            sha256:4c1d77a0\n  custody trace sha256:4c1d77a0 --output json\n\nOf a digest at least 8 digits of its \
                            beginning are given. Exits 1 unless every verdict is trusted or waived.")]
    Trace {
        /// An image reference, a digest, or the beginning of a digest.
        image: String,
    },
    /// Judge one image, OCI layout or file now, against a contract or what flags expect.
    Check(Box<Check>),
    /// Tell where a digest runs.
    #[command(
        after_help = "Examples:\n  custody where sha256:4c1d77a0\n  custody where ghcr.io/acme/payments-api:v1.4.0"
    )]
    Where {
        /// A digest, the beginning of one, or an image reference.
        image: String,
    },
    /// List cases, or show one.
    #[command(
        after_help = "Examples:\n  custody cases                  what is open\n  custody cases --all           \
                            resolved ones too\n  custody cases 7d0c9a          one case, whole\n\nExits 1 while a case is open."
    )]
    Cases {
        /// A case's id, or the beginning of it, with `case-` or without.
        id: Option<String>,
        /// Resolved cases too.
        #[arg(long)]
        all: bool,
    },
    /// Prove the evidence log.
    #[command(
        after_help = "Examples:\n  custody log verify\n\nExits 1 when the log does not verify, 2 without data, 3 when a disk \
                            or the running process does not answer."
    )]
    Log {
        #[command(subcommand)]
        command: Log,
    },
    /// What could not be understood or did not succeed.
    #[command(
        after_help = "Examples:\n  custody deadletter list\n  custody deadletter show 3\n  custody deadletter replay \
                            3\n\nExits 1 when a letter cannot be replayed, 2 when there is no such letter, 3 when the letters are on \
                            NATS servers and no correlator runs."
    )]
    Deadletter {
        #[command(subcommand)]
        command: DeadLetter,
    },
    /// Check contracts, and make the first exceptions.
    #[command(
        after_help = "Examples:\n  custody policy check ./contracts\n  custody policy baseline --owner platform-team \
                            \\\n    --reason 'ran before custody was installed' \\\n    --control 'rebuilt within 90 days' > \
                            contracts/baseline.yaml\n\nExits 2 when contracts are wrong."
    )]
    Policy {
        #[command(subcommand)]
        command: Policy,
    },
    /// Tell what is configured, reachable and allowed to do its work, and what to do where not.
    #[command(
        after_help = "Examples:\n  custody doctor\n  custody doctor --config custody.toml --output json\n\nExits 1 when \
                            something cannot work."
    )]
    Doctor {
        /// NATS servers, instead of those of the settings; several times for a cluster.
        #[arg(long, env = "CUSTODY_BUS", value_name = "URL", value_delimiter = ',')]
        bus: Vec<String>,
    },
    /// Speak the client protocol of the Sigstore conformance suite.
    #[command(hide = true)]
    Conformance {
        #[command(subcommand)]
        command: Conformance,
    },
}

/// The suite's commands, with its own names for the options.
#[derive(Debug, Subcommand)]
pub(crate) enum Conformance {
    /// Verify a bundle against an artifact and an identity or a key.
    VerifyBundle(VerifyBundle),
    /// Sign an artifact or a statement with an identity token.
    SignBundle(SignBundle),
}

#[derive(Debug, Args)]
pub(crate) struct VerifyBundle {
    /// Trust the staging instance of Sigstore instead of the public-good one.
    #[arg(long)]
    pub(crate) staging: bool,
    /// The bundle.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: PathBuf,
    /// The subject that the certificate must have.
    #[arg(
        long,
        value_name = "IDENTITY",
        required_unless_present = "key",
        requires = "certificate_oidc_issuer"
    )]
    pub(crate) certificate_identity: Option<String>,
    /// The issuer that the certificate must name.
    #[arg(long, value_name = "URL")]
    pub(crate) certificate_oidc_issuer: Option<String>,
    /// The public key that must have signed, as PEM.
    #[arg(long, value_name = "FILE", conflicts_with = "certificate_identity")]
    pub(crate) key: Option<PathBuf>,
    /// A trusted_root.json instead of that of the public-good instance.
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// A file, or `sha256:` and its digest.
    #[arg(value_name = "FILE_OR_DIGEST")]
    pub(crate) artifact: String,
}

#[derive(Debug, Args)]
pub(crate) struct SignBundle {
    /// Sign with the staging instance of Sigstore instead of the public-good one.
    #[arg(long)]
    pub(crate) staging: bool,
    /// The file is an in-toto statement, to be signed as an attestation.
    #[arg(long)]
    pub(crate) in_toto: bool,
    /// The identity token.
    #[arg(long, value_name = "TOKEN", hide_env_values = true)]
    pub(crate) identity_token: String,
    /// Where the bundle is written to.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: PathBuf,
    /// Accepted as the protocol has it; signing itself verifies nothing.
    #[arg(long, value_name = "FILE")]
    pub(crate) trusted_root: Option<PathBuf>,
    /// The services to sign with, instead of those of the public-good instance.
    #[arg(long, value_name = "FILE")]
    pub(crate) signing_config: Option<PathBuf>,
    /// The artifact, or the statement.
    #[arg(value_name = "FILE")]
    pub(crate) artifact: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Play the project's own recording through the whole program instead of watching anything; offline.
    #[arg(long)]
    pub(crate) sample: bool,
    /// With --sample: end when everything is judged and delivered.
    #[arg(long, requires = "sample")]
    pub(crate) once: bool,
    /// With --sample: play the recording in this folder.
    #[arg(long, requires = "sample", value_name = "DIR")]
    pub(crate) recording: Option<PathBuf>,
    /// NATS servers to use instead of a bus in the data folder; several times for a cluster. Not with --sample.
    #[arg(long, env = "CUSTODY_BUS", value_name = "URL", value_delimiter = ',')]
    pub(crate) bus: Vec<String>,
}

/// The kinds of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum AgentWord {
    /// What was pushed and reviewed at the forge.
    Source,
    /// What was built.
    Ci,
    /// What lies in registries.
    Registry,
    /// What runs in one cluster.
    Cluster,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArguments {
    /// What it watches.
    #[arg(value_enum)]
    pub(crate) kind: AgentWord,
    /// The name under which it was enrolled; without it, the one that its kind usually has.
    #[arg(long)]
    pub(crate) id: Option<bus_schema::AgentId>,
    /// Which of several clusters of the settings.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// NATS servers, instead of those of the settings; several times for a cluster.
    #[arg(long, env = "CUSTODY_BUS", value_name = "URL", value_delimiter = ',')]
    pub(crate) bus: Vec<String>,
    /// The most that waits on this machine while the servers are away, in MiB. Beyond it webhooks are answered with 503.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65536))]
    pub(crate) outbox_mib_max: u64,
}

#[derive(Debug, Args)]
pub(crate) struct CorrelatorArguments {
    /// NATS servers, instead of those of the settings; several times for a cluster.
    #[arg(long, env = "CUSTODY_BUS", value_name = "URL", value_delimiter = ',')]
    pub(crate) bus: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Fleet {
    /// Make the credential of one process of the fleet, and print what the servers, the correlator and the process need to know.
    #[command(
        after_help = "Examples:\n  custody fleet enroll correlator --out secrets\n  custody fleet enroll registry --id registry-eu \
                            \\\n    --scope 'registry.acme.example/**' --out secrets\n  custody fleet enroll cluster --id cluster-prod-eu \
                            \\\n    --scope 4f7c2a1e-0d3b-4c55-9a57-2f6f6f1d9a10 \\\n    --server tls://nats.acme.example:4222\n\nThe seed goes to a file \
                            that only you can read, and is never printed. The first block belongs into the servers' \
                            configuration (deploy/streams/server), the second into the correlator's settings, the third into those of \
                            the process. Enrolling an id again makes a new credential: the old one works until the servers' \
                            configuration no longer has it."
    )]
    Enroll(Enroll),
}

#[derive(Debug, Args)]
pub(crate) struct Enroll {
    /// What is enrolled.
    #[arg(value_enum)]
    pub(crate) role: RoleWord,
    /// The name of the process: lower-case letters, digits and hyphens. Without it `correlator` for the correlator; an agent
    /// needs one.
    #[arg(long)]
    pub(crate) id: Option<bus_schema::AgentId>,
    /// What an agent may speak about: image repositories (`ghcr.io/acme/**`), forge repositories (`github.com/acme/**`), or the
    /// id of a cluster. Several times for several.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) scope: Vec<String>,
    /// The folder for the seed; it is made where it is not there.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) out: PathBuf,
    /// The servers, as the process reaches them; several times for a cluster.
    #[arg(long, value_name = "URL", default_value = "tls://nats.example:4222")]
    pub(crate) server: Vec<String>,
}

/// Who takes part in a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RoleWord {
    /// The agent of a forge's repositories.
    Source,
    /// The agent of a forge's CI.
    Ci,
    /// The agent of registries.
    Registry,
    /// The agent of a cluster.
    Cluster,
    /// The correlator.
    Correlator,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Read the whole evidence log and check every hash, link and signature.
    #[command(
        after_help = "Examples:\n  custody log verify\n  custody log verify --data /var/lib/custody\n\nExits 1 when the \
                            log does not verify."
    )]
    Verify,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetter {
    /// List the letters, oldest first.
    #[command(after_help = "Example:\n  custody deadletter list")]
    List,
    /// Show one letter and the beginning of its payload.
    #[command(after_help = "Example:\n  custody deadletter show 3")]
    Show { number: u64 },
    /// Give the message of a letter to its reader again, and remove the letter.
    #[command(after_help = "Example:\n  custody deadletter replay 3")]
    Replay { number: u64 },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Read a folder of contracts and tell everything that is wrong, with file, line and column.
    #[command(
        after_help = "Examples:\n  custody policy check\n  custody policy check ./contracts\n\nExits 2 when something is \
                            wrong."
    )]
    Check {
        /// The folder; without it, the one of the settings, or ./contracts.
        folder: Option<PathBuf>,
    },
    /// Write an exception for the digests that ran at installation and fail only because nobody watched before.
    #[command(
        after_help = "Example:\n  custody policy baseline --owner platform-team --days 90 \\\n    --reason 'ran before \
                            custody was installed' \\\n    --control 'rebuilt within 90 days' > contracts/baseline.yaml"
    )]
    Baseline {
        /// Who answers for it.
        #[arg(long)]
        owner: String,
        /// Why it is acceptable.
        #[arg(long)]
        reason: String,
        /// What protects meanwhile.
        #[arg(long)]
        control: String,
        /// For how long, from now.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=366))]
        days: u16,
    },
}

#[cfg(test)]
mod tests;
