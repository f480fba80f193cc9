//! Files that cosign signed in the forms of its versions 1 and 2: a signature alone, with certificate and log entry, and as an
//! envelope.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::servers::github_run::{GITHUB_ISSUER, GithubRun};
use harness::servers::keyless::{CertificateIdentity, SigningRequest};
use serde_json::{Value, json};

use crate::estate::{Estate, Signing, estate};

const OLDER: [&str; 4] =
    ["-y", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false"];

/// Signs the file with cosign and tells where bundle, signature and bundle of an attestation are.
async fn signed_with_key(estate: &Estate, signing: &Signing, file: &str) -> [String; 3] {
    let [bundle, signature, attestation] =
        ["bundle", "sig", "att"].map(|kind| estate.file(&format!("{}.{kind}", name(file)), b""));
    let predicate = estate.file(&format!("{}.predicate", name(file)), b"{}");
    let key = signing.key.private.to_str().unwrap();
    let mut sign = vec!["sign-blob", "--key", key, "--bundle", &bundle, "--output-signature", &signature];
    sign.extend(OLDER.iter().copied().chain([file]));
    signing.cosign.run(sign).await.unwrap();
    let mut attest = vec!["attest-blob", "--key", key, "--bundle", &attestation, "--predicate", &predicate];
    attest.extend(OLDER.iter().copied().chain([file]));
    signing.cosign.run(attest).await.unwrap();
    [bundle, signature, attestation]
}

fn name(file: &str) -> &str {
    file.rsplit('/').next().unwrap()
}

/// The signature in base64, with one bit of its last byte turned.
fn altered(signature: &str) -> String {
    let mut bytes = STANDARD.decode(signature.trim()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    STANDARD.encode(bytes)
}

#[tokio::test]
async fn a_file_that_cosign_signed_with_a_key_is_trusted_in_its_older_forms_and_no_other_is() {
    let estate = estate().await;
    let signing = estate.signing().await;
    let (file, other) = (estate.file("by-key", b"a program"), estate.file("not-by-key", b"another program"));
    let [bundle, signature, attestation] = signed_with_key(estate, signing, &file).await;
    let (key, other_key) = (signing.public_key(), signing.other_key.public.to_str().unwrap());
    let check = async |file: &str, evidence: &str, key: &str| {
        estate.check(&[file, "--bundle", evidence, "--key", key, "--insecure-ignore-tlog"]).await
    };
    for evidence in [&bundle, &signature, &attestation] {
        check(&file, evidence, &key).await.is_trusted();
        check(&other, evidence, &key).await.is_refused();
        check(&file, evidence, other_key).await.is_refused();
    }
    let demanding = estate.check(&[&file, "--bundle", &signature, "--key", &key]).await;
    demanding.is_refused_for("bad_log_entry");

    let text = std::fs::read_to_string(&signature).unwrap();
    let turned = estate.file("turned.sig", altered(&text).as_bytes());
    check(&file, &turned, &key).await.is_refused_for("bad_signature");
    let turned = json!({ "base64Signature": altered(&text) }).to_string();
    check(&file, &estate.file("turned.bundle", turned.as_bytes()), &key)
        .await
        .is_refused_for("bad_signature");
    let mut envelope: Value = serde_json::from_slice(&std::fs::read(&attestation).unwrap()).unwrap();
    let inner = STANDARD.decode(envelope["base64Signature"].as_str().unwrap()).unwrap();
    let mut inner: Value = serde_json::from_slice(&inner).unwrap();
    inner["signatures"][0]["sig"] = json!(altered(inner["signatures"][0]["sig"].as_str().unwrap()));
    envelope["base64Signature"] = json!(STANDARD.encode(inner.to_string()));
    let turned = estate.file("turned.att", envelope.to_string().as_bytes());
    check(&file, &turned, &key).await.is_refused_for("bad_signature");
}

/// The form in which cosign 1 and 2 wrote a keyless signature, from the annotations of the same time.
async fn keyless_bundle(estate: &Estate, content: &[u8]) -> Value {
    let request = SigningRequest::artifact(CertificateIdentity::of_run(&GithubRun::default()), content);
    let annotations = estate.keyless.sign(request).await.unwrap().annotations;
    let entry: Value = serde_json::from_str(&annotations["dev.sigstore.cosign/bundle"]).unwrap();
    json!({
        "base64Signature": annotations["dev.cosignproject.cosign/signature"],
        "cert": STANDARD.encode(&annotations["dev.sigstore.cosign/certificate"]),
        "rekorBundle": entry,
    })
}

#[tokio::test]
async fn a_keyless_signature_in_the_form_of_cosign_1_and_2_is_trusted_and_no_alteration_is() {
    let estate = estate().await;
    let content = b"a keyless program";
    let (file, other) = (estate.file("by-run", content), estate.file("not-by-run", b"another"));
    let (root, subject) = (estate.keyless_root(), GithubRun::default().certificate_subject());
    let bundle = keyless_bundle(estate, content).await;
    let check_as = async |file: &str, bundle: &Value, subject: &str| {
        let bundle = estate.file("keyless.bundle", bundle.to_string().as_bytes());
        let given = [file, "--bundle", &bundle, "--trusted-root", &root, "--certificate-identity", subject];
        estate.check(&[&given[..], &["--certificate-oidc-issuer", GITHUB_ISSUER]].concat()).await
    };
    let check = async |file: &str, bundle: &Value| check_as(file, bundle, &subject).await;
    check(&file, &bundle).await.is_trusted();
    check(&harness::servers::oci::digest_of(content), &bundle).await.is_trusted();
    check(&other, &bundle).await.is_refused();
    check_as(&file, &bundle, "somebody@else.example").await.is_refused_for("wrong_signer");
    let pem = String::from_utf8(STANDARD.decode(bundle["cert"].as_str().unwrap()).unwrap()).unwrap();
    check(&file, &with(&bundle, "/cert", json!(pem))).await.is_trusted();

    let elsewhere = keyless_bundle(estate, b"another").await;
    let signature = altered(bundle["base64Signature"].as_str().unwrap());
    let promise = altered(bundle["rekorBundle"]["SignedEntryTimestamp"].as_str().unwrap());
    let time = bundle["rekorBundle"]["Payload"]["integratedTime"].as_i64().unwrap();
    for (place, value) in [
        ("/base64Signature", json!(signature)),
        ("/base64Signature", elsewhere["base64Signature"].clone()),
        ("/cert", elsewhere["cert"].clone()),
        ("/cert", json!("")),
        ("/rekorBundle", Value::Null),
        ("/rekorBundle", elsewhere["rekorBundle"].clone()),
        ("/rekorBundle/SignedEntryTimestamp", json!(promise)),
        ("/rekorBundle/Payload/integratedTime", json!(time - 1)),
        ("/rekorBundle/Payload/logIndex", json!(987_654)),
        ("/rekorBundle/Payload/body", elsewhere["rekorBundle"]["Payload"]["body"].clone()),
    ] {
        check(&file, &with(&bundle, place, value)).await.is_refused();
    }
}

fn with(bundle: &Value, place: &str, value: Value) -> Value {
    let mut changed = bundle.clone();
    *changed.pointer_mut(place).unwrap() = value;
    changed
}
