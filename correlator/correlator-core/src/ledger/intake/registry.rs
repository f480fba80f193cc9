//! Pushes, resolutions, tag moves and deletions.

use std::sync::Arc;

use bus_schema::registry::{
    ImageDeleted, ImagePushed, ImageResolved, Observation, RegistryTagMoved, Resolved,
};
use bus_schema::{Digest, ImageRepository, Tag};

use super::Work;
use crate::contracts::ContractSet;
use crate::records::{RecordsError, Table};
use crate::state::digest::{self, DigestRecord, PLACES_MAX, Push, push_window};
use crate::state::tag::{self, Move, TagRecord};
use crate::state::unit::Unit;
use crate::state::{GROUND_EVENTS_MAX, Occasion, insert_bounded};

impl Work<'_> {
    /// Changes what is known of an image's digest and marks it.
    pub(super) fn learn_digest(
        &mut self,
        occasion: &Occasion,
        digest: &Digest,
        change: impl FnOnce(&mut DigestRecord),
    ) -> Result<(), RecordsError> {
        self.learn(occasion, digest, |record| {
            record.is_image = true;
            change(record);
        })
    }

    fn learn(
        &mut self,
        occasion: &Occasion,
        digest: &Digest,
        change: impl FnOnce(&mut DigestRecord),
    ) -> Result<(), RecordsError> {
        let recorded = occasion.recorded;
        let ground = occasion.ground();
        let changed = self.draft.update::<DigestRecord>(Table::Digests, &digest::key(digest), |record| {
            record.first_recorded = Some(record.first_recorded.map_or(recorded, |known| known.min(recorded)));
            insert_bounded(&mut record.ground, ground, GROUND_EVENTS_MAX);
            change(record);
        })?;
        if changed {
            self.touch_digest(*digest);
        }
        Ok(())
    }

    pub(super) fn take_image_pushed(
        &mut self,
        occasion: &Occasion,
        push: &ImagePushed,
    ) -> Result<(), RecordsError> {
        let (polled, not_before) = push_window(&push.observation);
        let actor = push.actor.as_ref().map(|actor| actor.name.clone());
        let contracts = Arc::clone(&self.contracts);
        self.learn_digest(occasion, &push.digest, |record| {
            learn_place(record, &push.repository, push.tag.as_ref(), &contracts);
            record.media_type = record.media_type.take().or_else(|| push.media_type.clone());
            let push = Push {
                at: push.pushed_at,
                not_before,
                repository: push.repository.clone(),
                tag: push.tag.clone(),
                actor: actor.clone(),
                polled,
                looked_up: matches!(push.observation, Observation::LookUp { .. }),
                event: occasion.ground(),
            };
            record.learn_push(push, |repository| contracts.claims(repository));
        })?;
        match &push.tag {
            Some(tag) => self.learn_move(
                &push.repository,
                tag,
                Move {
                    at: push.pushed_at,
                    to: Some(push.digest),
                    actor,
                    polled,
                    not_before,
                    recorded: occasion.recorded,
                    event: occasion.ground(),
                },
            ),
            None => Ok(()),
        }
    }

    pub(super) fn take_registry_tag_moved(
        &mut self,
        occasion: &Occasion,
        moved: &RegistryTagMoved,
    ) -> Result<(), RecordsError> {
        let (polled, not_before) = push_window(&moved.observation);
        let contracts = Arc::clone(&self.contracts);
        self.learn_digest(occasion, &moved.to, |record| {
            learn_place(record, &moved.repository, Some(&moved.tag), &contracts)
        })?;
        if let Some(from) = &moved.from {
            self.learn_digest(occasion, from, |record| {
                learn_place(record, &moved.repository, Some(&moved.tag), &contracts)
            })?;
            self.learn_earlier_target(moved, *from, occasion)?;
        }
        self.learn_move(
            &moved.repository,
            &moved.tag,
            Move {
                at: moved.moved_at,
                to: Some(moved.to),
                actor: moved.actor.as_ref().map(|actor| actor.name.clone()),
                polled,
                not_before,
                recorded: occasion.recorded,
                event: occasion.ground(),
            },
        )
    }

    /// A move says where the tag pointed before. Where no earlier move is known, that is remembered as one.
    fn learn_earlier_target(
        &mut self,
        moved: &RegistryTagMoved,
        from: Digest,
        occasion: &Occasion,
    ) -> Result<(), RecordsError> {
        let key = tag::key(&moved.repository, &moved.tag);
        let known: TagRecord = self.draft.get(Table::Tags, &key)?.unwrap_or_default();
        let is_known = known.moves.iter().any(|a_move| a_move.at < moved.moved_at && a_move.to == Some(from));
        if is_known {
            return Ok(());
        }
        let at = moved.moved_at.checked_sub(jiff::SignedDuration::from_millis(1)).unwrap_or(moved.moved_at);
        self.learn_move(
            &moved.repository,
            &moved.tag,
            Move {
                at,
                to: Some(from),
                actor: None,
                polled: true,
                not_before: None,
                recorded: occasion.recorded,
                event: occasion.ground(),
            },
        )
    }

    pub(super) fn take_image_deleted(
        &mut self,
        occasion: &Occasion,
        deleted: &ImageDeleted,
    ) -> Result<(), RecordsError> {
        let Some(tag) = &deleted.tag else { return Ok(()) };
        let (polled, not_before) = push_window(&deleted.observation);
        self.learn_move(
            &deleted.repository,
            tag,
            Move {
                at: deleted.deleted_at,
                to: None,
                actor: deleted.actor.as_ref().map(|actor| actor.name.clone()),
                polled,
                not_before,
                recorded: occasion.recorded,
                event: occasion.ground(),
            },
        )
    }

    fn learn_move(
        &mut self,
        repository: &ImageRepository,
        tag: &Tag,
        a_move: Move,
    ) -> Result<(), RecordsError> {
        let changed = self
            .draft
            .update::<TagRecord>(Table::Tags, &tag::key(repository, tag), |record| record.add(a_move))?;
        if changed {
            self.touch_unit(Unit::Tag { repository: repository.clone(), tag: tag.clone() });
        }
        Ok(())
    }

    pub(super) fn take_image_resolved(
        &mut self,
        occasion: &Occasion,
        resolved: &ImageResolved,
    ) -> Result<(), RecordsError> {
        let digest = resolved.digest;
        let contracts = Arc::clone(&self.contracts);
        self.learn_digest(occasion, &digest, |record| {
            learn_place(record, &resolved.repository, None, &contracts);
            record.media_type = Some(resolved.media_type.clone());
            // The digest fixes the content: two agents can only differ in where they cut a long list.
            record.resolved.get_or_insert_with(|| resolved.resolved.clone());
        })?;
        let record: DigestRecord = self.draft.get(Table::Digests, &digest::key(&digest))?.unwrap_or_default();
        let lists_images = matches!(record.resolved, Some(Resolved::Index { .. }));
        for child in record.children() {
            if child == digest {
                continue;
            }
            self.learn(occasion, &child, |record| {
                record.is_image |= lists_images;
                learn_place(record, &resolved.repository, None, &contracts);
                match record.parents.len() < PLACES_MAX {
                    true => record.parents.insert(digest),
                    false => std::mem::replace(&mut record.cut, true),
                };
            })?;
        }
        Ok(())
    }
}

fn learn_place(
    record: &mut DigestRecord,
    repository: &ImageRepository,
    tag: Option<&Tag>,
    contracts: &ContractSet,
) {
    let is_claimed = |repository: &ImageRepository| contracts.claims(repository);
    record.learn_repository(repository, is_claimed);
    if let Some(tag) = tag {
        record.learn_tag(repository, tag, is_claimed);
    }
}
