//! The storage location of an export, which Graph writes to: a SAS that Azure would refuse is refused before Graph.

use courier_testkit::world::SAS_SIGNATURE;
use serde_json::{Value, json};

use crate::input::urls::{assert_untouched, rules, world};

const VALID_SAS: &str = "sv=2024-11-04&sr=c&sp=acw&se=2028-01-01T00:00:00Z";
/// The fields of a user delegation key, but for its expiry.
const DELEGATED: &str = "skoid=11111111-1111-1111-1111-111111111111&sktid=22222222-2222-2222-2222-222222222222\
    &sks=b&skv=2024-11-04";

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
    let signature = format!("{SAS_SIGNATURE}%3D");
    let signed = format!("{VALID_SAS}&sig={signature}");
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
            query(&format!("&sig={signature}"), ""),
            "must carry a signature (sig)",
        ),
        (query(&signature, ""), "must carry a signature (sig)"),
        (query("sr=c", "ss=b&sr=c"), "account SAS (ss)"),
        (query("sr=c", "sr=b"), "signed for a container (sr=c)"),
        (query("sr=c&", ""), "signed for a container (sr=c)"),
        (query("sr=c", "sr=c&SR=c"), "query field twice"),
        (query("sv=2024-11-04&", ""), "must state its version (sv)"),
        (query("sv=2024-11-04", "sv=latest"), "a date, 2012-02-12"),
        (query(&signature, "REDACTED"), "32 bytes in base64 (sig)"),
        (query(&signature, "AAA"), "32 bytes in base64 (sig)"),
        (query("abcdef", "abcde+"), "percent-encoded as %2B (sig)"),
        (query("%3D", "%253D"), "once, not twice (sig)"),
        (
            query("sr=c", "spr=http&sr=c"),
            "https,http, if it names protocols (spr)",
        ),
        (
            query("sr=c", "sip=20.190.128.1&sr=c"),
            "limited to addresses (sip)",
        ),
        (
            query("sv=", "restype=container&comp=list&sv="),
            "must not carry restype or comp",
        ),
        (format!("{}\"", at(place)), "quotes or angle brackets"),
        (
            at("https://contoso.blob.core.windows.net/DSAR_1"),
            "3 to 63 lower-case letters",
        ),
        (
            at("https://contoso.blob.core.windows.net/ab"),
            "3 to 63 lower-case letters",
        ),
        (
            at("https://contoso.blob.core.windows.net/$web"),
            "of Azure's own",
        ),
        (
            at("https://contoso.dfs.core.windows.net/dsar"),
            "Azure's blob service",
        ),
        (
            at("https://2130706433/dsar"),
            "host and port as they are sent",
        ),
        (
            query("sp=acw", "sp=wca"),
            "Azure's order, racwdxltmeop (sp)",
        ),
        (query("sp=acw", "sp=accw"), "each permission once (sp)"),
        (
            query("se=2028", "st=2026-11-22&se=2028"),
            "must be valid now",
        ),
        (
            query("se=2028", "st=2028-01-02&se=2028"),
            "begin before it expires (st, se)",
        ),
        (
            query("2028-01-01T00:00:00Z", "2028-01-01T00:00:00+01:00"),
            "encoded as %2B (se)",
        ),
        (
            query("2028-01-01T00:00:00Z", "2026-12-22T20:59:59%2B01:00"),
            "before the deadline (se)",
        ),
        (
            query("2028-01-01T00:00:00Z", "2026-12-22T19:59"),
            "before the deadline (se)",
        ),
        (query("sp=acw&", ""), "must state its permissions (sp)"),
        (query("sp=acw", "sp=rcwa"), "must not allow read (sp=r)"),
        (query("sp=acw", "sp=acwl"), "must not allow list (sp=l)"),
        (query("sp=acw", "sp=ac"), "must allow write (sp=w)"),
        (query("sp=acw", "sp=cw"), "must allow add (sp=a)"),
        (
            query("&se=2028-01-01T00:00:00Z", ""),
            "must state its expiry (se)",
        ),
        (query("se=2028", "st=soon&se=2028"), "a start (st)"),
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
            "every field of its user delegation key",
        ),
        (
            query(
                "se=2028",
                &format!("{DELEGATED}&ske=2026-11-28T20:00:00Z&se=2028"),
            ),
            "before the deadline (ske), which is 31 days from now unless `deadline` is sent: a user delegation key lives",
        ),
        (
            query(
                "se=2028",
                &format!("{DELEGATED}&ske=2026-12-23T20:00:00Z&se=2028"),
            ),
            "ends within 7 days (ske)",
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
}

#[tokio::test]
async fn a_sas_that_azure_accepts_reaches_graph_as_it_was_written() {
    let world = world().await;
    let query = |from: &str, to: &str| courier_testkit::world::sas("dsar").replacen(from, to, 1);
    let expires = |text: &str| query("2028-01-01T00:00:00Z", text);
    let mut exports = Vec::new();
    // Each expires exactly at the deadline, or is otherwise just permitted.
    for location in [
        expires("2026-12-22T20:00:00Z"),
        expires("2026-12-22T15:00:00-05:00"),
        expires("2026-12-22T21:00:00%2B01:00"),
        expires("2026-12-22T20:00"),
        expires("2026-12-22T20:00:00.0000000"),
        expires("2026-12-23"),
        query("sr=c", "spr=https,http&sip=0.0.0.0-255.255.255.255&sr=c"),
        query("sp=acw", "sp=acwdxtmeop"),
        query("sp=acw", "st=2026-11-21T20:05:00Z&sp=acw"),
        query("https://contoso", "HTTPS://CONTOSO"),
        query("windows.net/", "windows.net:443/"),
        query("contoso.blob.core.windows.net", "files.contoso.example"),
    ] {
        let container = format!("dsar-{}", exports.len());
        let location = location.replacen("/dsar", &format!("/{container}"), 1);
        let headers = [("idempotency-key", container.as_str())];
        let answer = world.post_with(&headers, &export(&location)).await;
        assert_eq!(answer.status, 202, "{location}: {answer:?}");
        exports.push(location);
    }
    let starts = world.simulator.calls("export.start");
    let bodies = starts.iter().filter_map(|start| start.body.as_ref());
    let sent: Vec<&Value> = bodies.map(|body| &body["storageLocation"]).collect();
    assert_eq!(json!(sent), json!(exports));
}

#[tokio::test]
async fn a_user_delegation_sas_is_taken_with_a_deadline_within_the_days_of_its_key() {
    let world = world().await;
    let key = format!("{DELEGATED}&skt=2026-11-21T19:00:00Z&ske=2026-11-28T20:00:00Z&se=");
    let location = courier_testkit::world::sas("dsar").replacen("se=", &key, 1);
    let mut body = export(&location);
    body["deadline"] = "2026-11-28T20:00:01Z".into();
    let headers = [("idempotency-key", "k")];
    let answer = world.post_with(&headers, &body).await;
    let [rule] = &*rules(&answer, "/parameters/storageLocation") else {
        panic!("{answer:?}")
    };
    assert!(
        rule.starts_with("must not expire before the deadline (ske): "),
        "{rule}"
    );
    assert_untouched(&world).await;
    body["deadline"] = "2026-11-28T20:00:00Z".into();
    assert_eq!(world.post_with(&headers, &body).await.status, 202);
}

#[tokio::test]
async fn a_refused_sas_is_told_how_far_the_deadline_is_that_the_request_did_not_send() {
    let world = world().await;
    let location = courier_testkit::world::sas("dsar").replace("2028-01-01", "2026-12-22");
    let headers = [("idempotency-key", "k")];
    let answer = world.post_with(&headers, &export(&location)).await;
    let rules = rules(&answer, "/parameters/storageLocation");
    let rule = "must not expire before the deadline (se), which is 31 days from now unless `deadline` is sent";
    assert_eq!(rules, [rule]);
    assert_untouched(&world).await;
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
