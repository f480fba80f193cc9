//! What a rule may look at: one judged unit with its facts.

use bus_schema::case::Finding;
use bus_schema::verdict::{Break, BreakReason, LinkKind, LinkState};
use bus_schema::{AgentId, ImageRepository, Tag};
use jiff::Timestamp;

use crate::chain::artifact::RunAround;
use crate::chain::image_facts::ImageFacts;
use crate::chain::inquiry::Inquiry;
use crate::contracts::duration::Span;
use crate::contracts::pipeline::Pipeline;
use crate::state::agent::AgentRecord;
use crate::state::placement::PlacementRecord;
use crate::state::source::WorkflowChangeRecord;
use crate::state::tag::TagRecord;
use crate::verdict::VerdictRecord;

/// One image under a pipeline of the contracts.
pub(crate) struct ImageContext<'a> {
    pub(crate) image: &'a ImageFacts,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) record: &'a VerdictRecord,
    /// Whether any run of the contract was going at a push, where that is known.
    pub(crate) run_around: Option<RunAround>,
    /// Registries and forges that could not be asked, with what they said.
    pub(crate) unreachable: &'a [(String, String)],
}

impl ImageContext<'_> {
    /// A release tag has pointed at it, or it was placed where no exception covers all of these links.
    pub(crate) fn is_released(&self, links: &[LinkKind]) -> bool {
        let has_ended = !self.image.placements.is_empty() && self.record.whereabouts.namespaces.is_empty();
        self.record.release_tag.is_some() || has_ended || self.is_placed(links)
    }

    /// It is placed where no exception covers all of these links.
    pub(crate) fn is_placed(&self, links: &[LinkKind]) -> bool {
        let namespaces = &self.record.whereabouts.namespaces;
        namespaces.values().any(|waived| links.iter().any(|link| !waived.contains(link)))
    }

    /// It runs in a production cluster.
    pub(crate) fn production(&self) -> bool {
        self.record.whereabouts.production
    }

    /// The breaks of the required links with one of these reasons.
    pub(crate) fn breaks(&self, reasons: &[BreakReason]) -> Vec<(LinkKind, &Break)> {
        let mut found = Vec::new();
        for link in &self.record.verdict.links {
            if let LinkState::Broken { breaks } = &link.state {
                found.extend(
                    breaks.iter().filter(|a_break| reasons.contains(&a_break.reason)).map(|a| (link.kind, a)),
                );
            }
        }
        found
    }

    /// A finding about this digest.
    pub(crate) fn finding(&self, what: impl Into<String>) -> Finding {
        let mut finding = super::finding(what);
        finding.digest = Some(self.image.digest);
        finding.runs_at.clone_from(&self.record.whereabouts.workloads);
        finding
    }

    /// A finding about this digest with the comparison that failed.
    pub(crate) fn broken(&self, what: impl Into<String>, kind: LinkKind, a_break: &Break) -> Finding {
        let mut finding = self.finding(what);
        finding.link = Some(kind);
        finding.expected = Some(a_break.expected.clone());
        finding.found = Some(a_break.found.clone());
        finding
    }

    /// `pipeline, digest`
    pub(crate) fn subject(&self) -> Vec<String> {
        vec![self.pipeline.name.clone(), self.image.digest.to_string()]
    }
}

/// One placement, of a claimed or an unclaimed image.
pub(crate) struct PlacementContext<'a> {
    pub(crate) inquiry: &'a Inquiry<'a>,
    pub(crate) placement: &'a PlacementRecord,
    pub(crate) pipeline: Option<&'a Pipeline>,
    pub(crate) verdict: Option<&'a VerdictRecord>,
    pub(crate) production: bool,
    /// Other placements of the namespace are claimed by a pipeline, and this one began under the agent's eyes.
    pub(crate) newly_beside_claimed: bool,
}

impl PlacementContext<'_> {
    pub(crate) fn repository(&self) -> Option<&ImageRepository> {
        self.placement.image.as_ref().map(|image| &image.repository)
    }

    pub(crate) fn repository_text(&self) -> String {
        self.repository().map_or_else(|| self.placement.image_text.clone(), ToString::to_string)
    }

    /// `cluster, namespace, workload, repository`
    pub(crate) fn subject(&self) -> Vec<String> {
        let workload = &self.placement.workload;
        vec![
            workload.cluster.to_string(),
            workload.namespace.clone(),
            format!("{}/{}", workload.kind, workload.name),
            self.repository_text(),
        ]
    }

    pub(crate) fn finding(&self, what: impl Into<String>) -> Finding {
        let mut finding = super::finding(what);
        finding.digest = self.placement.digest;
        finding.runs_at = vec![shown_workload(self.placement)];
        finding
    }

    /// An exception for this namespace that covers every failing link.
    pub(crate) fn is_excepted_here(&self, verdict: &VerdictRecord) -> bool {
        let waived = verdict.whereabouts.namespaces.get(&self.placement.workload.namespace);
        let failing = verdict.failing();
        !failing.is_empty() && waived.is_some_and(|waived| failing.iter().all(|link| waived.contains(link)))
    }
}

/// One tag of a repository that a pipeline claims.
pub(crate) struct TagContext<'a> {
    pub(crate) inquiry: &'a Inquiry<'a>,
    pub(crate) repository: &'a ImageRepository,
    pub(crate) tag: &'a Tag,
    pub(crate) record: &'a TagRecord,
    pub(crate) pipeline: &'a Pipeline,
}

/// One commit that changes workflows, for the pipelines of its repository.
pub(crate) struct WorkflowContext<'a> {
    pub(crate) inquiry: &'a Inquiry<'a>,
    pub(crate) commit: &'a bus_schema::CommitId,
    pub(crate) record: &'a WorkflowChangeRecord,
    /// Pipelines with this source repository whose refs include one of the commit's.
    pub(crate) pipelines: Vec<&'a Pipeline>,
}

impl WorkflowContext<'_> {
    /// `repository, commit`
    pub(crate) fn subject(&self) -> Vec<String> {
        let repository = self.record.repository.as_ref().map(ToString::to_string).unwrap_or_default();
        vec![repository, self.commit.to_string()]
    }

    pub(crate) fn shown_paths(&self) -> String {
        if self.record.paths.is_empty() {
            return "files that the forge does not list".to_owned();
        }
        self.record.paths.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
    }
}

/// One agent that has reported.
pub(crate) struct AgentContext<'a> {
    pub(crate) inquiry: &'a Inquiry<'a>,
    pub(crate) agent: &'a AgentId,
    pub(crate) record: &'a AgentRecord,
    /// The contracts say that it is taken down for good.
    pub(crate) is_retired: bool,
    /// Until when nothing counts as missing: it was listed again, or somebody vouches for it.
    pub(crate) found_again_until: Option<Timestamp>,
}

impl AgentContext<'_> {
    /// How long an agent may say nothing at least, and a report be overtaken.
    pub(crate) fn window(&self) -> Span {
        self.inquiry.contracts.installation.windows.silence
    }
}

pub(crate) fn shown_workload(placement: &PlacementRecord) -> String {
    let workload = &placement.workload;
    format!("{}/{}/{}/{}", placement.cluster_name, workload.namespace, workload.kind, workload.name)
}
