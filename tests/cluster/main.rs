//! The stories of the product, on real servers: a registry with users, a registry with referrers, a Kubernetes API server, a
//! private Sigstore, and the real `custody up`; only the forge is a stand-in.
//!
//! Each story is one file below `stories/` and owns a project of its own: a repository, an image repository, a namespace
//! and a pipeline. All share one estate, and none touches what another looks at. Each says what must be alerted and what
//! must not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::large_futures)]

mod before;
mod estate;
mod observe;
mod project;
mod stories;

use std::future::Future;
use std::sync::LazyLock;

use tokio::runtime::Runtime;

/// One runtime for all stories: the stand-ins run in it as long as the program does.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

fn story<F: Future<Output = anyhow::Result<()>>>(story: F) {
    let whole = async {
        story.await?;
        let violations = estate::estate().await.forge.violations();
        anyhow::ensure!(violations.is_empty(), "the forge said what GitHub would not: {violations:#?}");
        Ok(())
    };
    if let Err(error) = RUNTIME.block_on(whole) {
        panic!("{error:#}");
    }
}
