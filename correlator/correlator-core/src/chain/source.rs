//! The source link of one statement: its commit is on an allowed ref of the allowed repository, and reviewed.

use bus_schema::question::Question;
use bus_schema::verdict::{Break, BreakReason};
use bus_schema::{CommitId, GitRef};

use crate::chain::image_facts::{BoundStatement, ImageFacts};
use crate::chain::inquiry::Inquiry;
use crate::chain::lineage::Unreviewed;
use crate::chain::provenance::shown_repository;
use crate::chain::review::{History, Objection, Remembered};
use crate::chain::signer::CertificateIdentity;
use crate::chain::{Finding, Missing, a_break, a_commit_break};
use crate::contracts::pipeline::{Pipeline, SourceContract};
use crate::facts::{Provenance, Signer};
use crate::records::RecordsError;

pub(crate) fn judge(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    source: &SourceContract,
    bound: &BoundStatement,
    provenance: &Provenance,
) -> Result<Finding, RecordsError> {
    let (is_ours, repository, git_ref, commit) = match &bound.statement.signer {
        Signer::Keyless(claims) => {
            let identity = CertificateIdentity::read(claims);
            let is_ours = identity.comes_from(&source.repository);
            (is_ours, identity.repository, identity.git_ref, identity.commit)
        }
        Signer::Key { .. } | Signer::CloudBuild { .. } => {
            let is_ours =
                provenance.repository.as_ref().is_some_and(|found| source.repository.is_same(found));
            (is_ours, provenance.repository.clone(), provenance.git_ref.clone(), provenance.commit.clone())
        }
    };
    let is_keyless = matches!(bound.statement.signer, Signer::Keyless(_));
    if !is_ours {
        let found = repository.as_ref().map_or_else(|| "no repository".to_owned(), shown_repository);
        let expected = shown_repository(&source.repository);
        return Ok(Finding::Broken(vec![a_break(BreakReason::WrongRepository, expected, found)]));
    }
    let Some(commit) = commit else {
        let expected = "a commit in the signed claims";
        return Ok(Finding::Broken(vec![a_break(BreakReason::UnknownCommit, expected, "none")]));
    };
    if let Some(git_ref) = git_ref.as_ref().filter(|git_ref| !is_allowed(source, git_ref)) {
        let expected = source.refs.iter().map(|glob| glob.as_str()).collect::<Vec<_>>().join(" or ");
        return Ok(Finding::Broken(vec![a_break(BreakReason::WrongRef, expected, git_ref.as_str())]));
    }
    judge_commit(
        inquiry,
        image,
        pipeline,
        source,
        &CommitClaim { commit, git_ref, is_keyless, signed_at: bound.statement.signed_at },
    )
}

/// What the signed claims say about the commit.
pub(crate) struct CommitClaim {
    pub(crate) commit: CommitId,
    pub(crate) git_ref: Option<GitRef>,
    /// A certificate says which ref the run was for; a key's predicate only claims it.
    pub(crate) is_keyless: bool,
    pub(crate) signed_at: Option<jiff::Timestamp>,
}

fn judge_commit(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    pipeline: &Pipeline,
    source: &SourceContract,
    claim: &CommitClaim,
) -> Result<Finding, RecordsError> {
    let review = Remembered::of(inquiry, pipeline, source, &claim.commit, claim.git_ref.as_ref())?;
    let history = &review.history;
    let mut breaks: Vec<Break> = Vec::new();
    if let Some(forced) = history.forced_away() {
        breaks.push(a_break(BreakReason::ForcedAway, format!("commit {} on its ref", claim.commit), forced));
    }
    if source.signed_commits {
        match history.signature_verified() {
            Some(true) => {}
            Some(false) => {
                let expected = "a verified commit signature";
                breaks.push(a_commit_break(BreakReason::UnsignedCommit, expected, "none", &claim.commit));
            }
            None => {
                return Ok(Finding::Missing(missing(
                    inquiry,
                    image,
                    source,
                    claim,
                    "the commit's signature",
                    None,
                )?));
            }
        }
    }
    if source.reviews > 0 {
        let judgement = review.judge(inquiry, image, pipeline, &claim.commit);
        if !breaks.is_empty() {
            return Ok(Finding::Broken(breaks));
        }
        return finish_review(inquiry, image, source, claim, history, judgement);
    }
    if !breaks.is_empty() {
        return Ok(Finding::Broken(breaks));
    }
    match claim.is_keyless || history.is_on_allowed_ref() {
        true => {
            Ok(Finding::proven("certificate", format!("commit {} on {}", claim.commit, shown_ref(claim))))
        }
        false => {
            let what = format!("a push of commit {}", claim.commit);
            Ok(Finding::Missing(missing(inquiry, image, source, claim, &what, None)?))
        }
    }
}

fn finish_review(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    source: &SourceContract,
    claim: &CommitClaim,
    history: &History,
    judgement: crate::chain::review::ReviewJudgement,
) -> Result<Finding, RecordsError> {
    let Some(objection) = judgement.objection else {
        return Ok(match judgement.waived_by {
            Some(exception) => Finding::Waived { exception, instead_of: judgement.waived_instead_of },
            None => Finding::Proven(judgement.witnesses),
        });
    };
    let mut asked_of = None;
    let (reason, expected, found, commit) = match objection {
        Objection::RulesBypassed { change } => {
            let found = format!("change #{change} was merged past the rules of its branch");
            return Ok(Finding::Broken(vec![a_commit_break(
                BreakReason::RulesBypassed,
                "a merge under the rules",
                found,
                &claim.commit,
            )]));
        }
        Objection::Unknown => (
            BreakReason::UnknownCommit,
            format!("commit {} on {}", claim.commit, shown_ref(claim)),
            "nobody saw it on an allowed ref".to_owned(),
            claim.commit.clone(),
        ),
        Objection::Commit { found } => (
            BreakReason::Unreviewed,
            format!("{} approval(s) of commit {}", source.reviews, claim.commit),
            found,
            claim.commit.clone(),
        ),
        Objection::Ancestor(Unreviewed { commit, found, git_ref }) => {
            asked_of = git_ref;
            (
                BreakReason::UnreviewedAncestor,
                format!("{} approval(s) of every commit below {}", source.reviews, claim.commit),
                format!("commit {commit}: {found}"),
                commit,
            )
        }
    };
    let a_break = a_commit_break(reason, expected, found, &commit);
    let what = format!("the review of commit {commit}");
    let mut missing = missing(inquiry, image, source, claim, &what, Some(a_break))?;
    if history.is_from_before_coverage() && commit == claim.commit {
        missing.uncovered.get_or_insert_with(|| {
            format!("commit {commit} was pushed before the source agent watched {}", source.repository)
        });
    }
    let lacks_it = asked_of.is_some() && asked_of != claim.git_ref;
    if commit != claim.commit || lacks_it {
        // The change that brought the ancestor may have been missed: that is what the forge is asked about.
        missing.questions.push(Question::Commit {
            repository: source.repository.clone(),
            commit,
            git_ref: asked_of,
        });
    }
    Ok(Finding::Missing(missing))
}

fn missing(
    inquiry: &Inquiry<'_>,
    image: &ImageFacts,
    source: &SourceContract,
    claim: &CommitClaim,
    waiting_for: &str,
    absence_breaks: Option<Break>,
) -> Result<Missing, RecordsError> {
    let since = inquiry.forge_covered_since("source", &source.repository)?;
    let built_at = claim.signed_at.or_else(|| image.existed_at());
    let is_uncovered = since.is_none_or(|since| built_at.is_some_and(|at| at < since));
    // An ancestor was seen to be pushed, so it is covered whatever the time of the build says.
    let was_seen =
        absence_breaks.as_ref().is_some_and(|a_break| a_break.reason == BreakReason::UnreviewedAncestor);
    Ok(Missing {
        waiting_for: waiting_for.to_owned(),
        questions: vec![Question::Commit {
            repository: source.repository.clone(),
            commit: claim.commit.clone(),
            git_ref: claim.git_ref.clone(),
        }],
        uncovered: (is_uncovered && !was_seen).then(|| {
            format!("commit {} is from before the source agent watched {}", claim.commit, source.repository)
        }),
        absence_breaks: Some(absence_breaks.unwrap_or_else(|| {
            a_break(
                BreakReason::UnknownCommit,
                format!("commit {} at the forge", claim.commit),
                "nobody saw it",
            )
        })),
        claimed: None,
    })
}

fn is_allowed(source: &SourceContract, git_ref: &GitRef) -> bool {
    source.refs.iter().any(|glob| glob.matches(git_ref.as_str()))
}

fn shown_ref(claim: &CommitClaim) -> String {
    claim.git_ref.as_ref().map_or_else(|| "an allowed ref".to_owned(), ToString::to_string)
}
