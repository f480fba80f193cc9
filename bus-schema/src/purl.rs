//! Package URLs (package-url specification), kept in their canonical form.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use packageurl::PackageUrl;

use crate::ParseError;
use crate::open_enum::cut_other;

/// The longest package URL, in bytes.
pub const PURL_BYTES_MAX: usize = 2048;
const SCHEME: &str = "pkg:";

/// A package URL in canonical form: `pkg:npm/%40acme/core@1.2.3`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purl(String);

impl Purl {
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Purl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Purl, ParseError> {
        const KIND: &str = "purl";
        if text.len() > PURL_BYTES_MAX {
            return Err(ParseError::new(KIND, text, PURL_BYTES_MAX, "longer than 2,048 bytes"));
        }
        if !text.starts_with(SCHEME) {
            return Err(ParseError::new(KIND, text, 0, "it does not begin with pkg:"));
        }
        let refuse = |reason: String| ParseError::new(KIND, text, SCHEME.len(), reason);
        let once = canonical(text).map_err(refuse)?;
        // Canonical text is a fixed point, so that equal packages are equal text.
        let twice = canonical(&once).map_err(refuse)?;
        match once == twice && once.len() <= PURL_BYTES_MAX {
            true => Ok(Purl(once)),
            false => Err(refuse("it has no canonical form".to_owned())),
        }
    }
}

/// The canonical text of a package URL, or why it is none. The crate keeps an empty namespace and version, which the
/// specification leaves out. Its quirk that a Go module's name keeps its case while its namespace does not is kept, because
/// it is the same for everything that is compared here.
fn canonical(text: &str) -> Result<String, String> {
    check_qualifiers(text)?;
    if let Some((kind, rest)) = newer_kind(text) {
        return Ok(read_newer(kind, rest)?.to_string());
    }
    let mut purl: PackageUrl<'static> = text.parse().map_err(explain)?;
    if purl.namespace() == Some("") {
        purl.without_namespace();
    }
    if purl.version() == Some("") {
        purl.without_version();
    }
    purl.validate().map_err(explain)?;
    Ok(purl.to_string())
}

/// A type whose definition in the specification is newer than the crate's table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewerKind {
    /// Formulas and taps have no case.
    Brew,
    /// A distribution needs no author before it, and is no module.
    Cpan,
}

/// Such a type, where the text names one, and what follows it.
fn newer_kind(text: &str) -> Option<(NewerKind, &str)> {
    let (name, rest) = text.strip_prefix(SCHEME)?.trim_start_matches('/').split_once('/')?;
    let kind = match name.to_ascii_lowercase().as_str() {
        "brew" => NewerKind::Brew,
        "cpan" => NewerKind::Cpan,
        _ => return None,
    };
    Some((kind, rest))
}

/// Reads what follows such a type as of the type without rules, and applies the definition's. The crate's own
/// validation is left out: it refuses a distribution without an author.
fn read_newer(kind: NewerKind, rest: &str) -> Result<PackageUrl<'static>, String> {
    let plain: PackageUrl<'static> = format!("{SCHEME}generic/{rest}").parse().map_err(explain)?;
    if kind == NewerKind::Cpan && plain.name().contains("::") {
        return Err("it names a module instead of a distribution".to_owned());
    }
    let (name, cased): (_, fn(&str) -> String) = match kind {
        NewerKind::Brew => ("brew", str::to_lowercase),
        NewerKind::Cpan => ("cpan", str::to_owned),
    };
    let mut purl = PackageUrl::new(name, cased(plain.name())).map_err(explain)?;
    if let Some(namespace) = plain.namespace().filter(|namespace| !namespace.is_empty()) {
        purl.with_namespace(cased(namespace)).map_err(explain)?;
    }
    if let Some(version) = plain.version().filter(|version| !version.is_empty()) {
        purl.with_version(version.to_owned()).map_err(explain)?;
    }
    for (key, value) in plain.qualifiers() {
        purl.add_qualifier(key.to_string(), value.to_string()).map_err(explain)?;
    }
    if let Some(subpath) = plain.subpath() {
        purl.with_subpath(subpath.to_owned()).map_err(explain)?;
    }
    Ok(purl)
}

fn explain(error: packageurl::Error) -> String {
    cut_other(&error.to_string())
}

/// Refuses a qualifier key that comes twice, whatever its case: the crate lets the last one win.
fn check_qualifiers(text: &str) -> Result<(), String> {
    let before_subpath = text.rsplit_once('#').map_or(text, |(before, _)| before);
    let Some((_, qualifiers)) = before_subpath.rsplit_once('?') else { return Ok(()) };
    let mut seen = BTreeSet::new();
    for pair in qualifiers.split('&') {
        let key = pair.split_once('=').map_or(pair, |(key, _)| key);
        if !seen.insert(key.to_ascii_lowercase()) {
            return Err("a qualifier key occurs twice".to_owned());
        }
    }
    Ok(())
}

impl fmt::Display for Purl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Purl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_identity!(Purl, "Purl", "^pkg:.+$", "a package URL");
