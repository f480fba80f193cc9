//! "Which attestations has this digest?", answered from the forge.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::fleet::Unavailable;
use bus_schema::question::Question;
use bus_schema::registry::{AttestationAttached, EvidencePlace};
use bus_schema::{Digest, Event};
use serde_json::{Value, json};

use crate::world::{Answered, REPOSITORY, World};

fn question(world: &World, digest: Digest) -> Question {
    Question::Attestations { repository: world.repository(), digest }
}

fn bundle(payload: &str) -> Value {
    json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": { "tlogEntries": [] },
        "dsseEnvelope": { "payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": [] },
    })
}

fn attached(answered: &Answered) -> Vec<&AttestationAttached> {
    let attached = answered.events.iter().map(|event| match event {
        Event::AttestationAttached(attached) => attached,
        other => panic!("{other:?}"),
    });
    attached.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bundles_arrive_byte_for_byte_small_ones_inside_and_large_ones_as_blobs() {
    let world = World::new().await;
    let digest = Digest::sha256_of(b"image");
    let (small, large) = (bundle("small"), bundle(&"x".repeat(100_000)));
    {
        let mut model = world.forge.model();
        model.attest(REPOSITORY, &digest.to_string(), small.clone());
        model.attest(REPOSITORY, &digest.to_string(), large.clone());
        model.attest(REPOSITORY, &digest.to_string(), small.clone());
    }
    let answered = world.ask(question(&world, digest)).await;
    answered.check_end(Unavailable::NotFound, "2 attestations");
    let found = attached(&answered);
    let [first, second] = found[..] else { panic!("{found:?}") };
    assert_eq!((first.subject, first.place.clone()), (digest, EvidencePlace::Forge));
    assert_eq!(first.forge_repository.as_ref().unwrap().id, world.repository().id);
    assert_eq!(first.items[0].media_type, "application/vnd.dev.sigstore.bundle.v0.3+json");
    let inside = STANDARD.decode(first.items[0].blob.inline.as_ref().unwrap()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&inside).unwrap(), small);
    assert_eq!(first.manifest, Digest::sha256_of(&inside));
    assert_eq!(second.items[0].blob.inline, None);
    let stored = world.bus.blobs().get(&second.manifest, 1 << 20).await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&stored).unwrap(), large);
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_digest_without_attestations_is_not_found_and_all_pages_are_read() {
    let world = World::new().await;
    let (bare, many) = (Digest::sha256_of(b"bare"), Digest::sha256_of(b"many"));
    for number in 0..120 {
        let text = many.to_string();
        world.forge.model().attest(REPOSITORY, &text, bundle(&number.to_string()));
    }
    world.ask(question(&world, bare)).await.check_end(Unavailable::NotFound, "0 attestations");
    let answered = world.ask(question(&world, many)).await;
    answered.check_end(Unavailable::NotFound, "120 attestations");
    world.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_that_is_kept_elsewhere_is_not_fetched_and_that_is_said() {
    let world = World::new().await;
    let digest = Digest::sha256_of(b"image");
    {
        let mut model = world.forge.model();
        model.attest(REPOSITORY, &digest.to_string(), bundle("here"));
        model.attest(
            REPOSITORY,
            &digest.to_string(),
            json!("https://blobs.elsewhere.example/bundle.json.sn"),
        );
    }
    let answered = world.ask(question(&world, digest)).await;
    answered.check_end(Unavailable::Denied, "1 bundles are kept on a host that is not configured");
    assert_eq!(attached(&answered).len(), 1);
    world.end();
}
