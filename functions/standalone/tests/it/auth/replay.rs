//! Replays of a captured signed request: changes outside the signature never start the operation a second time.

use std::collections::BTreeSet;
use std::time::Duration;

use courier_testkit::world::{Answer, World};
use serde_json::{Value, json};

use crate::auth::signed::{NOW, SIGNERS, STALE, Sign, secret, signed, signers};
use crate::auth::signed_corpus::{body, hmac, standard_signature};

const ANOTHER_KEY: &str = "\"another\"";

/// A captured request with its signature.
struct Captured {
    dialect: &'static str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Captured {
    async fn send(&self, world: &World, method: &str, path: &str, more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("x-api-key", "")];
        let own = self.headers.iter();
        headers.extend(own.map(|(name, value)| (*name, value.as_str())));
        headers.extend(more);
        world.call(method, path, &headers, self.body.clone()).await
    }

    async fn start(&self, world: &World, more: &[(&str, &str)]) -> Answer {
        self.send(world, "POST", "/v1/operations", more).await
    }
}

/// Returns a signed request with the same body in each dialect.
fn captured(body: &str) -> Vec<Captured> {
    signed(|sign: Sign<'_>| {
        let time = "2026-11-21T20:00:00Z";
        let zendesk_secret = secret("ZENDESK_NEW");
        let zendesk = hmac(sign, "sha256", "base64", &zendesk_secret, time, body);
        let github = hmac(sign, "sha256", "hex", &secret("GITHUB_SECRET"), "", body);
        [
            (
                "standard",
                vec![
                    ("webhook-id", "captured".to_owned()),
                    ("webhook-timestamp", NOW.to_string()),
                    (
                        "webhook-signature",
                        standard_signature(sign, "REQUESTS_NEW", "captured", NOW, body),
                    ),
                ],
            ),
            (
                "zendesk",
                vec![
                    ("x-zendesk-webhook-signature", zendesk),
                    ("x-zendesk-webhook-signature-timestamp", time.to_owned()),
                ],
            ),
            (
                "github",
                vec![("x-hub-signature-256", format!("sha256={github}"))],
            ),
        ]
        .map(|(dialect, headers)| Captured {
            dialect,
            headers,
            body: body.to_owned(),
        })
        .into_iter()
        .collect()
    })
}

/// Returns the body of an export, which must not be started twice, without a callback.
fn export(reference: Value) -> String {
    json!({
        "operation": "user.exportPersonalData",
        "parameters": {
            "userId": "6e7b768e-07e2-4810-8459-485f84f8f204",
            "storageLocation": courier_testkit::world::sas("dsar"),
        },
        "reference": reference,
    })
    .to_string()
}

fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

#[tokio::test]
async fn unsigned_parts_do_not_turn_a_captured_request_into_a_new_one() {
    for text in [export("RITM-1".into()), body()] {
        for captured in captured(&text) {
            let world = signers().await;
            let dialect = captured.dialect;
            let first = captured.start(&world, &[]).await;
            assert_eq!(first.status, 202, "{dialect}: {first:?}");
            assert!(!replayed(&first), "{dialect}");
            for more in [
                &[][..],
                &[("prefer", "respond-async")],
                &[(
                    "traceparent",
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                )],
                &[("content-type", "application/json; charset=utf-8")],
                &[("x-request-id", "another"), ("user-agent", "another")],
            ] {
                let again = captured.start(&world, more).await;
                assert!(replayed(&again), "{dialect} {more:?}: {again:?}");
                assert_eq!((again.status, again.id()), (202, first.id()), "{dialect}");
            }
            for more in [
                &[("idempotency-key", ANOTHER_KEY)][..],
                &[
                    ("idempotency-key", "captured"),
                    ("idempotency-key", ANOTHER_KEY),
                ],
            ] {
                let other = captured.start(&world, more).await;
                assert_eq!((other.status, other.problem()), (400, "invalid-header"));
                assert_eq!(other.body["errors"][0]["header"], "Idempotency-Key");
            }
            let journal = world.simulator.journal();
            let starts = journal.iter().filter(|call| call.call.ends_with(".start"));
            assert_eq!(starts.count(), 1, "{dialect}");
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_must_equal_the_signed_webhook_id() {
    let world = signers().await;
    let captured = captured(&body());
    let first = captured[0].start(&world, &[]).await;
    for same in ["captured", "\"captured\""] {
        let again = captured[0]
            .start(&world, &[("idempotency-key", same)])
            .await;
        assert!(replayed(&again), "{again:?}");
        assert_eq!(again.id(), first.id());
    }
    for (index, rule) in [
        (0, "must equal the signed webhook-id, or not be sent"),
        (1, "is not covered by the signature: send `reference`"),
        (2, "is not covered by the signature: send `reference`"),
    ] {
        let other = captured[index]
            .start(&world, &[("idempotency-key", ANOTHER_KEY)])
            .await;
        assert_eq!(other.body["errors"][0]["rule"], rule, "{other:?}");
    }
}

#[tokio::test]
async fn an_export_needs_a_signed_id_or_a_reference() {
    let world = signers().await;
    for captured in captured(&export(Value::Null)) {
        let answer = captured.start(&world, &[]).await;
        if captured.dialect == "standard" {
            assert_eq!(answer.status, 202, "{answer:?}");
        } else {
            assert_eq!((answer.status, answer.problem()), (400, "invalid-request"));
            assert_eq!(answer.body["errors"][0]["pointer"], "/reference");
        }
    }
    assert_eq!(world.simulator.calls("export.start").len(), 1);
}

/// A dialect that signs a time is refused after five minutes; another one is recognized by its stored operation.
#[tokio::test]
async fn after_five_minutes_a_captured_request_is_refused_or_replayed() {
    let world = signers().await;
    for captured in captured(&body()) {
        let first = captured.start(&world, &[]).await;
        world.clock.advance(Duration::from_secs(301));
        let late = captured.start(&world, &[]).await;
        if captured.dialect == "github" {
            assert_eq!((late.status, late.id()), (202, first.id()));
            assert!(replayed(&late));
        } else {
            assert_eq!((late.status, late.problem()), (401, "unauthenticated"));
            assert_eq!(late.body["detail"], STALE, "{}", captured.dialect);
        }
        let back = world.clock.now() - Duration::from_secs(301);
        world.clock.set(back);
    }
}

#[tokio::test]
async fn a_signature_permits_only_the_start_of_operations() {
    let world = signers().await;
    for captured in captured(&body()) {
        let id = captured.start(&world, &[]).await.id();
        for (method, path) in [
            ("GET", "/v1/operations".to_owned()),
            ("PUT", "/v1/operations".to_owned()),
            ("POST", "/v1/operations//".to_owned()),
            ("GET", format!("/v1/operations/{id}")),
            ("GET", format!("/v1/operations/{id}/history")),
            ("POST", format!("/v1/operations/{id}/cancel")),
            ("POST", format!("/v1/operations/{id}/callback/redeliver")),
            ("POST", "/v1/operations/a/b/c".to_owned()),
        ] {
            let answer = captured.send(&world, method, &path, &[]).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (401, "unauthenticated"),
                "{} {method} {path}",
                captured.dialect
            );
            assert_eq!(answer.body["detail"], Value::Null);
        }
        let again = captured.start(&world, &[]).await;
        assert_ne!(again.body["status"], "cancelled");
    }
}

/// Keys from headers and keys from signatures are in different namespaces, whatever their text.
#[tokio::test]
async fn a_key_from_a_header_never_equals_one_from_a_signature() {
    let world = World::with(|setup| {
        let hash = "9574b112f6ddd7deba5f845a015bb880e0fdc9dc1b6f50e979b5cfd0cb73a7d7";
        let keys = format!("[clients.standard]\napi_keys = [\"sha256:{hash}\"]");
        let signers = SIGNERS.replace("[clients.standard]", &keys);
        setup.config = setup.config.replace("[seal]\n", &signers);
    })
    .await;
    let captured = &captured(&body())[0];
    let mut ids = BTreeSet::from([captured.start(&world, &[]).await.id()]);
    let keys = ["captured", "signed id captured", "id captured"];
    for key in keys {
        let headers = [("x-api-key", "standard-key"), ("idempotency-key", key)];
        let body = serde_json::from_str(&captured.body).unwrap();
        let answer = world.post_with(&headers, &body).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        assert!(!replayed(&answer), "{key}");
        ids.insert(answer.id());
    }
    assert_eq!(ids.len(), 1 + keys.len());
}

/// Bytes moved across a border of the signed text keep the signature valid but must not give another valid request.
///
/// In one dialect no delimiter separates time and body; in another the id may contain the delimiter.
#[tokio::test]
async fn moving_bytes_between_signed_parts_starts_nothing() {
    let world = signers().await;
    let (zone, id) = signed(|sign: Sign<'_>| {
        let zendesk = secret("ZENDESK_NEW");
        let time = "2026-11-21T20:00:00+00:00";
        (
            hmac(sign, "sha256", "base64", &zendesk, time, &body()),
            standard_signature(sign, "REQUESTS_NEW", "a.1795291200", NOW, &body()),
        )
    });
    let moved = [
        Captured {
            dialect: "zendesk",
            headers: vec![
                ("x-zendesk-webhook-signature", zone),
                (
                    "x-zendesk-webhook-signature-timestamp",
                    "2026-11-21T20:00:00+00".to_owned(),
                ),
            ],
            body: format!(":00{}", body()),
        },
        Captured {
            dialect: "standard",
            headers: vec![
                ("webhook-id", "a".to_owned()),
                ("webhook-timestamp", NOW.to_string()),
                ("webhook-signature", id),
            ],
            body: format!("{NOW}.{}", body()),
        },
    ];
    for captured in moved {
        let answer = captured.start(&world, &[]).await;
        assert_eq!((answer.status, answer.problem()), (400, "bad-json"));
    }
    assert!(world.simulator.journal().is_empty());
}
