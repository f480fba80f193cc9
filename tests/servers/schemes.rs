//! What cosign signs with keys of every kind, logged by a real Rekor and dated by a real timestamp authority, verifies here.
//!
//! cosign and Rekor have no way to sign or to log by RSASSA-PSS; that scheme is tested in the crate that verifies.

use std::path::{Path, PathBuf};

use bus_schema::Digest;
use correlator_core::facts::{Refusal, RefusalReason, Signer};
use evidence::{Artifact, Demands, LogDemand, Proof, TrustRoot, TrustSet, TrustedKey, verify_bundle};
use harness::provision::program;
use harness::servers::cosign::Cosign;
use harness::servers::github_run::GithubRun;
use harness::servers::sigstore::PrivateSigstore;
use harness::servers::tool_run::output_of;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const ARTIFACT: &[u8] = b"what is released";

struct Signing {
    sigstore: PrivateSigstore,
    cosign: Cosign,
    artifact: PathBuf,
    /// Last, so that the servers are gone when it goes.
    folder: TempDir,
}

impl Signing {
    async fn start() -> Signing {
        let folder = tempdir().unwrap();
        let sigstore = PrivateSigstore::start(folder.path()).await.unwrap();
        let cosign = Cosign::new(folder.path()).unwrap();
        let artifact = folder.path().join("artifact");
        std::fs::write(&artifact, ARTIFACT).unwrap();
        Signing { sigstore, cosign, artifact, folder }
    }

    /// Signs the artifact, or attests something about it, with what `signer` says; gives the bundle, which cosign has
    /// verified.
    async fn sign(&self, attest: bool, signer: &[String]) -> anyhow::Result<Value> {
        let root = ["--trusted-root".to_owned(), path(&self.sigstore.files().trusted_root)];
        self.sign_unverified(attest, &[&root, signer].concat()).await
    }

    /// The same without cosign's verification, for which it takes the root that it is told of.
    async fn sign_unverified(&self, attest: bool, signer: &[String]) -> anyhow::Result<Value> {
        let bundle = self.folder.path().join("bundle.json");
        let mut asked: Vec<String> = if attest {
            let predicate = self.folder.path().join("predicate.json");
            std::fs::write(&predicate, json!({ "passed": true }).to_string())?;
            let kind = "https://acme.example/tested/v1".to_owned();
            ["attest-blob".to_owned(), "--type".to_owned(), kind, "--predicate".to_owned(), path(&predicate)]
                .into()
        } else {
            vec!["sign-blob".to_owned()]
        };
        asked.extend(["--yes".to_owned(), "--bundle".to_owned(), path(&bundle)]);
        asked.extend(["--signing-config".to_owned(), path(&self.sigstore.files().signing_config)]);
        asked.extend_from_slice(signer);
        asked.push(path(&self.artifact));
        self.cosign.run(asked).await?;
        Ok(serde_json::from_slice(&std::fs::read(&bundle)?)?)
    }

    /// The servers have no certificate log.
    fn trust(&self, keys: Vec<TrustedKey>) -> TrustSet {
        let demands = Demands { certificate_transparency: false, ..Demands::default() };
        let text = std::fs::read_to_string(&self.sigstore.files().trusted_root).unwrap();
        TrustSet::new(vec![TrustRoot::from_json("private", &text, demands).unwrap()], keys).unwrap()
    }
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn verify(bundle: &Value, trust: &TrustSet) -> Result<Proof, Refusal> {
    verify_bundle(bundle.to_string().as_bytes(), Artifact::Bytes(ARTIFACT), trust)
}

/// The scheme that the log wrote into the bundle's entry.
fn logged_scheme(bundle: &Value) -> String {
    use base64::Engine as _;
    let body = bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"].as_str().unwrap();
    let body = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let verifier = &body["spec"]["hashedRekordV002"]["signature"]["verifier"];
    verifier["keyDetails"].as_str().unwrap().to_owned()
}

/// The same bundle with the last byte of its signature changed.
fn altered(bundle: &Value) -> Value {
    use base64::Engine as _;
    let standard = base64::engine::general_purpose::STANDARD;
    let mut altered = bundle.clone();
    let place = ["/messageSignature/signature", "/dsseEnvelope/signatures/0/sig"];
    let place = place.into_iter().find(|place| bundle.pointer(place).is_some()).unwrap();
    let signature = altered.pointer_mut(place).unwrap();
    let mut bytes = standard.decode(signature.as_str().unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    *signature = json!(standard.encode(bytes));
    altered
}

#[tokio::test]
async fn what_cosign_signs_with_keys_of_every_kind_and_rekor_logs_verifies() {
    let signing = Signing::start().await;
    let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_3072).unwrap();
    let key = |algorithm| rcgen::KeyPair::generate_for(algorithm).unwrap();
    let kinds = [
        ("p256", key(&rcgen::PKCS_ECDSA_P256_SHA256), "PKIX_ECDSA_P256_SHA_256"),
        ("p384", key(&rcgen::PKCS_ECDSA_P384_SHA384), "PKIX_ECDSA_P384_SHA_384"),
        ("p521", key(&rcgen::PKCS_ECDSA_P521_SHA512), "PKIX_ECDSA_P521_SHA_512"),
        ("rsa", rsa, "PKIX_RSA_PKCS1V15_3072_SHA256"),
        ("ed25519", key(&rcgen::PKCS_ED25519), "PKIX_ED25519_PH"),
    ];
    for (name, key, scheme) in kinds {
        let pem = signing.folder.path().join(format!("{name}.pem"));
        std::fs::write(&pem, key.serialize_pem()).unwrap();
        let prefix = signing.folder.path().join(name);
        let import = ["import-key-pair".to_owned(), "--key".to_owned(), path(&pem)];
        let import = import.into_iter().chain(["--output-key-prefix".to_owned(), path(&prefix)]);
        signing.cosign.run(import).await.unwrap();
        let trusted = TrustedKey::from_pem(name, &key.public_key_pem(), LogDemand::Required).unwrap();
        let fingerprint = trusted.fingerprint();
        let trust = signing.trust(vec![trusted]);
        let signer = ["--key".to_owned(), path(&prefix.with_extension("key"))];
        for attest in [false, true] {
            // cosign signs by Ed25519ph, and then looks for a plain Ed25519 signature in what it signed.
            let bundle = match scheme {
                "PKIX_ED25519_PH" => signing.sign_unverified(attest, &signer).await.unwrap(),
                _ => signing.sign(attest, &signer).await.unwrap(),
            };
            assert_eq!(logged_scheme(&bundle), scheme, "{name}");
            let found = verify(&bundle, &trust).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
            assert_eq!(found.signer, Signer::Key { fingerprint, logged: true }, "{name}");
            assert!(found.signed_at.is_some(), "{name}");
            let refused = verify(&altered(&bundle), &trust).unwrap_err();
            assert_eq!(refused.reason, RefusalReason::BadSignature, "{name}: {refused:?}");
            let another = Artifact::Digest(Digest::sha256_of(b"another"));
            let refused = verify_bundle(bundle.to_string().as_bytes(), another, &trust).unwrap_err();
            assert_eq!(refused.reason, RefusalReason::BadSubject, "{name}: {refused:?}");
        }
    }
}

/// How the program answers for a file and the bundle that was signed last.
async fn check(signing: &Signing, file: &Path) -> Option<i32> {
    let bundle = signing.folder.path().join("bundle.json");
    let mut command = tokio::process::Command::new(program().unwrap());
    command
        .args(["check", &path(file), "--bundle", &path(&bundle)])
        .args(["--trusted-root", &path(&signing.sigstore.files().trusted_root)])
        .args(["--certificate-identity-regexp", "https://github.com/.+"])
        .args(["--certificate-oidc-issuer-regexp", "http://127[.]0[.]0[.]1:[0-9]+"]);
    output_of(&mut command, b"").await.unwrap().status.code()
}

#[tokio::test]
async fn what_cosign_signs_with_certificates_around_keys_of_every_kind_verifies() {
    let signing = Signing::start().await;
    let trust = signing.trust(Vec::new());
    let run = GithubRun::default();
    for (algorithm, scheme) in [
        ("ecdsa-sha2-256-nistp256", "PKIX_ECDSA_P256_SHA_256"),
        ("ecdsa-sha2-384-nistp384", "PKIX_ECDSA_P384_SHA_384"),
        ("ecdsa-sha2-512-nistp521", "PKIX_ECDSA_P521_SHA_512"),
        ("rsa-sign-pkcs1-3072-sha256", "PKIX_RSA_PKCS1V15_3072_SHA256"),
    ] {
        let token = signing.folder.path().join("token");
        std::fs::write(&token, signing.sigstore.token(&run).await.unwrap()).unwrap();
        let signer = [
            "--identity-token".to_owned(),
            path(&token),
            "--signing-algorithm".to_owned(),
            algorithm.to_owned(),
        ];
        let bundle = signing.sign(false, &signer).await.unwrap();
        assert_eq!(logged_scheme(&bundle), scheme, "{algorithm}");
        let found = verify(&bundle, &trust).unwrap_or_else(|refused| panic!("{algorithm}: {refused:?}"));
        let Signer::Keyless(claims) = &found.signer else { panic!("{algorithm}: {:?}", found.signer) };
        assert_eq!(claims.issuer.as_deref(), Some(signing.sigstore.issuer.url()), "{algorithm}");
        assert!(found.signed_at.is_some(), "{algorithm}");
        let refused = verify(&altered(&bundle), &trust).unwrap_err();
        // The timestamp is over the signature, and comes before it.
        assert_eq!(refused.reason, RefusalReason::BadTime, "{algorithm}: {refused:?}");
        let another = signing.folder.path().join("another");
        std::fs::write(&another, "what was never signed").unwrap();
        assert_eq!(check(&signing, &signing.artifact).await, Some(0), "{algorithm}");
        assert_eq!(check(&signing, &another).await, Some(1), "{algorithm}");
    }
}
