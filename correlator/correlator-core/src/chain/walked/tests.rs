//! Histories of every kind, in any order: what is judged with the memory of a walk is what is judged without.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;

use bus_schema::source::{ChangeMerged, ChangeReviewed, CommitPushed, Permission, PushedCommit, ReviewState};
use bus_schema::{Actor, Envelope, Event, RepositoryRef};

use super::*;
use crate::chain::memo::Memo;
use crate::chain::review::Remembered;
use crate::contracts::{ContractSet, parse};
use crate::input::{ContractLoaded, Entry, Input};
use crate::ledger::Ledger;
use crate::records::{Draft, MemoryRecords, Table};
use crate::state::agent::{self, CoverageRecord};

thread_local! {
    /// Nothing is remembered: every branch is read whole.
    pub(super) static READS_WHOLE: Cell<bool> = const { Cell::new(false) };
}

const HISTORIES: u64 = 15;
const STEPS: u64 = 60;
const COVERED_SINCE: i64 = 1_000;
const CONTRACT: &str = r#"
apiVersion: custody.dev/v1
kind: Pipeline
metadata: { name: api }
spec:
  images: ["ghcr.io/acme/api"]
  require: [source]
  source: { repository: github.com/acme/api, refs: [refs/heads/main, "refs/heads/release-*"], reviews: 1 }
"#;

/// Numbers that a seed gives.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A repository that goes on at random, and what a ledger made of it.
struct History {
    chance: Chance,
    records: MemoryRecords,
    ledger: Ledger,
    contracts: ContractSet,
    second: i64,
    position: u64,
    commits: u64,
    changes: u64,
    /// Where each branch stands.
    heads: BTreeMap<&'static str, Option<u64>>,
}

const BRANCHES: [&str; 2] = ["refs/heads/main", "refs/heads/release-1"];

impl History {
    fn new(seed: u64) -> History {
        let documents = BTreeMap::from([("api.yaml".to_owned(), CONTRACT.to_owned())]);
        let contracts = parse::parse(&ContractLoaded { documents, files: BTreeMap::new() }).unwrap();
        let mut records = MemoryRecords::default();
        let mut draft = Draft::new(&records);
        let coverage = CoverageRecord { since: Some(at(COVERED_SINCE)) };
        draft.put(Table::Agents, agent::coverage_key("source", "github.com/acme/api"), coverage);
        let changes = draft.into_changes().unwrap();
        records.commit(changes);
        History {
            chance: Chance(seed * 0x9e37_79b9 + 1),
            records,
            ledger: Ledger::under(contracts.clone()),
            contracts,
            second: 0,
            position: 0,
            commits: 1,
            changes: 0,
            heads: BTreeMap::from([(BRANCHES[0], Some(0)), (BRANCHES[1], None)]),
        }
    }

    fn say(&mut self, event: Event) {
        let recorded = at(self.second);
        self.position += 1;
        let envelope = Envelope::new("source".parse().unwrap(), recorded, recorded, None, event);
        let input = Input::Event(Box::new(envelope));
        let entry = Entry { position: self.position, recorded, input };
        let outcome = self.ledger.apply(&self.records, &entry).unwrap();
        self.records.commit(outcome.changes);
    }

    fn push(
        &mut self,
        branch: &str,
        (before, after): (Option<u64>, Option<u64>),
        commits: &[u64],
    ) -> CommitPushed {
        let forced = false;
        let commits = commits.iter().map(|number| self.pushed(*number)).collect();
        CommitPushed {
            repository: repository(),
            git_ref: branch.parse().unwrap(),
            before: before.map(commit),
            after: after.map(commit),
            forced,
            pusher: None,
            commits,
            commits_cut: self.chance.is(4),
            pushed_at: at(self.second),
            looked_up: self.chance.is(10),
        }
    }

    fn pushed(&mut self, number: u64) -> PushedCommit {
        let parents = if self.chance.is(30) { vec![commit(number.saturating_sub(1))] } else { Vec::new() };
        PushedCommit {
            id: commit(number),
            author: None,
            committer: None,
            parents,
            signature_verified: None,
            paths: self.chance.is(50).then(|| vec!["src/lib.rs".to_owned()]),
            paths_cut: false,
        }
    }

    fn merge(&mut self, branch: &str, merge_commit: u64, merged_at: i64, is_approved: bool) {
        self.changes += 1;
        let (number, head) = (self.changes, commit(1_000_000 + self.changes));
        if is_approved {
            self.review(number, ReviewState::Approved, merged_at - 1);
        }
        self.say(Event::ChangeMerged(ChangeMerged {
            repository: repository(),
            number,
            merge_commit: commit(merge_commit),
            head,
            head_repository: None,
            base: branch.parse().unwrap(),
            author: Actor::named("alice"),
            last_pusher: Some(Actor::named("alice")),
            merged_by: None,
            commit_count: 3,
            commits: Vec::new(),
            equivalent_heads: Vec::new(),
            bypassed_rules: None,
            merged_at: at(merged_at),
            looked_up: true,
        }));
    }

    fn review(&mut self, number: u64, state: ReviewState, second: i64) {
        self.say(Event::ChangeReviewed(ChangeReviewed {
            repository: repository(),
            number,
            review_id: 1,
            reviewer: Actor::named("bob"),
            permission: Some(Permission::Write),
            state,
            head: Some(commit(1_000_000 + number)),
            submitted_at: at(second),
        }));
    }

    /// One thing happens.
    fn step(&mut self) {
        self.second += [0, 1, 30, 400, 2_000][usize::try_from(self.chance.below(5)).unwrap()];
        let branch = BRANCHES[usize::from(self.chance.is(20))];
        let head = self.heads[branch];
        let new: Vec<u64> = (0..=self.chance.below(3)).map(|more| self.commits + more).collect();
        let last = *new.last().unwrap();
        let older = self.chance.below(self.commits);
        match self.chance.below(24) {
            // Nearly always it goes on, with a review.
            0..12 => {
                self.commits = last + 1;
                let merged_at =
                    self.second - [0, 0, 1, 3, 700][usize::try_from(self.chance.below(5)).unwrap()];
                let is_approved = self.chance.is(90);
                let is_told_first = self.chance.is(50);
                let push = self.push(branch, (head, Some(last)), &new);
                self.heads.insert(branch, Some(last));
                if is_told_first {
                    self.merge(branch, last, merged_at, is_approved);
                    self.say(Event::CommitPushed(push));
                } else {
                    self.say(Event::CommitPushed(push));
                    self.merge(branch, last, merged_at, is_approved);
                }
            }
            12 | 13 => {
                self.commits = last + 1;
                let push = self.push(branch, (head, Some(last)), &new);
                self.heads.insert(branch, Some(last));
                self.say(Event::CommitPushed(push));
            }
            14 => {
                let (end, commits) = if self.chance.is(50) { (older, Vec::new()) } else { (last, new) };
                self.commits = self.commits.max(end + 1);
                let mut push = self.push(branch, (head, Some(end)), &commits);
                push.forced = true;
                self.heads.insert(branch, Some(end));
                self.say(Event::CommitPushed(push));
            }
            // A push was missed before this one, or comes later than it was made.
            15 | 16 => {
                self.commits = last + 2;
                let missed = self.push(branch, (head, Some(last)), &new);
                let push = self.push(branch, (Some(last), Some(last + 1)), &[last + 1]);
                self.heads.insert(branch, Some(last + 1));
                self.second += 5;
                self.say(Event::CommitPushed(push));
                if self.chance.is(50) {
                    self.say(Event::CommitPushed(missed));
                }
            }
            17 => {
                let push = self.push(branch, (head, None), &[]);
                self.heads.insert(branch, None);
                self.say(Event::CommitPushed(push));
            }
            18 => {
                let end = if self.chance.is(50) { older } else { last };
                self.commits = self.commits.max(end + 1);
                let commits = if end == last { new } else { Vec::new() };
                let push = self.push(branch, (None, Some(end)), &commits);
                self.heads.insert(branch, Some(end));
                self.say(Event::CommitPushed(push));
            }
            19 => {
                let earlier = i64::try_from(self.chance.below(3_000)).unwrap();
                let mut push = self.push(branch, (Some(older), Some(last)), &new);
                push.pushed_at = at(self.second - earlier);
                self.commits = last + 1;
                self.say(Event::CommitPushed(push));
            }
            20 => {
                let merged_at = self.second - i64::try_from(self.chance.below(2_000)).unwrap();
                let is_approved = self.chance.is(50);
                let end = if self.chance.is(50) { older } else { last };
                self.commits = self.commits.max(end + 1);
                self.merge(branch, end, merged_at, is_approved);
            }
            _ => {
                let number = 1 + self.chance.below(self.changes.max(1));
                let is_dismissed = self.chance.is(60);
                let state = if is_dismissed { ReviewState::Dismissed } else { ReviewState::Approved };
                self.review(number, state, self.second);
            }
        }
    }

    /// What is judged of a commit, with everything that comes up.
    fn judged(&mut self, number: u64, reads_whole: bool) -> String {
        READS_WHOLE.set(reads_whole);
        let draft = Draft::new(&self.records);
        let memo = Memo::with(std::mem::take(&mut self.ledger.walked));
        let inquiry = Inquiry::new(&draft, &self.contracts, at(self.second), &memo);
        let pipeline = &self.contracts.pipelines["api"];
        let source = pipeline.source.as_ref().unwrap();
        let judged = Remembered::of(&inquiry, pipeline, source, &commit(number), None).unwrap();
        let said = judged.told();
        drop((judged, inquiry));
        self.ledger.walked = memo.into_walked();
        READS_WHOLE.set(false);
        said
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn commit(number: u64) -> CommitId {
    format!("{:040x}", number + 1).parse().unwrap()
}

fn repository() -> RepositoryRef {
    "github.com/acme/api".parse().unwrap()
}

#[test]
fn what_was_walked_before_changes_nothing_of_what_is_judged() {
    let (mut judged, mut left_out) = (0_u64, 0_usize);
    for seed in 1..=HISTORIES {
        let mut history = History::new(seed);
        for step in 0..STEPS {
            history.step();
            for _ in 0..3 {
                let newest = history.commits;
                let number = match history.chance.is(50) {
                    true => newest.saturating_sub(1 + history.chance.below(4)),
                    false => history.chance.below(newest),
                };
                let with = history.judged(number, false);
                let without = history.judged(number, true);
                assert_eq!(with, without, "seed {seed}, step {step}, commit {number}");
                judged += 1;
            }
        }
        let walked = history.ledger.walked.branches.values().flatten();
        left_out += walked.map(|walked| walked.stand.pushes - walked.steps.len()).sum::<usize>();
    }
    assert_eq!(judged, HISTORIES * STEPS * 3);
    // Otherwise every branch was read whole.
    assert!(left_out > 100, "{left_out}");
}
