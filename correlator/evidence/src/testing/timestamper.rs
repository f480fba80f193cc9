//! A timestamp authority (RFC 3161) of the tests: its certificates, and what it stamps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SerialNumber,
};
use serde_json::{Value, json};
use sigstore_verify::crypto::KeyPair;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 2;
const OCTETS: u8 = 4;
const OID: u8 = 6;
const TIME: u8 = 0x18;
const CONTEXT_0: u8 = 0xa0;
const SHA256: [u8; 9] = [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const ECDSA_WITH_SHA256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
const TIMESTAMP_INFO: [u8; 11] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
const CONTENT_TYPE: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];

/// The authority's own certificate, which issues those of its signers.
pub(crate) struct Timestamper {
    issuer: Issuer<'static, rcgen::KeyPair>,
    pub(crate) certificate: Vec<u8>,
}

/// One of its signers.
pub(crate) struct TimeSigner {
    pub(crate) certificate: Vec<u8>,
    key: rcgen::KeyPair,
}

impl Timestamper {
    pub(crate) fn new() -> Timestamper {
        let params = of_authority("test timestamps");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Timestamper { issuer: Issuer::new(params, key), certificate }
    }

    /// One that this one vouches for.
    pub(crate) fn between(&self) -> Timestamper {
        let params = of_authority("test timestamps between");
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Timestamper { issuer: Issuer::new(params, key), certificate }
    }

    pub(crate) fn signer(&self) -> TimeSigner {
        self.signer_with(|_| {})
    }

    /// The same with the certificate changed before it is issued.
    pub(crate) fn signer_with(&self, change: impl FnOnce(&mut CertificateParams)) -> TimeSigner {
        self.certify(rcgen::KeyPair::generate().unwrap(), change)
    }

    fn certify(&self, key: rcgen::KeyPair, change: impl FnOnce(&mut CertificateParams)) -> TimeSigner {
        let mut params = named("test signer");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
        params.serial_number = Some(SerialNumber::from(9));
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        TimeSigner { certificate, key }
    }
}

/// An authority of a `trusted_root.json`: its certificates from the lowest up, and the end of its window.
pub(crate) fn authority_json(certificates: &[&[u8]], until: Option<&str>) -> Value {
    let certificates: Vec<Value> =
        certificates.iter().map(|der| json!({ "rawBytes": STANDARD.encode(der) })).collect();
    let mut window = json!({ "start": "2020-01-01T00:00:00Z" });
    if let Some(until) = until {
        window["end"] = json!(until);
    }
    json!({
        "subject": { "organization": "test", "commonName": "test timestamps" },
        "uri": "https://timestamps.example",
        "certChain": { "certificates": certificates },
        "validFor": window,
    })
}

impl TimeSigner {
    /// The same key with another certificate of an authority.
    pub(crate) fn renewed_by(&self, authority: &Timestamper) -> TimeSigner {
        let key = rcgen::KeyPair::try_from(self.key.serialized_der()).unwrap();
        authority.certify(key, |params| params.serial_number = Some(SerialNumber::from(11)))
    }

    /// The answer that dates these bytes, with certificates in it or none.
    pub(crate) fn stamp(&self, bytes: &[u8], at: i64, embedded: &[&[u8]]) -> Vec<u8> {
        let own = Certificate::from_der(&self.certificate).unwrap().tbs_certificate;
        let name = element(SEQUENCE, &[&own.issuer.to_der().unwrap(), &own.serial_number.to_der().unwrap()]);
        let sha256 = element(SEQUENCE, &[&element(OID, &[&SHA256])]);
        let time = jiff::Timestamp::from_second(at).unwrap().strftime("%Y%m%d%H%M%SZ").to_string();
        let info = element(
            SEQUENCE,
            &[
                &element(INTEGER, &[&[1]]),
                &element(OID, &[&[0x2a, 3, 4]]),
                &element(SEQUENCE, &[&sha256, &element(OCTETS, &[Digest::sha256_of(bytes).bytes()])]),
                &element(INTEGER, &[&[7]]),
                &element(TIME, &[time.as_bytes()]),
            ],
        );
        let attribute = |kind: &[u8], value: Vec<u8>| {
            element(SEQUENCE, &[&element(OID, &[kind]), &element(SET, &[&value])])
        };
        let attributes = [
            attribute(&CONTENT_TYPE, element(OID, &[&TIMESTAMP_INFO])),
            attribute(&MESSAGE_DIGEST, element(OCTETS, &[Digest::sha256_of(&info).bytes()])),
        ]
        .concat();
        let key = KeyPair::from_pkcs8_der(self.key.serialized_der()).unwrap();
        let signature = key.sign(&element(SET, &[&attributes])).unwrap().into_bytes();
        let signer = element(
            SEQUENCE,
            &[
                &element(INTEGER, &[&[1]]),
                &name,
                &sha256,
                &element(CONTEXT_0, &[&attributes]),
                &element(SEQUENCE, &[&element(OID, &[&ECDSA_WITH_SHA256])]),
                &element(OCTETS, &[&signature]),
            ],
        );
        let content = element(CONTEXT_0, &[&element(OCTETS, &[&info])]);
        let certificates = if embedded.is_empty() { vec![] } else { element(CONTEXT_0, embedded) };
        let signed_data = element(
            SEQUENCE,
            &[
                &element(INTEGER, &[&[3]]),
                &element(SET, &[&sha256]),
                &element(SEQUENCE, &[&element(OID, &[&TIMESTAMP_INFO]), &content]),
                &certificates,
                &element(SET, &[&signer]),
            ],
        );
        let token =
            element(SEQUENCE, &[&element(OID, &[&SIGNED_DATA]), &element(CONTEXT_0, &[&signed_data])]);
        element(SEQUENCE, &[&element(SEQUENCE, &[&element(INTEGER, &[&[0]])]), &token])
    }
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
    params
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// An element in DER.
fn element(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = u16::try_from(content.len()).unwrap();
    let length = match u8::try_from(length) {
        Ok(short @ ..0x80) => vec![short],
        Ok(long) => vec![0x81, long],
        Err(_) => [&[0x82], length.to_be_bytes().as_slice()].concat(),
    };
    [&[tag], length.as_slice(), content.as_slice()].concat()
}
