//! What all versions of provenance are brought to, and the steps that fill it.

use bus_schema::{CommitId, GitRef, RepositoryRef, WorkflowRef};
use correlator_core::facts::RunNumber;
use serde_json::Value;

use crate::provenance::inputs::Inputs;
use crate::provenance::source::Source;

/// How many inputs of a build are looked at for the source.
const LOOKED_AT_MAX: usize = 1000;

/// The facts of one provenance predicate, as far as it names them in a form that parses.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) builder_id: String,
    pub(crate) build_type: String,
    pub(crate) source_uri: Option<String>,
    pub(crate) repository: Option<RepositoryRef>,
    pub(crate) git_ref: Option<GitRef>,
    pub(crate) commit: Option<CommitId>,
    pub(crate) workflow: Option<WorkflowRef>,
    pub(crate) trigger: Option<String>,
    pub(crate) run: Option<RunNumber>,
    /// A tag that is said apart from the ref.
    pub(crate) tag: Option<String>,
    pub(crate) inputs: Inputs,
    /// As the predicate writes them.
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
}

impl Draft {
    /// Takes from a source URI and its digests what is not known yet.
    pub(super) fn take_source(&mut self, uri: &str, commit: Option<CommitId>) {
        if self.source_uri.is_none() {
            self.source_uri = Some(uri.to_owned());
        }
        let source = Source::parse(uri);
        if self.repository.is_none() {
            self.repository = source.repository;
        }
        fill(&mut self.git_ref, source.git_ref);
        fill(&mut self.commit, commit.or(source.commit));
    }

    /// Keeps what the build took in, and takes the source from it: the input of the repository that is known already, else
    /// the first from git.
    pub(super) fn take_inputs<'a>(&mut self, inputs: impl Iterator<Item = (&'a str, Option<&'a Value>)>) {
        let mut found = false;
        for (position, (uri, digests)) in inputs.enumerate() {
            self.inputs.take_material(uri, digests);
            if found || position >= LOOKED_AT_MAX {
                continue;
            }
            let source = Source::parse(uri);
            let Some(repository) = &source.repository else { continue };
            let is_git = uri.starts_with("git+") || source.commit.is_some() || digests.is_some_and(is_of_git);
            if is_git && self.repository.as_ref().is_none_or(|known| known.is_same(repository)) {
                self.take_source(uri, digests.and_then(commit_in));
                found = true;
            }
        }
    }

    /// Takes the workflow at `path` of the source repository.
    pub(super) fn take_workflow_path(&mut self, path: &str) {
        let Some(repository) = self.repository.clone() else {
            return;
        };
        if self.workflow.is_none()
            && path.contains('/')
            && let Ok(path) = path.parse()
        {
            let revision = self.git_ref.clone().map(bus_schema::workflow::WorkflowRevision::Ref);
            self.workflow = Some(WorkflowRef { repository, path, revision });
        }
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let required = [self.builder_id.as_str(), self.build_type.as_str()];
        let said = [&self.source_uri, &self.trigger, &self.tag, &self.started_at, &self.finished_at];
        required.into_iter().chain(said.into_iter().filter_map(|text| text.as_deref()))
    }
}

pub(super) fn fill<T>(field: &mut Option<T>, value: Option<T>) {
    if field.is_none() {
        *field = value;
    }
}

/// The text or number at a path of keys.
pub(super) fn text_at(value: &Value, path: &[&str]) -> Option<String> {
    let found = path.iter().try_fold(value, |value, key| value.get(key))?;
    match found {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether a digest map is that of a commit; `sha256` alone is that of a file as well.
fn is_of_git(digest: &Value) -> bool {
    ["gitCommit", "sha1"].iter().any(|algorithm| text_at(digest, &[algorithm]).is_some())
}

/// The commit in a digest map: `gitCommit` in v1, `sha1` (and for SHA-256 repositories `sha256`) before.
pub(super) fn commit_in(digest: &Value) -> Option<CommitId> {
    ["gitCommit", "sha1", "sha256"].iter().find_map(|algorithm| text_at(digest, &[algorithm])?.parse().ok())
}
