//! Keys of every scheme and what they sign: message signatures and envelopes, by a certificate or by the key itself, with log
//! entries of every kind.

use std::sync::{Arc, LazyLock};

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature as lc;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::Digest;
use ed25519_dalek::Digest as _;
use rcgen::PublicKeyData as _;
use serde_json::{Value, json};

use crate::envelope::IN_TOTO;
use crate::testing::BUNDLE;
use crate::testing::authority::{Authority, SIGNED_AT, pem_of, release_claims};
use crate::trust::{LogDemand, TrustedKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    P256,
    P384,
    P521,
    P521Sha256,
    Pkcs1,
    Pss,
    Ed25519,
    Ed25519ph,
}

impl Form {
    pub(crate) const ALL: [Form; 8] = [
        Form::P256,
        Form::P384,
        Form::P521,
        Form::P521Sha256,
        Form::Pkcs1,
        Form::Pss,
        Form::Ed25519,
        Form::Ed25519ph,
    ];

    /// What a log of version 2 calls it.
    pub(crate) fn key_details(self) -> &'static str {
        match self {
            Form::P256 => "PKIX_ECDSA_P256_SHA_256",
            Form::P384 => "PKIX_ECDSA_P384_SHA_384",
            Form::P521 => "PKIX_ECDSA_P521_SHA_512",
            Form::P521Sha256 => "PKIX_ECDSA_P521_SHA_256",
            Form::Pkcs1 => "PKIX_RSA_PKCS1V15_2048_SHA256",
            Form::Pss => "PKIX_RSA_PSS_2048_SHA256",
            Form::Ed25519 => "PKIX_ED25519",
            Form::Ed25519ph => "PKIX_ED25519_PH",
        }
    }

    /// The bits of its hash; for plain Ed25519 of the one that a log would have to take.
    pub(crate) fn bits(self) -> u16 {
        match self {
            Form::P256 | Form::P521Sha256 | Form::Pkcs1 | Form::Pss => 256,
            Form::P384 => 384,
            Form::P521 | Form::Ed25519 | Form::Ed25519ph => 512,
        }
    }

    fn algorithm(self) -> &'static rcgen::SignatureAlgorithm {
        match self {
            Form::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Form::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Form::P521 | Form::P521Sha256 => &rcgen::PKCS_ECDSA_P521_SHA512,
            Form::Pkcs1 | Form::Pss => &rcgen::PKCS_RSA_SHA256,
            Form::Ed25519 | Form::Ed25519ph => &rcgen::PKCS_ED25519,
        }
    }
}

/// A key that signs by one scheme.
pub(crate) struct SchemeKey {
    pub(crate) form: Form,
    key: Arc<rcgen::KeyPair>,
}

impl SchemeKey {
    pub(crate) fn generate(form: Form) -> SchemeKey {
        /// RSA keys take long to find.
        static RSA: LazyLock<Arc<rcgen::KeyPair>> = LazyLock::new(|| {
            let size = rcgen::RsaKeySize::_2048;
            Arc::new(rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap())
        });
        let key = match form {
            Form::Pkcs1 | Form::Pss => RSA.clone(),
            _ => Arc::new(rcgen::KeyPair::generate_for(form.algorithm()).unwrap()),
        };
        SchemeKey { form, key }
    }

    /// The same key, signing by another scheme for keys of its kind.
    pub(crate) fn by(&self, form: Form) -> SchemeKey {
        assert_eq!(form.algorithm(), self.form.algorithm());
        SchemeKey { form, key: self.key.clone() }
    }

    pub(crate) fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    pub(crate) fn trusted(&self, log: LogDemand) -> TrustedKey {
        TrustedKey::from_pem("test", &self.key.public_key_pem(), log).unwrap()
    }

    pub(crate) fn certificate(&self, authority: &Authority) -> Vec<u8> {
        authority.certificate_for(&release_claims(), &self.key, true)
    }

    pub(crate) fn certificate_without_proof(&self, authority: &Authority) -> Vec<u8> {
        authority.certificate_for(&release_claims(), &self.key, false)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        let pkcs8 = self.key.serialized_der();
        let ecdsa = |algorithm| {
            let pair = lc::EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).unwrap();
            pair.sign(&random, message).unwrap().as_ref().to_vec()
        };
        let rsa = |padding: &'static dyn lc::RsaEncoding| {
            let pair = lc::RsaKeyPair::from_pkcs8(pkcs8).unwrap();
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, message, &mut signature).unwrap();
            signature
        };
        match self.form {
            Form::P256 => ecdsa(&lc::ECDSA_P256_SHA256_ASN1_SIGNING),
            Form::P384 => ecdsa(&lc::ECDSA_P384_SHA384_ASN1_SIGNING),
            Form::P521 => ecdsa(&lc::ECDSA_P521_SHA512_ASN1_SIGNING),
            Form::P521Sha256 => ecdsa(&lc::ECDSA_P521_SHA256_ASN1_SIGNING),
            Form::Pkcs1 => rsa(&lc::RSA_PKCS1_SHA256),
            Form::Pss => rsa(&lc::RSA_PSS_SHA256),
            Form::Ed25519 => lc::Ed25519KeyPair::from_pkcs8(pkcs8).unwrap().sign(message).as_ref().to_vec(),
            Form::Ed25519ph => {
                let seed = lc::Ed25519KeyPair::from_pkcs8(pkcs8).unwrap().seed().unwrap();
                let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().unwrap();
                let key = ed25519_dalek::SigningKey::from_bytes(seed.as_ref().try_into().unwrap());
                let hash = ed25519_dalek::Sha512::new_with_prefix(message);
                key.sign_prehashed(hash, None).unwrap().to_bytes().to_vec()
            }
        }
    }
}

/// A kind of log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logged {
    HashedRekord,
    /// Of Rekor v2.
    HashedRekord2,
    Dsse,
    Intoto,
}

/// What is signed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    Message(&'a [u8]),
    /// A statement in an envelope.
    Statement(&'a Value),
}

/// A signature with all that its log entries say about it, each part open to be changed before it is logged.
#[derive(Debug, Clone)]
pub(crate) struct Signing {
    pub(crate) form: Form,
    pub(crate) signature: Vec<u8>,
    /// What is hashed: the message, or the encoding of the envelope.
    pub(crate) signed: Vec<u8>,
    pub(crate) payload: Option<String>,
    /// The certificate in DER, where it is not the key that is named.
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) spki: Vec<u8>,
    /// The bits of the hash that log entries are about.
    pub(crate) bits: u16,
    pub(crate) key_details: String,
}

impl Signing {
    pub(crate) fn new(key: &SchemeKey, certificate: Option<Vec<u8>>, content: Content<'_>) -> Signing {
        let (signed, payload) = match content {
            Content::Message(bytes) => (bytes.to_vec(), None),
            Content::Statement(statement) => {
                let payload = statement.to_string();
                (sigstore_verify::types::pae(IN_TOTO, payload.as_bytes()), Some(payload))
            }
        };
        Signing {
            form: key.form,
            signature: key.sign(&signed),
            signed,
            payload,
            certificate,
            spki: key.spki(),
            bits: key.form.bits(),
            key_details: key.form.key_details().to_owned(),
        }
    }

    /// A bundle of version 0.3 with entries of these kinds.
    pub(crate) fn bundle(&self, authority: &Authority, entries: &[Logged]) -> Value {
        let entries: Vec<Value> =
            entries.iter().map(|kind| entry(authority, *kind, &self.body(*kind))).collect();
        self.bundle_with(entries)
    }

    pub(crate) fn bundle_with(&self, entries: Vec<Value>) -> Value {
        let signer = match &self.certificate {
            Some(der) => ("certificate", json!({ "rawBytes": STANDARD.encode(der) })),
            None => ("publicKey", json!({ "hint": STANDARD.encode(Digest::sha256_of(&self.spki).bytes()) })),
        };
        let content = match &self.payload {
            Some(payload) => (
                "dsseEnvelope",
                json!({
                    "payloadType": IN_TOTO,
                    "payload": STANDARD.encode(payload),
                    "signatures": [{ "sig": STANDARD.encode(&self.signature) }],
                }),
            ),
            None => (
                "messageSignature",
                json!({
                    "messageDigest": {
                        "algorithm": format!("SHA2_{}", self.form.bits()),
                        "digest": STANDARD.encode(hash(self.form.bits(), &self.signed)),
                    },
                    "signature": STANDARD.encode(&self.signature),
                }),
            ),
        };
        json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { signer.0: signer.1, "tlogEntries": entries },
            content.0: content.1,
        })
    }

    /// The body of an entry of this kind.
    pub(crate) fn body(&self, kind: Logged) -> Value {
        let signature = STANDARD.encode(&self.signature);
        let digest = hash(self.bits, &self.signed);
        let payload = self.payload.as_deref().unwrap_or_default();
        let payload_hash =
            json!({ "algorithm": "sha256", "value": Digest::sha256_of(payload.as_bytes()).hex() });
        let verifier = STANDARD.encode(self.verifier_pem());
        let (kind, version, spec) = match kind {
            Logged::HashedRekord => (
                "hashedrekord",
                "0.0.1",
                json!({
                    "data": {
                        "hash": { "algorithm": format!("sha{}", self.bits), "value": hex::encode(digest) },
                    },
                    "signature": { "content": signature, "publicKey": { "content": verifier } },
                }),
            ),
            Logged::HashedRekord2 => {
                let verifier = match &self.certificate {
                    Some(der) => json!({
                        "keyDetails": self.key_details, "x509Certificate": { "rawBytes": STANDARD.encode(der) },
                    }),
                    None => json!({
                        "keyDetails": self.key_details, "publicKey": { "rawBytes": STANDARD.encode(&self.spki) },
                    }),
                };
                let data =
                    json!({ "algorithm": format!("SHA2_{}", self.bits), "digest": STANDARD.encode(digest) });
                let signature = json!({ "content": signature, "verifier": verifier });
                (
                    "hashedrekord",
                    "0.0.2",
                    json!({ "hashedRekordV002": { "data": data, "signature": signature } }),
                )
            }
            Logged::Dsse => (
                "dsse",
                "0.0.1",
                json!({
                    "envelopeHash": { "algorithm": "sha256", "value": "0".repeat(64) },
                    "payloadHash": payload_hash,
                    "signatures": [{ "signature": signature, "verifier": verifier }],
                }),
            ),
            Logged::Intoto => (
                "intoto",
                "0.0.2",
                json!({ "content": {
                    "envelope": {
                        "payloadType": IN_TOTO,
                        "signatures": [{ "sig": STANDARD.encode(&signature), "publicKey": verifier }],
                    },
                    "hash": { "algorithm": "sha256", "value": "0".repeat(64) },
                    "payloadHash": payload_hash,
                } }),
            ),
        };
        json!({ "apiVersion": version, "kind": kind, "spec": spec })
    }

    fn verifier_pem(&self) -> String {
        match &self.certificate {
            Some(der) => pem_of(der),
            None => sigstore_verify::types::DerPublicKey::new(self.spki.clone()).to_pem(),
        }
    }
}

/// An entry of the authority's log around a body.
pub(crate) fn entry(authority: &Authority, kind: Logged, body: &Value) -> Value {
    let bytes = body.to_string().into_bytes();
    let (promise, proof) = authority.entry(&bytes);
    let mut entry = json!({
        "logIndex": "5",
        "logId": { "keyId": STANDARD.encode(authority.log_id()) },
        "kindVersion": { "kind": body["kind"], "version": body["apiVersion"] },
        "integratedTime": (SIGNED_AT + 60).to_string(),
        "inclusionPromise": { "signedEntryTimestamp": STANDARD.encode(promise) },
        "inclusionProof": proof,
        "canonicalizedBody": STANDARD.encode(&bytes),
    });
    if kind == Logged::HashedRekord2 {
        entry["logIndex"] = json!("0");
        let fields = entry.as_object_mut().unwrap();
        fields.remove("integratedTime");
        fields.remove("inclusionPromise");
    }
    entry
}

pub(crate) fn hash(bits: u16, bytes: &[u8]) -> Vec<u8> {
    let algorithm = match bits {
        256 => &SHA256,
        384 => &SHA384,
        _ => &SHA512,
    };
    digest(algorithm, bytes).as_ref().to_vec()
}
