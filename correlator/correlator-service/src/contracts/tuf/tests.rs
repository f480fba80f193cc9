#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::repository::{FAR, Release, Repository};
use super::*;
use crate::tests::signing_key::SigningKey;
use correlator_core::contracts::trust_root::EmbeddedRoot;

/// A repository with one release, and where its copies go.
struct Place {
    repository: Repository,
    first_root: String,
    copies: Copies,
    _data: tempfile::TempDir,
}

/// The first trusted root.
fn one() -> &'static str {
    ::evidence::embedded_root(EmbeddedRoot::Github)
}

/// The second.
fn two() -> &'static str {
    ::evidence::embedded_root(EmbeddedRoot::PublicGood)
}

impl Place {
    async fn new() -> Place {
        let repository = Repository::start().await;
        let first_root = repository.first_root();
        repository.publish(&Release { version: 1, target: one(), expires: FAR });
        let data = tempfile::tempdir().unwrap();
        Place { repository, first_root, copies: Copies::of_data(data.path()), _data: data }
    }

    fn source(&self) -> TufSource {
        TufSource {
            copy: "tuf:internal".to_owned(),
            url: self.repository.url.clone(),
            root: "root.json".to_owned(),
            target: "trusted_root.json".to_owned(),
        }
    }

    async fn refresh(&self) -> Result<(), TufError> {
        self.copies.refresh(&self.source(), &self.first_root, Timestamp::now()).await
    }

    fn copy(&self) -> Option<String> {
        std::fs::read_to_string(self.copies.path(&self.source(), &self.first_root)).ok()
    }

    /// The next look is refused, and changes nothing.
    async fn check_refused(&self, why: &str) {
        let before = self.copy();
        let error = error_chain(&self.refresh().await.unwrap_err());
        assert!(error.to_lowercase().contains(why), "{error} does not say {why}");
        assert_eq!(self.copy(), before);
    }
}

#[tokio::test]
async fn a_newer_release_replaces_the_copy_and_the_same_one_is_kept() {
    let place = Place::new().await;
    place.refresh().await.unwrap();
    assert_eq!(place.copy().unwrap(), one());
    place.refresh().await.unwrap();
    place.repository.publish(&Release { version: 2, target: two(), expires: FAR });
    place.refresh().await.unwrap();
    assert_eq!(place.copy().unwrap(), two());
}

#[tokio::test]
async fn a_root_that_the_one_before_signed_is_followed() {
    let mut place = Place::new().await;
    place.refresh().await.unwrap();
    place.repository.rotate(2, None);
    place.repository.publish(&Release { version: 2, target: two(), expires: FAR });
    place.refresh().await.unwrap();
    assert_eq!(place.copy().unwrap(), two());
}

#[tokio::test]
async fn a_root_of_a_stranger_is_not_followed() {
    let mut place = Place::new().await;
    place.refresh().await.unwrap();
    place.repository.rotate(2, Some(&SigningKey::generate()));
    place.repository.publish(&Release { version: 2, target: two(), expires: FAR });
    place.check_refused("root").await;
}

#[tokio::test]
async fn an_older_release_is_not_taken_back() {
    let place = Place::new().await;
    let old = place.repository.everything();
    place.repository.publish(&Release { version: 2, target: two(), expires: FAR });
    place.refresh().await.unwrap();
    place.repository.replace_everything(old);
    place.check_refused("version").await;
    assert_eq!(place.copy().unwrap(), two());
}

#[tokio::test]
async fn a_repository_that_stands_still_past_its_end_gives_nothing_new() {
    let place = Place::new().await;
    place.refresh().await.unwrap();
    place.repository.publish(&Release { version: 2, target: two(), expires: "2001-01-01T00:00:00Z" });
    place.check_refused("expired").await;
    assert_eq!(place.copy().unwrap(), one());
}

#[tokio::test]
async fn what_was_changed_behind_the_signatures_is_refused() {
    for name in ["timestamp.json", "snapshot.json", "targets.json", "targets/trusted_root.json"] {
        let place = Place::new().await;
        place.refresh().await.unwrap();
        place.repository.publish(&Release { version: 2, target: two(), expires: FAR });
        place.repository.tamper(name, |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        });
        place.refresh().await.unwrap_err();
        assert_eq!(place.copy().unwrap(), one(), "{name}");
    }
}

#[tokio::test]
async fn a_file_without_an_end_is_cut_off() {
    let place = Place::new().await;
    place.refresh().await.unwrap();
    place.repository.put("timestamp.json", vec![b' '; 1 << 20]);
    place.check_refused("max").await;
}

#[tokio::test]
async fn another_first_root_begins_anew_and_a_strange_one_gives_nothing() {
    let place = Place::new().await;
    place.refresh().await.unwrap();
    let stranger = Repository::start().await.first_root();
    let refused = place.copies.refresh(&place.source(), &stranger, Timestamp::now()).await;
    assert!(matches!(refused, Err(TufError::Repository { .. })), "{refused:?}");
    assert!(!place.copies.path(&place.source(), &stranger).exists());
    let broken = place.copies.refresh(&place.source(), "{}", Timestamp::now()).await;
    assert!(matches!(broken, Err(TufError::FirstRoot(_))), "{broken:?}");
}

#[tokio::test]
async fn a_folder_is_a_repository_too_and_is_believed_no_more() {
    let mut place = Place::new().await;
    let folder = tempfile::tempdir().unwrap();
    let carry = |place: &Place| {
        for (name, bytes) in place.repository.everything() {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
    };
    let source = TufSource { url: format!("file://{}", folder.path().display()), ..place.source() };
    let copy = place.copies.path(&source, &place.first_root);
    let refresh =
        async |place: &Place| place.copies.refresh(&source, &place.first_root, Timestamp::now()).await;
    carry(&place);
    refresh(&place).await.unwrap();
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), one());
    place.repository.rotate(2, None);
    place.repository.publish(&Release { version: 2, target: two(), expires: FAR });
    carry(&place);
    std::fs::write(folder.path().join("targets/trusted_root.json"), "another trusted root").unwrap();
    refresh(&place).await.unwrap_err();
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), one());
    carry(&place);
    refresh(&place).await.unwrap();
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), two());

    std::fs::write(folder.path().join("timestamp.json"), vec![b' '; 1 << 20]).unwrap();
    let said = error_chain(&refresh(&place).await.unwrap_err());
    assert!(said.contains("max"), "{said}");
    std::fs::remove_dir_all(folder.path()).unwrap();
    refresh(&place).await.unwrap_err();
    assert_eq!(std::fs::read_to_string(&copy).unwrap(), two());
}

#[tokio::test]
async fn the_last_good_copy_is_what_the_contracts_are_loaded_with() {
    let place = Place::new().await;
    let root = evidence::embedded_root(correlator_core::contracts::trust_root::EmbeddedRoot::PublicGood);
    place.repository.publish(&Release { version: 2, target: root, expires: FAR });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.json"), &place.first_root).unwrap();
    let document = format!(
        "apiVersion: custody.dev/v1\nkind: TrustRoot\nmetadata: {{ name: internal }}\nspec:\n  source: tuf\n  tuf: {{ url: \
         \"{}\", root: root.json }}\n",
        place.repository.url
    );
    std::fs::write(folder.path().join("root.yaml"), document).unwrap();
    let load = || super::super::load(folder.path(), Some(&place.copies), Timestamp::now());
    let problems = load().unwrap_err().join("\n");
    assert!(problems.contains("nothing good has come from"), "{problems}");
    let refresh = |which| super::super::refresh_roots(folder.path(), &place.copies, which);
    assert_eq!(refresh(super::super::Which::Missing).await, Vec::<String>::new());
    let (loaded, set) = load().unwrap();
    assert_eq!(loaded.files["tuf:internal"], root);
    assert_eq!(set.roots["internal"].content, Digest::sha256_of(root.as_bytes()));
    // The repository is gone: what was good stays, and what is wrong is said.
    place.repository.replace_everything(Default::default());
    let said = refresh(super::super::Which::All).await;
    assert!(said[0].starts_with("trust root internal is not fresh"), "{said:?}");
    assert_eq!(load().unwrap().1.hash, set.hash);
}

#[tokio::test]
async fn a_root_that_this_version_cannot_use_leaves_the_last_good_copy() {
    let place = Place::new().await;
    place.refresh().await.unwrap();
    let mut unknown: serde_json::Value = serde_json::from_str(two()).unwrap();
    unknown["tlogs"][0]["publicKey"]["rawBytes"] = serde_json::json!("AAAA");
    place.repository.publish(&Release { version: 2, target: &unknown.to_string(), expires: FAR });
    place.check_refused("no trust root that this version can use").await;
    assert_eq!(place.copy().unwrap(), one());
    place.repository.publish(&Release { version: 3, target: two(), expires: FAR });
    place.refresh().await.unwrap();
    assert_eq!(place.copy().unwrap(), two());
}
