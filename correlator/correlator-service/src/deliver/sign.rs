//! Signatures of webhooks as Standard Webhooks has them (specification, "Signature scheme": symmetric, `v1`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bus_schema::CaseId;
use bus_schema::hash::hash_fields;
use correlator_core::decision::CaseChange;
use fleet_runtime::settings::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The id of one change of one case: the same for every attempt, also after a restart.
pub(super) fn message_id(case: &CaseId, revision: u32, change: CaseChange) -> String {
    let hash = hash_fields(["alert", case.as_str(), &revision.to_string(), change.as_str()]);
    format!("msg_{}", hex::encode(&hash[..16]))
}

/// The value of `webhook-signature`. The secret is the key in base64.
pub(super) fn signature(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(secret.expose()).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_signature_is_the_one_that_receivers_compute() {
        let secret = Secret::new("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed =
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#)
                .unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn ids_tell_changes_apart_and_stay_the_same() {
        let case = CaseId::derive(["a"]);
        let id = message_id(&case, 1, CaseChange::Opened);
        assert_eq!(id, message_id(&case, 1, CaseChange::Opened));
        assert_ne!(id, message_id(&case, 2, CaseChange::Opened));
        assert_ne!(id, message_id(&case, 1, CaseChange::Resolved));
    }
}
