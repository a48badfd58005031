//! Repairs those fields of an event that `lambda_http` cannot read and that any caller can send (ADR 0022).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use courier_core::http::problem::Problem;
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use crate::target::texts;

/// Runs every repair, whatever the others find; the first problem is reported.
pub(crate) fn repair(event: &mut Value) -> Result<(), Problem> {
    let repaired = [
        repair_method(event),
        repair_headers(event),
        repair_body(event),
    ];
    repaired.into_iter().collect()
}

fn repair_method(event: &mut Value) -> Result<(), Problem> {
    let mut repaired = Ok(());
    for place in [
        "/httpMethod",
        "/requestContext/httpMethod",
        "/requestContext/http/method",
    ] {
        let Some(method) = event.pointer_mut(place) else {
            continue;
        };
        let text = method.as_str().unwrap_or_default();
        if Method::from_bytes(text.as_bytes()).is_err() {
            *method = "GET".into();
            repaired = Err(Problem::MethodNotAllowed {
                allow: "DELETE, GET, HEAD, OPTIONS, PATCH, POST".to_owned(),
            });
        }
    }
    repaired
}

/// Removes the fields that `lambda_http` would build a URL from, and the header values that HTTP forbids.
fn repair_headers(event: &mut Value) -> Result<(), Problem> {
    // The program does not use the host, and any caller may send an invalid one.
    if let Some(domain) = event.pointer_mut("/requestContext/domainName") {
        domain.take();
    }
    // `lambda_http` prefers the single-value headers, which hold only the last of several values.
    let all = event["multiValueHeaders"].as_object();
    if all.is_some_and(|all| !all.is_empty())
        && let Some(single) = event.get_mut("headers")
    {
        *single = json!({});
    }
    let is_signed = is_signed_for_aws(event);
    let mut repaired = Ok(());
    for place in ["headers", "multiValueHeaders"] {
        let Some(headers) = event.get_mut(place).and_then(Value::as_object_mut) else {
            continue;
        };
        headers.retain(|name, value| {
            if ["host", "x-forwarded-proto"].contains(&&*name.to_ascii_lowercase()) {
                return false;
            }
            if is_signed && name.eq_ignore_ascii_case("authorization") && is_aws_signature(value) {
                return false;
            }
            let is_name = HeaderName::from_bytes(name.as_bytes()).is_ok();
            let list = list(value).filter(|_| is_name);
            let is_legal = list.is_some();
            match list {
                Some(list) => *value = list,
                None => repaired = Err(Problem::BrokenHeader),
            }
            is_legal
        });
    }
    repaired
}

/// Reports whether the endpoint has checked a signature of AWS: `AWS_IAM` of a function URL, an HTTP API or a REST API.
///
/// Only the endpoint writes these fields. The signature has served its purpose, and is no credential of our callers.
fn is_signed_for_aws(event: &Value) -> bool {
    let places = [
        "/requestContext/authorizer/iam",
        "/requestContext/identity/accessKey",
    ];
    let mut found = places.iter().filter_map(|place| event.pointer(place));
    found.any(|value| !value.is_null())
}

fn is_aws_signature(value: &Value) -> bool {
    texts(value).iter().all(|text| text.starts_with("AWS4-"))
}

/// Returns the values as a list, so that none replaces another; `None` if HTTP forbids one of them.
fn list(value: &Value) -> Option<Value> {
    let texts = texts(value);
    let is_legal = |text: &&str| HeaderValue::from_str(text).is_ok();
    texts.iter().all(is_legal).then(|| json!(texts))
}

fn repair_body(event: &mut Value) -> Result<(), Problem> {
    if event["isBase64Encoded"] == true
        && let Some(body) = event.get_mut("body")
        && STANDARD.decode(body.as_str().unwrap_or_default()).is_err()
    {
        body.take();
        return Err(Problem::BrokenBody);
    }
    Ok(())
}
