//! Which units an input marks: directly, through facts that they depend on, or through digests and what lies below them.

use std::collections::BTreeSet;

use bus_schema::{Digest, ImageRepository};

use super::Work;
use crate::contracts::{Claim, DEFAULT_PIPELINE};
use crate::records::{self, RecordsError, Table};
use crate::state::digest::{self, DigestRecord};
use crate::state::placement::{self, PlacementRecord};
use crate::state::unit::{self, Unit, UnitRecord};

/// How far down proof flows: index, manifest, config, and one more for an index in an index.
pub(crate) const LEVELS_MAX: usize = 4;
/// The most digests below one that are marked with it.
const DESCENDANTS_MAX: usize = 5000;
/// The most units that depend on one fact.
const DEPENDENTS_MAX: usize = 200_000;

/// The marks of one input.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) units: BTreeSet<Unit>,
    /// Facts whose dependents are marked.
    pub(super) facts: BTreeSet<String>,
    /// Facts of which every dependent from this key on is marked, up to the prefix: `(prefix, from)`.
    pub(super) fact_ranges: BTreeSet<(String, String)>,
    /// Digests about which something new is known.
    pub(super) digests: BTreeSet<Digest>,
    /// Everything is judged again.
    pub(super) everything: bool,
}

impl Work<'_> {
    /// The image units that are marked, and the other units.
    pub(super) fn resolve_touched(&mut self) -> Result<(BTreeSet<Unit>, BTreeSet<Unit>), RecordsError> {
        let touched = std::mem::take(&mut self.touched);
        let mut units = touched.units;
        for fact in touched.facts {
            let prefix = unit::dependents_prefix(&fact);
            self.collect_dependents(&prefix, &prefix, &mut units)?;
        }
        for (prefix, from) in touched.fact_ranges {
            self.collect_dependents(&prefix, &from, &mut units)?;
        }
        for digest in touched.digests {
            for below in self.with_descendants(digest)? {
                units.extend(self.units_of_digest(&below)?);
            }
        }
        if touched.everything {
            self.collect_everything(&mut units)?;
        }
        Ok(units.into_iter().partition(|unit| matches!(unit, Unit::Image { .. })))
    }

    fn collect_dependents(
        &self,
        prefix: &str,
        from: &str,
        units: &mut BTreeSet<Unit>,
    ) -> Result<(), RecordsError> {
        let found = self.draft.scan_from::<Unit>(Table::Dependents, prefix, from, DEPENDENTS_MAX)?;
        units.extend(found.into_iter().map(|(_, unit)| unit));
        Ok(())
    }

    fn collect_everything(&self, units: &mut BTreeSet<Unit>) -> Result<(), RecordsError> {
        for (_, record) in self.draft.scan::<UnitRecord>(Table::Units, "", usize::MAX)? {
            units.insert(record.unit);
        }
        for key in self.draft.keys(Table::Digests, "", usize::MAX)? {
            if let Ok(digest) = key.parse() {
                units.extend(self.units_of_digest(&digest)?);
            }
        }
        for key in self.draft.keys(Table::Tags, "", usize::MAX)? {
            if let [repository, tag] = records::parts(&key)[..]
                && let (Ok(repository), Ok(tag)) = (repository.parse(), tag.parse())
            {
                units.insert(Unit::Tag { repository, tag });
            }
        }
        Ok(())
    }

    /// The digest and everything below it.
    pub(super) fn with_descendants(&self, digest: Digest) -> Result<Vec<Digest>, RecordsError> {
        let mut all = BTreeSet::from([digest]);
        let mut level = vec![digest];
        for _ in 0..LEVELS_MAX {
            let mut next = Vec::new();
            for above in level {
                let Some(record) = self.draft.get::<DigestRecord>(Table::Digests, &digest::key(&above))?
                else {
                    continue;
                };
                for child in record.children() {
                    if all.len() < DESCENDANTS_MAX && all.insert(child) {
                        next.push(child);
                    }
                }
            }
            level = next;
        }
        Ok(all.into_iter().collect())
    }

    /// The units in which a digest is judged: one per pipeline that claims a repository in which it lies or from which it
    /// is placed, the default one where it is placed and nothing claims it, and those that exist already.
    pub(super) fn units_of_digest(&self, digest: &Digest) -> Result<BTreeSet<Unit>, RecordsError> {
        let mut units = BTreeSet::new();
        let image_unit = |pipeline: &str| Unit::Image { digest: *digest, pipeline: pipeline.to_owned() };
        let record: Option<DigestRecord> = self.draft.get(Table::Digests, &digest::key(digest))?;
        for repository in record.iter().flat_map(|record| &record.repositories) {
            if let Claim::Claimed(pipeline) = self.contracts.claim(repository) {
                units.insert(image_unit(&pipeline.name));
            }
        }
        for placement in self.placements_of(digest)? {
            let pipeline = placement.1.image.as_ref().map(|image| self.contracts.claim(&image.repository));
            match pipeline {
                Some(Claim::Claimed(pipeline)) => units.insert(image_unit(&pipeline.name)),
                _ => units.insert(image_unit(DEFAULT_PIPELINE)),
            };
            units.insert(Unit::Placement { key: placement.0 });
        }
        let existing = records::prefix(["image", &digest.to_string()]);
        for key in self.draft.keys(Table::Units, &existing, 1000)? {
            units.insert(image_unit(&key[existing.len()..]));
        }
        Ok(units)
    }

    /// The placements that run a digest, with their keys.
    pub(super) fn placements_of(
        &self,
        digest: &Digest,
    ) -> Result<Vec<(String, PlacementRecord)>, RecordsError> {
        placements_of(&self.draft, digest)
    }

    /// The pipeline that judges an image repository, by name.
    pub(super) fn pipeline_of(&self, repository: &ImageRepository) -> String {
        match self.contracts.claim(repository) {
            Claim::Claimed(pipeline) => pipeline.name.clone(),
            Claim::Unclaimed => DEFAULT_PIPELINE.to_owned(),
        }
    }
}

/// The most placements of one digest that are looked at.
const PLACEMENTS_MAX: usize = 20_000;

pub(crate) fn placements_of(
    draft: &records::Draft<'_>,
    digest: &Digest,
) -> Result<Vec<(String, PlacementRecord)>, RecordsError> {
    let prefix = placement::by_digest_prefix(digest);
    let mut placements = Vec::new();
    for key in draft.keys(Table::Placements, &prefix, PLACEMENTS_MAX)? {
        let placement_key = key[prefix.len()..].to_owned();
        if let Some(record) = draft.get(Table::Placements, &placement_key)? {
            placements.push((placement_key, record));
        }
    }
    Ok(placements)
}
