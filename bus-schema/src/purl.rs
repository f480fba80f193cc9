//! Package URLs (package-url specification), kept in their canonical form.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// The longest package URL, in bytes.
pub const PURL_BYTES_MAX: usize = 2048;

/// A package URL in canonical form: `pkg:npm/%40acme/core@1.2.3`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purl(String);

impl Purl {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Purl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Purl, ParseError> {
        if text.len() > PURL_BYTES_MAX {
            return Err(ParseError::new("purl", text, PURL_BYTES_MAX, "longer than 2048 bytes"));
        }
        if !text.starts_with("pkg:") {
            return Err(ParseError::new("purl", text, 0, "it does not begin with pkg:"));
        }
        let canonical = |text: &str| {
            packageurl::PackageUrl::from_str(text)
                .map(|purl| purl.to_string())
                .map_err(|error| ParseError::new("purl", text, 4, error.to_string()))
        };
        let once = canonical(text)?;
        // Canonical text is a fixed point, so that equal packages are equal text.
        let twice = canonical(&once)?;
        match once == twice {
            true => Ok(Purl(once)),
            false => Err(ParseError::new("purl", text, 4, "it has no canonical form")),
        }
    }
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
