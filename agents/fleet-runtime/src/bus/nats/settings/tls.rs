//! What is shown and demanded on the wire: the files are read and parsed at the start, so that a wrong one is
//! a problem of its key, and no connection that never comes about. The client reads them again with each
//! connection: they may be renewed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::settings::Problems;

/// The certificates of an authority, with room for the system's whole list.
const FILE_BYTES_MAX: u64 = 4 << 20;

#[derive(Clone, Debug, Default)]
pub(in crate::bus::nats) struct Tls {
    pub(in crate::bus::nats) is_required: bool,
    pub(in crate::bus::nats) root_certificates_file: Option<PathBuf>,
    /// A certificate and its key.
    pub(in crate::bus::nats) certificate_files: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    pub(super) fn check(
        root_certificates_file: Option<PathBuf>,
        certificate_file: Option<PathBuf>,
        key_file: Option<PathBuf>,
        problems: &mut Problems,
    ) -> Tls {
        let roots = root_certificates_file.as_deref().and_then(|file| {
            let certificates = certificates("root_certificates_file", file, problems)?;
            let mut roots = RootCertStore::empty();
            let (_, ignored) = roots.add_parsable_certificates(certificates);
            if ignored > 0 {
                let found = format!("holds {ignored} certificates that cannot be an authority's");
                problems.at("root_certificates_file", found);
            }
            Some(roots)
        });
        let certificate_files = match (certificate_file, key_file) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                problems.at("certificate_file", "give certificate_file and certificate_key_file, or neither");
                None
            }
        };
        if let Some((certificate, key)) = &certificate_files {
            check_own(certificate, key, roots.unwrap_or_else(RootCertStore::empty), problems);
        }
        let is_required = root_certificates_file.is_some() || certificate_files.is_some();
        Tls { is_required, root_certificates_file, certificate_files }
    }
}

/// The certificate that is shown, and that the key is its own.
fn check_own(certificate: &Path, key: &Path, roots: RootCertStore, problems: &mut Problems) {
    let certificates = certificates("certificate_file", certificate, problems);
    let key = read(key).and_then(|text| {
        PrivateKeyDer::from_pem_slice(&text).map_err(|error| format!("holds no private key in PEM: {error}"))
    });
    let key = key.map_err(|reason| problems.at("certificate_key_file", reason));
    let (Some(certificates), Ok(key)) = (certificates, key) else { return };
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let built = builder
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(certificates, key));
    if let Err(error) = built {
        problems.at("certificate_key_file", format!("does not fit the certificate: {error}"));
    }
}

fn certificates(key: &str, file: &Path, problems: &mut Problems) -> Option<Vec<CertificateDer<'static>>> {
    let found = read(file).and_then(|text| {
        let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        match parsed {
            Ok(found) if found.is_empty() => Err(format!("{} holds no certificate in PEM", file.display())),
            Ok(found) => Ok(found),
            Err(error) => Err(format!("{} is not PEM: {error}", file.display())),
        }
    });
    found.map_err(|reason| problems.at(key, reason)).ok()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("cannot open {shown}: {error}"))?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    let count = read.map_err(|error| format!("cannot read {shown}: {error}"))?;
    if count as u64 > FILE_BYTES_MAX {
        return Err(format!("{shown} is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}
