//! The two URLs of a request: the storage location that Graph writes to, and the callback URL.

use courier_testkit::world::{Answer, CALLBACK_TOKEN, SAS_SIGNATURE, World};
use serde_json::{Value, json};

const VALID_SAS: &str = "sv=2024-11-04&sr=c&sp=acw&se=2028-01-01T00:00:00Z";

async fn world() -> World {
    World::with(|setup| {
        let config = setup.config.replace("\"127.0.0.0/8\"", "");
        setup.config = config.replace("{receiver}", "https://hooks.example");
    })
    .await
}

fn rules(answer: &Answer, pointer: &str) -> Vec<String> {
    let text = answer.body.to_string();
    for secret in ["canary", SAS_SIGNATURE, CALLBACK_TOKEN, "contoso.blob"] {
        assert!(!text.contains(secret), "{text}");
    }
    let errors = answer.body["errors"].as_array().unwrap();
    let rule = |error: &Value| {
        assert_eq!(error["pointer"], pointer, "{text}");
        error["rule"].as_str().unwrap().to_owned()
    };
    errors.iter().map(rule).collect()
}

async fn assert_untouched(world: &World) {
    let list = world.get("/v1/operations").await;
    assert_eq!(list.body, json!({ "operations": [], "next": null }));
    assert!(world.simulator.journal().is_empty());
    assert!(world.database.next_due().await.unwrap().is_none());
}

fn export(location: &str) -> Value {
    json!({
        "operation": "user.exportPersonalData",
        "parameters": {
            "userId": "6e7b768e-07e2-4810-8459-485f84f8f204",
            "storageLocation": location,
        },
    })
}

#[tokio::test]
async fn a_storage_location_that_graph_would_refuse_is_refused() {
    let world = world().await;
    let place = "https://contoso.blob.core.windows.net/dsar";
    let signed = format!("{VALID_SAS}&sig={SAS_SIGNATURE}");
    let query = |from: &str, to: &str| format!("{place}?{}", signed.replacen(from, to, 1));
    let at = |place: &str| format!("{place}?{signed}");
    let absolute = "must be an absolute URL";
    let plain = "must hold no space";
    let container = "exactly one container";
    for (location, rule) in [
        ("canary".to_owned(), absolute),
        (at("//contoso.blob.core.windows.net/dsar"), absolute),
        (
            at("http://contoso.blob.core.windows.net/dsar"),
            "must be an https URL",
        ),
        (
            at("ftp://contoso.blob.core.windows.net/dsar"),
            "must be an https URL",
        ),
        (
            at("https://canary:canary@contoso.blob.core.windows.net/dsar"),
            "user information",
        ),
        (at("https://contoso.blob.core.windows.net"), container),
        (at("https://contoso.blob.core.windows.net/"), container),
        (
            at("https://contoso.blob.core.windows.net/dsar/blob"),
            container,
        ),
        (at("https://contoso.blob.core.windows.net/a%2Fb"), container),
        (at(" https://contoso.blob.core.windows.net/dsar"), plain),
        (at("https://contoso.blob.core.windows.net/ds ar"), plain),
        (at("https://contoso.blob.core.windows.net/dsar\n"), plain),
        (at("https://contoso.blob.core.windows.net/dsar\0"), plain),
        (at("https://contoso.blob.core.windows.net\\dsar"), plain),
        (format!("{}#canary", at(place)), "fragment"),
        (
            format!("{}&x={}", at(place), "x".repeat(4_096)),
            "4096 bytes",
        ),
        (place.to_owned(), "must carry a signature (sig)"),
        (
            query(&format!("&sig={SAS_SIGNATURE}"), ""),
            "must carry a signature (sig)",
        ),
        (query(SAS_SIGNATURE, ""), "must carry a signature (sig)"),
        (query("sr=c", "ss=b&sr=c"), "account SAS (ss)"),
        (query("sr=c", "sr=b"), "signed for a container (sr=c)"),
        (query("sr=c&", ""), "signed for a container (sr=c)"),
        (query("sr=c", "sr=c&SR=c"), "query field twice"),
        (query("sp=acw&", ""), "must state its permissions (sp)"),
        (query("sp=acw", "sp=rcwa"), "must not allow read (sp=r)"),
        (query("sp=acw", "sp=acwl"), "must not allow list (sp=l)"),
        (query("sp=acw", "sp=ac"), "must allow write (sp=w)"),
        (query("sp=acw", "sp=cw"), "must allow add (sp=a)"),
        (
            query("&se=2028-01-01T00:00:00Z", ""),
            "must state its expiry (se)",
        ),
        (query("se=2028", "st=soon&se=2028"), "start time (st)"),
        (
            query("2028-01-01T00:00:00Z", "never"),
            "expiry (se) in ISO 8601",
        ),
        (
            query("2028-01-01T00:00:00Z", "2026-11-22T00:00:00Z"),
            "before the deadline (se)",
        ),
        (
            query("2028-01-01T00:00:00Z", "2026-12-22T19:59:59Z"),
            "before the deadline (se)",
        ),
        (
            query("se=2028", "ske=2026-12-01T00:00:00Z&se=2028"),
            "before the deadline (ske)",
        ),
    ] {
        let headers = [("idempotency-key", "k")];
        let answer = world.post_with(&headers, &export(&location)).await;
        assert_eq!((answer.status, answer.problem()), (400, "invalid-request"));
        let rules = rules(&answer, "/parameters/storageLocation");
        assert!(
            rules.iter().any(|found| found.contains(rule)),
            "{rule}: {rules:?}"
        );
    }
    assert_untouched(&world).await;
    // A signature that expires exactly at the deadline is accepted.
    let just = query("2028-01-01T00:00:00Z", "2026-12-22T20:00:00Z");
    let headers = [("idempotency-key", "k")];
    let answer = world.post_with(&headers, &export(&just)).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test]
async fn a_sas_signature_must_not_expire_before_the_callers_deadline() {
    let world = world().await;
    let location = courier_testkit::world::sas("dsar").replace("2028-01-01", "2027-01-01");
    let headers = [("idempotency-key", "k")];
    let mut body = export(&location);
    body["deadline"] = "2027-01-01T00:00:01Z".into();
    let answer = world.post_with(&headers, &body).await;
    let rules = rules(&answer, "/parameters/storageLocation");
    assert_eq!(rules, ["must not expire before the deadline (se)"]);
    assert_untouched(&world).await;
    body["deadline"] = "2027-01-01T00:00:00Z".into();
    assert_eq!(world.post_with(&headers, &body).await.status, 202);
}

#[tokio::test]
async fn a_callback_url_outside_the_registered_public_origins_is_refused() {
    let world = world().await;
    let private = "must not point to a private or local address";
    let dropped = "no space, control character or backslash";
    let absolute = "must be an absolute URL";
    let foreign = "registered origins";
    let mut cases: Vec<(String, u16, &str)> = Vec::new();
    let mut add = |status, rule, texts: &str| {
        let texts = texts.split_whitespace();
        cases.extend(texts.map(|text| (text.to_owned(), status, rule)));
    };
    add(
        400,
        "must be https",
        "http://hooks.example/canary ftp://hooks.example/ ws://hooks.example/ file:///etc/passwd data:,canary
         javascript:alert(1) http://127.0.0.1/ http://169.254.169.254/latest",
    );
    add(
        400,
        "user information",
        "https://canary@hooks.example/ https://canary:canary@hooks.example/ https://hooks.example@evil.example/",
    );
    add(
        400,
        "fragment",
        "https://hooks.example/#canary https://hooks.example/#",
    );
    add(
        400,
        absolute,
        "canary /canary //hooks.example/ https:// https:///a https://hooks.example:99999/",
    );
    for host in "127.0.0.1 127.1 2130706433 0x7f000001 0177.0.0.1 %31%32%37.0.0.1 １２７.0.0.1 0.0.0.0 10.0.0.1
        172.16.0.1 192.168.1.1 100.64.0.1 169.254.169.254 0xA9FEA9FE 2852039166 [::1] [::] [::ffff:127.0.0.1]
        [::ffff:a9fe:a9fe] [64:ff9b::a9fe:a9fe] [fe80::1] [fd00:ec2::254] [2002:a9fe:a9fe::] localhost LOCALHOST
        localhost. a.localhost printer.local metadata.google.internal hooks.example."
        .split_whitespace()
    {
        cases.push((format!("https://{host}/canary"), 400, private));
    }
    for text in [
        " https://hooks.example/",
        "https://hooks.example/a b",
        "https://hooks.example\\@evil.example/",
    ] {
        cases.push((text.to_owned(), 400, dropped));
    }
    for text in [
        "https://hooks.example/\r\nx: canary",
        "https://hooks.example/\0",
    ] {
        cases.push((text.to_owned(), 400, dropped));
    }
    cases.push((String::new(), 400, absolute));
    let long = format!("https://hooks.example/{}", "x".repeat(2_048));
    cases.push((long, 400, "2048 bytes"));
    for text in
        "https://evil.example/canary https://hooks.example:444/ https://hooks.example.evil.example/
        https://evil.hooks.example/ https://93.184.215.14/ https://169.254.169.254.nip.io/"
            .split_whitespace()
    {
        cases.push((text.to_owned(), 403, foreign));
    }
    for (url, status, rule) in cases {
        let mut body = world.schedule();
        body["callback"]["url"] = url.clone().into();
        let answer = world.post(&body).await;
        let problem = if status == 403 {
            "callback-forbidden"
        } else {
            "invalid-request"
        };
        assert_eq!(
            (answer.status, answer.problem()),
            (status, problem),
            "{url}"
        );
        let rules = rules(&answer, "/callback/url");
        assert!(
            rules.iter().any(|found| found.contains(rule)),
            "{url}: {rules:?}"
        );
    }
    assert_untouched(&world).await;
}
