//! A repository of The Update Framework that the tests sign and serve on loopback, with whatever is wrong with it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use bus_schema::Digest;
use serde_json::{Value, json};
use sigstore_tuf::canonical_json::to_canonical_bytes;

use crate::tests::signing_key::SigningKey;

pub(super) const FAR: &str = "2999-01-01T00:00:00Z";

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// One key signs every role.
pub(super) struct Repository {
    key: SigningKey,
    files: Files,
    pub(super) url: String,
}

/// What the next release says.
pub(super) struct Release<'a> {
    pub(super) version: u64,
    pub(super) target: &'a str,
    pub(super) expires: &'a str,
}

impl Repository {
    /// Serves nothing yet. Ends with the runtime of the test.
    pub(super) async fn start() -> Repository {
        let files = Files::default();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/{*name}", axum::routing::get(file)).with_state(files.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Repository { key: SigningKey::generate(), files, url }
    }

    /// Root metadata of one version, signed by this key and those given, for the key of `next`.
    fn root_bytes(&self, version: u64, next: &SigningKey, also: &[&SigningKey]) -> Vec<u8> {
        let (id, key) = entry(next);
        let role = json!({ "keyids": [id], "threshold": 1 });
        let signed = json!({
            "_type": "root",
            "spec_version": "1.0.0",
            "version": version,
            "expires": FAR,
            "consistent_snapshot": false,
            "keys": { id: key },
            "roles": { "root": role, "timestamp": role, "snapshot": role, "targets": role },
        });
        envelope(&signed, also.iter().copied().chain([next]))
    }

    pub(super) fn first_root(&self) -> String {
        String::from_utf8(self.root_bytes(1, &self.key, &[])).unwrap()
    }

    /// Another key from now on, said by the one before, or by a stranger.
    pub(super) fn rotate(&mut self, version: u64, by: Option<&SigningKey>) {
        let next = SigningKey::generate();
        let said_by = by.unwrap_or(&self.key);
        let bytes = self.root_bytes(version, &next, &[said_by]);
        self.put(&format!("{version}.root.json"), bytes);
        self.key = next;
    }

    /// A whole release: target, targets, snapshot and timestamp.
    pub(super) fn publish(&self, release: &Release<'_>) {
        let Release { version, target, expires } = *release;
        let targets = json!({
            "_type": "targets", "spec_version": "1.0.0", "version": version, "expires": FAR,
            "targets": { "trusted_root.json": pinned(target.as_bytes()) },
        });
        let targets = envelope(&targets, [&self.key]);
        let snapshot = json!({
            "_type": "snapshot", "spec_version": "1.0.0", "version": version, "expires": FAR,
            "meta": { "targets.json": described(&targets, version) },
        });
        let snapshot = envelope(&snapshot, [&self.key]);
        let timestamp = json!({
            "_type": "timestamp", "spec_version": "1.0.0", "version": version, "expires": expires,
            "meta": { "snapshot.json": described(&snapshot, version) },
        });
        self.put("timestamp.json", envelope(&timestamp, [&self.key]));
        self.put("snapshot.json", snapshot);
        self.put("targets.json", targets);
        self.put("targets/trusted_root.json", target.as_bytes().to_vec());
    }

    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.files.lock().unwrap().insert(name.to_owned(), bytes);
    }

    /// Changes one file behind the signatures.
    pub(super) fn tamper(&self, name: &str, change: impl Fn(&mut Vec<u8>)) {
        change(self.files.lock().unwrap().get_mut(name).unwrap());
    }

    pub(super) fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        self.files.lock().unwrap().clone()
    }

    pub(super) fn replace_everything(&self, files: BTreeMap<String, Vec<u8>>) {
        *self.files.lock().unwrap() = files;
    }
}

async fn file(State(files): State<Files>, Path(name): Path<String>) -> Result<Vec<u8>, StatusCode> {
    files.lock().unwrap().get(&name).cloned().ok_or(StatusCode::NOT_FOUND)
}

fn entry(key: &SigningKey) -> (String, Value) {
    let key = json!({
        "keytype": "ecdsa",
        "scheme": "ecdsa-sha2-nistp256",
        "keyval": { "public": key.public_pem() },
    });
    (Digest::sha256_of(&to_canonical_bytes(&key).unwrap()).hex(), key)
}

fn envelope<'a>(signed: &Value, keys: impl IntoIterator<Item = &'a SigningKey>) -> Vec<u8> {
    let canonical = to_canonical_bytes(signed).unwrap();
    let signature = |key: &SigningKey| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(key.sign(&canonical)).unwrap();
        json!({ "keyid": entry(key).0, "sig": hex::encode(bytes) })
    };
    let mut signatures: Vec<Value> = keys.into_iter().map(signature).collect();
    signatures.dedup_by(|next, kept| next["keyid"] == kept["keyid"]);
    serde_json::to_vec(&json!({ "signed": signed, "signatures": signatures })).unwrap()
}

fn pinned(bytes: &[u8]) -> Value {
    json!({ "length": bytes.len(), "hashes": { "sha256": Digest::sha256_of(bytes).hex() } })
}

fn described(bytes: &[u8], version: u64) -> Value {
    let mut described = pinned(bytes);
    described["version"] = version.into();
    described
}
