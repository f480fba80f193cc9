//! How fast evidence is verified: by this program without and with its cache, by sigstore-go in a loop, and by processes of
//! cosign and of custody on the same image and the same bundle, all in one run. CONTRIBUTING.md says how to start it.
//!
//! In: signatures that it makes itself, and the genuine bundles of the fixtures where they are. Out: a table on standard
//! error, and one JSON object with the same figures on standard output. Cold means that no result is remembered. A root is read
//! once, here and by sigstore-go, and with it that its own certificates are signed by each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::large_futures)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bus_schema::Digest;
use correlator_core::facts::{Outcome, Signer, Statement};
use correlator_service::{OutcomeCache, OutcomeKey};
use evidence::{Demands, TrustRoot, TrustSet, Unverified, verify};
use harness::provision::{Tool, program};
use harness::servers::cosign::{Cosign, ExpectedSigner, Format, KeyPair};
use harness::servers::github_run::{GITHUB_ISSUER, GithubRun};
use harness::servers::keyless::{CertificateIdentity, Keyless, SigningRequest};
use harness::servers::oci::OciClient;
use harness::servers::refreg::{Refreg, RefregPlan};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::process::Command;

/// How long each loop runs.
const LOOP: Duration = Duration::from_secs(2);
/// Processes of each kind, one after the other; the median counts.
const PROCESSES: usize = 11;
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const CACHE_BYTES_MAX: u64 = 32 << 20;

/// One kind of evidence. Rates are verifications a second on one core.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    kind: String,
    bytes: usize,
    cold: f64,
    cached: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sigstore_go: Option<f64>,
    /// `cold` to `sigstoreGo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

/// Two programs on the same input. Times are medians, in milliseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Processes {
    input: String,
    cosign_ms: f64,
    custody_ms: f64,
    /// How much sooner the process of custody ends.
    cold_ratio: f64,
    /// How much sooner the cache answers than the process of cosign ends.
    cached_ratio: f64,
}

struct Place {
    root: PathBuf,
    trust: TrustSet,
    bundle: PathBuf,
    bytes: Vec<u8>,
    digest: Digest,
    image: String,
    signer: ExpectedSigner,
    cosign: Cosign,
    key: KeyPair,
    key_image: String,
    _registry: Refreg,
    /// Last, so that the registry is gone when it goes.
    _folder: tempfile::TempDir,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let place = Place::make().await?;
    let own =
        measure("keyless, own Sigstore: log, certificate log and timestamp", &place.bytes, &place.trust);
    let mut kinds = vec![beside(own, loop_rate(&place.loop_over()).await?)];
    kinds.extend(genuine().await?);
    show_kinds(&kinds);
    let cached = 1000.0 / kinds[0].cached;
    let processes = vec![
        image_with_certificate(&place, cached).await?,
        image_with_key(&place, cached).await?,
        bundle(&place, cached).await?,
    ];
    show_processes(&processes);
    println!("{}", json!({ "kinds": kinds, "processes": processes }));
    Ok(())
}

impl Place {
    async fn make() -> anyhow::Result<Place> {
        let folder = tempfile::tempdir()?;
        let registry = Refreg::start(folder.path(), &RefregPlan::default()).await?;
        let client = OciClient::new(registry.host(), None)?;
        let pushed = client.push_image("acme/app", Some("v1"), ("linux", "amd64"), "measured").await?;
        let digest: Digest = pushed.digest.parse()?;
        let keyless = Keyless::new(folder.path().join("keyless"))?;
        let run = GithubRun::default();
        let sign = |predicate_type: &str| {
            let statement = json!({
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{ "name": "acme/app", "digest": { "sha256": digest.hex() } }],
                "predicateType": predicate_type,
                "predicate": {
                    "buildDefinition": {
                        "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                        "externalParameters": {},
                    },
                    "runDetails": { "builder": { "id": "https://github.com/actions/runner/github-hosted" } },
                },
            });
            SigningRequest::statement(CertificateIdentity::of_run(&run), &statement)
        };
        let signature = keyless.sign(sign("https://sigstore.dev/cosign/sign/v1")).await?;
        let attestation = keyless.sign(sign(PROVENANCE)).await?;
        let image_signature = "https://sigstore.dev/cosign/sign/v1";
        client.attach_bundle("acme/app", &pushed, image_signature, &signature.bundle_bytes()).await?;
        let root = folder.path().join("trusted_root.json");
        keyless.write_trusted_root(&root).await?;
        let bytes = attestation.bundle_bytes();
        let bundle = folder.path().join("bundle.json");
        std::fs::write(&bundle, &bytes)?;
        let trust = TrustRoot::from_json("own", &std::fs::read_to_string(&root)?, Demands::default())?;
        let cosign = Cosign::new(folder.path())?;
        let key = cosign.generate_key_pair("release").await?;
        let with_key = client.push_image("acme/key", Some("v1"), ("linux", "amd64"), "with a key").await?;
        let key_image = format!("{}/acme/key@{}", registry.host(), with_key.digest);
        cosign.sign_with_key(&key, &key_image, Format::Bundle).await?;
        Ok(Place {
            root,
            trust: TrustSet::new(vec![trust], Vec::new())?,
            bundle,
            bytes,
            digest,
            image: format!("{}/acme/app@{}", registry.host(), pushed.digest),
            signer: ExpectedSigner { subject: run.certificate_subject(), issuer: GITHUB_ISSUER.to_owned() },
            cosign,
            key,
            key_image,
            _registry: registry,
            _folder: folder,
        })
    }

    fn loop_over(&self) -> Looped {
        let ExpectedSigner { subject, issuer } = &self.signer;
        Looped {
            bundle: self.bundle.clone(),
            root: self.root.clone(),
            signer: ExpectedSigner { subject: subject.clone(), issuer: issuer.clone() },
            digest: self.digest,
        }
    }

    /// The options by which both programs are told whom to expect.
    fn expectation(&self) -> [String; 6] {
        [
            "--certificate-identity".to_owned(),
            self.signer.subject.clone(),
            "--certificate-oidc-issuer".to_owned(),
            self.signer.issuer.clone(),
            "--trusted-root".to_owned(),
            self.root.display().to_string(),
        ]
    }
}

/// The genuine bundles of the fixtures that verify, one of each producer. Those of the public instance are verified by
/// sigstore-go too.
async fn genuine() -> anyhow::Result<Vec<Kind>> {
    let bundles = harness::fixtures::path("sigstore/bundles");
    if !bundles.is_dir() {
        eprintln!("fixtures absent: {}: only what is made here is measured", bundles.display());
        return Ok(Vec::new());
    }
    let mut roots = Vec::new();
    for (name, demands) in [
        ("public-good", Demands::default()),
        ("staging", Demands { certificate_transparency: true, ..Demands::default() }),
        ("github", Demands::TIME_ONLY),
    ] {
        let text = std::fs::read_to_string(root_file(name))?;
        roots.push(TrustRoot::from_json(name, &text, demands)?);
    }
    let trust = TrustSet::new(roots, Vec::new())?;
    let mut found: BTreeMap<String, Kind> = BTreeMap::new();
    for producer in std::fs::read_dir(&bundles)?.filter_map(Result::ok).filter(|entry| entry.path().is_dir())
    {
        for file in std::fs::read_dir(producer.path())? {
            let bundle = file?.path();
            let (bytes, name) =
                (std::fs::read(&bundle)?, producer.file_name().to_string_lossy().into_owned());
            if found.contains_key(&name) {
                continue;
            }
            let Outcome::Verified(statement) = outcome(&bytes, &trust) else { continue };
            let kind = measure(&format!("genuine: {name}"), &bytes, &trust);
            let kind = match of_public_instance(&statement, bundle) {
                Some(looped) => match loop_rate(&looped).await {
                    Ok(rate) => beside(kind, rate),
                    Err(error) => {
                        eprintln!("{name}: not by sigstore-go: {error:#}");
                        kind
                    }
                },
                None => kind,
            };
            found.insert(name, kind);
        }
    }
    Ok(found.into_values().collect())
}

fn outcome(bytes: &[u8], trust: &TrustSet) -> Outcome {
    let annotations = BTreeMap::new();
    let attached_to = Digest::Sha256([0; 32]);
    let evidence =
        Unverified { media_type: BUNDLE, artifact_type: None, bytes, annotations: &annotations, attached_to };
    verify(&evidence, trust)
}

fn is_verified(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Verified(_))
}

fn measure(kind: &str, bytes: &[u8], trust: &TrustSet) -> Kind {
    let first = outcome(bytes, trust);
    assert!(is_verified(&first), "{kind}: {first:?}");
    let cold = rate(|| drop(outcome(bytes, trust)));
    let cache = OutcomeCache::new(CACHE_BYTES_MAX);
    // The key is computed from the bytes each time, as for evidence that was just read.
    let cached = rate(|| {
        let key = OutcomeKey::new(Digest::sha256_of(bytes), trust.hash(), std::iter::empty());
        if cache.get(&key).is_none() {
            cache.put(key, outcome(bytes, trust), bytes.len());
        }
    });
    Kind { kind: kind.to_owned(), bytes: bytes.len(), cold, cached, sigstore_go: None, ratio: None }
}

/// Calls a second.
fn rate(mut call: impl FnMut()) -> f64 {
    call();
    let (began, mut count) = (Instant::now(), 0_u32);
    while began.elapsed() < LOOP {
        call();
        count += 1;
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

fn root_file(name: &str) -> PathBuf {
    harness::fixtures::path(&format!("sigstore/trusted-roots/{name}.json"))
}

/// What sigstore-go verifies in a loop.
struct Looped {
    bundle: PathBuf,
    root: PathBuf,
    signer: ExpectedSigner,
    digest: Digest,
}

/// Of other instances the loop's demands are too many.
fn of_public_instance(statement: &Statement, bundle: PathBuf) -> Option<Looped> {
    let Signer::Keyless(claims) = &statement.signer else { return None };
    let root = statement.root.as_ref().filter(|root| root.name == "public-good")?;
    let digest = statement.subjects.iter().find(|digest| matches!(digest, Digest::Sha256(_)))?;
    Some(Looped {
        bundle,
        root: root_file(&root.name),
        signer: ExpectedSigner { subject: claims.subject.clone(), issuer: claims.issuer.clone()? },
        digest: *digest,
    })
}

/// How often a second sigstore-go verifies it on one core.
async fn loop_rate(looped: &Looped) -> anyhow::Result<f64> {
    let mut command = Command::new(Tool::VerifyLoop.binary()?);
    command.arg("-bundle").arg(&looped.bundle).arg("-trusted-root").arg(&looped.root);
    command.args(["-issuer", &looped.signer.issuer, "-identity", &looped.signer.subject]);
    command.args(["-digest", &looped.digest.hex(), "-seconds", &LOOP.as_secs().to_string()]);
    let output = command.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout)?;
    Ok(said["count"].as_f64().context("count")? / said["seconds"].as_f64().context("seconds")?)
}

fn beside(kind: Kind, rate: f64) -> Kind {
    Kind { sigstore_go: Some(rate), ratio: Some(kind.cold / rate), ..kind }
}

async fn image_with_certificate(place: &Place, cached_ms: f64) -> anyhow::Result<Processes> {
    let custody = median(|| {
        let mut command = Command::new(release_program());
        command.args(["check", &place.image]).args(place.expectation());
        command
    });
    let custody = custody.await?;
    let cosign =
        median_of_cosign(|| place.cosign.verify_keyless(&place.root, &place.signer, true, &place.image));
    Ok(row("an image's keyless signature, registry on loopback", cosign.await?, custody, cached_ms))
}

async fn image_with_key(place: &Place, cached_ms: f64) -> anyhow::Result<Processes> {
    let custody = median(|| {
        let mut command = Command::new(release_program());
        command.args(["check", &place.key_image, "--insecure-ignore-tlog", "--key"]).arg(&place.key.public);
        command
    });
    let custody = custody.await?;
    let cosign = median_of_cosign(|| place.cosign.verify_with_key(&place.key, &place.key_image));
    Ok(row("an image's signature by a key, registry on loopback", cosign.await?, custody, cached_ms))
}

async fn bundle(place: &Place, cached_ms: f64) -> anyhow::Result<Processes> {
    let digest = place.digest.to_string();
    let custody = median(|| {
        let mut command = Command::new(release_program());
        command.args(["check", &digest, "--evidence"]).arg(&place.bundle).args(place.expectation());
        command
    });
    let custody = custody.await?;
    let cosign = median_of_cosign(|| {
        place.cosign.verify_statement_bundle(&place.bundle, &place.root, &place.signer, PROVENANCE, &digest)
    });
    Ok(row("an attestation in a file", cosign.await?, custody, cached_ms))
}

fn row(input: &str, cosign_ms: f64, custody_ms: f64, cached_ms: f64) -> Processes {
    Processes {
        input: input.to_owned(),
        cosign_ms,
        custody_ms,
        cold_ratio: cosign_ms / custody_ms,
        cached_ratio: cosign_ms / cached_ms,
    }
}

/// Beside this program, so built as it was.
fn release_program() -> PathBuf {
    program().expect("custody is built")
}

async fn median(command: impl Fn() -> Command) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..PROCESSES {
        let began = Instant::now();
        let output = command().output().await?;
        times.push(began.elapsed());
        let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "custody ends with {}: {said}{why}", output.status);
    }
    Ok(middle(times))
}

async fn median_of_cosign<F: Future<Output = anyhow::Result<String>>>(
    call: impl Fn() -> F,
) -> anyhow::Result<f64> {
    let mut times = Vec::new();
    for _ in 0..PROCESSES {
        let began = Instant::now();
        call().await?;
        times.push(began.elapsed());
    }
    Ok(middle(times))
}

fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}

fn show_kinds(kinds: &[Kind]) {
    eprintln!(
        "{:<62} {:>7} {:>9} {:>10} {:>11} {:>6}",
        "evidence", "bytes", "cold/s", "cached/s", "sigstore-go", "ratio"
    );
    for kind in kinds {
        let shown =
            |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.1}"));
        eprintln!(
            "{:<62} {:>7} {:>9.0} {:>10.0} {:>11} {:>6}",
            kind.kind,
            kind.bytes,
            kind.cold,
            kind.cached,
            shown(kind.sigstore_go),
            shown(kind.ratio)
        );
    }
    eprintln!();
}

fn show_processes(processes: &[Processes]) {
    eprintln!(
        "{:<52} {:>10} {:>11} {:>7} {:>10}",
        "one process", "cosign ms", "custody ms", "ratio", "cached"
    );
    for row in processes {
        eprintln!(
            "{:<52} {:>10.1} {:>11.1} {:>7.1} {:>10.0}",
            row.input, row.cosign_ms, row.custody_ms, row.cold_ratio, row.cached_ratio
        );
    }
}
