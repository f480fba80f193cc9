//! The attestations that the forge keeps for a digest.
//!
//! Each bundle is stored before the event that names it, byte for byte as the forge sent it. It is not verified here. A
//! bundle that the forge keeps elsewhere, behind an address on another host, is not fetched: the answer says so.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::fleet::Unavailable;
use bus_schema::registry::{
    AttestationAttached, BLOB_BYTES_MAX, BlobRef, EvidenceItem, EvidencePlace, INLINE_BYTES_MAX,
};
use bus_schema::{Digest, Event, RepositoryRef};
use bytes::Bytes;
use fleet_runtime::bus::{Blobs, BusError};
use fleet_runtime::publisher::PublishError;
use github_client::answering::{AnswerEvents, LookUpEnd, Stop};
use github_client::api::{ApiClient, ApiFailure, Listing, Route};
use github_client::json;
use github_client::report::Report;
use jiff::Timestamp;

use crate::github::payload::{Attestation, Attestations, BundleHead};

/// The most attestations of one digest that are read.
const ATTESTATIONS_MAX: usize = 500;
/// The longest media type that is kept, in bytes.
const MEDIA_TYPE_BYTES_MAX: usize = 255;
/// How a bundle without a media type is named: verification will refuse it.
const UNNAMED_BUNDLE: &str = "application/json";

pub(super) async fn look_up(
    api: &ApiClient,
    repository: &RepositoryRef,
    digest: &Digest,
    blobs: &dyn Blobs,
    events: &mut AnswerEvents<'_>,
) -> Result<LookUpEnd, Stop> {
    let text = digest.to_string();
    let route = Route::repository(&repository.owner, &repository.name, ["attestations", &text]);
    let listed: Listing<Attestation> = match api
        .list_within(&route.in_full_pages(), ATTESTATIONS_MAX, |page: Attestations| page.attestations)
        .await
    {
        Ok(listed) => listed,
        Err(ApiFailure::NotFound) => Listing { entries: Vec::new(), cut: false },
        Err(failure) => return Err(LookUpEnd::failed("the attestations", &failure).into()),
    };
    let mut elsewhere = 0_usize;
    let mut too_large = 0_usize;
    let mut seen = BTreeSet::new();
    for attestation in listed.entries {
        let Some(bundle) = attestation.bundle.as_ref().map(|raw| raw.get()).filter(|text| *text != "null")
        else {
            elsewhere += 1;
            continue;
        };
        if bundle.len() as u64 > BLOB_BYTES_MAX {
            too_large += 1;
            continue;
        }
        let event = attached(repository, digest, bundle, blobs).await?;
        if seen.insert(event.manifest) {
            let report = Report { occurred: event.found_at, event: Event::AttestationAttached(event) };
            events.publish(report).await?;
        }
    }
    Ok(end(seen.len(), elsewhere, too_large, listed.cut))
}

fn end(found: usize, elsewhere: usize, too_large: usize, cut: bool) -> LookUpEnd {
    match (elsewhere, too_large) {
        (0, 0) if cut => LookUpEnd::cut_off(format!("more than {ATTESTATIONS_MAX} attestations")),
        (0, 0) => LookUpEnd::complete(format!("{found} attestations")),
        (0, _) => LookUpEnd::cut_off(format!("{too_large} bundles are larger than {BLOB_BYTES_MAX} bytes")),
        // The forge has them, and nobody read them: that is no answer that there are none.
        _ => LookUpEnd::new(
            Unavailable::Denied,
            format!("{elsewhere} bundles are kept on a host that is not configured"),
        ),
    }
}

/// The event for one bundle, its bytes stored first.
async fn attached(
    repository: &RepositoryRef,
    subject: &Digest,
    bundle: &str,
    blobs: &dyn Blobs,
) -> Result<AttestationAttached, Stop> {
    let bytes = bundle.as_bytes();
    let (hash, inline) = match bytes.len() > INLINE_BYTES_MAX {
        false => (Digest::sha256_of(bytes), Some(STANDARD.encode(bytes))),
        true => match blobs.put(Bytes::copy_from_slice(bytes)).await {
            Ok(digest) => (digest, None),
            // It says nothing of the bus, and holds up no other question.
            Err(BusError::Full { .. }) => {
                let detail = "our own store of blobs has no room for a bundle";
                return Err(LookUpEnd::new(Unavailable::Unreachable, detail).into());
            }
            Err(error) => return Err(PublishError::from(error).into()),
        },
    };
    let head: BundleHead = json::read(bytes).unwrap_or(BundleHead { media_type: None });
    let media_type = head.media_type.filter(|text| is_media_type(text));
    let blob = BlobRef { digest: hash, size_bytes: bytes.len() as u64, inline };
    let item = EvidenceItem {
        media_type: media_type.unwrap_or_else(|| UNNAMED_BUNDLE.to_owned()),
        blob,
        annotations: Default::default(),
    };
    Ok(AttestationAttached {
        repository: None,
        forge_repository: Some(repository.clone()),
        subject: *subject,
        manifest: hash,
        place: EvidencePlace::Forge,
        artifact_type: None,
        items: vec![item],
        cut: false,
        found_at: Timestamp::now(),
    })
}

fn is_media_type(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MEDIA_TYPE_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}
