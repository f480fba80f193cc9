//! One certificate authority of a test, and the certificates it issues.
//!
//! In: names. Out: PEM text and files. Elliptic-curve keys, valid for loopback names alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate authority with its key.
pub struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl std::fmt::Debug for TestAuthority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("TestAuthority").finish_non_exhaustive()
    }
}

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TestAuthority {
    /// Makes a new authority.
    pub fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "custody test authority");
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// The authority's own certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a certificate for `localhost` and 127.0.0.1, for servers and clients alike: certificate and key as PEM.
    pub fn issue(&self, common_name: &str) -> anyhow::Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// Issues a certificate and writes `<common_name>.crt` and `<common_name>.key` into the folder.
    pub fn issue_files(&self, folder: &Path, common_name: &str) -> anyhow::Result<CertificateFiles> {
        let (certificate_pem, key_pem) = self.issue(common_name)?;
        let files = CertificateFiles {
            certificate: folder.join(format!("{common_name}.crt")),
            key: folder.join(format!("{common_name}.key")),
        };
        fs::write(&files.certificate, certificate_pem)?;
        fs::write(&files.key, key_pem)?;
        Ok(files)
    }
}

/// Makes a key pair that belongs to no certificate and writes `<name>.key` and `<name>.pub` into the folder.
pub fn write_lone_key(folder: &Path, name: &str) -> anyhow::Result<()> {
    let key = KeyPair::generate()?;
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    fs::write(folder.join(format!("{name}.pub")), key.public_key_pem())?;
    Ok(())
}

/// How a client of this authority's servers encrypts, showing a certificate.
pub fn client(authority_pem: &str, shown: &CertificateFiles) -> anyhow::Result<Arc<rustls::ClientConfig>> {
    // An error means that the process has chosen one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes())?)?;
    let certificate = CertificateDer::from_pem_file(&shown.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&shown.key)?;
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    Ok(Arc::new(config.with_client_auth_cert(vec![certificate], key)?))
}
