//! One judgement in progress: reads of the state, with a note of everything that the result depends on.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bus_schema::question::Question;
use bus_schema::{EventId, ForgeHost, ForgeId, RepositoryRef, RunId};
use jiff::Timestamp;

use crate::chain::memo::Memo;
use crate::contracts::ContractSet;
use crate::contracts::exception::{Exception, Objected};
use crate::ledger::questions::Wanted;
use crate::records::{Draft, RecordsError, Table};
use crate::state::Ground;
use crate::state::agent::{self, CoverageRecord};
use crate::state::question::{self, QuestionRecord};
use crate::state::run::{self, RunRecord};
use crate::state::source::{SourceKey, sortable};
use crate::state::unit::fact;

/// The most runs around one push that are looked at.
const RUNS_AROUND_MAX: usize = 2000;
/// The most events that a verdict names as its ground.
const GROUND_MAX: usize = 64;

pub(crate) struct Inquiry<'a> {
    pub(crate) draft: &'a Draft<'a>,
    pub(crate) contracts: &'a ContractSet,
    pub(crate) now: Timestamp,
    pub(crate) memo: &'a Memo,
    notes: RefCell<Notes>,
}

/// What came up while judging.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes {
    /// Facts that the result depends on.
    pub(crate) depends_on: BTreeSet<String>,
    pub(crate) wanted: BTreeSet<Wanted>,
    /// The earliest time at which the result may change by itself.
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) ground: BTreeSet<EventId>,
    /// Registries and forges that could not be asked, with what they said.
    pub(crate) unreachable: BTreeMap<String, String>,
}

impl<'a> Inquiry<'a> {
    pub(crate) fn new(
        draft: &'a Draft<'a>,
        contracts: &'a ContractSet,
        now: Timestamp,
        memo: &'a Memo,
    ) -> Inquiry<'a> {
        Inquiry { draft, contracts, now, memo, notes: RefCell::default() }
    }

    /// The same inquiry with notes of its own, for a part whose result is remembered.
    pub(crate) fn aside(&self) -> Inquiry<'a> {
        Inquiry::new(self.draft, self.contracts, self.now, self.memo)
    }

    /// Takes over what came up in a part.
    pub(crate) fn add(&self, part: &Notes) {
        let mut notes = self.notes.borrow_mut();
        notes.depends_on.extend(part.depends_on.iter().cloned());
        notes.wanted.extend(part.wanted.iter().cloned());
        notes.deadline = [notes.deadline, part.deadline].into_iter().flatten().min();
        for event in &part.ground {
            if notes.ground.len() < GROUND_MAX {
                notes.ground.insert(*event);
            }
        }
        let unreachable = part.unreachable.iter().map(|(host, detail)| (host.clone(), detail.clone()));
        notes.unreachable.extend(unreachable);
    }

    pub(crate) fn into_notes(self) -> Notes {
        self.notes.into_inner()
    }

    pub(crate) fn depend_on(&self, fact: String) {
        self.notes.borrow_mut().depends_on.insert(fact);
    }

    /// The result may change at this time; times that have passed do not count.
    pub(crate) fn look_again_at(&self, time: Timestamp) {
        if time > self.now {
            let mut notes = self.notes.borrow_mut();
            notes.deadline = Some(notes.deadline.map_or(time, |known| known.min(time)));
        }
    }

    pub(crate) fn rest_on(&self, ground: &[Ground]) {
        let mut notes = self.notes.borrow_mut();
        for ground in ground {
            if notes.ground.len() < GROUND_MAX {
                notes.ground.insert(ground.event);
            }
        }
    }

    pub(crate) fn want(&self, wanted: Wanted) {
        self.notes.borrow_mut().wanted.insert(wanted);
    }

    pub(crate) fn could_not_ask(&self, host: &str, detail: &str) {
        self.notes.borrow_mut().unreachable.insert(host.to_owned(), detail.to_owned());
    }

    pub(crate) fn question(&self, question: &Question) -> Result<Option<QuestionRecord>, RecordsError> {
        let request = question.request_id();
        self.depend_on(fact::request(&request));
        self.draft.get(Table::Questions, &question::key(&request))
    }

    /// The first exception, of those that may be used here, that covers an objection. The result changes when it ends.
    pub(crate) fn excepted(
        &self,
        objected: &Objected<'_>,
        may_be_used: impl Fn(&Exception) -> bool,
    ) -> Option<&'a Exception> {
        let exceptions = self.contracts.exceptions.values();
        let covering =
            exceptions.filter(|one| may_be_used(one)).find(|one| one.covers(objected, self.now))?;
        self.look_again_at(covering.expires);
        Some(covering)
    }

    /// Under which key the state of a source repository lies.
    pub(crate) fn source_key(&self, repository: &RepositoryRef) -> Result<SourceKey, RecordsError> {
        SourceKey::of(self.draft, repository)
    }

    /// Since when a kind of agent covers a scope.
    pub(crate) fn covered_since(&self, kind: &str, scope: &str) -> Result<Option<Timestamp>, RecordsError> {
        self.depend_on(fact::coverage(kind, scope));
        self.coverage(kind, scope)
    }

    fn coverage(&self, kind: &str, scope: &str) -> Result<Option<Timestamp>, RecordsError> {
        let record: Option<CoverageRecord> =
            self.draft.get(Table::Agents, &agent::coverage_key(kind, scope))?;
        Ok(record.and_then(|record| record.since))
    }

    /// Since when a kind of agent covers a forge repository.
    pub(crate) fn forge_covered_since(
        &self,
        kind: &str,
        repository: &RepositoryRef,
    ) -> Result<Option<Timestamp>, RecordsError> {
        let owner = format!("{}/{}", repository.host, repository.owner.to_ascii_lowercase());
        let whole = format!("{owner}/{}", repository.name.to_ascii_lowercase());
        self.depend_on(fact::coverage(kind, &whole));
        let by_owner = self.coverage(kind, &owner)?;
        let by_repository = self.coverage(kind, &whole)?;
        let by_host = self.coverage(kind, repository.host.as_str())?;
        Ok([by_owner, by_repository, by_host].into_iter().flatten().min())
    }

    /// The keys of the runs of a repository that began in a time.
    pub(crate) fn runs_began(
        &self,
        host: &ForgeHost,
        repository_id: &ForgeId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<String>, RecordsError> {
        self.depend_on(fact::runs_of(host, repository_id, until));
        let prefix = run::began_prefix(host, repository_id);
        let begin = format!("{prefix}{}", sortable(from));
        let end = format!("{prefix}{}", sortable(until));
        let found: Vec<(String, String)> =
            self.draft.scan_from(Table::Source, &prefix, &begin, RUNS_AROUND_MAX)?;
        Ok(found.into_iter().take_while(|(key, _)| *key < end).map(|(_, run)| run).collect())
    }

    pub(crate) fn run(&self, run: &RunId) -> Result<Option<RunRecord>, RecordsError> {
        self.depend_on(fact::run(run));
        self.draft.get(Table::Runs, &run::key(run))
    }
}
