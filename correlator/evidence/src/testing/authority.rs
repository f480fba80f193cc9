//! A small Sigstore: a certificate authority, a transparency log of certificates, a log of signatures; all keys made anew.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use correlator_core::facts::RootParts;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyUsagePurpose, SanType, SerialNumber,
};
use serde_json::{Value, json};
use sigstore_verify::crypto::KeyPair;
use x509_cert::der::{Decode, Encode};

use crate::Demands;
use crate::trust::TrustRoot;

/// Everything is signed in the minute after this second (2024-01-02), when each certificate begins.
pub(crate) const SIGNED_AT: i64 = 1_704_153_600;

const FULCIO: [u64; 8] = [1, 3, 6, 1, 4, 1, 57264, 1];
const SCT_LIST: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

pub(crate) struct Authority {
    issuer: Issuer<'static, rcgen::KeyPair>,
    certificate: Vec<u8>,
    issuer_key: Vec<u8>,
    log: LogSigner,
    certificate_log: LogSigner,
}

type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// A log's key, on either curve.
struct LogSigner {
    /// SubjectPublicKeyInfo in DER.
    spki: Vec<u8>,
    details: &'static str,
    sign: Sign,
}

impl LogSigner {
    fn p256() -> LogSigner {
        let key = KeyPair::generate_ecdsa_p256().unwrap();
        let spki = key.public_key_der().unwrap().as_bytes().to_vec();
        let sign = Box::new(move |message: &[u8]| key.sign(message).unwrap().into_bytes());
        LogSigner { spki, details: "PKIX_ECDSA_P256_SHA_256", sign }
    }

    fn p521() -> LogSigner {
        let key = EcdsaKeyPair::generate(&ECDSA_P521_SHA512_ASN1_SIGNING).unwrap();
        let spki = AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).unwrap().as_ref().to_vec();
        let sign = move |message: &[u8]| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, message);
            key.sign_digest(&digest).unwrap().as_ref().to_vec()
        };
        LogSigner { spki, details: "PKIX_ECDSA_P521_SHA_512", sign: Box::new(sign) }
    }

    fn id(&self) -> Vec<u8> {
        self.name().bytes().to_vec()
    }

    fn name(&self) -> Digest {
        Digest::sha256_of(&self.spki)
    }
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    key: KeyPair,
}

/// The claims of a release workflow of `acme/api`, by the number of their extension.
pub(crate) fn release_claims() -> Vec<(u64, String)> {
    let workflow = "https://github.com/acme/api/.github/workflows/release.yml@refs/heads/main";
    [
        (8, "https://token.actions.githubusercontent.com"),
        (9, workflow),
        (11, "github-hosted"),
        (12, "https://github.com/acme/api"),
        (13, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        (14, "refs/heads/main"),
        (15, "11"),
        (17, "22"),
        (18, workflow),
        (20, "push"),
        (21, "https://github.com/acme/api/actions/runs/7/attempts/2"),
    ]
    .map(|(number, text)| (number, text.to_owned()))
    .to_vec()
}

impl Authority {
    pub(crate) fn new() -> Authority {
        Authority::named("test authority")
    }

    fn named(name: &str) -> Authority {
        Authority::with(name, rcgen::KeyPair::generate().unwrap(), LogSigner::p256())
    }

    /// One whose certificates and signature log are signed by keys of ECDSA on P-521.
    pub(crate) fn on_p521() -> Authority {
        Authority::with("test authority", p521_key(), LogSigner::p521())
    }

    /// One whose certificates alone are.
    pub(crate) fn of_certificates_on_p521() -> Authority {
        Authority::with("test authority", p521_key(), LogSigner::p256())
    }

    /// One whose signature log alone is.
    pub(crate) fn of_a_log_on_p521() -> Authority {
        Authority::with("test authority", rcgen::KeyPair::generate().unwrap(), LogSigner::p521())
    }

    fn with(name: &str, key: rcgen::KeyPair, log: LogSigner) -> Authority {
        let issuer_key = rcgen::PublicKeyData::subject_public_key_info(&key);
        let params = authority_params(name);
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Authority {
            issuer: Issuer::new(params, key),
            certificate,
            issuer_key,
            log,
            certificate_log: LogSigner::p256(),
        }
    }

    /// The root as `trusted_root.json`, whose signature log may have ended.
    pub(crate) fn root_json(&self, log_until: Option<&str>) -> Value {
        let log = |key: &LogSigner, until: Option<&str>| {
            let mut window = json!({ "start": "2020-01-01T00:00:00Z" });
            if let Some(until) = until {
                window["end"] = json!(until);
            }
            json!({
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(&key.spki), "keyDetails": key.details, "validFor": window,
                },
                "logId": { "keyId": STANDARD.encode(key.id()) },
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.log, log_until)],
            "certificateAuthorities": [{
                "subject": { "organization": "test", "commonName": "test authority" },
                "uri": "https://authority.example",
                "certChain": { "certificates": [{ "rawBytes": STANDARD.encode(&self.certificate) }] },
                "validFor": { "start": "2020-01-01T00:00:00Z" },
            }],
            "ctlogs": [log(&self.certificate_log, None)],
            "timestampAuthorities": [],
        })
    }

    pub(crate) fn root(&self, demands: Demands) -> TrustRoot {
        TrustRoot::from_json("test", &self.root_json(None).to_string(), demands).unwrap()
    }

    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// What everything that it signs rests on.
    pub(crate) fn parts(&self) -> RootParts {
        RootParts {
            authorities: [Digest::sha256_of(&self.certificate)].into(),
            logs: [self.log.name(), self.certificate_log.name()].into(),
        }
    }

    /// A certificate for these claims, with its transparency proof.
    pub(crate) fn identity(&self, claims: &[(u64, String)]) -> Identity {
        self.issue(claims, true, |_| {})
    }

    /// The same with the certificate changed before it is issued.
    pub(crate) fn identity_with(
        &self,
        claims: &[(u64, String)],
        with_proof: bool,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        self.issue(claims, with_proof, change)
    }

    /// Two authorities that vouch for each other and that nobody else vouches for; and a certificate by the first.
    pub(crate) fn circle() -> (Identity, [Vec<u8>; 2]) {
        let (one, other) = (Authority::named("one"), Authority::named("other"));
        let vouch = |name: &str, for_whom: &Authority, by_whom: &Authority| {
            let key = for_whom.issuer.key();
            authority_params(name).signed_by(key, &by_whom.issuer).unwrap().der().to_vec()
        };
        (one.identity(&release_claims()), [vouch("one", &one, &other), vouch("other", &other, &one)])
    }

    /// An authority on P-521 that this one vouches for, with its certificate.
    pub(crate) fn between_on_p521(&self) -> (Authority, Vec<u8>) {
        let between = Authority::with("between", p521_key(), LogSigner::p256());
        let certificate = authority_params("between").signed_by(between.issuer.key(), &self.issuer).unwrap();
        (between, certificate.der().to_vec())
    }

    /// An authority that this one vouches for, with its certificate, which may have ended before everything is signed.
    pub(crate) fn between(&self, has_ended: bool) -> (Authority, Vec<u8>) {
        let between = Authority::named("between");
        let mut params = authority_params("between");
        if has_ended {
            params.not_after = rcgen::date_time_ymd(2024, 1, 1);
        }
        let certificate = params.signed_by(between.issuer.key(), &self.issuer).unwrap();
        (between, certificate.der().to_vec())
    }

    pub(crate) fn identity_without_proof(&self, claims: &[(u64, String)]) -> Identity {
        self.issue(claims, false, |_| {})
    }

    fn issue(
        &self,
        claims: &[(u64, String)],
        with_proof: bool,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = self.certify(claims, &key, with_proof, change);
        Identity { certificate, key: KeyPair::from_pkcs8_der(&key.serialize_der()).unwrap() }
    }

    fn certify(
        &self,
        claims: &[(u64, String)],
        key: &rcgen::KeyPair,
        with_proof: bool,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        let subject = claims.iter().find(|(number, _)| *number == 9).map(|(_, text)| text.clone()).unwrap();
        params.subject_alt_names = vec![SanType::URI(subject.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.serial_number = Some(SerialNumber::from(7));
        params.use_authority_key_identifier_extension = true;
        params.not_before = rcgen::date_time_ymd(2024, 1, 2);
        params.not_after = params.not_before + std::time::Duration::from_secs(600);
        for (number, text) in claims {
            let oid: Vec<u64> = FULCIO.iter().copied().chain([*number]).collect();
            let content = x509_cert::der::asn1::Utf8StringRef::new(text).unwrap().to_der().unwrap();
            params.custom_extensions.push(CustomExtension::from_oid_content(&oid, content));
        }
        change(&mut params);
        let mut certificate = params.signed_by(key, &self.issuer).unwrap().der().to_vec();
        if with_proof {
            let proof = self.certificate_timestamp(&certificate);
            params.custom_extensions.push(CustomExtension::from_oid_content(&SCT_LIST, proof));
            certificate = params.signed_by(key, &self.issuer).unwrap().der().to_vec();
        }
        certificate
    }

    /// The list of one signed certificate timestamp (RFC 6962, sections 3.2 and 3.3).
    fn certificate_timestamp(&self, certificate: &[u8]) -> Vec<u8> {
        let body = x509_cert::Certificate::from_der(certificate).unwrap().tbs_certificate.to_der().unwrap();
        let milliseconds = u64::try_from(SIGNED_AT * 1000).unwrap().to_be_bytes();
        let mut signed = vec![0, 0];
        signed.extend(milliseconds);
        signed.extend([0, 1]);
        signed.extend(Digest::sha256_of(&self.issuer_key).bytes());
        signed.extend(&u32::try_from(body.len()).unwrap().to_be_bytes()[1..]);
        signed.extend(body);
        signed.extend([0, 0]);
        let signature = (self.certificate_log.sign)(&signed);
        let mut timestamp = vec![0];
        timestamp.extend(self.certificate_log.id());
        timestamp.extend(milliseconds);
        timestamp.extend([0, 0, 4, 3]);
        timestamp.extend(short(&signature));
        let list = short(&short(&timestamp));
        x509_cert::der::asn1::OctetStringRef::new(&list).unwrap().to_der().unwrap()
    }

    /// A certificate for these claims around this key.
    pub(crate) fn certificate_for(
        &self,
        claims: &[(u64, String)],
        key: &rcgen::KeyPair,
        with_proof: bool,
    ) -> Vec<u8> {
        self.certify(claims, key, with_proof, |_| {})
    }

    pub(crate) fn log_id(&self) -> Vec<u8> {
        self.log.id()
    }

    /// A log entry for a body, the only one of its tree: the promise of index 5 a minute after the certificate begins, and
    /// the proof.
    pub(crate) fn entry(&self, body: &[u8]) -> (Vec<u8>, Value) {
        self.entry_at(body, SIGNED_AT + 60)
    }

    /// The same with the promise of another time.
    pub(crate) fn entry_at(&self, body: &[u8], time: i64) -> (Vec<u8>, Value) {
        let id = self.log.id();
        let promised = format!(
            r#"{{"body":"{}","integratedTime":{time},"logID":"{}","logIndex":5}}"#,
            STANDARD.encode(body),
            hex::encode(&id),
        );
        let promise = (self.log.sign)(promised.as_bytes());
        let leaf: Vec<u8> = [&[0], body].concat();
        let root = Digest::sha256_of(&leaf);
        (promise, self.proof(root.bytes(), 1))
    }

    /// The proof of a tree of one entry, with a checkpoint that says `size`.
    fn proof(&self, root: &[u8], size: u64) -> Value {
        let text = format!("log.example - 1\n{size}\n{}\n", STANDARD.encode(root));
        let signature = (self.log.sign)(text.as_bytes());
        let hinted: Vec<u8> = [&self.log.id()[..4], &signature].concat();
        json!({
            "logIndex": "0",
            "treeSize": "1",
            "rootHash": STANDARD.encode(root),
            "hashes": [],
            "checkpoint": { "envelope": format!("{text}\n\u{2014} log.example {}\n", STANDARD.encode(hinted)) },
        })
    }

    /// A bundle of version 0.3 around a statement.
    pub(crate) fn bundle(&self, identity: &Identity, statement: &Value) -> Value {
        let payload = statement.to_string();
        let payload_type = "application/vnd.in-toto+json";
        let signature =
            identity.key.sign(&sigstore_verify::types::pae(payload_type, payload.as_bytes())).unwrap();
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": { "algorithm": "sha256", "value": "0".repeat(64) },
                "payloadHash": { "algorithm": "sha256", "value": Digest::sha256_of(payload.as_bytes()).hex() },
                "signatures": [{
                    "signature": signature.to_base64(), "verifier": STANDARD.encode(identity.pem()),
                }],
            },
        });
        let body = body.to_string().into_bytes();
        let (promise, proof) = self.entry(&body);
        json!({
            "mediaType": super::BUNDLE,
            "verificationMaterial": {
                "certificate": { "rawBytes": STANDARD.encode(&identity.certificate) },
                "tlogEntries": [{
                    "logIndex": "5",
                    "logId": { "keyId": STANDARD.encode(self.log.id()) },
                    "kindVersion": { "kind": "dsse", "version": "0.0.1" },
                    "integratedTime": (SIGNED_AT + 60).to_string(),
                    "inclusionPromise": { "signedEntryTimestamp": STANDARD.encode(promise) },
                    "inclusionProof": proof,
                    "canonicalizedBody": STANDARD.encode(&body),
                }],
            },
            "dsseEnvelope": {
                "payloadType": payload_type,
                "payload": STANDARD.encode(&payload),
                "signatures": [{ "sig": signature.to_base64() }],
            },
        })
    }

    /// The bundle's checkpoint signed anew over another size of the tree.
    pub(crate) fn with_checkpoint_size(&self, bundle: &Value, size: u64) -> Value {
        let mut changed = bundle.clone();
        let proof = &mut changed["verificationMaterial"]["tlogEntries"][0]["inclusionProof"];
        let root = STANDARD.decode(proof["rootHash"].as_str().unwrap()).unwrap();
        *proof = self.proof(&root, size);
        changed
    }

    /// The annotations of cosign's older image signature over a layer.
    pub(crate) fn signature_annotations(&self, identity: &Identity, layer: &[u8]) -> Vec<(String, String)> {
        let signature = identity.key.sign(layer).unwrap().to_base64();
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": { "hash": { "algorithm": "sha256", "value": Digest::sha256_of(layer).hex() } },
                "signature": {
                    "content": signature, "publicKey": { "content": STANDARD.encode(identity.pem()) },
                },
            },
        });
        let mut annotations = self.annotations(identity, body.to_string().as_bytes());
        annotations.push(("dev.cosignproject.cosign/signature".to_owned(), signature));
        annotations
    }

    /// The annotations of cosign's older attestation: certificate, chain and log entry around `body`.
    pub(crate) fn annotations(&self, identity: &Identity, body: &[u8]) -> Vec<(String, String)> {
        self.annotations_of(Some(&identity.certificate), body)
    }

    /// The same of a key, where there is no certificate.
    pub(crate) fn annotations_of(&self, certificate: Option<&[u8]>, body: &[u8]) -> Vec<(String, String)> {
        let (promise, _) = self.entry(body);
        let entry = json!({
            "SignedEntryTimestamp": STANDARD.encode(promise),
            "Payload": {
                "body": STANDARD.encode(body),
                "integratedTime": SIGNED_AT + 60,
                "logIndex": 5,
                "logID": hex::encode(self.log.id()),
            },
        });
        let annotation = |name: &str, value: String| (format!("dev.sigstore.cosign/{name}"), value);
        let mut annotations = vec![annotation("bundle", entry.to_string())];
        if let Some(certificate) = certificate {
            annotations.push(annotation("certificate", pem_of(certificate)));
            annotations.push(annotation("chain", pem_of(&self.certificate)));
        }
        annotations
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params
}

impl Identity {
    pub(crate) fn pem(&self) -> String {
        pem_of(&self.certificate)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> String {
        self.key.sign(message).unwrap().to_base64()
    }

    /// An envelope as an attestation layer holds it.
    pub(crate) fn envelope(&self, statement: &Value) -> Value {
        let payload_type = "application/vnd.in-toto+json";
        let payload = statement.to_string();
        let signature =
            self.key.sign(&sigstore_verify::types::pae(payload_type, payload.as_bytes())).unwrap();
        json!({
            "payloadType": payload_type,
            "payload": STANDARD.encode(payload),
            "signatures": [{ "keyid": "", "sig": signature.to_base64() }],
        })
    }
}

/// The body of an entry of kind `rekord` 0.0.1, as cosign wrote it in 2021 for a signature over this content.
pub(crate) fn rekord(content: &[u8], signature: &str, pem: &str) -> Value {
    let hash = json!({ "algorithm": "sha256", "value": Digest::sha256_of(content).hex() });
    let public_key = json!({ "content": STANDARD.encode(pem) });
    let signature = json!({ "content": signature, "format": "x509", "publicKey": public_key });
    json!({
        "apiVersion": "0.0.1",
        "kind": "rekord",
        "spec": { "data": { "hash": hash }, "signature": signature },
    })
}

pub(crate) fn pem_of(der: &[u8]) -> String {
    sigstore_verify::types::DerCertificate::from_bytes(der).to_pem()
}

fn p521_key() -> rcgen::KeyPair {
    rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap()
}

/// Bytes after their length in two octets.
fn short(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}
