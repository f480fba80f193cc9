//! Whose a forge's ids are. Runs and commits are kept under the id of their repository, because names can be registered
//! again; so whoever speaks under an id must be allowed to speak for the repository that has it.
//!
//! In: an event, its sender's grant, the contracts in force. Out: nothing, or the refusal. An id is the repository's that the
//! contracts name with it, else the first one's that was heard under it since the correlator began.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bus_schema::question::Question;
use bus_schema::{Envelope, Event, ForgeHost, ForgeId, RepositoryRef, RunId};
use correlator_core::contracts::ContractSet;

use super::refusal::Refusal;
use crate::settings::AgentGrant;

/// Ids that were heard; beyond it no further one is remembered.
const HEARD_MAX: usize = 100_000;

type Id = (ForgeHost, ForgeId);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Owners {
    heard: Mutex<HashMap<Id, RepositoryRef>>,
}

impl Owners {
    /// Refuses an event under an id of somebody else's repository. Called last: what it hears is the sender's to say.
    pub(super) fn check(
        &self,
        envelope: &Envelope,
        grant: &AgentGrant,
        contracts: &ContractSet,
    ) -> Result<(), Refusal> {
        let Some((repository, run)) = named(&envelope.event) else { return Ok(()) };
        if let Some(run) = run {
            let is_its_own = run.host == repository.host
                && repository.id.as_ref().is_none_or(|id| *id == run.repository_id);
            if !is_its_own {
                let (run, repository) = (Box::new(run.clone()), repository.to_string());
                return Err(Refusal::RunOfAnother { run, repository });
            }
        }
        let Some(id) = run.map(|run| &run.repository_id).or(repository.id.as_ref()) else { return Ok(()) };
        let key = (repository.host.clone(), id.clone());
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = of_contracts(contracts, &key).or_else(|| heard.get(&key));
        if let Some(owner) = owner.filter(|owner| !is_same_name(owner, repository)) {
            // Whoever may speak for both may say that it was renamed.
            if !grant.holds(&owner.to_string()) {
                let (agent, owner) = (envelope.agent.clone(), owner.to_string());
                return Err(Refusal::IdOfAnother { agent, id: id.to_string(), owner });
            }
        }
        if heard.len() < HEARD_MAX || heard.contains_key(&key) {
            heard.insert(key, repository.clone());
        }
        Ok(())
    }
}

/// The repository that an event of a forge's agent is about, and the run.
fn named(event: &Event) -> Option<(&RepositoryRef, Option<&RunId>)> {
    Some(match event {
        Event::CommitPushed(push) => (&push.repository, None),
        Event::SourceTagMoved(moved) => (&moved.repository, None),
        Event::ChangeReviewed(review) => (&review.repository, None),
        Event::ChangeMerged(merge) => (&merge.repository, None),
        Event::WorkflowChanged(change) => (&change.repository, None),
        Event::RunStarted(started) => (&started.run.repository, Some(&started.run.run)),
        Event::RunFinished(finished) => (&finished.run.repository, Some(&finished.run.run)),
        Event::JobFinished(job) => (&job.repository, Some(&job.run)),
        Event::AttestationAttached(attached) => (attached.forge_repository.as_ref()?, None),
        Event::EvidenceUnavailable(answer) => match &answer.question {
            Question::Run { repository, run } => (repository, Some(run)),
            Question::Attestations { repository, .. } | Question::Commit { repository, .. } => {
                (repository, None)
            }
            Question::Image { .. } => return None,
        },
        _ => return None,
    })
}

fn of_contracts<'a>(contracts: &'a ContractSet, (host, id): &Id) -> Option<&'a RepositoryRef> {
    let sources = contracts.pipelines.values().filter_map(|pipeline| pipeline.source.as_ref());
    let mut named = sources.map(|source| &source.repository);
    named.find(|repository| repository.host == *host && repository.id.as_ref() == Some(id))
}

/// Whatever ids they state.
fn is_same_name(one: &RepositoryRef, other: &RepositoryRef) -> bool {
    one.clone().with_ids(None, None).is_same(other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use bus_schema::ci::JobFinished;
    use correlator_core::contracts::parse::parse;
    use correlator_core::input::ContractLoaded;
    use jiff::Timestamp;

    use super::*;
    use crate::settings::AgentKind;

    fn repository(text: &str, id: Option<&str>) -> RepositoryRef {
        let repository: RepositoryRef = text.parse().unwrap();
        repository.with_ids(id.map(|id| id.parse().unwrap()), None)
    }

    fn contracts() -> ContractSet {
        let text = "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: { name: api }\nspec:\n  images: \
                    [ghcr.io/acme/api]\n  require: [source]\n  source: { repository: github.com/acme/api, repositoryId: \"11\" }\n";
        let documents = [("a.yaml".to_owned(), text.to_owned())].into();
        parse(&ContractLoaded { documents, files: Default::default() }).unwrap()
    }

    /// What becomes of a job's report.
    fn said(owners: &Owners, scope: &str, repository: RepositoryRef, run: &str) -> Option<&'static str> {
        let now = Timestamp::UNIX_EPOCH;
        let event = Event::JobFinished(JobFinished {
            run: run.parse().unwrap(),
            repository,
            job_id: 1,
            name: "build".to_owned(),
            conclusion: bus_schema::ci::Conclusion::Success,
            runner: None,
            runner_labels: Vec::new(),
            started_at: now,
            finished_at: now,
        });
        let envelope = Envelope::new("ci".parse().unwrap(), now, now, None, event);
        let grant = AgentGrant::new(AgentKind::Ci, [scope]).unwrap();
        owners.check(&envelope, &grant, &contracts()).err().map(|refusal| refusal.word())
    }

    #[test]
    fn an_id_is_the_contracts_repositorys_and_else_that_of_the_first_who_was_heard_under_it() {
        let owners = Owners::default();
        let check = |scope: &str, name: &str, id: Option<&str>, run: &str, expected: Option<&str>| {
            assert_eq!(said(&owners, scope, repository(name, id), run), expected, "{scope} {name} {run}");
        };
        let (acme, other) = ("github.com/acme/**", "github.com/other/**");
        // The run is another repository's than the one that is named with its own id.
        check(other, "github.com/other/x", Some("12"), "github.com/11/7/1", Some("scope"));
        // The id that the contracts name, whether the repository states it or not.
        check(other, "github.com/other/x", Some("11"), "github.com/11/7/1", Some("scope"));
        check(other, "github.com/other/x", None, "github.com/11/7/1", Some("scope"));
        check(acme, "github.com/Acme/API", Some("11"), "github.com/11/7/1", None);
        // One that no contract names.
        check(acme, "github.com/acme/web", Some("12"), "github.com/12/7/1", None);
        check(other, "github.com/other/x", Some("12"), "github.com/12/7/1", Some("scope"));
        // Renamed, as whoever may speak for both says.
        check(acme, "github.com/acme/web2", Some("12"), "github.com/12/8/1", None);
        check(other, "github.com/other/x", Some("13"), "github.com/13/8/1", None);
        check(acme, "github.com/acme/web", None, "gitlab.com/12/8/1", Some("scope"));
    }
}
