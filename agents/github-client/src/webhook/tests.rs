#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn secret(text: &str, host: &str, watched: &[&str]) -> WebhookSecret {
    let watched = watched.iter().map(|entry| entry.parse().unwrap()).collect();
    let scope = ForgeScope { host: host.parse().unwrap(), watched };
    WebhookSecret { secret: Secret::new(text), scope }
}

fn body(owner: &str, name: &str, host: &str) -> Bytes {
    let page = format!("https://{host}/{owner}/{name}");
    let repository = serde_json::json!({
        "id": 7, "name": name, "owner": { "login": owner, "id": 3 }, "html_url": page, "pushed_at": 1_557_933_657,
    });
    serde_json::json!({ "repository": repository }).to_string().into()
}

fn deliver(secrets: &[WebhookSecret], signing: &str, body: Bytes) -> Result<Authenticated, DeliveryRefusal> {
    let signature = sign(&Secret::new(signing), &body);
    let headers = DeliveryHeaders { event: Some("push"), id: Some("72d3162e"), signature: Some(&signature) };
    authenticate(secrets, headers, body)
}

#[test]
fn a_signed_delivery_of_the_secrets_owner_is_accepted() {
    let secrets = [secret(SECRET, "github.com", &["acme"])];
    let accepted = deliver(&secrets, SECRET, body("acme", "api", "github.com")).unwrap();
    let Authenticated::Delivery(delivery) = accepted else { panic!("{accepted:?}") };
    assert_eq!((delivery.event.as_str(), delivery.id.as_deref()), ("push", Some("72d3162e")));
    assert_eq!(delivery.host.as_str(), "github.com");
}

#[test]
fn a_wrong_signature_is_refused_whatever_the_body_says() {
    let secrets = [secret(SECRET, "github.com", &["acme"])];
    let refusal = deliver(&secrets, "another secret of 16", body("acme", "api", "github.com")).unwrap_err();
    assert!(matches!(refusal, DeliveryRefusal::Signature(SignatureRefusal::Wrong)), "{refusal}");
    let changed = body("acme", "api", "github.com");
    let signature = sign(&Secret::new(SECRET), &body("acme", "web", "github.com"));
    let headers = DeliveryHeaders { event: Some("push"), id: None, signature: Some(&signature) };
    assert!(authenticate(&secrets, headers, changed.clone()).is_err());
    let unsigned = DeliveryHeaders { event: Some("push"), id: None, signature: None };
    let refusal = authenticate(&secrets, unsigned, changed).unwrap_err();
    assert!(matches!(refusal, DeliveryRefusal::Signature(SignatureRefusal::Missing)), "{refusal}");
}

#[test]
fn a_secret_that_is_used_for_another_owner_repository_or_host_is_refused() {
    let secrets = [
        secret(SECRET, "github.com", &["acme", "other/one"]),
        secret("a second secret, long enough", "github.com", &["umbrella"]),
    ];
    let check = |signing: &str, body: Bytes| {
        let refusal = deliver(&secrets, signing, body).unwrap_err();
        assert!(matches!(refusal, DeliveryRefusal::Claim(_)), "{refusal}");
    };
    check(SECRET, body("umbrella", "api", "github.com"));
    check("a second secret, long enough", body("acme", "api", "github.com"));
    check(SECRET, body("other", "two", "github.com"));
    check(SECRET, body("acme", "api", "git.umbrella.example"));
    let organization = br#"{"organization":{"login":"umbrella","id":1}}"#;
    check(SECRET, Bytes::from_static(organization));
    let installation = br#"{"installation":{"id":5,"account":{"login":"umbrella"}}}"#;
    check(SECRET, Bytes::from_static(installation));
}

#[test]
fn a_repository_whose_page_is_another_one_is_refused() {
    let secrets = [secret(SECRET, "github.com", &["acme"])];
    let text = r#"{"repository":{"id":7,"name":"api","owner":{"login":"acme"},"html_url":"https://github.com/umbrella/api"}}"#;
    let refusal = deliver(&secrets, SECRET, Bytes::from_static(text.as_bytes())).unwrap_err();
    assert!(matches!(refusal, DeliveryRefusal::Claim(ClaimRefusal::Repository(_))), "{refusal}");
}

#[test]
fn one_secret_may_serve_several_scopes() {
    let secrets = [secret(SECRET, "github.com", &["acme"]), secret(SECRET, "git.acme.example", &["acme"])];
    let accepted = deliver(&secrets, SECRET, body("acme", "api", "git.acme.example")).unwrap();
    let Authenticated::Delivery(delivery) = accepted else { panic!("{accepted:?}") };
    assert_eq!(delivery.host.as_str(), "git.acme.example");
}

#[test]
fn a_signed_body_that_is_not_readable_comes_back_with_the_reason() {
    let secrets = [secret(SECRET, "github.com", &["acme"])];
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    for text in ["", "{", "[]", "null", r#"{"repository":7}"#, &deep] {
        let outcome = deliver(&secrets, SECRET, Bytes::copy_from_slice(text.as_bytes())).unwrap();
        assert!(matches!(outcome, Authenticated::Unreadable { .. }), "{text:.20}: {outcome:?}");
    }
}

#[test]
fn a_delivery_without_an_event_name_is_refused() {
    let secrets = [secret(SECRET, "github.com", &["acme"])];
    let body = body("acme", "api", "github.com");
    let signature = sign(&Secret::new(SECRET), &body);
    for event in [None, Some(""), Some("push\u{1b}[2J"), Some("Push it")] {
        let headers = DeliveryHeaders { event, id: None, signature: Some(&signature) };
        let refusal = authenticate(&secrets, headers, body.clone()).unwrap_err();
        assert!(matches!(refusal, DeliveryRefusal::NoEvent), "{event:?}: {refusal}");
    }
}
