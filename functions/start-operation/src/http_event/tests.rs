//! Events of every kind of endpoint, also those that any caller can spoil.

use std::sync::Mutex;

use courier_core::auth::signed;
use courier_core::catalogue::Catalogue;
use courier_core::config::Config;
use courier_core::crypto::secret::Secret;
use http::Method;
use lambda_runtime::Context;
use serde_json::json;

use super::*;
use crate::target::texts;

const CONFIG: &str = r#"
    [graph.tenants.contoso]
    tenant_id = "contoso.example"
    client_id = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    client_secret = "env:X"
    [clients.webhooks]
    tenant = "contoso"
    operations = ["team.schedule"]
    signed = { dialect = "standard-webhooks", secrets = ["env:WHSEC"] }
    [seal]
    key = "env:SEAL"
"#;
const BODY: &str = r#"{"operation":"team.schedule","parameters":{"teamId":"871dbd5c-3a6a-4392-bfe1-042452793a50","schedule":{"enabled":true,"timeZone":"Europe/Zürich ⌚"}}}"#;
/// `BODY` in base64, as the platform encodes a body that it does not take for text.
const ENCODED: &str = "eyJvcGVyYXRpb24iOiJ0ZWFtLnNjaGVkdWxlIiwicGFyYW1ldGVycyI6eyJ0ZWFtSWQiOiI4NzFkYmQ1Yy0zYTZhLTQzOTItYmZlMS0wNDI0NTI3OTNhNTAiLCJzY2hlZHVsZSI6eyJlbmFibGVkIjp0cnVlLCJ0aW1lWm9uZSI6IkV1cm9wZS9aw7xyaWNoIOKMmiJ9fX0=";

const SAMPLE_EVENTS: [&str; 4] = [
    include_str!("../../../../events/http-export.json"),
    include_str!("../../../../events/function-url-export.json"),
    include_str!("../../../../events/rest-export.json"),
    include_str!("../../../../events/alb-export.json"),
];

/// Yields the sample event of each endpoint with these headers.
///
/// If `list`, leaves out the endpoints that pass only the last value of a header.
fn events(headers: &Value, list: bool) -> impl Iterator<Item = Value> {
    let events = SAMPLE_EVENTS.map(|text| serde_json::from_str::<Value>(text).unwrap());
    events.into_iter().flat_map(move |mut event| {
        let all = event.get("multiValueHeaders").is_some();
        if all {
            let lists = headers.as_object().unwrap().iter();
            let lists = lists.map(|(name, value)| (name.clone(), json!(texts(value))));
            event["multiValueHeaders"] = Value::Object(lists.collect());
        }
        let mut single = headers.clone();
        for (_, value) in single.as_object_mut().unwrap() {
            *value = texts(value).pop().unwrap().into();
        }
        event["headers"] = single;
        (all || !list).then_some(event)
    })
}

/// Returns the request that the handler received, if any, and the answer that the caller received.
fn handled(event: Value) -> (Option<Request<Bytes>>, Value) {
    let got = Mutex::new(None);
    let event: HttpEvent = serde_json::from_value(event).unwrap();
    let event = LambdaEvent::new(event, Context::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let answer = runtime.unwrap().block_on(answer(event, None, |request| {
        *got.lock().unwrap() = Some(request);
        async {
            let answer = Response::builder().status(202).header("x-answer", "yes");
            let answer = answer.header("content-type", "application/problem+json");
            answer
                .body(Bytes::from_static("\u{fc}".as_bytes()))
                .unwrap()
        }
    }));
    let answer = serde_json::to_value(answer.unwrap()).unwrap();
    (got.into_inner().unwrap(), answer)
}

fn headers(event: Value) -> HeaderMap {
    handled(event).0.unwrap().headers().clone()
}

/// The signature was made with Python's hmac, over the bytes that the sender wrote.
#[test]
fn a_signed_body_arrives_as_it_was_signed() {
    let config = Config::parse(CONFIG, Catalogue::shipped(), &|reference| {
        let is_seal = format!("{reference:?}").contains("SEAL");
        Ok(Secret::new(if is_seal {
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
        } else {
            "whsec_bmV3LXNlY3JldC1mb3Itc2lnbmVkLXJlcXVlc3Rz"
        }))
    });
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let now = "2026-11-21T20:00:00Z".parse().unwrap();
    let head = json!({
        "content-type": "application/json",
        "webhook-id": "msg_1",
        "webhook-timestamp": "1795291200",
        "webhook-signature": "v1,ofufwq3yOBrNX2qW+KKnfSHglkA63MlydDj6E3Z+fzQ=",
    });
    for (body, is_encoded, is_verified) in [
        (BODY, false, true),
        (ENCODED, true, true),
        (ENCODED, false, false),
        (&BODY.replace('ü', "u"), false, false),
    ] {
        for mut event in events(&head, false) {
            event["body"] = body.into();
            event["isBase64Encoded"] = is_encoded.into();
            let told = event.to_string();
            let request = handled(event).0.unwrap();
            let verified = signed::verify(request.headers(), request.body(), &config.clients, now);
            assert_eq!(verified.is_ok(), is_verified, "{told}");
        }
    }
}

#[test]
fn no_value_of_a_header_takes_the_place_of_another() {
    let head = json!({ "X-Api-Key": ["a", "b"], "x-api-key": ["c"], "X-Name": "Zürich" });
    let mut doors = 0;
    for event in events(&head, true) {
        let told = event.to_string();
        let headers = headers(event);
        let keys: Vec<_> = headers.get_all("x-api-key").iter().collect();
        assert_eq!(keys, ["a", "b", "c"], "{told}");
        assert_eq!(headers["x-name"].as_bytes(), "Zürich".as_bytes());
        doors += 1;
    }
    assert_eq!(doors, 2, "REST API and load balancer");
    // One name in two spellings, in an event without lists.
    let mut event: Value = serde_json::from_str(SAMPLE_EVENTS[3]).unwrap();
    event.as_object_mut().unwrap().remove("multiValueHeaders");
    event["headers"] = json!({ "X-Api-Key": "a", "x-api-key": "b" });
    let headers = headers(event);
    assert_eq!(headers.get_all("x-api-key").iter().count(), 2);
}

#[test]
fn a_signature_that_the_door_has_checked_is_no_credential_and_any_other_is_one() {
    let aws = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/eu-central-1/lambda/aws4_request, \
        SignedHeaders=host, Signature=00";
    let iam = json!({ "authorizer": { "iam": { "accessKey": "AKIDEXAMPLE" } } });
    let rest = json!({ "identity": { "accessKey": "AKIDEXAMPLE" } });
    let other = json!({ "authorizer": { "jwt": {} }, "identity": { "accessKey": null } });
    for (context, value, stays) in [
        (&iam, aws, false),
        (&rest, aws, false),
        (&iam, "Bearer key", true),
        (&other, aws, true),
    ] {
        let head = json!({ "Authorization": value, "x-api-key": "key" });
        for mut event in events(&head, false) {
            let all = event["requestContext"].as_object_mut().unwrap();
            all.remove("identity");
            all.extend(context.as_object().unwrap().clone());
            // A load balancer has no such authorization, and its context no such field.
            let stays = stays || all.contains_key("elb");
            if all.contains_key("elb") {
                all.retain(|name, _| name == "elb");
            }
            let told = event.to_string();
            let headers = headers(event);
            assert_eq!(headers.contains_key("authorization"), stays, "{told}");
            assert_eq!(headers["x-api-key"], "key");
        }
    }
}

#[test]
fn whatever_a_header_says_the_handler_or_a_problem_answers() {
    for (name, value, status) in [
        ("x-name", "Zürich", 202),
        ("x-name", "", 202),
        ("host", "a b", 202),
        ("Host", "\u{1}", 202),
        ("X-Forwarded-Proto", "://", 202),
        ("x-name", "a\u{1}b", 400),
        ("x-name", "a\nb", 400),
        ("x name", "a", 400),
        ("", "a", 400),
    ] {
        for mut event in events(&json!({ name: value }), false) {
            if let Some(domain) = event.pointer_mut("/requestContext/domainName") {
                *domain = "a b".into();
            }
            let told = event.to_string();
            assert_eq!(handled(event).1["statusCode"], status, "{told}");
        }
    }
}

#[test]
fn what_is_no_method_and_no_base64_is_a_problem() {
    for mut event in events(&json!({}), false) {
        event["isBase64Encoded"] = true.into();
        event["body"] = "=".into();
        let answer = handled(event.clone()).1;
        assert_eq!(answer["statusCode"], 400, "{answer}");
        for place in [
            "/httpMethod",
            "/requestContext/httpMethod",
            "/requestContext/http/method",
        ] {
            if let Some(method) = event.pointer_mut(place) {
                *method = "GE T".into();
            }
        }
        let answer = handled(event).1;
        assert_eq!(answer["statusCode"], 405, "{answer}");
    }
}

#[test]
fn every_door_gets_its_form_of_the_answer() {
    let [mut http, mut url, rest, alb] =
        SAMPLE_EVENTS.map(|text| handled(serde_json::from_str(text).unwrap()).1);
    for answer in [&mut http, &mut url] {
        let headers = answer["headers"].as_object_mut().unwrap();
        assert!(headers.remove("x-request-id").is_some(), "{headers:?}");
    }
    for answer in [&http, &url, &rest, &alb] {
        assert_eq!(answer["statusCode"], 202);
        assert_eq!(answer["body"], "ü");
        assert_eq!(answer["isBase64Encoded"], false);
    }
    assert_eq!(http["headers"]["x-answer"], "yes");
    assert_eq!(url, http);
    assert_eq!(rest["headers"], json!({}));
    assert_eq!(rest["multiValueHeaders"]["x-answer"], json!(["yes"]));
    assert_eq!(alb["headers"]["x-answer"], "yes");
    assert_eq!(alb["multiValueHeaders"]["x-answer"], json!(["yes"]));
    assert_eq!(alb["statusDescription"], "202 Accepted");
}

#[test]
fn every_answer_has_a_request_id_and_head_gets_no_body() {
    for mut event in events(&json!({ "x-request-id": "r-1" }), false) {
        let id = |answer: &Value| {
            let single = answer["headers"]["x-request-id"].as_str();
            let first = answer["multiValueHeaders"]["x-request-id"][0].as_str();
            single.or(first).unwrap().to_owned()
        };
        assert_eq!(id(&handled(event.clone()).1), "r-1");
        for place in [
            "/httpMethod",
            "/requestContext/httpMethod",
            "/requestContext/http/method",
        ] {
            if let Some(method) = event.pointer_mut(place) {
                *method = "HEAD".into();
            }
        }
        let (request, answer) = handled(event.clone());
        assert_eq!(request.unwrap().method(), Method::HEAD);
        assert_eq!(id(&answer), "r-1");
        assert_eq!(answer["body"].as_str().unwrap_or_default(), "");
        assert!(
            answer.to_string().contains(r#""content-length":"#),
            "{answer}"
        );
        let broken = json!({ "x-request-id": "r-1", "x name": "a" });
        for mut event in events(&broken, false) {
            event["isBase64Encoded"] = false.into();
            let answer = handled(event).1;
            let problem: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            assert_eq!(
                (&answer["statusCode"], id(&answer).as_str()),
                (&400.into(), "r-1")
            );
            assert_eq!(problem["requestId"], "r-1");
        }
    }
}

#[test]
fn the_handler_learns_what_the_gateway_removed_from_the_path() {
    for (event, expected) in SAMPLE_EVENTS.into_iter().zip(["", "", "/prod", ""]) {
        let request = handled(serde_json::from_str(event).unwrap()).0.unwrap();
        let RemovedPrefix(prefix) = request.extensions().get().unwrap();
        assert_eq!(prefix, expected, "{event}");
    }
}

#[test]
fn several_values_of_a_header_are_joined() {
    let mut headers = HeaderMap::new();
    for value in ["Bearer", "Basic realm=\"graph-courier\"", "x"] {
        headers.append("www-authenticate", HeaderValue::from_static(value));
    }
    join_values(&mut headers);
    let all: Vec<_> = headers.get_all("www-authenticate").iter().collect();
    assert_eq!(all, ["Bearer, Basic realm=\"graph-courier\", x"]);
}
