//! A commit on an allowed ref changes a workflow or a local action, and nobody reviewed it.

use bus_schema::case::Severity;
use bus_schema::question::Question;
use bus_schema::verdict::LinkKind;

use super::context::WorkflowContext;
use super::{Raised, Rule, finding};
use crate::chain::review::is_commit_reviewed;
use crate::chain::settle::{Consulted, Search, consult};
use crate::contracts::exception::Objected;
use crate::contracts::pipeline::Pipeline;
use crate::records::RecordsError;

pub(super) const RULE: Rule = Rule {
    name: "workflow-changed-unreviewed",
    severity: Severity::High,
    next_step: "read the change now: a workflow can sign anything in the repository's name",
    covers: false,
    lists: false,
    storm: 1,
    over: Some("the commit is reviewed now, or an exception covers it"),
};

pub(super) fn find(context: &WorkflowContext<'_>) -> Result<Vec<Raised>, RecordsError> {
    for pipeline in &context.pipelines {
        if let Some(raised) = find_for(context, pipeline)? {
            return Ok(vec![raised]);
        }
    }
    Ok(Vec::new())
}

fn find_for(context: &WorkflowContext<'_>, pipeline: &Pipeline) -> Result<Option<Raised>, RecordsError> {
    let (Some(source), Some(first_recorded)) = (&pipeline.source, context.record.first_recorded) else {
        return Ok(None);
    };
    let inquiry = context.inquiry;
    if source.reviews == 0 || is_commit_reviewed(inquiry, source, context.commit)? {
        return Ok(None);
    }
    let objected = Objected {
        pipeline: &pipeline.name,
        link: LinkKind::Source,
        digests: &[],
        commit: Some(context.commit),
        namespace: None,
    };
    if inquiry.excepted(&objected, |_| true).is_some() {
        return Ok(None);
    }
    // `push` and `pull_request` arrive in any order, and a webhook may be lost: the forge is asked before it counts.
    let settles_at = pipeline.settle.after(first_recorded);
    inquiry.look_again_at(settles_at);
    let question = Question::Commit {
        repository: source.repository.clone(),
        commit: context.commit.clone(),
        git_ref: context.record.refs.first().cloned(),
    };
    let search = Search { settles_at, placed_since: None };
    let consulted = consult(inquiry, &question, "the review of a changed workflow", search)?;
    if inquiry.now < settles_at {
        return Ok(None);
    }
    let found = match consulted {
        Consulted::Waiting { until } => {
            inquiry.look_again_at(until);
            return Ok(None);
        }
        Consulted::Nothing { .. } => "no merged change with enough approvals",
        // The push was seen and no review was: that nobody can be asked does not make it reviewed.
        Consulted::NotASource | Consulted::Failed(_) => "no review known, and the forge could not be asked",
    };
    let mut finding = finding(format!("a commit without review changes {}", context.shown_paths()));
    finding.link = Some(LinkKind::Source);
    finding.expected = Some(format!("{} approval(s)", source.reviews));
    finding.found = Some(found.to_owned());
    Ok(Some(RULE.raise(context.subject(), Some(&pipeline.name), finding)))
}
