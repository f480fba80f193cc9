//! `custody conformance sign-bundle`: signs an artifact, or a statement, with an identity token.
//!
//! The suite wants a client that can do both halves. Nothing else in the product signs, and no key outlives the call.

use std::time::Duration;

use anyhow::Context;
use sigstore_sign::oidc::IdentityToken;
use sigstore_sign::trust_root::SigningConfig;
use sigstore_sign::{Signer, SigningContext, SigningServices, SigstoreInstance, reqwest};

use super::{is_named, read, read_text};
use crate::args::SignBundle;
use crate::exit::{Exit, Failure};

/// One call of a certificate authority, log or timestamp authority.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);

pub(super) async fn run(asked: &SignBundle) -> anyhow::Result<Exit> {
    is_named(asked.signing_config.as_ref(), asked.staging)?;
    let signer = signer_of(asked)?;
    let artifact = read(&asked.artifact, "artifact")?;
    let signed = if asked.in_toto {
        signer.sign_raw_statement(&artifact).await
    } else {
        signer.sign(artifact.as_slice()).await
    };
    let bundle = signed.context("sign")?.to_json().context("write the bundle")?;
    std::fs::write(&asked.bundle, bundle)
        .with_context(|| format!("write the bundle {}", asked.bundle.display()))?;
    Ok(Exit::Fine)
}

fn signer_of(asked: &SignBundle) -> anyhow::Result<Signer> {
    let token = IdentityToken::from_jwt(&asked.identity_token)
        .map_err(|error| Failure::usage(format!("the identity token does not parse: {error}")))?;
    let services = match (&asked.signing_config, asked.staging) {
        (Some(path), _) => {
            let config = SigningConfig::from_json(&read_text(path, "signing configuration")?);
            let config = config.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
            SigningServices::from_signing_config(&config)
        }
        (None, true) => SigningServices::from_embedded(SigstoreInstance::Staging),
        (None, false) => SigningServices::from_embedded(SigstoreInstance::PublicGood),
    };
    let services = services.map_err(|error| Failure::usage(error.to_string()))?;
    let client = reqwest::Client::builder().timeout(CALL_TIME_MAX).build().context("make an HTTP client")?;
    Ok(SigningContext::new(services).with_http_client(client).signer(token))
}
