//! From texts to a checked set: every problem at once, each with its file, line and column where the parser knows them.

use std::collections::BTreeMap;
use std::fmt;

use bus_schema::Digest;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::contracts::exception::ExceptionSpec;
use crate::contracts::identity::{Claim, TextDemand};
use crate::contracts::installation::InstallationSpec;
use crate::contracts::pattern::ImagePattern;
use crate::contracts::pipeline::{NamedKey, Pipeline, PipelineSpec, SignerContract};
use crate::contracts::trust_root::{
    self, EMBEDDED_PREFIX, EmbeddedRoot, RootSource, TUF_PREFIX, TrustRootSpec, TrustedKeyContract,
    TufSource, pem_fingerprint,
};
use crate::contracts::{ContractSet, DEFAULT_PIPELINE};
use crate::input::ContractLoaded;

/// The longest contract file, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;
/// The most documents in one set.
pub const DOCUMENTS_MAX: usize = 10_000;
/// The most documents in one file: what a document may cost is bounded for each.
pub const DOCUMENTS_PER_FILE_MAX: usize = 250;
const API_VERSION: &str = "custody.dev/v1";
const TRUST_ROOT: &str = "TrustRoot";

/// One problem of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.file, self.text)
    }
}

/// Everything that is wrong with a set of contracts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            fmt::Display::fmt(problem, formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: String,
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document<T> {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    spec: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

/// The files that the documents name, so that a loader can read them before it parses the whole. Embedded trust roots are
/// among them under names of their own ([`EmbeddedRoot::file`]), as those that hold where no document names a root.
pub fn named_files(documents: &BTreeMap<String, String>) -> Vec<String> {
    let mut gathering = Gathering::default();
    for (file, text) in documents {
        gathering.read_file(file, text);
    }
    let mut files: Vec<String> = match gathering.names_root {
        true => gathering.roots.iter().flat_map(|(_, _, source, _)| source.files()).collect(),
        false => EmbeddedRoot::ALL.iter().map(|root| root.file().to_owned()).collect(),
    };
    files.extend(gathering.keys.into_iter().map(|(_, key)| key.file));
    files.sort();
    files.dedup();
    files
}

/// The repositories that trust roots of these documents are kept fresh from.
pub fn tuf_sources(documents: &BTreeMap<String, String>) -> Vec<TufSource> {
    let mut gathering = Gathering::default();
    for (file, text) in documents {
        gathering.read_file(file, text);
    }
    let source = |(_, _, source, _): (String, String, RootSource, TrustRootSpec)| match source {
        RootSource::Tuf(source) => Some(source),
        RootSource::File(_) | RootSource::Embedded(_) => None,
    };
    gathering.roots.into_iter().filter_map(source).collect()
}

/// The same documents without their trust roots, every other one at the line where it was.
pub fn without_roots(documents: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let blanked = |text: &String| {
        let mut lines: Vec<&str> = text.lines().collect();
        for (first_line, document) in split_documents(text) {
            if yaml::<Head>(&document).is_ok_and(|head| head.kind == TRUST_ROOT) {
                lines.iter_mut().skip(first_line).take(document.lines().count()).for_each(|line| *line = "");
            }
        }
        lines.join("\n")
    };
    documents.iter().map(|(file, text)| (file.clone(), blanked(text))).collect()
}

/// Parses and checks a whole set.
pub fn parse(loaded: &ContractLoaded) -> Result<ContractSet, Problems> {
    let mut gathering = Gathering::default();
    if loaded.documents.len() > DOCUMENTS_MAX {
        gathering.problem("contracts", format!("more than {DOCUMENTS_MAX} files"));
        return Err(Problems(gathering.problems));
    }
    for (file, text) in &loaded.documents {
        gathering.read_file(file, text);
    }
    gathering.finish(loaded)
}

#[derive(Default)]
struct Gathering {
    set: Option<ContractSet>,
    problems: Vec<Problem>,
    /// Each with its file, name and source.
    roots: Vec<(String, String, RootSource, TrustRootSpec)>,
    /// A document of this kind is there, even if it is wrong.
    names_root: bool,
    keys: Vec<(String, NamedKey)>,
    exception_files: BTreeMap<String, String>,
    pipeline_files: BTreeMap<String, String>,
    installation_file: Option<String>,
}

impl Gathering {
    fn set(&mut self) -> &mut ContractSet {
        self.set.get_or_insert_with(ContractSet::empty)
    }

    fn problem(&mut self, file: &str, text: String) {
        self.problems.push(Problem { file: file.to_owned(), text });
    }

    fn read_file(&mut self, file: &str, text: &str) {
        if text.len() > DOCUMENT_BYTES_MAX {
            return self.problem(file, format!("{} bytes, the limit is {DOCUMENT_BYTES_MAX}", text.len()));
        }
        let documents = split_documents(text);
        if documents.len() > DOCUMENTS_PER_FILE_MAX {
            let count = documents.len();
            return self.problem(file, format!("{count} documents, the limit is {DOCUMENTS_PER_FILE_MAX}"));
        }
        for (first_line, document) in documents {
            // Blank lines before a document keep the line numbers of errors true to the file.
            let padded = format!("{}{document}", "\n".repeat(first_line));
            self.read_document(file, &padded);
        }
    }

    fn read_document(&mut self, file: &str, text: &str) {
        let head: Head = match yaml(text) {
            Ok(head) => head,
            Err(reason) => return self.problem(file, reason),
        };
        if head.api_version != API_VERSION {
            return self.problem(file, format!("apiVersion is {:?}, not {API_VERSION:?}", head.api_version));
        }
        match head.kind.as_str() {
            "Pipeline" => self.read_pipeline(file, text),
            "Exception" => self.read_exception(file, text),
            TRUST_ROOT => self.read_trust_root(file, text),
            "Installation" => self.read_installation(file, text),
            other => self.problem(
                file,
                format!("kind {other:?} is none of Pipeline, Exception, TrustRoot, Installation"),
            ),
        }
    }

    fn document<T: DeserializeOwned>(&mut self, file: &str, text: &str) -> Option<(String, T)> {
        let document: Document<T> = match yaml(text) {
            Ok(document) => document,
            Err(reason) => {
                self.problem(file, reason);
                return None;
            }
        };
        let name = document.metadata.name;
        let fits = !name.is_empty()
            && name.len() <= 63
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
        if !fits {
            self.problem(
                file,
                format!("metadata.name {name:?} is not 1 to 63 lower-case letters, digits, hyphens and dots"),
            );
            return None;
        }
        Some((name, document.spec))
    }

    fn read_pipeline(&mut self, file: &str, text: &str) {
        let Some((name, spec)) = self.document::<PipelineSpec>(file, text) else { return };
        if name == DEFAULT_PIPELINE {
            return self.problem(file, format!("a pipeline cannot be called {DEFAULT_PIPELINE:?}"));
        }
        let mut found = Vec::new();
        let (pipeline, keys) = spec.check(&name, &mut found);
        for text in found {
            self.problem(file, format!("pipeline {name}: {text}"));
        }
        self.keys.extend(keys.into_iter().map(|key| (file.to_owned(), key)));
        if let Some(other) = self.pipeline_files.insert(name.clone(), file.to_owned()) {
            self.problem(file, format!("pipeline {name} is declared a second time (first in {other})"));
        }
        self.set().pipelines.insert(name, pipeline);
    }

    fn read_exception(&mut self, file: &str, text: &str) {
        let Some((name, spec)) = self.document::<ExceptionSpec>(file, text) else { return };
        let mut found = Vec::new();
        let exception = spec.check(&name, &mut found);
        for text in found {
            self.problem(file, format!("exception {name}: {text}"));
        }
        if self.exception_files.insert(name.clone(), file.to_owned()).is_some() {
            self.problem(file, format!("exception {name} is declared a second time"));
        }
        self.set().exceptions.insert(name, exception);
    }

    fn read_trust_root(&mut self, file: &str, text: &str) {
        self.names_root = true;
        let Some((name, spec)) = self.document::<TrustRootSpec>(file, text) else { return };
        if self.roots.iter().any(|(_, other, ..)| *other == name) {
            return self.problem(file, format!("trust root {name} is declared a second time"));
        }
        match spec.source(&name) {
            Ok(source) => self.roots.push((file.to_owned(), name, source, spec)),
            Err(reason) => self.problem(file, format!("trust root {name}: {reason}")),
        }
    }

    fn read_installation(&mut self, file: &str, text: &str) {
        let Some((_, spec)) = self.document::<InstallationSpec>(file, text) else { return };
        if let Some(other) = self.installation_file.replace(file.to_owned()) {
            return self.problem(file, format!("an installation is declared already, in {other}"));
        }
        let mut found = Vec::new();
        let installation = spec.check(&mut found);
        for text in found {
            self.problem(file, format!("installation: {text}"));
        }
        self.set().installation = installation;
    }

    fn finish(mut self, loaded: &ContractLoaded) -> Result<ContractSet, Problems> {
        self.finish_roots(loaded);
        for (file, key) in std::mem::take(&mut self.keys) {
            let content = loaded
                .files
                .get(&key.file)
                .filter(|_| !key.file.starts_with(EMBEDDED_PREFIX) && !key.file.starts_with(TUF_PREFIX));
            let Some(content) = content else {
                self.problem(&file, format!("the key file {:?} is not there", key.file));
                continue;
            };
            let fingerprint = pem_fingerprint(content);
            let content = Digest::sha256_of(content.as_bytes());
            if fingerprint.is_none() {
                self.problem(&file, format!("the key file {:?} is not a public key in PEM", key.file));
            }
            let NamedKey { log_required, revoked_from, .. } = key;
            let id = key.id;
            let mut entry = TrustedKeyContract {
                file: key.file.clone(),
                content,
                fingerprint,
                id,
                log_required,
                revoked_from,
            };
            let known = self.set().keys.get(&key.file);
            if known.is_some_and(|known| known.id != entry.id) {
                let text = format!("the key {:?} is named twice, with two ids", key.file);
                self.problem(&file, text);
            }
            let known = self.set().keys.get(&key.file);
            let logs_differ = known.is_some_and(|known| known.log_required != log_required);
            // Withdrawn by one pipeline, it is withdrawn for all: the earliest time counts.
            let times = [known.and_then(|known| known.revoked_from), revoked_from];
            entry.revoked_from = times.into_iter().flatten().min();
            if logs_differ {
                let text = format!("the key {:?} is named twice, with and without a log", key.file);
                self.problem(&file, text);
            }
            // Its signatures would count under whichever name asks for less.
            let other_name = self.set().keys.values().find(|known| {
                known.file != entry.file && known.fingerprint == entry.fingerprint && known.id != entry.id
            });
            if let Some(other) = other_name.filter(|_| entry.fingerprint.is_some()) {
                let text =
                    format!("the key files {:?} and {:?} are one key, with two ids", other.file, key.file);
                self.problem(&file, text);
            }
            self.set().keys.insert(key.file, entry);
        }
        self.check_claims();
        self.check_exceptions();
        let mut set = self.set.take().unwrap_or_else(ContractSet::empty);
        set.hash = loaded.hash();
        set.warnings = warnings(&set);
        match self.problems.is_empty() {
            true => Ok(set),
            false => Err(Problems(self.problems)),
        }
    }

    fn finish_roots(&mut self, loaded: &ContractLoaded) {
        if !self.names_root {
            let roots = trust_root::by_default(&loaded.files);
            self.set().roots.extend(roots.into_iter().map(|root| (root.name.clone(), root)));
        }
        for (file, name, source, spec) in std::mem::take(&mut self.roots) {
            let Some(text) = loaded.files.get(source.file()) else {
                let missing = match &source {
                    RootSource::Tuf(source) => {
                        format!("trust root {name}: nothing good has come from {} yet", source.url)
                    }
                    _ => format!("trust root {name}: the file {:?} is not there", source.file()),
                };
                self.problem(&file, missing);
                continue;
            };
            let mut found = Vec::new();
            let content = Digest::sha256_of(text.as_bytes());
            let root = spec.check(&name, source, content, &mut |text| found.push(text));
            for text in found {
                self.problem(&file, format!("trust root {name}: {text}"));
            }
            // What verifies is said to have verified with one root: two that are the same could not be told apart.
            if let Some(same) = self.set().roots.values().find(|other| other.content == root.content) {
                let text = format!("trust roots {} and {name} hold the same", same.name);
                self.problem(&file, text);
            }
            self.set().roots.insert(name, root);
        }
    }

    /// Two equal claims on one repository are refused.
    fn check_claims(&mut self) {
        let mut owners: BTreeMap<ImagePattern, String> = BTreeMap::new();
        let claims: Vec<(ImagePattern, String)> = self
            .set()
            .pipelines
            .values()
            .flat_map(|pipeline| pipeline.images.iter().map(|image| (image.clone(), pipeline.name.clone())))
            .collect();
        for (pattern, pipeline) in claims {
            if let Some(other) = owners.insert(pattern.clone(), pipeline.clone()) {
                let file = self.pipeline_files.get(&pipeline).cloned().unwrap_or_default();
                self.problem(&file, format!("pipelines {other} and {pipeline} both claim {pattern}"));
            }
        }
    }

    fn check_exceptions(&mut self) {
        let missing: Vec<(String, String)> = {
            let set = self.set();
            set.exceptions
                .values()
                .filter(|exception| !set.pipelines.contains_key(&exception.scope.pipeline))
                .map(|exception| (exception.name.clone(), exception.scope.pipeline.clone()))
                .collect()
        };
        for (name, pipeline) in missing {
            let file = self.exception_files.get(&name).cloned().unwrap_or_default();
            self.problem(&file, format!("exception {name}: there is no pipeline {pipeline}"));
        }
    }
}

fn warnings(set: &ContractSet) -> Vec<String> {
    let mut warnings: Vec<String> = set
        .exceptions
        .values()
        .filter(|exception| exception.is_for_everything())
        .map(|exception| {
            let (name, pipeline) = (&exception.name, &exception.scope.pipeline);
            format!("exception {name} covers every link of every image of pipeline {pipeline}")
        })
        .collect();
    for pipeline in set.pipelines.values() {
        warnings.extend(unheard_issuers(set, pipeline));
        let Some(source) = &pipeline.source else { continue };
        if source.repository.id.is_none() {
            warnings.push(format!(
                "pipeline {}: source.repositoryId is not set, so {} is compared by name, which a stranger can register again after a rename",
                pipeline.name, source.repository
            ));
        }
        if set.issuers_of(source.repository.host.as_str()).is_empty() {
            warnings.push(format!(
                "pipeline {}: no trust root speaks for {}, so no keyless signature of its workflows can count",
                pipeline.name, source.repository.host
            ));
        }
    }
    warnings
}

/// Identities under an issuer for which no root speaks: no signature of theirs can count.
fn unheard_issuers(set: &ContractSet, pipeline: &Pipeline) -> Vec<String> {
    let issuer_of = |signer: &SignerContract| match signer {
        SignerContract::Keyless(keyless) if !keyless.of_source => {
            match keyless.identity.demand_on(Claim::Issuer) {
                Some(TextDemand::Is(issuer)) => Some(issuer.clone()),
                _ => None,
            }
        }
        _ => None,
    };
    let issuers = pipeline.signatures.any_of.iter().filter_map(issuer_of);
    let unheard = issuers.filter(|issuer| !set.roots.values().any(|root| root.speaks_for_issuer(issuer)));
    let warning = |issuer| {
        format!(
            "pipeline {}: no trust root speaks for issuer {issuer}, so no signature under it can count; list it under issuers of one",
            pipeline.name
        )
    };
    unheard.map(warning).collect()
}

/// Reads one document. Aliases, depth and size are bounded by the parser's budget; duplicate keys are refused.
fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// The documents of a file with the number of lines before each. A document that holds nothing but comments is left out.
fn split_documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (number, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            documents.push((number + 1, String::new()));
            continue;
        }
        if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let says_something = |line: &str| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    };
    documents.into_iter().filter(|(_, document)| document.lines().any(says_something)).collect()
}
