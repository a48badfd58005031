//! Fuzzes the events of the four HTTP endpoints on AWS as `start-operation` reads and answers them.
//!
//! The first byte selects a sample event of `events`; the rest is JSON that takes the place of its members. What a caller
//! can write is always answered, by the handler or with a problem; other JSON may be refused, but nothing panics.

#![no_main]

#[path = "../../functions/start-operation/src/http_event.rs"]
mod http_event;
#[path = "../../functions/start-operation/src/repair.rs"]
mod repair;
#[path = "../../functions/start-operation/src/target.rs"]
mod target;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use lambda_runtime::{Context, LambdaEvent};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::http_event::HttpEvent;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap()
});

const SAMPLES: [&str; 5] = [
    include_str!("../../events/http-export.json"),
    include_str!("../../events/function-url-export.json"),
    include_str!("../../events/rest-export.json"),
    include_str!("../../events/alb-export.json"),
    include_str!("../../events/alb-single-export.json"),
];

fuzz_target!(|data: &[u8]| {
    let Some((door, patch)) = data.split_first() else {
        return;
    };
    let Ok(patch) = serde_json::from_slice::<Value>(patch) else {
        return;
    };
    let sample = SAMPLES[usize::from(*door) % SAMPLES.len()];
    let mut event: Value = serde_json::from_str(sample).unwrap();
    let is_callers = is_callers(&patch);
    merge(&mut event, patch);
    match serde_json::from_value::<HttpEvent>(event) {
        Ok(event) => check_answer(event, (*door >= 128).then_some("it/graph")),
        Err(error) => assert!(!is_callers, "what a caller wrote was not read: {error}"),
    }
});

/// Replaces members, also those inside of `requestContext`.
fn merge(event: &mut Value, patch: Value) {
    match (event.as_object_mut(), patch) {
        (Some(members), Value::Object(patch)) => {
            for (name, value) in patch {
                match members.get_mut(&name) {
                    Some(inner) if name == "requestContext" => merge(inner, value),
                    _ => drop(members.insert(name, value)),
                }
            }
        }
        (_, patch) => *event = patch,
    }
}

/// Reports whether the platform would write this for a request that somebody can send.
fn is_callers(patch: &Value) -> bool {
    let members = |value: &Value, is_good: fn(&Value) -> bool| {
        let values = value.as_object().map(|members| members.values());
        values.is_some_and(|mut values| values.all(is_good))
    };
    let is_list = |value: &Value| {
        let list = value.as_array();
        list.is_some_and(|values| values.iter().all(Value::is_string))
    };
    patch.as_object().is_some_and(|patch| {
        patch.iter().all(|(name, value)| match name.as_str() {
            "body" | "path" | "rawPath" | "rawQueryString" | "httpMethod" => value.is_string(),
            "isBase64Encoded" => value.is_boolean(),
            "headers" | "queryStringParameters" => members(value, Value::is_string),
            "multiValueHeaders" | "multiValueQueryStringParameters" => members(value, is_list),
            _ => false,
        })
    })
}

fn check_answer(event: HttpEvent, base_path: Option<&str>) {
    let handled = AtomicBool::new(false);
    let event = LambdaEvent::new(event, Context::default());
    let answer = http_event::answer(event, base_path, |request: Request<Bytes>| {
        handled.store(true, Ordering::Relaxed);
        for name in ["host", "x-forwarded-proto"] {
            let headers = request.headers();
            assert!(!headers.contains_key(name), "{name} is a caller's word");
        }
        async { Response::builder().status(202).body(Bytes::new()).unwrap() }
    });
    let answer = RUNTIME.block_on(answer).unwrap_or_else(|error| {
        panic!("an event that was read was not answered: {error}");
    });
    let answer = serde_json::to_value(answer).unwrap();
    let status = answer["statusCode"].as_u64().unwrap();
    if handled.into_inner() {
        assert_eq!(status, 202);
    } else {
        assert!((400..500).contains(&status), "{status}");
    }
}
