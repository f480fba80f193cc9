//! Trust roots from repositories of The Update Framework: fetched, verified, and the last good copy kept.
//!
//! In: the sources that the contracts name, each with a root that is trusted from the start. Out: one file for each with the
//! verified target, for [`super::read_folder`]. What does not verify, is older than what was seen, has expired, or is no root that this version can
//! use changes nothing: the last good copy stays, and what is wrong is said. Verification is `sigstore-tuf`'s.

mod mirror;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bus_schema::Digest;
use correlator_core::contracts::trust_root::{Demands, TufSource};
use evidence::{TrustError, TrustRoot};
use fleet_runtime::error_chain;
use jiff::Timestamp;
use sigstore_tuf::{FileStore, HttpRepository, Repository, Updater, UpdaterConfig};

use self::mirror::Mirror;

/// The longest time of one request.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);
/// The longest time of one look at a repository, all its files together.
const LOOK_TIME_MAX: Duration = Duration::from_secs(60);
/// A trusted root is some tens of kilobytes.
const TARGET_BYTES_MAX: u64 = 1024 * 1024;
/// The name of the copy beside the repository's metadata.
const COPY: &str = "last-good";

/// Why a repository gave nothing new.
#[derive(Debug, thiserror::Error)]
pub enum TufError {
    #[error("the first root of the repository does not parse")]
    FirstRoot(#[source] sigstore_tuf::Error),
    #[error("make a client for {url}")]
    Client { url: String, source: sigstore_tuf::Error },
    #[error("make an HTTP client")]
    Http(#[from] reqwest::Error),
    #[error("{url} gives no good copy of {target}")]
    Repository { url: String, target: String, source: sigstore_tuf::Error },
    #[error("{url} has not answered within {} s", LOOK_TIME_MAX.as_secs())]
    TooLate { url: String },
    #[error("{target} of {url} is not UTF-8")]
    NotText { url: String, target: String },
    #[error("{target} of {url} is no trust root that this version can use")]
    Unusable { url: String, target: String, source: TrustError },
    #[error("keep the copy in {}", path.display())]
    Keep { path: PathBuf, source: io::Error },
}

/// The folder of copies and of the repositories' metadata. Everything in it is verified again before it is used, but for the
/// copies themselves, which are this program's own.
#[derive(Debug, Clone)]
pub struct Copies {
    folder: PathBuf,
}

impl Copies {
    /// The copies of a data folder.
    pub fn of_data(data: &Path) -> Copies {
        Copies { folder: data.join("trust-roots") }
    }

    /// The last good copy, if there ever was one from this source and this first root.
    pub fn path(&self, source: &TufSource, first_root: &str) -> PathBuf {
        self.place(source, first_root).join(COPY)
    }

    /// Another address, target or first root is another source: nothing is taken over.
    fn place(&self, source: &TufSource, first_root: &str) -> PathBuf {
        let first_root = Digest::sha256_of(first_root.as_bytes()).to_string();
        let key = bus_schema::hash::hash_fields([source.url.as_str(), source.target.as_str(), &first_root]);
        self.folder.join(Digest::Sha256(key).hex())
    }

    /// Asks the repository and keeps what is good.
    pub async fn refresh(
        &self,
        source: &TufSource,
        first_root: &str,
        now: Timestamp,
    ) -> Result<(), TufError> {
        let place = self.place(source, first_root);
        let looking = fetch(source, first_root, &place, now);
        let looked = tokio::time::timeout(LOOK_TIME_MAX, looking).await;
        let bytes = looked.map_err(|_| TufError::TooLate { url: source.url.clone() })??;
        let (url, target) = (source.url.clone(), source.target.clone());
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(_) => return Err(TufError::NotText { url, target }),
        };
        // What no contract could be in force with would keep every later change of them out.
        if let Err(source) = TrustRoot::from_json(&source.copy, &text, Demands::default()) {
            return Err(TufError::Unusable { url, target, source });
        }
        keep(&place, &text).map_err(|error| TufError::Keep { path: place, source: error })
    }
}

async fn fetch(
    source: &TufSource,
    first_root: &str,
    place: &Path,
    now: Timestamp,
) -> Result<Vec<u8>, TufError> {
    let mut bounds = UpdaterConfig::default();
    bounds.target_max_length = TARGET_BYTES_MAX;
    let mut updater = Updater::new(repository_of(source)?, first_root.as_bytes())
        .map_err(TufError::FirstRoot)?
        .with_config(bounds)
        .with_store(FileStore::new(place.join("metadata")));
    let refused = |error| TufError::Repository {
        url: source.url.clone(),
        target: source.target.clone(),
        source: error,
    };
    updater.refresh(now).await.map_err(refused)?;
    updater.get_target(&source.target, now).await.map_err(refused)
}

fn repository_of(source: &TufSource) -> Result<Box<dyn Repository>, TufError> {
    if let Some(mirror) = Mirror::of_url(&source.url) {
        return Ok(Box::new(mirror));
    }
    let client = reqwest::Client::builder()
        .timeout(REQUEST_TIME_MAX)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let failed = |error| TufError::Client { url: source.url.clone(), source: error };
    Ok(Box::new(HttpRepository::new(&source.url).map_err(failed)?.with_http_client(client)))
}

/// Whole or not at all: another process may read it.
fn keep(place: &Path, text: &str) -> io::Result<()> {
    let copy = place.join(COPY);
    if fs::read_to_string(&copy).is_ok_and(|kept| kept == text) {
        return Ok(());
    }
    fs::create_dir_all(place)?;
    let mut beside = tempfile_beside(place)?;
    io::Write::write_all(&mut beside.1, text.as_bytes())?;
    beside.1.sync_all()?;
    fs::rename(beside.0, copy)
}

fn tempfile_beside(place: &Path) -> io::Result<(PathBuf, fs::File)> {
    let path = place.join(format!("{COPY}.{}.tmp", std::process::id()));
    let file = fs::File::create(&path)?;
    Ok((path, file))
}

/// What is said of a source that gave nothing new.
pub(crate) fn said(source: &TufSource, error: &TufError) -> String {
    let name = source.copy.trim_start_matches("tuf:");
    format!("trust root {name} is not fresh: {}", error_chain(error))
}

#[cfg(test)]
mod repository;
#[cfg(test)]
mod tests;
