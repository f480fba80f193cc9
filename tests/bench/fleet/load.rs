//! What a fleet says about images: four events of each, as its registry's and cluster's agents would publish them.
//!
//! In: the number of an image, and how its signature is to be verified. Out: messages for the bus, which
//! differ from run to run in their times and signatures only.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::cluster::{Container, ContainerStarted, ContainerStopped, SlotKind};
use bus_schema::registry::{
    AttestationAttached, BlobRef, EvidenceItem, EvidencePlace, ImagePushed, ImageResolved, Observation,
    Resolved,
};
use bus_schema::{Actor, Digest, Envelope, Event, ImageRepository, Tag, WorkloadRef};
use bytes::Bytes;
use fleet_runtime::bus::Message;
use harness::servers::github_run::{GITHUB_ISSUER, GithubRun};
use harness::servers::keyless::{CertificateIdentity, Keyless, SigningRequest};
use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use serde_json::{Value, json};

pub(crate) const AGENTS: [&str; 3] = ["registry-agent", "cluster-agent", "source-agent"];
const CLUSTER: &str = "11111111-2222-3333-4444-555555555555";
const CLUSTER_NAME: &str = "prod-1";
pub(crate) const EVENTS_PER_IMAGE: usize = 4;
/// Pods of one namespace.
const PODS_PER_NAMESPACE: u64 = 50;
const REPOSITORIES: u64 = 200;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const STATEMENT: &str = "application/vnd.in-toto+json";
const IMAGE_SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
const PIPELINE: &str = "ci-bot";
const PERSON: &str = "alice";

/// Who signs the images of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signatures {
    Key,
    /// With a certificate, a log entry and a timestamp.
    Keyless,
}

/// In which repository the images are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copy {
    Original,
    /// The same digests with the same signatures beside them.
    Mirror,
}

/// A maker of images.
pub(crate) struct Load {
    key: KeyPair,
    keyless: Option<Keyless>,
    run: GithubRun,
    /// Tells loads of one log apart.
    name: String,
}

impl Load {
    /// Writes the contracts that claim the images into the folder.
    pub(crate) async fn new(name: &str, contracts: &Path, with_keyless: bool) -> anyhow::Result<Load> {
        let key = KeyPair::generate()?;
        let run = GithubRun::default();
        std::fs::create_dir_all(contracts)?;
        let der = STANDARD.encode(key.subject_public_key_info());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
        std::fs::write(contracts.join("release.pub"), pem)?;
        let mut signer = "      - key: { file: release.pub, log: not-required }\n".to_owned();
        let mut root = String::new();
        let keyless = match with_keyless {
            true => Some(Keyless::new(contracts.join("../keyless"))?),
            false => None,
        };
        if let Some(keyless) = &keyless {
            keyless.write_trusted_root(&contracts.join("trusted_root.json")).await?;
            signer += &format!(
                "      - keyless: {{ subject: \"{}\", issuer: \"{GITHUB_ISSUER}\" }}\n",
                run.certificate_subject()
            );
            root = "---\napiVersion: custody.dev/v1\nkind: TrustRoot\nmetadata: { name: own }\n\
                    spec: { file: trusted_root.json }\n"
                .to_owned();
        }
        let pipeline = format!(
            "apiVersion: custody.dev/v1\nkind: Pipeline\nmetadata: {{ name: all }}\nspec:\n  \
             images: [\"registry.example/acme/**\"]\n  require: [artifact, signature]\n  \
             artifact: {{ pushers: [{PIPELINE}] }}\n  signatures:\n    anyOf:\n{signer}{root}"
        );
        std::fs::write(contracts.join("all.yaml"), pipeline)?;
        Ok(Load { key, keyless, run, name: name.to_owned() })
    }

    /// The four events of each of these images, in the order in which a fleet would say them.
    pub(crate) async fn images(
        &self,
        numbers: std::ops::Range<u64>,
        signatures: Signatures,
    ) -> anyhow::Result<Vec<Message>> {
        let bundles = self.bundles(numbers.clone(), signatures).await?;
        self.with_bundles(numbers, &bundles, Copy::Original)
    }

    /// Originals, and then the same images in another repository.
    pub(crate) fn mirrored(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<[Vec<Message>; 2]> {
        let bundles: Vec<Bytes> =
            numbers.clone().map(|number| self.signed_by_key(number)).collect::<anyhow::Result<_>>()?;
        let original = self.with_bundles(numbers.clone(), &bundles, Copy::Original)?;
        Ok([original, self.with_bundles(numbers, &bundles, Copy::Mirror)?])
    }

    fn with_bundles(
        &self,
        numbers: std::ops::Range<u64>,
        bundles: &[Bytes],
        copy: Copy,
    ) -> anyhow::Result<Vec<Message>> {
        let mut messages = Vec::with_capacity(bundles.len() * EVENTS_PER_IMAGE);
        for (number, bundle) in numbers.zip(bundles) {
            messages.push(message(AGENTS[0], self.pushed(number, copy, PIPELINE))?);
            messages.push(message(AGENTS[0], self.resolved(number, copy))?);
            messages.push(message(AGENTS[0], self.attached(number, copy, bundle)?)?);
            messages.push(message(AGENTS[1], self.started(self.container(number, copy, 0)?))?);
        }
        Ok(messages)
    }

    /// One namespace runs a container of each of these digests, which no registry has.
    pub(crate) fn made_up(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<Vec<Message>> {
        let digest = |number| Digest::sha256_of(format!("{} made up {number}", self.name).as_bytes());
        let container = |number| {
            let digest = digest(number);
            placed("flooding", &format!("made-up-{number}"), repository(number, Copy::Original), digest, 0)
        };
        numbers.map(|number| message(AGENTS[1], self.started(container(number)?))).collect()
    }

    /// Every image's container ends and starts again, so often.
    pub(crate) fn restarts(&self, number: u64, times: u64) -> anyhow::Result<Vec<Message>> {
        let mut messages = Vec::new();
        for time in 0..times {
            let stopped = Event::ContainerStopped(ContainerStopped {
                cluster_name: CLUSTER_NAME.to_owned(),
                container: self.container(number, Copy::Original, time)?,
                reason: "Completed".to_owned(),
                exit_code: Some(0),
                stopped_at: Timestamp::now(),
            });
            messages.push(message(AGENTS[1], stopped)?);
            messages
                .push(message(AGENTS[1], self.started(self.container(number, Copy::Original, time + 1)?))?);
        }
        Ok(messages)
    }

    /// A push that a person made and that must be told at once.
    pub(crate) fn pushed_by_a_person(&self, number: u64) -> anyhow::Result<Message> {
        message(AGENTS[0], self.pushed(number, Copy::Original, PERSON))
    }

    pub(crate) fn digest(&self, number: u64) -> Digest {
        Digest::sha256_of(format!("{} image {number}", self.name).as_bytes())
    }

    fn pushed(&self, number: u64, copy: Copy, actor: &str) -> Event {
        let tag = format!("v{number}").parse().ok();
        let event_id = format!("{}-{copy:?}-{number}", self.name);
        pushed(repository(number, copy), self.digest(number), tag, actor, event_id)
    }

    fn resolved(&self, number: u64, copy: Copy) -> Event {
        let config = Digest::sha256_of(format!("{} config {number}", self.name).as_bytes());
        resolved(repository(number, copy), self.digest(number), config)
    }

    fn attached(&self, number: u64, copy: Copy, bundle: &[u8]) -> anyhow::Result<Event> {
        let manifest = Digest::sha256_of(format!("{} signature {number}", self.name).as_bytes());
        attached(repository(number, copy), self.digest(number), manifest, bundle)
    }

    fn started(&self, container: Container) -> Event {
        Event::ContainerStarted(ContainerStarted { cluster_name: CLUSTER_NAME.to_owned(), container })
    }

    /// The image's container after so many restarts.
    fn container(&self, number: u64, copy: Copy, restarts: u64) -> anyhow::Result<Container> {
        let namespace = format!("team-{}", number / PODS_PER_NAMESPACE);
        let name = format!("{}-{copy:?}-{number}", self.name).to_lowercase();
        placed(&namespace, &name, repository(number, copy), self.digest(number), restarts)
    }

    async fn bundles(
        &self,
        numbers: std::ops::Range<u64>,
        signatures: Signatures,
    ) -> anyhow::Result<Vec<Bytes>> {
        match signatures {
            Signatures::Key => numbers.map(|number| self.signed_by_key(number)).collect(),
            Signatures::Keyless => {
                let keyless = self.keyless.as_ref().context("this load has no authority")?;
                let identity = CertificateIdentity::of_run(&self.run);
                let requests: Vec<SigningRequest> = numbers
                    .map(|number| SigningRequest::statement(identity.clone(), &self.statement(number)))
                    .collect();
                let signed = keyless.sign_all(&requests).await?;
                Ok(signed.iter().map(|signed| Bytes::from(signed.bundle_bytes())).collect())
            }
        }
    }

    fn statement(&self, number: u64) -> Value {
        let name = repository(number, Copy::Original);
        let subject = json!({ "name": name, "digest": { "sha256": self.digest(number).hex() } });
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [subject],
            "predicateType": IMAGE_SIGNATURE,
            "predicate": {},
        })
    }

    fn signed_by_key(&self, number: u64) -> anyhow::Result<Bytes> {
        let payload = self.statement(number).to_string();
        let mut signed = format!("DSSEv1 {} {STATEMENT} {} ", STATEMENT.len(), payload.len()).into_bytes();
        signed.extend_from_slice(payload.as_bytes());
        let signature = self.key.sign(&signed)?;
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { "publicKey": { "hint": "" } },
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload),
                "payloadType": STATEMENT,
                "signatures": [{ "sig": STANDARD.encode(signature), "keyid": "" }],
            },
        });
        Ok(Bytes::from(bundle.to_string()))
    }
}

pub(crate) fn pushed(
    repository: ImageRepository,
    digest: Digest,
    tag: Option<Tag>,
    actor: &str,
    event_id: String,
) -> Event {
    Event::ImagePushed(ImagePushed {
        repository,
        digest,
        media_type: Some(MANIFEST.to_owned()),
        tag,
        actor: Some(Actor::named(actor)),
        client: Some("docker/28.0".to_owned()),
        observation: Observation::Notification { event_id },
        pushed_at: Timestamp::now(),
    })
}

pub(crate) fn resolved(repository: ImageRepository, digest: Digest, config: Digest) -> Event {
    Event::ImageResolved(ImageResolved {
        repository,
        digest,
        media_type: MANIFEST.to_owned(),
        resolved: Resolved::Manifest { config },
        resolved_at: Timestamp::now(),
    })
}

/// A bundle that is found beside a digest.
pub(crate) fn attached(
    repository: ImageRepository,
    subject: Digest,
    manifest: Digest,
    bundle: &[u8],
) -> anyhow::Result<Event> {
    let item = EvidenceItem {
        media_type: BUNDLE.to_owned(),
        blob: BlobRef::inlined(bundle).context("evidence is too large for an event")?,
        annotations: BTreeMap::new(),
    };
    Ok(Event::AttestationAttached(AttestationAttached {
        repository: Some(repository),
        forge_repository: None,
        subject,
        manifest,
        place: EvidencePlace::Referrers,
        artifact_type: Some(BUNDLE.to_owned()),
        items: vec![item],
        cut: false,
        found_at: Timestamp::now(),
    }))
}

/// The one container of a workload.
fn placed(
    namespace: &str,
    name: &str,
    repository: ImageRepository,
    digest: Digest,
    restarts: u64,
) -> anyhow::Result<Container> {
    let text = format!("{repository}@{digest}");
    Ok(Container {
        workload: WorkloadRef::new(CLUSTER.parse()?, namespace, "Deployment", name)?,
        pod: format!("{name}-0"),
        pod_uid: format!("uid-{name}"),
        slot: "main".to_owned(),
        slot_kind: SlotKind::Main,
        container_id: format!("containerd://{restarts}-{}", digest.hex()),
        image: Some(text.parse()?),
        image_text: text.clone(),
        image_id: text,
        digest: Some(digest),
        started_at: Timestamp::now(),
    })
}

fn repository(number: u64, copy: Copy) -> ImageRepository {
    let folder = match copy {
        Copy::Original => "acme",
        Copy::Mirror => "acme/mirror",
    };
    let name = format!("registry.example/{folder}/app-{}", number % REPOSITORIES);
    #[expect(clippy::unwrap_used, reason = "a name of this program")]
    name.parse().unwrap()
}

pub(crate) fn message(agent: &str, event: Event) -> anyhow::Result<Message> {
    let now = Timestamp::now();
    let envelope = Envelope::new(agent.parse()?, now, now, None, event);
    Ok(Message::new(envelope.subject().to_string(), envelope.id.to_string(), envelope.to_json()?))
}
