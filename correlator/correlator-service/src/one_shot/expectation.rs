//! What a command line expects, as the contract that says the same.
//!
//! In: an identity, a key, a source, a builder, the roots. Out: one pipeline of the language that every contract is written
//! in, which requires what was spoken of and nothing else; so that one evaluator judges both.

use std::collections::BTreeMap;

use bus_schema::{ImageRepository, ParseError, RepositoryRef};
use correlator_core::contracts::GITHUB_ISSUER;
use correlator_core::contracts::parse::without_roots;
use correlator_core::contracts::regexp::WholeRegexp;
use correlator_core::contracts::trust_root::{Demands, EmbeddedRoot, pem_fingerprint};
use correlator_core::input::ContractLoaded;
use evidence::{GENERATOR, GENERATOR_WORKFLOWS};
use serde_json::{Value, json};

/// The name of the pipeline, of its file and of a given root.
pub const NAME: &str = "command-line";
const KEY_FILE: &str = "command-line.pub";
/// Stands for a file of contracts; none can have this name.
const GIVEN_ROOTS: &str = "<given trust roots>";
/// The most roots that one text may hold.
pub const GIVEN_ROOTS_MAX: usize = 8;
const GITLAB_ISSUER: &str = "https://gitlab.com";

/// What provenance calls a run on GitHub's own runners.
const GITHUB_HOSTED_IDS: [&str; 3] =
    ["github-hosted", "https://github.com/actions/runner", "https://github.com/actions/runner/github-hosted"];

/// What somebody expects of an image or file.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The repository that the pipeline claims.
    pub repository: ImageRepository,
    pub signer: Option<Signer>,
    pub source: Option<Source>,
    /// The workflow that signs the provenance, with or without `https://` and `@revision`.
    pub builder: Option<String>,
    pub roots: Roots,
    pub lenience: Lenience,
}

/// Who must have signed: one of these, for a contract that names both is content with either.
#[derive(Debug, Clone)]
pub enum Signer {
    /// Whose certificate.
    Certificate(Identity),
    /// A public key in PEM.
    Key(String),
}

/// Whom a certificate names.
#[derive(Debug, Clone)]
pub struct Identity {
    pub subject: Text,
    pub issuer: Text,
}

/// One text, or all that a pattern matches as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    Exact(String),
    Regexp(String),
}

/// Where it must have been built from.
#[derive(Debug, Clone)]
pub struct Source {
    /// `github.com/acme/api`, with or without `https://` or `git+https://`.
    pub uri: String,
    pub git_ref: Ref,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ref {
    /// Any branch or tag, and nothing else: no pull request.
    Any,
    Branch(String),
    Tag(String),
}

/// What certificates and logs are verified with.
#[derive(Debug, Clone)]
pub enum Roots {
    /// Those that the program brings along.
    Embedded,
    /// The text of a `trusted_root.json`, or of several behind each other (`gh attestation trusted-root` writes one per
    /// line). Each demands what it has the keys to check.
    Given(String),
}

/// What is let pass that is refused otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lenience {
    /// Certificates without a certificate log's proof.
    pub ignore_certificate_log: bool,
    /// Signatures without a log entry.
    pub ignore_log: bool,
    /// Signatures that neither log nor timestamp dates: whoever got hold of the key later could have made them.
    pub allow_undated: bool,
}

/// Why an expectation cannot be written as a contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpectationError {
    #[error("nothing is expected: name an identity, a key or a source")]
    Nothing,
    #[error("a builder is a workflow of a source: name the source too")]
    BuilderWithoutSource,
    #[error("a builder is read from a certificate, and a key has none: name either")]
    BuilderOfKey,
    #[error(
        "provenance of Google Cloud Build is signed by keys of Google's, and no flag names one: write a contract with such a \
         key and its id (`key: {{ file: …, id: projects/verified-builder/… }}`), and name it with --pipeline"
    )]
    BuilderOfGoogle,
    #[error("the source is no repository")]
    Source(#[from] ParseError),
    #[error("the key is no public key in PEM{}", if *is_private { ": it is a private one" } else { "" })]
    Key { is_private: bool },
    #[error("the pattern {text:?} is {reason}")]
    Pattern { text: String, reason: String },
    #[error("the ref {text:?} holds an asterisk, which no branch or tag does")]
    Ref { text: String },
    #[error("the trusted root is not one: {reason}")]
    Root { reason: String },
}

impl Expectation {
    /// The contract. Whether its parts are right, its check says.
    pub fn contracts(&self) -> Result<ContractLoaded, ExpectationError> {
        let mut documents = vec![self.pipeline()?];
        let mut files = BTreeMap::new();
        let issuer = match &self.signer {
            Some(Signer::Key(key)) => {
                if pem_fingerprint(key).is_none() {
                    return Err(ExpectationError::Key { is_private: key.contains("PRIVATE KEY") });
                }
                files.insert(KEY_FILE.to_owned(), key.clone());
                None
            }
            Some(Signer::Certificate(identity)) => {
                identity.subject.check()?;
                identity.issuer.check()?;
                Some(&identity.issuer)
            }
            None => None,
        };
        let host = self.source.as_ref().map(Source::repository).transpose()?;
        let host = host.map(|repository| repository.host.to_string());
        add_roots(&self.roots, self.lenience, issuer, host.as_deref(), &mut documents, &mut files)?;
        Ok(ContractLoaded {
            documents: BTreeMap::from([(format!("{NAME}.yaml"), joined(&documents))]),
            files,
        })
    }

    fn pipeline(&self) -> Result<Value, ExpectationError> {
        let by_key = matches!(self.signer, Some(Signer::Key(_)));
        if self.signer.is_none() && self.source.is_none() && self.builder.is_none() {
            return Err(ExpectationError::Nothing);
        }
        if self.builder.is_some() && self.source.is_none() {
            return Err(ExpectationError::BuilderWithoutSource);
        }
        if self.builder.is_some() && by_key {
            return Err(ExpectationError::BuilderOfKey);
        }
        if self.builder.as_deref().is_some_and(is_of_google) {
            return Err(ExpectationError::BuilderOfGoogle);
        }
        let mut spec = json!({ "images": [self.repository.to_string()] });
        let mut require = Vec::new();
        if let Some(source) = &self.source {
            let repository = source.repository()?;
            // No forge is asked, so nothing can be reviewed: repository and ref are what the signed claims say they are.
            spec["source"] = json!({ "repository": repository.path(), "refs": source.refs()?, "reviews": 0 });
            // Only a certificate says which builder ran and which ref a commit was on; what a key's holder wrote about them is
            // not proven, and the ref is compared with it all the same.
            if !by_key {
                spec["provenance"] = json!({ "builders": self.builders(), "slsaLevel": self.level() });
                require.push("source");
            }
            require.push("provenance");
        }
        if let Some(signer) = &self.signer {
            spec["signatures"] = json!({ "anyOf": [signer.written(self.lenience)] });
            require.push("signature");
        }
        spec["require"] = json!(require);
        Ok(document("Pipeline", NAME, spec))
    }

    fn builders(&self) -> Vec<String> {
        match self.builder.as_deref() {
            Some(id) if GITHUB_HOSTED_IDS.contains(&id) => vec!["github-hosted".to_owned()],
            // As `gh attestation verify` takes a workflow: on the source's own forge.
            Some(id) if id.contains('/') && !has_host(id) => {
                let host = self.source.as_ref().and_then(|source| source.repository().ok());
                vec![host.map_or_else(|| id.to_owned(), |source| format!("{}/{id}", source.host))]
            }
            Some(id) => vec![id.to_owned()],
            // The workflows that keep the signing identity from the build, at their version tags. A delegator builds
            // nothing itself: whom it signed for has to be one of them too, or be named.
            None => {
                let builders = GENERATOR_WORKFLOWS.iter().filter(|file| !file.starts_with("delegator_"));
                let generators = builders.map(|file| format!("{GENERATOR}{file}@refs/tags/v*"));
                std::iter::once("github-hosted".to_owned()).chain(generators).collect()
            }
        }
    }
}

impl Expectation {
    /// The level of the builders that are expected, where the table of builders tells it: of those that GitHub's issuer
    /// vouches for. Below it the builder ran where nobody knows what else does.
    fn level(&self) -> u8 {
        let is_told = match &self.signer {
            Some(Signer::Certificate(Identity { issuer: Text::Exact(issuer), .. })) => {
                issuer.starts_with(GITHUB_ISSUER)
            }
            signer => !matches!(signer, Some(Signer::Key(_))),
        };
        let generator = GENERATOR.trim_start_matches("https://");
        match &self.builder {
            None if is_told => 2,
            Some(_) if is_told && self.builders().iter().all(|builder| builder.contains(generator)) => 3,
            _ => 0,
        }
    }
}

impl Signer {
    fn written(&self, lenience: Lenience) -> Value {
        match self {
            Signer::Certificate(identity) => {
                let mut keyless = json!({});
                identity.subject.write("subject", &mut keyless);
                identity.issuer.write("issuer", &mut keyless);
                json!({ "keyless": keyless })
            }
            Signer::Key(_) => {
                let log = if lenience.ignore_log { "not-required" } else { "required" };
                json!({ "key": { "file": KEY_FILE, "log": log } })
            }
        }
    }
}

impl Text {
    fn check(&self) -> Result<(), ExpectationError> {
        match self {
            Text::Exact(_) => Ok(()),
            Text::Regexp(text) => WholeRegexp::parse(text)
                .map(|_| ())
                .map_err(|reason| ExpectationError::Pattern { text: text.clone(), reason }),
        }
    }

    fn write(&self, key: &str, into: &mut Value) {
        match self {
            Text::Exact(text) => into[key] = json!(text),
            Text::Regexp(text) => into[format!("{key}Regexp")] = json!(text),
        }
    }
}

/// Whether a builder is named as provenance of Google Cloud Build names it.
fn is_of_google(builder: &str) -> bool {
    let location = builder.strip_prefix("https://").unwrap_or(builder);
    location.split('/').next() == Some("cloudbuild.googleapis.com")
}

/// Whether a workflow begins with the name of a forge.
fn has_host(workflow: &str) -> bool {
    let first = workflow.split('/').next().unwrap_or_default();
    first.contains(['.', ':']) || first == "localhost"
}

impl Source {
    fn repository(&self) -> Result<RepositoryRef, ParseError> {
        match self.uri.contains("://") {
            true => RepositoryRef::from_url(&self.uri),
            false => self.uri.parse(),
        }
    }

    fn refs(&self) -> Result<Vec<String>, ExpectationError> {
        let one = |kind: &str, name: &str| match name.contains('*') {
            true => Err(ExpectationError::Ref { text: name.to_owned() }),
            false => Ok(vec![format!("refs/{kind}/{name}")]),
        };
        match &self.git_ref {
            Ref::Any => Ok(vec!["refs/heads/**".to_owned(), "refs/tags/**".to_owned()]),
            Ref::Branch(name) => one("heads", name),
            Ref::Tag(name) => one("tags", name),
        }
    }
}

/// Contracts that are judged with these roots afterwards: where they are given, with no other.
pub fn with_roots(
    mut loaded: ContractLoaded,
    roots: &Roots,
    lenience: Lenience,
) -> Result<ContractLoaded, ExpectationError> {
    let mut documents = Vec::new();
    add_roots(roots, lenience, None, None, &mut documents, &mut loaded.files)?;
    if !documents.is_empty() {
        loaded.documents = without_roots(&loaded.documents);
        loaded.documents.insert(GIVEN_ROOTS.to_owned(), joined(&documents));
    }
    Ok(loaded)
}

fn add_roots(
    roots: &Roots,
    lenience: Lenience,
    issuer: Option<&Text>,
    host: Option<&str>,
    documents: &mut Vec<Value>,
    files: &mut BTreeMap<String, String>,
) -> Result<(), ExpectationError> {
    match roots {
        Roots::Embedded => {
            for root in EmbeddedRoot::ALL {
                files.insert(root.file().to_owned(), evidence::embedded_root(root).to_owned());
            }
            let embedded = EmbeddedRoot::ALL.map(|root| {
                let mut spec = json!({ "source": root.as_str() });
                if lenience != Lenience::default() {
                    spec["demands"] = shown(lenience.over(root.demands()));
                }
                // The public instance takes tokens of more issuers than anybody lists: one that is named counts under it.
                if let (EmbeddedRoot::PublicGood, Some(issuer)) = (root, issuer) {
                    speak_for(&mut spec, issuer, |issuer| root.speaks_for_issuer(issuer));
                }
                (root, spec)
            });
            // Without a document both are in force as they are; with one for either, the other needs its own.
            let is_changed = |spec: &Value| spec.as_object().is_some_and(|fields| fields.len() > 1);
            if embedded.iter().any(|(_, spec)| is_changed(spec)) {
                documents.extend(embedded.map(|(root, spec)| document("TrustRoot", root.as_str(), spec)));
            }
        }
        Roots::Given(text) => {
            let mut forges = vec![
                json!({ "host": "github.com", "issuer": GITHUB_ISSUER }),
                json!({ "host": "gitlab.com", "issuer": GITLAB_ISSUER }),
            ];
            // Who gives a root and its issuer says that it speaks for the source that is given beside them.
            if let (Some(Text::Exact(issuer)), Some(host)) = (issuer, host) {
                forges.push(json!({ "host": host, "issuer": issuer }));
            }
            for (number, root) in given(text)?.into_iter().enumerate() {
                let name = if number == 0 { NAME.to_owned() } else { format!("{NAME}-{}", number + 1) };
                let file = format!("{name}-trusted-root.json");
                let demands = shown(lenience.over(demands_of(&root.value)));
                let mut spec = json!({ "file": file, "demands": demands, "forges": forges });
                if let Some(issuer) = issuer {
                    speak_for(&mut spec, issuer, |_| false);
                }
                files.insert(file, root.text.to_owned());
                documents.push(document("TrustRoot", &name, spec));
            }
        }
    }
    Ok(())
}

/// Makes a root speak for the issuers that are expected, where it does not yet.
fn speak_for(root: &mut Value, issuer: &Text, speaks_already: impl Fn(&str) -> bool) {
    match issuer {
        Text::Exact(issuer) if speaks_already(issuer) => {}
        Text::Exact(issuer) => root["issuers"] = json!([issuer]),
        Text::Regexp(text) => root["issuerRegexps"] = json!([text]),
    }
}

impl Lenience {
    fn over(self, demands: Demands) -> Demands {
        Demands {
            certificate_transparency: demands.certificate_transparency && !self.ignore_certificate_log,
            log: demands.log && !self.ignore_log && !self.allow_undated,
            signed_time: demands.signed_time && !self.allow_undated,
        }
    }
}

/// One root of a text that may hold several.
struct GivenRoot<'a> {
    text: &'a str,
    value: serde_json::Map<String, Value>,
}

fn given(text: &str) -> Result<Vec<GivenRoot<'_>>, ExpectationError> {
    let wrong = |reason: String| ExpectationError::Root { reason };
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    let mut roots = Vec::new();
    let mut begin = 0;
    while let Some(value) = values.next() {
        let value = value.map_err(|error| wrong(error.to_string()))?;
        if roots.len() == GIVEN_ROOTS_MAX {
            return Err(wrong(format!("it holds more than {GIVEN_ROOTS_MAX}")));
        }
        let end = values.byte_offset();
        roots.push(GivenRoot { text: text.get(begin..end).unwrap_or_default(), value });
        begin = end;
    }
    if roots.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    Ok(roots)
}

/// A root can demand a proof only of the logs whose keys it holds; a time always.
fn demands_of(root: &serde_json::Map<String, Value>) -> Demands {
    let has_keys = |logs: &str| root.get(logs).and_then(Value::as_array).is_some_and(|keys| !keys.is_empty());
    Demands { certificate_transparency: has_keys("ctlogs"), log: has_keys("tlogs"), signed_time: true }
}

fn shown(demands: Demands) -> Value {
    json!({
        "certificateTransparency": demands.certificate_transparency,
        "log": demands.log,
        "signedTime": demands.signed_time,
    })
}

fn document(kind: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "custody.dev/v1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

/// JSON is YAML; one document on each line.
fn joined(documents: &[Value]) -> String {
    documents.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n---\n")
}
