//! Reads a contracts folder: its YAML files, and the keys and trust roots that they name, from nowhere but the folder; trust
//! roots that the program brings along from itself, and those of repositories from their last good copies.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use correlator_core::contracts::parse::{DOCUMENT_BYTES_MAX, named_files, tuf_sources};
use correlator_core::contracts::trust_root::{EmbeddedRoot, TufSource};
use correlator_core::input::ContractLoaded;

use super::tuf::Copies;

/// The most YAML files of a folder.
const FILES_MAX: usize = 2000;
/// The most keys and trust roots that the files may name.
const NAMED_FILES_MAX: usize = 200;
/// All texts together: they are one entry of the log.
const TOTAL_BYTES_MAX: usize = 6 * 1024 * 1024;
/// The longest name of a file that a document may give.
const NAME_BYTES_MAX: usize = 512;

/// Why a folder cannot be read as contracts.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the contracts folder {} is not there", folder.display())]
    NoFolder { folder: PathBuf },
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has more than {bytes_max} bytes", path.display())]
    FileTooLarge { path: PathBuf, bytes_max: usize },
    #[error("{} is not UTF-8", path.display())]
    NotText { path: PathBuf },
    #[error("{} holds more than {files_max} contracts", folder.display())]
    TooManyFiles { folder: PathBuf, files_max: usize },
    #[error("the contracts name more than {files_max} files")]
    TooManyNamed { files_max: usize },
    #[error("the contracts and the files that they name have more than {bytes_max} bytes together")]
    TooMuch { bytes_max: usize },
    #[error("the file {name:?} lies outside the contracts folder")]
    Outside { name: String },
    #[error("{} is not a file", path.display())]
    NotAFile { path: PathBuf },
}

/// Reads the `.yaml` and `.yml` files that lie in the folder itself, and every file that they name. A named file that is
/// not there is left out: the check of the set says which document misses it.
pub fn read_folder(folder: &Path, copies: Option<&Copies>) -> Result<ContractLoaded, LoadError> {
    let (root, documents, total) = read_documents(folder)?;
    with_named(&root, documents, total, copies)
}

/// Reads one file of contracts, with every file that it names from beside it; or a folder, as [`read_folder`] does. Neither
/// asks a repository: a trust root of one has no good copy here.
pub fn read_path(path: &Path) -> Result<ContractLoaded, LoadError> {
    let not_a_file = || LoadError::NotAFile { path: path.to_owned() };
    let full = fs::canonicalize(path).map_err(io_error("open", path))?;
    if full.is_dir() {
        return read_folder(&full, None);
    }
    let (Some(root), Some(name)) = (full.parent(), full.file_name().and_then(|name| name.to_str())) else {
        return Err(not_a_file());
    };
    let mut total = 0;
    let text = read_inside(root, name, &mut total)?.ok_or_else(not_a_file)?;
    with_named(root, BTreeMap::from([(name.to_owned(), text)]), total, None)
}

/// The repositories that the contracts name, each with the first root that it is trusted by.
pub(crate) fn read_tuf_sources(folder: &Path) -> Result<Vec<(TufSource, String)>, LoadError> {
    let (root, documents, mut total) = read_documents(folder)?;
    let mut found = Vec::new();
    for source in tuf_sources(&documents) {
        if let Some(first_root) = read_inside(&root, &source.root, &mut total)? {
            found.push((source, first_root));
        }
    }
    Ok(found)
}

/// The folder's own path, its documents by their name, and their size together.
fn read_documents(folder: &Path) -> Result<(PathBuf, BTreeMap<String, String>, usize), LoadError> {
    let root = match fs::canonicalize(folder) {
        Ok(root) => root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LoadError::NoFolder { folder: folder.to_owned() });
        }
        Err(source) => return Err(io_error("open", folder)(source)),
    };
    let mut total = 0;
    let mut documents = BTreeMap::new();
    for entry in fs::read_dir(&root).map_err(io_error("list", &root))? {
        let name = entry.map_err(io_error("list", &root))?.file_name();
        let Some(name) = name.to_str().filter(|name| is_contract(name)) else { continue };
        if documents.len() >= FILES_MAX {
            return Err(LoadError::TooManyFiles { folder: root, files_max: FILES_MAX });
        }
        if let Some(text) = read_inside(&root, name, &mut total)? {
            documents.insert(name.to_owned(), text);
        }
    }
    Ok((root, documents, total))
}

/// The documents with every file that they name, and the last good copies of the repositories that they name.
fn with_named(
    root: &Path,
    documents: BTreeMap<String, String>,
    mut total: usize,
    copies: Option<&Copies>,
) -> Result<ContractLoaded, LoadError> {
    let named = named_files(&documents);
    if named.len() > NAMED_FILES_MAX {
        return Err(LoadError::TooManyNamed { files_max: NAMED_FILES_MAX });
    }
    let mut files = BTreeMap::new();
    let sources = tuf_sources(&documents);
    for name in named {
        if let Some(root) = EmbeddedRoot::from_file(&name) {
            files.insert(name, evidence::embedded_root(root).to_owned());
        } else if sources.iter().all(|source| source.copy != name)
            && let Some(text) = read_inside(root, &name, &mut total)?
        {
            files.insert(name, text);
        }
    }
    for source in sources {
        let Some((copies, first_root)) = copies.zip(files.get(&source.root)) else { continue };
        let path = copies.path(&source, first_root);
        if let Some(text) = path.exists().then(|| read_whole(path, &mut total)).transpose()? {
            files.insert(source.copy, text);
        }
    }
    Ok(ContractLoaded { documents, files })
}

/// Editors keep their own files beside: those begin with a dot.
fn is_contract(name: &str) -> bool {
    !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// Reads a file by a name inside the folder; links are followed as long as they stay in it.
fn read_inside(root: &Path, name: &str, total: &mut usize) -> Result<Option<String>, LoadError> {
    let outside = || LoadError::Outside { name: name.chars().take(200).collect() };
    let is_plain =
        Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !is_plain {
        return Err(outside());
    }
    let path = match fs::canonicalize(root.join(name)) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error("open", &root.join(name))(source)),
    };
    if !path.starts_with(root) {
        return Err(outside());
    }
    read_whole(path, total).map(Some)
}

fn read_whole(path: PathBuf, total: &mut usize) -> Result<String, LoadError> {
    // A pipe would keep the reader waiting for ever: its kind is looked at before it is opened.
    let kind = fs::metadata(&path).map_err(io_error("look at", &path))?;
    if !kind.is_file() {
        return Err(LoadError::NotAFile { path });
    }
    let file = File::open(&path).map_err(io_error("open", &path))?;
    let mut bytes = Vec::new();
    file.take(DOCUMENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io_error("read", &path))?;
    if bytes.len() > DOCUMENT_BYTES_MAX {
        return Err(LoadError::FileTooLarge { path, bytes_max: DOCUMENT_BYTES_MAX });
    }
    *total += bytes.len();
    if *total > TOTAL_BYTES_MAX {
        return Err(LoadError::TooMuch { bytes_max: TOTAL_BYTES_MAX });
    }
    String::from_utf8(bytes).map_err(|_| LoadError::NotText { path })
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LoadError {
    let path = path.to_owned();
    move |source| LoadError::Io { doing, path, source }
}
