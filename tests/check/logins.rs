//! A registry that wants a name and password, as docker keeps them: in its file, or with a credential helper.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use harness::servers::distribution::{Distribution, DistributionPlan};
use harness::servers::github_run::GithubRun;
use harness::servers::login::{Login, write_docker_config};
use harness::servers::oci::OciClient;
use serde_json::json;

use crate::estate::{Image, SOURCE, attach, estate};
use crate::program::{self, Answer};

/// A helper that writes this and ends with this code, whatever it is asked, and remembers what it was asked.
fn helper(folder: &Path, output: &str, code: u8) {
    let script = format!(
        "#!/bin/sh\nread -r asked || true\necho \"$1 $asked\" > {0}/asked\ncat {0}/answer\nexit {code}\n",
        folder.display()
    );
    fs::write(folder.join("answer"), output).unwrap();
    let path = folder.join("docker-credential-tested");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

struct Place {
    ada: Login,
    image: Image,
    root: String,
    _registry: Distribution,
    /// Last, so that the registry is gone when it goes.
    folder: tempfile::TempDir,
}

impl Place {
    async fn start() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let ada = Login::new("ada", "the password");
        let plan = DistributionPlan { users: vec![ada.clone()], ..DistributionPlan::default() };
        let registry = Distribution::start(folder.path(), &plan).await.unwrap();
        let host = registry.host().to_owned();
        let client = OciClient::new(&host, Some(&ada)).unwrap();
        let descriptor =
            client.push_image("acme/app", Some("v1"), ("linux", "amd64"), "an image").await.unwrap();
        let image = Image { host, repository: "acme/app".to_owned(), descriptor, client };
        let signed = estate().await.attested(&GithubRun::default(), image.digest()).await;
        attach(&image, &signed.bundle_bytes()).await;
        Place { ada, image, root: estate().await.keyless_root(), _registry: registry, folder }
    }

    async fn check(&self) -> Answer {
        let tag = self.image.by_tag();
        let path = format!("{}:/usr/bin:/bin", self.folder.path().display());
        let folder = self.folder.path().to_str().unwrap();
        let environment = [("PATH", path.as_str()), ("DOCKER_CONFIG", folder)];
        let arguments = [tag.as_str(), "--trusted-root", &self.root, "--source-uri", SOURCE];
        program::check_in(self.folder.path(), &environment, &arguments).await
    }

    fn configure(&self, configuration: serde_json::Value) {
        fs::write(self.folder.path().join("config.json"), configuration.to_string()).unwrap();
    }
}

#[tokio::test]
async fn a_login_is_taken_from_dockers_file_or_from_its_helper() {
    let place = Place::start().await;
    assert_eq!(place.check().await.code, 3, "nobody may look without a name");
    write_docker_config(place.folder.path(), &[(&place.image.host, &place.ada)]).unwrap();
    place.check().await.is_trusted();

    let answer = json!({ "ServerURL": "any", "Username": "ada", "Secret": "the password" }).to_string();
    helper(place.folder.path(), &answer, 0);
    for configuration in [
        json!({ "credHelpers": { &place.image.host: "tested" } }),
        json!({ "credsStore": "tested", "auths": { &place.image.host: {} } }),
    ] {
        place.configure(configuration);
        place.check().await.is_trusted();
        let asked = fs::read_to_string(place.folder.path().join("asked")).unwrap();
        assert_eq!(asked.trim(), format!("get {}", place.image.host));
    }
    // Of another host.
    place.configure(json!({ "credHelpers": { "registry.example": "tested" } }));
    assert_eq!(place.check().await.code, 3);
}

#[tokio::test]
async fn a_helper_that_has_nothing_or_fails_is_no_login_and_its_words_are_not_repeated() {
    let place = Place::start().await;
    place.configure(json!({ "credsStore": "tested" }));
    helper(place.folder.path(), "credentials not found in native keychain", 1);
    assert_eq!(place.check().await.code, 3, "as without a login");
    for (output, ends_with, code) in [
        ("the secret is hunter2", 1, 3),
        ("the secret is hunter2", 0, 2),
        (r#"{"Username":"<token>","Secret":"hunter2"}"#, 0, 2),
    ] {
        helper(place.folder.path(), output, ends_with);
        let answer = place.check().await;
        assert_eq!(answer.code, code, "{output}: {answer:#?}");
        assert!(answer.stderr.contains("docker-credential-tested"), "{answer:#?}");
        assert!(!answer.stderr.contains("hunter2"), "{answer:#?}");
    }
    place.configure(json!({ "credsStore": "../tested" }));
    assert_eq!(place.check().await.code, 2);
}
