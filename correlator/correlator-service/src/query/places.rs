//! Where a digest runs, and where it ran.

use bus_schema::Digest;
use correlator_core::records::Table;
use correlator_core::state::placement::{self, PlacementRecord};
use correlator_store::Snapshot;
use jiff::Timestamp;

use super::{QueryError, carriers, reads};
use crate::api::types::{Place, Places, RunsIn};
use fleet_runtime::outside_text::shown;

/// Placements that one answer names.
const PLACES_MAX: usize = 2000;

pub(super) fn places(snapshot: &Snapshot, asked: &reads::Subject) -> Result<Places, QueryError> {
    let (digest, _) = asked.resolve(snapshot)?;
    let (places, cut) = of_digest(snapshot, digest)?;
    Ok(Places { asked: asked.asked.clone(), digest, places, cut })
}

/// The places of a digest, of what lies below it and of what lies above it: runtimes report any of the three.
pub(super) fn of_digest(snapshot: &Snapshot, digest: Digest) -> Result<(Vec<Place>, bool), QueryError> {
    let below = carriers::below(snapshot, digest)?;
    let above = carriers::above(snapshot, digest)?;
    let mut cut = below.cut || above.cut;
    let below =
        below.digests.iter().map(|(other, _)| (*other, if *other == digest { "same" } else { "below" }));
    let above = above.digests.iter().skip(1).map(|(other, _)| (*other, "above"));
    let mut places = Vec::new();
    for (other, relation) in below.chain(above) {
        let prefix = placement::by_digest_prefix(&other);
        let room = PLACES_MAX.saturating_sub(places.len());
        let keys = reads::keys(snapshot, Table::Digests, &prefix, room + 1)?;
        cut |= keys.len() > room;
        for key in keys.iter().take(room) {
            let Some((placement, _)) = placement::of_by_digest_key(&prefix, key) else { continue };
            let record: Option<PlacementRecord> = reads::get(snapshot, Table::Placements, placement)?;
            places.extend(record.map(|record| place(&record, other, relation)));
        }
    }
    places.sort_by(|one, other| {
        let order = |place: &Place| {
            (place.state, place.cluster_name.clone(), place.namespace.clone(), place.name.clone())
        };
        order(one).cmp(&order(other))
    });
    Ok((places, cut))
}

fn place(record: &PlacementRecord, digest: Digest, relation: &str) -> Place {
    let workload = &record.workload;
    let is_running = record.is_running();
    let until: Option<Timestamp> =
        if is_running { None } else { record.stopped.values().max().copied().or(record.ended_recorded) };
    Place {
        digest,
        relation: relation.to_owned(),
        cluster: workload.cluster.to_string(),
        cluster_name: shown(&record.cluster_name),
        namespace: workload.namespace.clone(),
        kind: workload.kind.clone(),
        name: workload.name.clone(),
        slot: shown(&record.slot),
        slot_kind: shown(record.slot_kind.as_str()),
        image: shown(&record.image_text),
        state: if is_running { RunsIn::Running } else { RunsIn::Ended },
        containers: record.running().count() as u64,
        since: record.first_started(),
        until,
    }
}
