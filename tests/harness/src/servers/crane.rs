//! crane: pushes, tags, copies and deletes images as a person or a pipeline would.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::login::{Login, write_docker_config};
use super::tool_run::run;
use crate::provision::Tool;

/// crane, as one user.
#[derive(Debug, Clone)]
pub struct Crane {
    binary: PathBuf,
    folder: PathBuf,
}

impl Crane {
    /// crane without a login; its files are in the folder.
    pub fn anonymous(folder: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let folder = folder.into();
        write_docker_config(&folder, &[])?;
        Ok(Self { binary: Tool::Crane.binary()?, folder })
    }

    /// crane as a user of one registry; the folder is this user's alone.
    pub fn logged_in(folder: impl Into<PathBuf>, host: &str, login: &Login) -> anyhow::Result<Self> {
        let folder = folder.into();
        write_docker_config(&folder, &[(host, login)])?;
        Ok(Self { binary: Tool::Crane.binary()?, folder })
    }

    /// Pushes an image of one layer with one file, and returns its digest. Other content gives another digest.
    pub async fn push_image(&self, reference: &str, content: &str) -> anyhow::Result<String> {
        let work = tempfile::tempdir_in(&self.folder)?;
        fs::write(work.path().join("content.txt"), content)?;
        let layer = work.path().join("layer.tar");
        // The same content always makes the same digest.
        run(Command::new("tar")
            .arg("-C")
            .arg(work.path())
            .args(["--mtime=@0", "--mode=0644", "--owner=0", "--group=0", "--numeric-owner", "-cf"])
            .arg(&layer)
            .arg("content.txt"))
        .await?;
        self.append(reference, &layer).await?;
        self.digest(reference).await
    }

    /// Pushes an image made of one layer's archive onto an empty base.
    pub async fn append(&self, reference: &str, layer: &Path) -> anyhow::Result<()> {
        run(self.command().arg("append").arg("-f").arg(layer).args(["-t", reference, "--oci-empty-base"]))
            .await?;
        Ok(())
    }

    /// The digest that a reference names.
    pub async fn digest(&self, reference: &str) -> anyhow::Result<String> {
        Ok(self.run(&["digest", reference]).await?.trim().to_owned())
    }

    /// The manifest that a reference names.
    pub async fn manifest(&self, reference: &str) -> anyhow::Result<String> {
        self.run(&["manifest", reference]).await
    }

    /// Gives an image another tag in the same repository.
    pub async fn tag(&self, reference: &str, tag: &str) -> anyhow::Result<()> {
        self.run(&["tag", reference, tag]).await.map(drop)
    }

    /// Copies an image.
    pub async fn copy(&self, from: &str, to: &str) -> anyhow::Result<()> {
        self.run(&["copy", from, to]).await.map(drop)
    }

    /// Deletes a tag or a digest.
    pub async fn delete(&self, reference: &str) -> anyhow::Result<()> {
        self.run(&["delete", reference]).await.map(drop)
    }

    /// The tags of a repository.
    pub async fn tags(&self, repository: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.run(&["ls", repository]).await?.lines().map(str::to_owned).collect())
    }

    /// Any other subcommand.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(self.command().args(arguments)).await
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--insecure").env("DOCKER_CONFIG", &self.folder).env("HOME", &self.folder);
        command
    }
}
