//! The bus on real NATS servers: one server per case, or an account per case on three nodes that all cases share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bus_schema::Digest;
use fleet_runtime::bus::Bus;
use fleet_runtime::bus::nats::{NatsBus, NatsSettings, RawNatsSettings};
use fleet_runtime::settings::Secret;
use harness::run_folder::RunFolder;
use harness::servers::login::Login;
use harness::servers::nats::{Nats, NatsCluster};
use harness::servers::nats_wire::NatsWire;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, OnceCell};

use crate::place::Place;

pub(crate) fn settings(urls: &[String], login: Option<&Login>) -> RawNatsSettings {
    RawNatsSettings {
        servers: urls.to_vec(),
        user: login.map(|login| login.name.clone()),
        password: login.map(|login| Secret::new(login.password.clone())),
        ..RawNatsSettings::default()
    }
}

pub(crate) async fn connect(urls: &[String], login: Option<&Login>) -> Arc<NatsBus> {
    let settings = NatsSettings::from_raw(settings(urls, login)).unwrap();
    NatsBus::connect(settings).await.unwrap()
}

/// A server of its own, which a restart of the bus restarts too.
pub(crate) struct OneServer {
    pub(crate) server: Mutex<Nats>,
    /// Last, so that the server is gone when it goes.
    _folder: TempDir,
}

impl OneServer {
    pub(crate) async fn new() -> OneServer {
        let folder = folder();
        let server = Mutex::new(Nats::start(folder.path()).await.unwrap());
        OneServer { server, _folder: folder }
    }

    pub(crate) async fn url(&self) -> String {
        self.server.lock().await.url().to_owned()
    }

    pub(crate) async fn wire(&self) -> NatsWire {
        NatsWire::connect(&self.url().await, None).await.unwrap()
    }
}

#[async_trait]
impl Place for OneServer {
    async fn open(&self) -> Arc<dyn Bus> {
        connect(&[self.url().await], None).await
    }

    async fn restart(&self, bus: Arc<dyn Bus>) -> Arc<dyn Bus> {
        bus.close().await.unwrap();
        drop(bus);
        let mut server = self.server.lock().await;
        server.process.stop().await.unwrap();
        server.start_again().await.unwrap();
        drop(server);
        self.open().await
    }

    async fn tamper(&self, digest: &Digest) -> bool {
        replace_a_chunk(&mut self.wire().await, digest).await;
        true
    }
}

/// Accounts of the shared cluster: more than there are cases.
const ACCOUNTS: usize = 64;

/// An account of its own on the cluster of all cases. Its streams have three copies.
pub(crate) struct ThreeNodes {
    urls: Vec<String>,
    login: Login,
}

impl ThreeNodes {
    pub(crate) async fn new() -> ThreeNodes {
        static CLUSTER: OnceCell<(NatsCluster, RunFolder)> = OnceCell::const_new();
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let (cluster, _) = CLUSTER
            .get_or_init(|| async {
                let folder = RunFolder::keep(folder()).unwrap();
                (NatsCluster::start(folder.path(), &logins(ACCOUNTS)).await.unwrap(), folder)
            })
            .await;
        let login = logins(ACCOUNTS).swap_remove(NEXT.fetch_add(1, Ordering::Relaxed));
        ThreeNodes { urls: cluster.urls(), login }
    }
}

#[async_trait]
impl Place for ThreeNodes {
    async fn open(&self) -> Arc<dyn Bus> {
        connect(&self.urls, Some(&self.login)).await
    }

    async fn tamper(&self, digest: &Digest) -> bool {
        let mut wire = NatsWire::connect(&self.urls[0], Some(&self.login)).await.unwrap();
        replace_a_chunk(&mut wire, digest).await;
        true
    }
}

pub(crate) fn logins(count: usize) -> Vec<Login> {
    (0..count).map(|number| Login::new(format!("case-{number}"), format!("password-{number}"))).collect()
}

/// A folder for a server's data: in memory where the machine has such a place, because thousands of small files are slow to
/// remove elsewhere.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap()
}

/// Replaces a chunk of a blob by another, as somebody could who may write to the bucket.
async fn replace_a_chunk(wire: &mut NatsWire, digest: &Digest) {
    let name = URL_SAFE.encode(format!("sha256-{}", digest.hex()));
    let description = json!({ "last_by_subj": format!("$O.blobs.M.{name}") });
    let found = wire.ask("STREAM.MSG.GET.OBJ_blobs", &description).await.unwrap();
    let bytes = STANDARD.decode(found["message"]["data"].as_str().unwrap()).unwrap();
    let description: Value = serde_json::from_slice(&bytes).unwrap();
    let chunks = format!("$O.blobs.C.{}", description["nuid"].as_str().unwrap());
    let chunk = json!({ "last_by_subj": chunks });
    let chunk = wire.ask("STREAM.MSG.GET.OBJ_blobs", &chunk).await.unwrap();
    let mut bytes = STANDARD.decode(chunk["message"]["data"].as_str().unwrap()).unwrap();
    bytes[0] ^= 1;
    let sequence = json!({ "seq": chunk["message"]["seq"] });
    wire.ask("STREAM.MSG.DELETE.OBJ_blobs", &sequence).await.unwrap();
    wire.request(&chunks, &bytes).await.unwrap();
}
