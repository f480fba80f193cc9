//! Everything that the records say about one digest: itself, what lists it, what is attached, where it runs.

use std::collections::BTreeSet;

use bus_schema::{Digest, ImageRepository};
use jiff::Timestamp;

use crate::chain::inquiry::Inquiry;
use crate::contracts::Claim;
use crate::contracts::pipeline::Pipeline;
use crate::facts::{Outcome, PredicateKind, Refusal, Statement};
use crate::ledger::touched::{LEVELS_MAX, placements_of};
use crate::records::{self, RecordsError, Table};
use crate::state::Ground;
use crate::state::digest::DigestRecord;
use crate::state::evidence::{self, EVIDENCE_PER_DIGEST_MAX, EvidenceRecord};
use crate::state::placement::PlacementRecord;

/// The most indexes and manifests above one digest that are looked at.
const CARRIERS_MAX: usize = 512;
/// The most digests that are asked about for one.
const ASKED_ABOUT_MAX: usize = 16;
/// The most questions about them, each at one repository.
const ASKED_AT_MAX: usize = 64;

pub(crate) struct ImageFacts {
    pub(crate) digest: Digest,
    /// The digests that are asked about for this one, nearest first: of itself and what lies above it those that were
    /// pushed, tagged or placed, for each may carry its evidence; itself where none was.
    pub(crate) asked_about: Vec<Digest>,
    /// Where registries are asked about each of them: in every repository of the pipeline in which it is known, for a copy
    /// may lie there without what is attached to it.
    pub(crate) asked_at: Vec<(ImageRepository, Digest)>,
    /// The repository through which the pipeline claims the digest: one that it runs from, where it does.
    pub(crate) repository: ImageRepository,
    /// The digest itself, then what lies above it, nearest first.
    pub(crate) carriers: Vec<Carrier>,
    pub(crate) first_recorded: Timestamp,
    /// Verified statements that name a carrier, by evidence digest.
    pub(crate) bound: Vec<BoundStatement>,
    /// Verified statements attached to a carrier that name something else.
    pub(crate) strayed: Vec<BoundStatement>,
    pub(crate) refused: Vec<(Digest, Refusal)>,
    /// Since when the first verification of attached evidence is awaited.
    pub(crate) awaited_since: Option<Timestamp>,
    /// Since when evidence that was verified once is verified again, because the trust set is another one.
    pub(crate) awaited_again_since: Option<Timestamp>,
    /// A bound cut something off: what is missing is unknown, not absent.
    pub(crate) cut: bool,
    pub(crate) placements: Vec<(String, PlacementRecord)>,
}

pub(crate) struct Carrier {
    pub(crate) digest: Digest,
    pub(crate) record: DigestRecord,
}

/// A verified statement and the carrier that it names.
#[derive(Debug, Clone)]
pub(crate) struct BoundStatement {
    pub(crate) evidence: Digest,
    pub(crate) statement: Statement,
    /// The nearest carrier among its subjects; the one that it is attached to, for a strayed one.
    pub(crate) carrier: Digest,
    pub(crate) first_recorded: Timestamp,
    pub(crate) ground: Vec<Ground>,
}

impl BoundStatement {
    /// The time at which it was signed, as far as its signer's validity goes: a key signature without signed time counts
    /// from when its bytes were first recorded.
    pub(crate) fn counted_at(&self) -> Timestamp {
        self.statement.signed_at.unwrap_or(self.first_recorded)
    }
}

impl ImageFacts {
    /// Gathers the facts of a digest under a pipeline; `None` when nothing is known of the digest.
    pub(crate) fn gather(
        inquiry: &Inquiry<'_>,
        digest: Digest,
        pipeline: Option<&Pipeline>,
    ) -> Result<Option<ImageFacts>, RecordsError> {
        let (mut carriers, is_cut) = carriers(inquiry, digest)?;
        let mut placements = placements_of(inquiry.draft, &digest)?;
        // What was pushed to, or runs from, a repository of another pipeline says nothing under this one.
        let is_of_pipeline =
            |repository: &ImageRepository| match (inquiry.contracts.claim(repository), pipeline) {
                (Claim::Claimed(claiming), Some(pipeline)) => claiming.name == pipeline.name,
                (Claim::Unclaimed, None) => true,
                _ => false,
            };
        let counts = |placement: &PlacementRecord| match &placement.image {
            Some(image) => is_of_pipeline(&image.repository),
            None => pipeline.is_none(),
        };
        placements.retain(|(_, placement)| counts(placement));
        for carrier in &mut carriers {
            carrier.record.pushes.retain(|push| is_of_pipeline(&push.repository));
        }
        let Some(own) = carriers.first() else { return Ok(None) };
        let Some(repository) = claimed_repository(inquiry, &carriers, &placements, pipeline) else {
            return Ok(None);
        };
        let mut asked_about = seen(inquiry, &carriers, !placements.is_empty(), counts)?;
        let mut is_asked_in_part = asked_about.len() > ASKED_ABOUT_MAX;
        asked_about.truncate(ASKED_ABOUT_MAX);
        if asked_about.is_empty() {
            asked_about.push(digest);
        }
        let mut asked_at = Vec::new();
        for asked in &asked_about {
            let carrier = carriers.iter().find(|carrier| carrier.digest == *asked);
            let known = carrier.into_iter().flat_map(|carrier| &carrier.record.repositories);
            let placed = placed_from(&placements).filter(|_| *asked == digest);
            let claimed = placed.chain(known).filter(|repository| is_of_pipeline(repository));
            let mut at: Vec<ImageRepository> = vec![repository.clone()];
            for origin in claimed.map(|known| inquiry.contracts.installation.origin(known)) {
                if !at.contains(&origin) {
                    at.push(origin);
                }
            }
            asked_at.extend(at.into_iter().map(|repository| (repository, *asked)));
        }
        is_asked_in_part |= asked_at.len() > ASKED_AT_MAX;
        asked_at.truncate(ASKED_AT_MAX);
        let mut facts = ImageFacts {
            digest,
            asked_about,
            asked_at,
            repository,
            first_recorded: own.record.first_recorded.unwrap_or(inquiry.now),
            cut: is_cut || is_asked_in_part || carriers.iter().any(|carrier| carrier.record.cut),
            carriers: Vec::new(),
            bound: Vec::new(),
            strayed: Vec::new(),
            refused: Vec::new(),
            awaited_since: None,
            awaited_again_since: None,
            placements,
        };
        inquiry.rest_on(&own.record.ground);
        facts.gather_evidence(inquiry, &carriers)?;
        facts.carriers = carriers;
        Ok(Some(facts))
    }

    fn gather_evidence(&mut self, inquiry: &Inquiry<'_>, carriers: &[Carrier]) -> Result<(), RecordsError> {
        let mut seen = BTreeSet::new();
        for carrier in carriers {
            for prefix in
                [evidence::subject_prefix(&carrier.digest), evidence::attached_prefix(&carrier.digest)]
            {
                let keys = inquiry.draft.keys(Table::Digests, &prefix, EVIDENCE_PER_DIGEST_MAX + 1)?;
                self.cut |= keys.len() > EVIDENCE_PER_DIGEST_MAX;
                for key in keys.iter().take(EVIDENCE_PER_DIGEST_MAX) {
                    let Some(id) = records::parts(key).last().and_then(|id| id.parse::<Digest>().ok()) else {
                        continue;
                    };
                    if seen.insert(id) {
                        self.gather_one(inquiry, carriers, carrier.digest, id)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn gather_one(
        &mut self,
        inquiry: &Inquiry<'_>,
        carriers: &[Carrier],
        attached_to: Digest,
        id: Digest,
    ) -> Result<(), RecordsError> {
        let Some(record) = inquiry.draft.get::<EvidenceRecord>(Table::Evidence, &evidence::key(&id))? else {
            return Ok(());
        };
        let is_current =
            record.trust.as_ref().is_some_and(|(trust, _)| *trust == inquiry.contracts.trust_version());
        let was_verified = record.outcome.is_some();
        let outcome = record.outcome.filter(|_| is_current);
        match outcome {
            None => {
                // A result that a changed trust set made stale is awaited from now on, until it is marked as awaited.
                let (awaited, came) = match was_verified {
                    true => (&mut self.awaited_again_since, None),
                    false => (&mut self.awaited_since, record.first_recorded),
                };
                let since = record.awaited_since.or(came).unwrap_or(inquiry.now);
                *awaited = Some(awaited.map_or(since, |known| known.min(since)));
            }
            Some(Outcome::Refused(refusal)) => self.refused.push((id, refusal)),
            Some(Outcome::Verified(statement)) => {
                let named = carriers.iter().find(|carrier| statement.subjects.contains(&carrier.digest));
                let bound = BoundStatement {
                    evidence: id,
                    carrier: named.map_or(attached_to, |carrier| carrier.digest),
                    statement: *statement,
                    first_recorded: record.first_recorded.unwrap_or(inquiry.now),
                    ground: record.ground,
                };
                match named {
                    Some(_) => self.bound.push(bound),
                    None => self.strayed.push(bound),
                }
            }
        }
        Ok(())
    }

    /// Until when evidence that was verified once may take to be verified again; `None` once it has taken longer.
    pub(crate) fn verified_again_until(&self, inquiry: &Inquiry<'_>) -> Option<Timestamp> {
        let windows = &inquiry.contracts.installation.windows;
        self.awaited_again_since
            .map(|since| windows.evidence.after(since))
            .filter(|until| inquiry.now < *until)
    }

    /// The digest itself, then what lies above it.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.carriers.iter().map(|carrier| carrier.digest).collect()
    }

    pub(crate) fn of_kind(&self, kind: PredicateKind) -> impl Iterator<Item = &BoundStatement> {
        self.bound.iter().filter(move |bound| bound.statement.predicate.kind() == kind)
    }

    /// What unverified evidence of a kind claims, for display.
    pub(crate) fn refusal_of(&self, kind: PredicateKind) -> Option<String> {
        self.refusal(|claims| claims == Some(kind))
    }

    /// The first refusal of evidence that claims such a thing, or nothing that could be read.
    pub(crate) fn refusal(&self, is_meant: impl Fn(Option<PredicateKind>) -> bool) -> Option<String> {
        self.refused.iter().find(|(_, refusal)| is_meant(refusal.claims)).map(|(id, refusal)| {
            format!(
                "evidence {} does not verify: {} (expected {}, found {})",
                id.short(),
                refusal.reason.as_str(),
                refusal.expected,
                refusal.found
            )
        })
    }

    /// The carrier as it is shown on a link: only when it is not the digest itself.
    pub(crate) fn shown_carrier(&self, carrier: Digest) -> Option<Digest> {
        (carrier != self.digest).then_some(carrier)
    }

    /// Whether the digest is placed: it runs, or ran within the linger window.
    pub(crate) fn is_placed(&self, inquiry: &Inquiry<'_>) -> bool {
        self.placements.iter().any(|(_, placement)| self.is_there(inquiry, placement))
    }

    /// Since when it is placed, by the log's time.
    pub(crate) fn placed_since(&self, inquiry: &Inquiry<'_>) -> Option<Timestamp> {
        let first = self.placements.iter().map(|(_, placement)| placement.first_recorded).min();
        first.filter(|_| self.is_placed(inquiry))
    }

    /// Whether a placement counts: it runs, or ended less than the linger window ago.
    pub(crate) fn is_there(&self, inquiry: &Inquiry<'_>, placement: &PlacementRecord) -> bool {
        let linger = inquiry.contracts.installation.windows.linger;
        match placement.ended_recorded {
            None => placement.is_running(),
            Some(ended) => inquiry.now < linger.after(ended),
        }
    }

    /// The earliest time at which the digest is known to have existed, by the sources' clocks.
    pub(crate) fn existed_at(&self) -> Option<Timestamp> {
        let signed = self.bound.iter().filter_map(|bound| bound.statement.signed_at);
        let started = self.placements.iter().filter_map(|(_, placement)| placement.first_started());
        let pushed = self
            .carriers
            .iter()
            .flat_map(|carrier| &carrier.record.pushes)
            .filter(|push| !push.is_open_ended())
            .map(|push| push.not_before.unwrap_or(push.at));
        signed.chain(started).chain(pushed).min()
    }
}

/// Of a digest and what lies above it those that were pushed, tagged or placed, up to one more than are asked about: an
/// outage of the registry keeps the evidence of what runs from being seen, and then nobody may say that what is inside has
/// none.
fn seen(
    inquiry: &Inquiry<'_>,
    carriers: &[Carrier],
    is_placed: bool,
    counts: impl Fn(&PlacementRecord) -> bool,
) -> Result<Vec<Digest>, RecordsError> {
    let mut seen = Vec::new();
    for (level, Carrier { digest, record }) in carriers.iter().enumerate() {
        let is_seen = !record.pushes.is_empty()
            || !record.tags.is_empty()
            || (level == 0 && is_placed)
            || placements_of(inquiry.draft, digest)?.iter().any(|(_, placement)| counts(placement));
        if is_seen {
            seen.push(*digest);
        }
        if seen.len() > ASKED_ABOUT_MAX {
            break;
        }
    }
    Ok(seen)
}

/// The digest and what lies above it, and whether a bound cut something off.
fn carriers(inquiry: &Inquiry<'_>, digest: Digest) -> Result<(Vec<Carrier>, bool), RecordsError> {
    let mut carriers: Vec<Carrier> = Vec::new();
    let mut seen = BTreeSet::new();
    let mut is_cut = false;
    let mut level = vec![digest];
    for _ in 0..=LEVELS_MAX {
        let mut above = BTreeSet::new();
        for digest in level {
            if !seen.insert(digest) {
                continue;
            }
            if carriers.len() >= CARRIERS_MAX {
                is_cut = true;
                continue;
            }
            let Some(record) = inquiry.memo.digest(inquiry.draft, &digest)? else { continue };
            above.extend(record.parents.iter().copied());
            carriers.push(Carrier { digest, record });
        }
        level = above.into_iter().collect();
    }
    Ok((carriers, is_cut))
}

/// The first repository, in their order, that the pipeline claims, of those that the digest runs from, else of those that
/// it is known in; for the default pipeline the first that nothing claims.
fn claimed_repository(
    inquiry: &Inquiry<'_>,
    carriers: &[Carrier],
    placements: &[(String, PlacementRecord)],
    pipeline: Option<&Pipeline>,
) -> Option<ImageRepository> {
    let is_claimed = |repository: &&ImageRepository| match (inquiry.contracts.claim(repository), pipeline) {
        (Claim::Claimed(claiming), Some(pipeline)) => claiming.name == pipeline.name,
        (Claim::Unclaimed, None) => true,
        _ => false,
    };
    // A pull-through copy is asked about at its origin.
    let origin = |repository: &ImageRepository| inquiry.contracts.installation.origin(repository);
    let running = placements.iter().filter(|(_, placement)| placement.is_running());
    let running =
        running.filter_map(|(_, placement)| placement.image.as_ref()).map(|image| &image.repository);
    if let Some(first) = running.filter(is_claimed).map(origin).min() {
        return Some(first);
    }
    let known = carriers.iter().take(1).flat_map(|carrier| &carrier.record.repositories);
    known.chain(placed_from(placements)).filter(is_claimed).map(origin).min()
}

fn placed_from(placements: &[(String, PlacementRecord)]) -> impl Iterator<Item = &ImageRepository> {
    let images = placements.iter().filter_map(|(_, placement)| placement.image.as_ref());
    images.map(|image| &image.repository)
}
