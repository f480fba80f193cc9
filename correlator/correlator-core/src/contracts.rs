//! The contracts: pipelines, exceptions, trust roots and the installation's table, as one checked set.
//!
//! Texts in, a [`ContractSet`] or every problem out. What judging reads enters only here.

pub mod duration;
pub mod exception;
pub mod identity;
pub mod installation;
pub mod parse;
pub mod pattern;
pub mod pipeline;
pub mod regexp;
pub mod trust_root;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::{Digest, ImageRepository};
use jiff::Timestamp;

use crate::contracts::exception::Exception;
use crate::contracts::installation::Installation;
use crate::contracts::pipeline::Pipeline;
use crate::contracts::trust_root::{Revocation, TrustRootContract, TrustedKeyContract};
use crate::facts::{RootVersion, Signer, Statement};

/// The name of the pipeline that judges what no other claims.
pub const DEFAULT_PIPELINE: &str = "default";

/// Everything that was loaded, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractSet {
    /// The hash of the texts, carried by every verdict.
    pub hash: Digest,
    pub pipelines: BTreeMap<String, Pipeline>,
    pub exceptions: BTreeMap<String, Exception>,
    pub roots: BTreeMap<String, TrustRootContract>,
    /// The keys that pipelines name, by fingerprint-independent name (their file).
    pub keys: BTreeMap<String, TrustedKeyContract>,
    pub installation: Installation,
    /// What is not wrong but deserves a look.
    pub warnings: Vec<String>,
}

/// Which pipeline judges a repository.
#[derive(Debug, Clone, Copy)]
pub enum Claim<'a> {
    Claimed(&'a Pipeline),
    Unclaimed,
}

impl ContractSet {
    /// The set before anything is loaded: nothing is claimed.
    pub fn empty() -> ContractSet {
        ContractSet {
            hash: crate::input::ContractLoaded { documents: BTreeMap::new(), files: BTreeMap::new() }.hash(),
            pipelines: BTreeMap::new(),
            exceptions: BTreeMap::new(),
            roots: BTreeMap::new(),
            keys: BTreeMap::new(),
            installation: Installation::default(),
            warnings: Vec::new(),
        }
    }

    /// Whether a pipeline claims the repository.
    pub fn claims(&self, repository: &ImageRepository) -> bool {
        matches!(self.claim(repository), Claim::Claimed(_))
    }

    /// The pipeline of a repository, after mirrors are mapped to their origins; the longest entry wins.
    pub fn claim(&self, repository: &ImageRepository) -> Claim<'_> {
        let origin = self.installation.origin(repository);
        let longest = self
            .pipelines
            .values()
            .flat_map(|pipeline| pipeline.images.iter().map(move |pattern| (pattern, pipeline)))
            .filter(|(pattern, _)| pattern.matches(&origin))
            .max_by_key(|(pattern, _)| pattern.length());
        match longest {
            Some((_, pipeline)) => Claim::Claimed(pipeline),
            None => Claim::Unclaimed,
        }
    }

    /// The hash of all trust roots, keys and demands: evidence is verified again when it changes.
    pub fn trust_version(&self) -> Digest {
        let mut fields = vec!["trust".to_owned()];
        for root in self.roots.values() {
            fields.extend([root.name.clone(), root.content.to_string(), root.demands.to_string()]);
        }
        for key in self.keys.values() {
            fields.extend([key.file.clone(), key.content.to_string(), key.log_required.to_string()]);
            fields.extend(key.id.iter().map(|id| format!("id {id}")));
        }
        Digest::Sha256(bus_schema::hash::hash_fields(fields.iter().map(String::as_str)))
    }

    /// The fingerprint of a key file of the contracts: the SHA-256 digest of its SubjectPublicKeyInfo in DER.
    pub fn key_fingerprint(&self, file: &str) -> Option<Digest> {
        self.keys.get(file).and_then(|key| key.fingerprint)
    }

    /// What is wrong with this set at a time: exceptions that are longer than the administrator allows.
    pub fn problems_at(&self, now: Timestamp) -> Vec<String> {
        let limit = self.installation.exception_length_max;
        self.exceptions
            .values()
            .filter(|exception| exception.expires > limit.after(now))
            .map(|exception| {
                let (name, expires) = (&exception.name, exception.expires);
                format!("exception {name} expires at {expires}, more than {limit} from now")
            })
            .collect()
    }

    /// The issuers whose certificates speak for runs of a forge host, under whichever root speaks for it.
    pub fn issuers_of(&self, forge_host: &str) -> BTreeSet<&str> {
        let forges = self.roots.values().flat_map(|root| &root.forges);
        forges.filter(|forge| forge.host.as_str() == forge_host).map(|forge| forge.issuer.as_str()).collect()
    }

    /// What a statement rests on and was withdrawn before it was signed. A withdrawal of a key holds wherever the key is
    /// named, under whichever file.
    pub fn revocation_of(&self, statement: &Statement, counted_at: Timestamp) -> Option<Revocation> {
        let of_key = match &statement.signer {
            Signer::Key { fingerprint, .. } | Signer::CloudBuild { fingerprint, .. } => self
                .keys
                .values()
                .filter(|key| key.fingerprint == Some(*fingerprint))
                .filter_map(|key| {
                    Some(Revocation { from: key.revoked_from?, what: format!("key {}", key.file) })
                })
                .min(),
            Signer::Keyless(_) => None,
        };
        let root = statement.root.as_ref().and_then(|version| self.root(version));
        let of_root = root.and_then(|root| root.revocation_of(&statement.rests_on));
        [of_key, of_root].into_iter().flatten().filter(|revocation| counted_at >= revocation.from).min()
    }

    /// The root in force that verified something; `None` when another is in force by that name.
    pub fn root(&self, version: &RootVersion) -> Option<&TrustRootContract> {
        self.roots.get(&version.name).filter(|root| root.content == version.content)
    }
}

/// The issuer of GitHub Actions' identity tokens on github.com.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
