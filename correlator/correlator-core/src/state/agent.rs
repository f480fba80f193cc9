//! Agents: when they were heard last, what they cover since when, and which events are known to be missing.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::AgentId;
use bus_schema::cluster::InventoryObserved;
use bus_schema::fleet::AgentReported;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contracts::duration::Span;
use crate::records;
use crate::state::Ground;
use crate::state::reports::{Report, Reports};

/// The time between two reports of an agent that does not state it, in seconds.
pub const INTERVAL_SECONDS: u64 = 30;
/// The longest time between two reports that an agent may state: a week, in seconds.
pub const INTERVAL_SECONDS_MAX: u64 = 7 * 24 * 3600;
/// The most scopes of one agent that are remembered as its own.
const SCOPES_MAX: usize = 1000;
/// The most inventories of one cluster that may be on their way at once.
const INVENTORIES_MAX: usize = 4;
/// The most parts of one inventory.
const PARTS_MAX: u32 = 10_000;

/// One agent that has reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// When its latest report was recorded.
    pub heard: Option<Timestamp>,
    /// Its newest report, by the agent's own count.
    pub newest: Option<NewestReport>,
    pub reports: Reports,
    /// When the correlator was away since it was heard, so that nothing could be heard: from when on silence counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excused: Option<Timestamp>,
}

/// What an agent says of itself, as it said it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewestReport {
    pub epoch: Timestamp,
    pub number: u64,
    pub kind: String,
    pub interval_seconds: u64,
    pub scopes: BTreeSet<String>,
}

impl AgentRecord {
    /// From when on silence counts.
    pub fn listened_since(&self) -> Option<Timestamp> {
        self.heard.max(self.excused)
    }

    /// How long nothing counts as silence: the window, or three intervals where these are longer.
    pub fn silent_after(&self, window: Span) -> Span {
        let interval = self.newest.as_ref().map_or(INTERVAL_SECONDS, |newest| newest.interval_seconds);
        window.max(Span::from_secs(interval.saturating_mul(3)))
    }

    /// Whether nothing came for longer than its own interval allows.
    pub fn is_silent(&self, window: Span, now: Timestamp) -> bool {
        let since = self.listened_since();
        since.is_some_and(|since| now >= self.silent_after(window).after(since))
    }

    /// Adds a report, recorded now.
    pub fn hear(&mut self, report: &AgentReported, now: Timestamp) {
        self.heard = self.heard.max(Some(now));
        self.excused = None;
        let heard = Report { number: report.sequence, reported_at: report.reported_at, recorded: now };
        self.reports.insert(report.epoch, heard);
        let place = (report.epoch, report.sequence);
        if self.newest.as_ref().is_some_and(|newest| (newest.epoch, newest.number) >= place) {
            return;
        }
        let interval_seconds = report.interval_seconds.unwrap_or(INTERVAL_SECONDS);
        self.newest = Some(NewestReport {
            epoch: report.epoch,
            number: report.sequence,
            kind: report.kind.clone(),
            interval_seconds: interval_seconds.clamp(1, INTERVAL_SECONDS_MAX),
            scopes: report.coverage.iter().take(SCOPES_MAX).map(|one| one.scope.clone()).collect(),
        });
    }
}

/// The inventories of one agent in one cluster: until when everything that runs was listed, whatever was lost before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoriesRecord {
    /// When the newest inventory of which every part came was made.
    pub whole_at: Option<Timestamp>,
    /// Parts that came of later ones, by the time of the inventory, its epoch and its number.
    parts: BTreeMap<String, BTreeSet<u32>>,
}

impl InventoriesRecord {
    /// Adds a part of an inventory.
    pub fn take(&mut self, part: &InventoryObserved) {
        let whole = |whole_at: Timestamp| part.observed_at <= whole_at;
        if self.whole_at.is_some_and(whole) || part.part == 0 || part.part > part.parts.min(PARTS_MAX) {
            return;
        }
        let time = super::source::sortable(part.observed_at);
        let key = records::key([&*time, &super::source::sortable(part.epoch), &part.sequence.to_string()]);
        let parts = self.parts.entry(key).or_default();
        parts.insert(part.part);
        if u32::try_from(parts.len()) == Ok(part.parts) {
            self.whole_at = Some(part.observed_at);
            self.parts.retain(|key, _| records::parts(key).first().is_some_and(|at| **at > *time));
        }
        while self.parts.len() > INVENTORIES_MAX {
            self.parts.pop_first();
        }
    }
}

/// The coverage of one scope by one kind of agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageRecord {
    /// The earliest beginning that any agent of this kind states.
    pub since: Option<Timestamp>,
}

/// A known gap of one agent in one scope that no recovery has made up for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapRecord {
    pub reason: String,
    pub from: Timestamp,
    pub until: Timestamp,
    pub ground: Ground,
}

/// The most gaps of one agent and scope that are remembered: those that end last stay.
pub const GAPS_MAX: usize = 1000;

pub fn key(agent: &AgentId) -> String {
    records::key(["agent", agent.as_str()])
}

pub fn inventories_key(agent: &AgentId, cluster: &str) -> String {
    records::key(["inventories", agent.as_str(), cluster])
}

pub fn coverage_key(kind: &str, scope: &str) -> String {
    records::key(["coverage", kind, scope])
}

/// Gaps of one agent and scope share a unit; each gap is its own record, in the order of their ends.
pub fn gap_key(agent: &AgentId, scope: &str, until: Timestamp, epoch: Timestamp, sequence: u64) -> String {
    let until = super::source::sortable(until);
    format!("{}{until}{}", gaps_prefix(agent, scope), gap_key_end(epoch, sequence))
}

/// What the key of a gap ends with, whenever the gap ended.
pub fn gap_key_end(epoch: Timestamp, sequence: u64) -> String {
    format!("\u{1f}{}\u{1f}{sequence:020}", super::source::sortable(epoch))
}

/// The least key behind every gap that ends by a time.
pub fn behind_gaps_until(agent: &AgentId, scope: &str, until: Timestamp) -> String {
    format!("{}{}\u{20}", gaps_prefix(agent, scope), super::source::sortable(until))
}

/// Until when recoveries made up for every gap of one agent and scope.
pub fn recovered_key(agent: &AgentId, scope: &str) -> String {
    records::key(["recovered", agent.as_str(), scope])
}

pub fn gaps_prefix(agent: &AgentId, scope: &str) -> String {
    records::prefix(["gap", agent.as_str(), scope])
}
