//! Which units inputs mark: directly, through facts that they depend on, or through digests and what lies below them.

use std::collections::{BTreeMap, BTreeSet};

use bus_schema::{Digest, ImageRepository, TraceParent};

use super::Work;
use super::deadlines::DUE_UNITS_MAX;
use crate::contracts::{Claim, DEFAULT_PIPELINE};
use crate::records::{self, RecordsError, Table};
use crate::state::digest::{self, DigestRecord};
use crate::state::placement::{self, PlacementRecord};
use crate::state::unit::{self, Kept, Unit};

/// How far down proof flows: index, manifest, config, and one more for an index in an index.
pub(crate) const LEVELS_MAX: usize = 4;
/// The most digests below one that are marked with it.
const DESCENDANTS_MAX: usize = 5000;
/// The most units that depend on one fact.
const DEPENDENTS_MAX: usize = 200_000;

/// Marks, each with the trace of the last input that made it and has one.
pub(super) type Marks<T> = BTreeMap<T, Option<TraceParent>>;

/// The marks of the inputs that are judged together.
#[derive(Debug, Default)]
pub(super) struct Touched {
    units: Marks<Unit>,
    /// Facts whose dependents are marked.
    facts: Marks<String>,
    /// Facts of which every dependent from this key on is marked, up to the prefix: `(prefix, from)`.
    fact_ranges: Marks<(String, String)>,
    /// Digests about which something new is known.
    digests: Marks<Digest>,
    /// Digests of which only where they run is new: their placements do not look at each other.
    placed: Marks<Digest>,
}

/// The units that are marked.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) images: Marks<Unit>,
    pub(super) others: Marks<Unit>,
}

impl Work<'_> {
    pub(super) fn touch_unit(&mut self, unit: Unit) {
        mark(&mut self.touched.units, unit, self.trace.as_ref());
    }

    pub(super) fn touch_fact(&mut self, fact: String) {
        mark(&mut self.touched.facts, fact, self.trace.as_ref());
    }

    pub(super) fn touch_facts_from(&mut self, prefix: String, from: String) {
        mark(&mut self.touched.fact_ranges, (prefix, from), self.trace.as_ref());
    }

    pub(super) fn touch_digest(&mut self, digest: Digest) {
        mark(&mut self.touched.digests, digest, self.trace.as_ref());
    }

    pub(super) fn touch_placed(&mut self, digest: Digest) {
        mark(&mut self.touched.placed, digest, self.trace.as_ref());
    }

    /// The lanes that are marked.
    pub(super) fn touched_lanes(&self) -> Marks<Unit> {
        let units = self.touched.units.iter().filter(|(unit, _)| matches!(unit, Unit::Lane { .. }));
        units.map(|(unit, trace)| (unit.clone(), trace.clone())).collect()
    }

    /// Takes the marks that inputs made, down to units. Where facts mark very many, most of them are due at once instead.
    pub(super) fn resolve_touched(&mut self) -> Result<Resolved, RecordsError> {
        let touched = std::mem::take(&mut self.touched);
        let mut dependents = self.dependents_of(&touched)?;
        if let Some((first_beyond, _)) = dependents.iter().nth(DUE_UNITS_MAX) {
            let first_beyond = first_beyond.clone();
            for (unit, trace) in dependents.split_off(&first_beyond) {
                if !touched.units.contains_key(&unit) {
                    self.make_due(&unit, trace)?;
                }
            }
        }
        self.resolve(touched, dependents)
    }

    /// Takes the marks that new verdicts made, down to units.
    pub(super) fn resolve_touched_by_verdicts(&mut self) -> Result<Resolved, RecordsError> {
        let touched = std::mem::take(&mut self.touched);
        let dependents = self.dependents_of(&touched)?;
        self.resolve(touched, dependents)
    }

    /// What depends on the facts.
    fn dependents_of(&self, touched: &Touched) -> Result<Marks<Unit>, RecordsError> {
        let mut units = Marks::new();
        for (fact, trace) in &touched.facts {
            let prefix = unit::prefix_before(fact);
            self.collect_dependents(&prefix, &prefix, trace.as_ref(), &mut units)?;
        }
        for ((prefix, from), trace) in &touched.fact_ranges {
            self.collect_dependents(prefix, from, trace.as_ref(), &mut units)?;
        }
        Ok(units)
    }

    fn resolve(&self, touched: Touched, dependents: Marks<Unit>) -> Result<Resolved, RecordsError> {
        let mut units = touched.units;
        for (unit, trace) in dependents {
            mark(&mut units, unit, trace.as_ref());
        }
        for (digest, trace) in touched.digests {
            for below in self.with_descendants(digest)? {
                for unit in self.units_of_digest(&below)? {
                    mark(&mut units, unit, trace.as_ref());
                }
            }
        }
        for (digest, trace) in touched.placed {
            for below in self.with_descendants(digest)? {
                for unit in self.units_of_digest(&below)? {
                    if matches!(unit, Unit::Image { .. }) {
                        mark(&mut units, unit, trace.as_ref());
                    }
                }
            }
        }
        let (images, others) = units.into_iter().partition(|(unit, _)| matches!(unit, Unit::Image { .. }));
        Ok(Resolved { images, others })
    }

    fn collect_dependents(
        &self,
        prefix: &str,
        from: &str,
        trace: Option<&TraceParent>,
        units: &mut Marks<Unit>,
    ) -> Result<(), RecordsError> {
        for (key, unit) in self.draft.scan_from::<Kept>(Table::Dependents, prefix, from, DEPENDENTS_MAX)? {
            let (_, unit_key) = unit::parts_before(&key).unwrap_or_default();
            if let Some(unit) = unit.unit(unit_key) {
                mark(units, unit, trace);
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

    /// The units in which a digest is judged: one per pipeline that claims a repository in which the image lies or from
    /// which it is placed, the default one where it is placed and nothing claims it, and those that exist already.
    pub(super) fn units_of_digest(&self, digest: &Digest) -> Result<BTreeSet<Unit>, RecordsError> {
        let mut units = BTreeSet::new();
        let image_unit = |pipeline: &str| Unit::Image { digest: *digest, pipeline: pipeline.to_owned() };
        let record: Option<DigestRecord> = self.draft.get(Table::Digests, &digest::key(digest))?;
        let image = record.iter().filter(|record| record.is_image);
        for repository in image.flat_map(|record| &record.repositories) {
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

fn mark<T: Ord>(marks: &mut Marks<T>, what: T, trace: Option<&TraceParent>) {
    let known = marks.entry(what).or_default();
    if trace.is_some() {
        *known = trace.cloned();
    }
}

/// The most placements of one digest that are looked at, and the most of them that ended.
const PLACEMENTS_MAX: usize = 20_000;
const ENDED_MAX: usize = 1000;
/// Keys of them that are read together.
const PLACEMENTS_PAGE: usize = 500;

/// The placements of a digest with their keys: those that run, then those that ended, the last first.
pub(crate) fn placements_of(
    draft: &records::Draft<'_>,
    digest: &Digest,
) -> Result<Vec<(String, PlacementRecord)>, RecordsError> {
    let prefix = placement::by_digest_prefix(digest);
    let (mut placements, mut ended) = (Vec::new(), 0);
    let mut from = prefix.clone();
    while placements.len() < PLACEMENTS_MAX && ended < ENDED_MAX {
        let page = draft.keys_from(Table::Digests, &prefix, &from, PLACEMENTS_PAGE)?;
        let is_last = page.len() < PLACEMENTS_PAGE;
        for key in &page {
            let Some((key, runs)) = placement::of_by_digest_key(&prefix, key) else { continue };
            ended += usize::from(!runs);
            if let Some(record) = draft.get(Table::Placements, key)? {
                placements.push((key.to_owned(), record));
            }
        }
        match page.last().filter(|_| !is_last) {
            Some(last) => from = format!("{last}\0"),
            None => break,
        }
    }
    Ok(placements)
}
