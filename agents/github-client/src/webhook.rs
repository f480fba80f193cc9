//! From a raw delivery to one whose sender is proven, purely: headers and bytes in, a [`Delivery`] or a refusal out.
//!
//! The signature is checked over the raw body before anything in it is read. A secret speaks only for the forge and the
//! owners or repositories that it is bound to; a body that names another one is refused, however well it is signed.

mod claims;
mod event_name;
mod signature;

use bus_schema::ForgeHost;
use bytes::Bytes;
use fleet_runtime::settings::Secret;

pub use claims::ClaimRefusal;
pub use event_name::{EVENT_NAME_BYTES_MAX, is_known as is_known_event};
pub use signature::{SignatureRefusal, sign};

use crate::json::JsonError;
use crate::scope::ForgeScope;

/// The most secrets that one intake tries.
pub const WEBHOOK_SECRETS_MAX: usize = 64;
/// The shortest secret that is accepted, in bytes: 128 bits where it is random.
pub const WEBHOOK_SECRET_BYTES_MIN: usize = 16;
/// The header with the event's name.
pub const EVENT_HEADER: &str = "x-github-event";
/// The header with GitHub's id of the delivery: for people only, it is not signed.
pub const DELIVERY_HEADER: &str = "x-github-delivery";
/// The header with the signature. The older `X-Hub-Signature` (SHA-1) is never read.
pub const SIGNATURE_HEADER: &str = "x-hub-signature-256";

/// A secret and what it may speak for.
#[derive(Debug, Clone)]
pub struct WebhookSecret {
    pub secret: Secret,
    pub scope: ForgeScope,
}

/// A delivery whose sender is proven.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The event's name, one of GitHub's or at least a plain word.
    pub event: String,
    /// GitHub's id of the delivery, for people.
    pub id: Option<String>,
    /// The forge that the secret is bound to.
    pub host: ForgeHost,
    /// The body as it was signed.
    pub body: Bytes,
}

/// Why a delivery is refused.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryRefusal {
    #[error("the delivery is not signed as it should be")]
    Signature(#[from] SignatureRefusal),
    #[error("the header {EVENT_HEADER} is missing or not a plain word")]
    NoEvent,
    #[error("the body names something that the secret does not speak for")]
    Claim(#[from] ClaimRefusal),
    #[error("the body cannot be read")]
    Body(#[from] JsonError),
}

/// The headers of a delivery that matter.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeliveryHeaders<'a> {
    pub event: Option<&'a str>,
    pub id: Option<&'a str>,
    pub signature: Option<&'a str>,
}

/// Checks who sent a delivery and what it may speak for.
///
/// A body that is signed but is not readable JSON comes back as [`Unreadable`](Authenticated::Unreadable) with the one scope
/// its secret has, so that the caller can keep it.
pub fn authenticate(
    secrets: &[WebhookSecret],
    headers: DeliveryHeaders<'_>,
    body: Bytes,
) -> Result<Authenticated, DeliveryRefusal> {
    let stated = signature::parse(headers.signature)?;
    // Every secret is tried, so that the time does not tell which one fits.
    let signers: Vec<&WebhookSecret> = secrets
        .iter()
        .take(WEBHOOK_SECRETS_MAX)
        .filter(|candidate| signature::matches(&candidate.secret, &body, &stated))
        .collect();
    let Some(first) = signers.first() else {
        return Err(SignatureRefusal::Wrong.into());
    };
    let event = headers.event.filter(|name| event_name::is_plain(name)).ok_or(DeliveryRefusal::NoEvent)?;
    let mut delivery = Delivery {
        event: event.to_owned(),
        id: headers.id.filter(|id| is_printable_id(id)).map(str::to_owned),
        host: first.scope.host.clone(),
        body,
    };
    let claims = match claims::read(&delivery.body) {
        Ok(claims) => claims,
        Err(error) => return Ok(Authenticated::Unreadable { delivery, error }),
    };
    // One secret may stand in several entries; the body must fit one of them.
    let mut refusal = None;
    for signer in signers {
        match claims.check(&signer.scope) {
            Ok(()) => {
                delivery.host = signer.scope.host.clone();
                return Ok(Authenticated::Delivery(delivery));
            }
            Err(reason) => refusal = refusal.or(Some(reason)),
        }
    }
    Err(refusal.unwrap_or(ClaimRefusal::Nothing).into())
}

/// The outcome of a right signature.
#[derive(Debug)]
pub enum Authenticated {
    Delivery(Delivery),
    /// Signed, but not JSON of a webhook's shape: for the dead letter.
    Unreadable {
        delivery: Delivery,
        error: JsonError,
    },
}

fn is_printable_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
