//! The HTTP front ends: what a function sees of a request, and what the caller sees of its answer.

use std::time::Duration;

use cloud_testkit::function::{Function, Options};
use cloud_testkit::gateway::{Answer, Gateway};
use serde_json::{Value, json};

use crate::support::{lambda, until};

/// Asks the function to answer so.
async fn invoke(gateway: &Gateway, command: &Value) -> Answer {
    gateway
        .request("POST", "/", &[], command.to_string().as_bytes())
        .await
}

async fn function() -> Function {
    lambda(&[], Options::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_becomes_an_event_of_format_2() {
    let gateway = Gateway::http_api(&function().await);
    let headers = [
        ("Content-Type", "application/json"),
        ("X-Api-Key", "k"),
        ("Prefer", "wait=1"),
        ("prefer", "respond-async"),
        ("Cookie", "a=1; b=2"),
    ];
    let target = "/v1/operations?status=open&status=ended&reference=a%20b";
    let event = gateway
        .request("POST", target, &headers, b"{\"x\":1}")
        .await
        .json();
    assert_eq!(event["version"], "2.0");
    assert_eq!(event["rawPath"], "/v1/operations");
    assert_eq!(
        event["rawQueryString"],
        "status=open&status=ended&reference=a%20b"
    );
    let parameters = json!({ "status": "open,ended", "reference": "a b" });
    assert_eq!(event["queryStringParameters"], parameters);
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!(event["body"], "{\"x\":1}");
    assert_eq!(event["isBase64Encoded"], false);
    let headers = &event["headers"];
    assert_eq!(headers["x-api-key"], "k");
    assert_eq!(headers["prefer"], "wait=1,respond-async");
    assert_eq!(headers["content-length"], "7");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert!(headers["cookie"].is_null());
    let context = &event["requestContext"];
    assert_eq!(context["http"]["method"], "POST");
    assert_eq!(context["http"]["path"], "/v1/operations");
    assert_eq!(context["stage"], "$default");
    assert_eq!(headers["host"], context["domainName"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_travel_in_base64_and_nothing_as_nothing() {
    let gateway = Gateway::http_api(&function().await);
    let binary = [("content-type", "application/octet-stream")];
    let event = gateway
        .request("PUT", "/", &binary, b"\xff\x00")
        .await
        .json();
    assert_eq!(
        (&event["body"], &event["isBase64Encoded"]),
        (&json!("/wA="), &json!(true))
    );
    let json = [("content-type", "application/json; charset=utf-8")];
    let event = gateway.request("PUT", "/", &json, b"\xff").await.json();
    assert_eq!(event["isBase64Encoded"], true, "no text after all");
    let event = gateway.request("GET", "/", &[], b"").await.json();
    assert_eq!(
        (&event["body"], &event["isBase64Encoded"]),
        (&json!(null), &json!(false))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_api_decodes_the_path_and_a_function_url_does_not() {
    let function = function().await;
    let target = "/v1/operations/op%5F1%3Fx/%zz?a=%3F";
    let event = Gateway::http_api(&function)
        .request("GET", target, &[], b"")
        .await
        .json();
    assert_eq!(
        (&event["rawPath"], &event["rawQueryString"]),
        (&json!("/v1/operations/op_1"), &json!("a=%3F"))
    );
    let event = Gateway::function_url(&function)
        .request("GET", target, &[], b"")
        .await
        .json();
    assert_eq!(event["rawPath"], "/v1/operations/op%5F1%3Fx/%zz");
    let context = &event["requestContext"];
    assert_eq!(context["accountId"], "anonymous");
    assert!(
        context["domainName"]
            .as_str()
            .unwrap()
            .ends_with(".lambda-url.us-east-1.on.aws")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_read_by_the_rules_of_format_2() {
    let gateway = Gateway::http_api(&function().await);
    let whole = json!(["answer", {
        "statusCode": 202,
        "headers": { "Location": "/v1/operations/op_1", "Retry-After": 30, "Content-Type": "application/json" },
        "multiValueHeaders": { "ignored": ["x"] },
        "cookies": ["a=1", "b=2"],
        "body": "{}",
        "isBase64Encoded": false,
    }]);
    let answer = invoke(&gateway, &whole).await;
    assert_eq!((answer.status, &answer.body[..]), (202, &b"{}"[..]));
    let expected = [
        ("content-type", "application/json"),
        ("location", "/v1/operations/op_1"),
        ("retry-after", "30"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("content-length", "2"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut headers = answer.headers;
    headers.sort_by_key(|header| !expected.contains(header));
    assert!(
        expected.iter().all(|header| headers.contains(header)),
        "{headers:?}"
    );
    assert_eq!(headers.len(), expected.len());

    let answer = invoke(
        &gateway,
        &json!(["answer", { "statusCode": "200", "body": "AP8=", "isBase64Encoded": true }]),
    )
    .await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"\x00\xff"[..]));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain;charset=UTF-8")
    );
    let answer = invoke(&gateway, &json!(["answer", { "free": "form" }])).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/json"))
    );
    assert_eq!(answer.json(), json!({ "free": "form" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_answer_or_a_failed_function_is_an_internal_error() {
    let function = function().await;
    let (api, url) = (
        Gateway::http_api(&function),
        Gateway::function_url(&function),
    );
    for broken in [
        json!(["answer", { "statusCode": "many" }]),
        json!(["answer", { "statusCode": 99 }]),
        json!(["answer", { "statusCode": 200, "body": { "an": "object" } }]),
        json!(["answer", { "statusCode": 200, "body": "%", "isBase64Encoded": true }]),
        json!(["answer", { "statusCode": 200, "headers": { "a": ["b"] } }]),
        json!(["fail", "Broken", "secret words"]),
        json!(["exit", 1]),
    ] {
        let answer = invoke(&api, &broken).await;
        assert_eq!(answer.status, 500, "{broken}");
        assert_eq!(
            answer.json(),
            json!({ "message": "Internal Server Error" }),
            "{broken}"
        );
    }
    assert_eq!(invoke(&url, &json!(["exit", 1])).await.status, 502);
    let options = Options {
        timeout: Duration::from_millis(100),
        ..Options::default()
    };
    let hanging = Gateway::http_api(&lambda(&[], options).await);
    assert_eq!(invoke(&hanging, &json!(["hang"])).await.status, 500);
    let huge = vec![b'x'; 6 * 1024 * 1024 + 1];
    assert_eq!(url.request("POST", "/", &[], &huge).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_api_gives_up_before_the_function_does_and_the_function_goes_on() {
    let function = function().await;
    let gateway = Gateway::http_api(&function).with_integration_timeout(Duration::from_millis(50));
    // The start of a process is no part of what is tested.
    function.invoke(&json!(["count"])).await.answer();
    let answer = invoke(&gateway, &json!(["work", 500, 1])).await;
    assert_eq!(
        (answer.status, answer.json()),
        (503, json!({ "message": "Service Unavailable" }))
    );
    assert_eq!(function.busy(), 1);
    until("it has answered", async || function.busy() == 0).await;
    assert_eq!(function.processes()[0].ended, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_api_tells_names_as_they_were_sent_and_all_values_decoded() {
    let function = function().await;
    let gateway = Gateway::rest_api(&function);
    let headers = [("X-Api-Key", "a"), ("X-Api-Key", "b"), ("Cookie", "c=1")];
    let target = "/v1/operations?a=1&a=%3C2%3E&b";
    let event = gateway.request("POST", target, &headers, b"?").await.json();
    assert_eq!(event["path"], "/v1/operations");
    assert_eq!(event["requestContext"]["path"], "/prod/v1/operations");
    assert!(event["version"].is_null());
    assert_eq!(event["headers"]["X-Api-Key"], "b");
    let all = &event["multiValueHeaders"];
    assert_eq!(all["X-Api-Key"], json!(["a", "b"]));
    assert_eq!(all["Cookie"], json!(["c=1"]));
    let parameters = json!({ "a": ["1", "<2>"], "b": [""] });
    assert_eq!(event["multiValueQueryStringParameters"], parameters);
    assert_eq!(event["queryStringParameters"]["a"], "<2>");
    assert_eq!(
        (&event["body"], &event["isBase64Encoded"]),
        (&json!("Pw=="), &json!(true))
    );

    let mapped = Gateway::rest_api(&function).with_base_path("/graph");
    let event = mapped.request("GET", "/healthz", &[], b"").await.json();
    assert_eq!(event["path"], "/graph/healthz");
    assert_eq!(event["requestContext"]["path"], "/graph/healthz");
    assert!(event["queryStringParameters"].is_null() && event["body"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_tells_parameters_as_they_were_sent() {
    let function = function().await;
    let headers = [("X-Api-Key", "a"), ("x-api-key", "b")];
    let target = "/v1/operations?a=1&a=%3C2%3E";
    let all = Gateway::load_balancer(&function);
    let event = all.request("GET", target, &headers, b"").await.json();
    assert_eq!(event["multiValueHeaders"]["x-api-key"], json!(["a", "b"]));
    assert_eq!(
        event["multiValueQueryStringParameters"],
        json!({ "a": ["1", "%3C2%3E"] })
    );
    assert_eq!(
        (&event["headers"], &event["body"]),
        (&json!(null), &json!(""))
    );

    let last = Gateway::load_balancer_of_last_values(&function);
    let event = last.request("GET", target, &headers, b"").await.json();
    assert_eq!(event["headers"]["x-api-key"], "b");
    assert_eq!(event["queryStringParameters"], json!({ "a": "%3C2%3E" }));
    assert_eq!(event["multiValueHeaders"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_read_from_the_fields_that_the_door_reads() {
    let function = function().await;
    let both = json!(["answer", {
        "statusCode": 200,
        "headers": { "single": "1" },
        "multiValueHeaders": { "list": ["1", "2"] },
        "body": "{}",
    }]);
    for (gateway, single, lists) in [
        (Gateway::rest_api(&function), 1, 2),
        (Gateway::load_balancer(&function), 0, 2),
        (Gateway::load_balancer_of_last_values(&function), 1, 0),
    ] {
        let answer = invoke(&gateway, &both).await;
        let count = |name| answer.headers.iter().filter(|(one, _)| one == name).count();
        assert_eq!(
            (count("single"), count("list")),
            (single, lists),
            "{answer:?}"
        );
        for broken in [
            json!(["answer", { "free": "form" }]),
            json!(["fail", "Broken", "x"]),
        ] {
            assert_eq!(invoke(&gateway, &broken).await.status, 502, "{broken}");
        }
    }
    let impatient = Gateway::rest_api(&function).with_integration_timeout(Duration::ZERO);
    assert_eq!(invoke(&impatient, &json!(["hang"])).await.status, 504);
    let huge = vec![b'x'; 1024 * 1024 + 1];
    let balancer = Gateway::load_balancer(&function);
    assert_eq!(balancer.request("POST", "/", &[], &huge).await.status, 413);
}
