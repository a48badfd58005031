//! The target of a request, path and query, as its caller wrote it: each kind of endpoint passes it in another form.
//!
//! | endpoint | path | query |
//! | --- | --- | --- |
//! | HTTP API, function URL | after the name of the stage, unless it is `$default` | as written |
//! | REST API | after the base path of a custom domain | parameters, decoded |
//! | load balancer | as written | parameters, as written |
//!
//! `lambda_http` gets none of it: it would build a URL of it and take that apart, resolve dots, and split values at
//! commas.

use std::fmt::Write as _;
use std::slice;

use http::Uri;
use serde_json::{Map, Value};
use url::form_urlencoded::byte_serialize;

/// The path and the query, with those characters percent-encoded that a URI must not contain.
pub(crate) struct Target {
    /// What the caller has in front of `path`: the stage, where the gateway has one in its URL.
    stage: String,
    path: String,
    query: String,
}

impl Target {
    /// Removes the target from an event and returns it.
    pub(crate) fn take(event: &mut Map<String, Value>) -> Self {
        let context = |name: &str| event.get("requestContext")?.get(name);
        let outer = context("path").and_then(Value::as_str);
        let outer = outer.map(ToOwned::to_owned);
        // Only load balancers pass the parameters undecoded, and the events of REST APIs have no version.
        let is_decoded = context("elb").is_none();
        let stage = context("stage").and_then(Value::as_str);
        let stage = stage.filter(|stage| *stage != "$default" && event.contains_key("version"));
        let stage = stage.map(ToOwned::to_owned);
        let [raw_path, path] = ["rawPath", "path"].map(|name| event.remove(name));
        let path = raw_path.or(path);
        let whole = path.as_ref().and_then(Value::as_str).unwrap_or_default();
        let path = stage.map_or(whole, |stage| without_prefix(whole, &stage));
        // A REST API has its stage only in the path of the context.
        let outer = outer.as_deref().filter(|outer| outer.ends_with(whole));
        let front = outer.unwrap_or(whole).strip_suffix(path);
        let front = front.unwrap_or_default();
        let raw = event.remove("rawQueryString");
        let [all, last] = ["multiValueQueryStringParameters", "queryStringParameters"]
            .map(|name| event.remove(name));
        let query = match raw {
            Some(Value::String(raw)) => encoded(&raw),
            _ => [all, last]
                .iter()
                .flatten()
                .filter_map(Value::as_object)
                .find(|parameters| !parameters.is_empty())
                .map_or_else(String::new, |parameters| joined(parameters, is_decoded)),
        };
        Self {
            stage: encoded(front).replace('?', "%3F"),
            // A decoded path may contain a question mark, which does not begin the query.
            path: encoded(path).replace('?', "%3F"),
            query,
        }
    }

    /// Returns what the caller has in front of the path of [`Target::uri`]: the stage and `base_path`.
    pub(crate) fn prefix(&self, base_path: Option<&str>) -> String {
        let path = self.below(base_path);
        let base_path = self.path.strip_suffix(path).unwrap_or_default();
        format!("{}{base_path}", self.stage)
    }

    /// Returns the target below `base_path`; `None` if it is too long for a URI or is not a valid one.
    pub(crate) fn uri(&self, base_path: Option<&str>) -> Option<Uri> {
        let path = self.below(base_path);
        if self.query.is_empty() {
            return path.parse().ok();
        }
        format!("{path}?{}", self.query).parse().ok()
    }

    fn below(&self, base_path: Option<&str>) -> &str {
        base_path.map_or(&*self.path, |base_path| {
            without_prefix(&self.path, base_path)
        })
    }
}

/// Returns the text of a value, or the texts of a list.
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    let values = value
        .as_array()
        .map_or_else(|| slice::from_ref(value), Vec::as_slice);
    values.iter().filter_map(Value::as_str).collect()
}

/// Returns the rest of a path after the prefix `front`, or the whole path if it has another prefix.
fn without_prefix<'p>(path: &'p str, front: &str) -> &'p str {
    let rest = path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(front));
    rest.filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

fn joined(parameters: &Map<String, Value>, is_decoded: bool) -> String {
    let mut query = String::new();
    for (name, values) in parameters {
        for value in texts(values) {
            if !query.is_empty() {
                query.push('&');
            }
            if is_decoded {
                query.extend(byte_serialize(name.as_bytes()));
                query.push('=');
                query.extend(byte_serialize(value.as_bytes()));
            } else {
                let _ = write!(query, "{}={}", encoded(name), encoded(value));
            }
        }
    }
    query
}

fn encoded(raw: &str) -> String {
    let mut encoded = String::with_capacity(raw.len());
    for byte in raw.bytes() {
        if byte.is_ascii_graphic() && !br##"#"<>\^`{|}"##.contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn uri(event: &Value, base_path: Option<&str>) -> Option<String> {
        let mut event = event.as_object().unwrap().clone();
        let uri = Target::take(&mut event).uri(base_path);
        let left = ["rawPath", "path", "rawQueryString", "queryStringParameters"];
        assert!(left.iter().all(|name| !event.contains_key(*name)));
        uri.map(|uri| uri.to_string())
    }

    #[test]
    fn every_door_gives_the_query_that_the_caller_wrote() {
        let decoded = "<a> & b=c+d,e%20ü";
        let written = "%3Ca%3E%20%26%20b%3Dc%2Bd%2Ce%2520%C3%BC";
        let serialized = "%3Ca%3E+%26+b%3Dc%2Bd%2Ce%2520%C3%BC";
        let context = json!({ "stage": "$default" });
        let elb = json!({ "elb": {} });
        for (event, query) in [
            (
                json!({ "rawPath": "/v", "rawQueryString": format!("r={written}&r=<x>&s") }),
                format!("r={written}&r=%3Cx%3E&s"),
            ),
            (
                json!({ "path": "/v", "requestContext": context,
                    "queryStringParameters": { "r": decoded },
                    "multiValueQueryStringParameters": {} }),
                format!("r={serialized}"),
            ),
            (
                json!({ "path": "/v", "requestContext": context,
                    "queryStringParameters": { "r": "2" },
                    "multiValueQueryStringParameters": { "a&": ["="], "r": ["1", "2"] } }),
                "a%26=%3D&r=1&r=2".to_owned(),
            ),
            (
                json!({ "path": "/v", "requestContext": elb,
                    "queryStringParameters": { "r": written, "<": "" } }),
                format!("r={written}&%3C="),
            ),
            (
                json!({ "path": "/v", "requestContext": elb,
                    "multiValueQueryStringParameters": { "r": ["a+b", "%zz"] } }),
                "r=a+b&r=%zz".to_owned(),
            ),
        ] {
            assert_eq!(uri(&event, None), Some(format!("/v?{query}")), "{event}");
        }
    }

    #[test]
    fn stage_and_base_path_are_no_part_of_the_path() {
        let v2 = |path: &str, stage: &str| {
            json!({ "version": "2.0", "rawPath": path, "rawQueryString": "",
                "requestContext": { "stage": stage } })
        };
        let rest = |path: &str| json!({ "path": path, "requestContext": { "stage": "v1" } });
        for (event, base_path, path) in [
            (v2("/prod/v1/operations", "prod"), None, "/v1/operations"),
            (v2("/v1/v1/operations", "v1"), None, "/v1/operations"),
            (v2("/production/v1", "prod"), None, "/production/v1"),
            (v2("/v1/operations", "$default"), None, "/v1/operations"),
            (v2("/prod/it/graph/v1", "prod"), Some("it/graph"), "/v1"),
            // A REST API has already removed its stage.
            (rest("/v1/operations"), None, "/v1/operations"),
            (
                rest("/graph/v1/operations"),
                Some("graph"),
                "/v1/operations",
            ),
            (rest("/graphs/v1"), Some("graph"), "/graphs/v1"),
            (rest("/v1/operations"), Some("graph"), "/v1/operations"),
            (rest("/graph"), Some("graph"), "/graph"),
        ] {
            assert_eq!(uri(&event, base_path).as_deref(), Some(path), "{event}");
        }
    }

    /// The sample event of each kind of endpoint, as it comes from a deployment with a stage or a base path.
    #[test]
    fn behind_every_door_stage_and_base_path_are_left_out() {
        let door = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let http = door(include_str!("../../../events/http-export.json"));
        let url = door(include_str!("../../../events/function-url-export.json"));
        let rest = door(include_str!("../../../events/rest-export.json"));
        let balancer = door(include_str!("../../../events/alb-export.json"));
        for (event, stage, front, base_path) in [
            (&http, "$default", "", None),
            (&http, "prod", "/prod", None),
            (&http, "v1", "/v1", None),
            // A mapping of a domain has the stage in it, unless that is $default.
            (&http, "$default", "/it/graph", Some("it/graph")),
            (&http, "prod", "/it/graph/prod", Some("it/graph/prod")),
            (&url, "$default", "", None),
            (&rest, "prod", "", None),
            (&rest, "v1", "", None),
            (&rest, "prod", "/it/graph", Some("it/graph")),
            (&balancer, "", "", None),
            (&balancer, "", "/it/graph", Some("it/graph")),
        ] {
            let mut event = event.clone();
            if event.pointer("/requestContext/stage").is_some() {
                event["requestContext"]["stage"] = stage.into();
            }
            for path in ["/v1/operations", "/healthz", "/v1/operations/op_1/history"] {
                for name in ["path", "rawPath"] {
                    if let Some(raw) = event.get_mut(name) {
                        *raw = format!("{front}{path}").into();
                    }
                }
                let uri = uri(&event, base_path).unwrap();
                let found = uri.split('?').next();
                assert_eq!(found, Some(path), "{stage} {front}: {event}");
            }
        }
    }

    #[test]
    fn what_the_caller_has_in_front_of_the_path_is_known() {
        let v2 = |path: &str, stage: &str| {
            json!({ "version": "2.0", "rawPath": path, "rawQueryString": "",
                "requestContext": { "stage": stage } })
        };
        let rest = |path: &str, outer: &str| json!({ "path": path, "requestContext": { "stage": "prod", "path": outer } });
        let elb = |path: &str| json!({ "path": path, "requestContext": { "elb": {} } });
        for (event, base_path, prefix) in [
            (v2("/v1/operations", "$default"), None, ""),
            (v2("/prod/v1/operations", "prod"), None, "/prod"),
            (v2("/v1/v1/operations", "v1"), None, "/v1"),
            (
                v2("/prod/it/graph/v1/x", "prod"),
                Some("it/graph"),
                "/prod/it/graph",
            ),
            (
                v2("/it/graph/v1/x", "$default"),
                Some("it/graph"),
                "/it/graph",
            ),
            (v2("/v1/x", "$default"), Some("it/graph"), ""),
            (rest("/v1/x", "/prod/v1/x"), None, "/prod"),
            (rest("/v1/x", "/v1/v1/x"), None, "/v1"),
            (rest("/graph/v1/x", "/graph/v1/x"), Some("graph"), "/graph"),
            (rest("/v1/x", "/v1/x"), None, ""),
            (rest("/v1/x", "/else"), None, ""),
            (elb("/it/v1/x"), Some("it"), "/it"),
            (elb("/v1/x"), None, ""),
            (json!({ "rawPath": "/ü/v1/x" }), Some("%C3%BC"), "/%C3%BC"),
        ] {
            let told = event.to_string();
            let target = Target::take(&mut event.as_object().unwrap().clone());
            assert_eq!(target.prefix(base_path), prefix, "{told}");
            let uri = target.uri(base_path).unwrap();
            assert!(uri.path().starts_with("/v1/"), "{told}: {uri}");
        }
    }

    #[test]
    fn a_target_that_is_no_uri_is_none() {
        let path = |path: &str| uri(&json!({ "rawPath": path }), None);
        assert_eq!(path("/a/../%2e%2e/?"), Some("/a/../%2e%2e/%3F".to_owned()));
        assert_eq!(path("//v1//\u{1}ü"), Some("//v1//%01%C3%BC".to_owned()));
        assert_eq!(path(""), None);
        assert_eq!(path("https://[::1/"), None);
        assert_eq!(path(&format!("/{}", "a".repeat(64 * 1024))), None);
    }
}
