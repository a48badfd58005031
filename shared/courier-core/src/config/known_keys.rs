//! The JSON Schema for editors beside the reader: both know the same keys, and the schema judges documents.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Draft;
use serde_json::Value;

use super::Config;
use crate::catalogue::Catalogue;
use crate::crypto::secret::Secret;

type Keys = BTreeMap<String, BTreeSet<String>>;

thread_local! {
    static READ: RefCell<Keys> = RefCell::default();
}

/// Tables whose keys are names of the operator's own.
const NAMED: [&str; 6] = [
    "tenants",
    "storage",
    "clients",
    "operators",
    "profiles",
    "holidays",
];
/// Tables of such names whose values are no tables.
const MAPS: [&str; 2] = ["headers", "operation_tokens"];

/// Notes the keys that a reader of the table `path` has asked for.
pub(super) fn note(path: &str, keys: &BTreeSet<String>) {
    let parts: Vec<&str> = path.split('.').collect();
    if parts
        .last()
        .is_some_and(|last| NAMED.contains(last) || MAPS.contains(last))
    {
        return;
    }
    let name = |(index, part): (usize, &&str)| {
        let is_name = index > 0 && NAMED.contains(&parts[index - 1]);
        if is_name {
            "*".to_owned()
        } else {
            (*part).to_owned()
        }
    };
    let path: Vec<String> = parts.iter().enumerate().map(name).collect();
    READ.with_borrow_mut(|read| {
        read.entry(path.join("."))
            .or_default()
            .extend(keys.iter().cloned());
    });
}

/// Every table that there is. It is no valid configuration, because some of them exclude others.
const EVERYTHING: &str = r#"
[graph.tenants.a]
[graph.tenants.a.storage.b]
[clients.a]
[clients.a.basic]
[clients.a.signed]
dialect = "body-hmac"
[clients.a.jwt]
[clients.a.callback.oauth2]
[clients.a.callback.hmac]
[clients.a.callback.sigv4]
[clients.a.callback.unless_succeeded]
[clients.a.callback.success_when]
[clients.a.profiles.b.oauth2]
[clients.a.profiles.b.hmac]
[clients.a.profiles.b.sigv4]
[clients.a.profiles.b.unless_succeeded]
[clients.a.profiles.b.success_when]
[operators.a]
[operators.a.basic]
[operators.a.jwt]
[seal]
[aws]
[callbacks]
[events]
[evidence]
[outbound]
[legal.holidays.a]
[limits]
[retention]
"#;

fn schema() -> Value {
    serde_json::from_str(include_str!(
        "../../../../docs/reference/courier.schema.json"
    ))
    .unwrap()
}

/// Adds the keys of each table that the schema describes.
fn described<'a>(path: &str, mut node: &'a Value, root: &'a Value, keys: &mut Keys) {
    if let Some(reference) = node["allOf"][0]["$ref"]
        .as_str()
        .or_else(|| node["$ref"].as_str())
    {
        node = root.pointer(reference.trim_start_matches('#')).unwrap();
    }
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    if let Some(properties) = node["properties"].as_object() {
        assert_eq!(node["additionalProperties"], false, "{path}");
        keys.insert(path.to_owned(), properties.keys().cloned().collect());
        for (name, value) in properties {
            assert!(
                value["description"].is_string(),
                "{}: no description",
                below(name)
            );
            described(&below(name), value, root, keys);
        }
    } else if node["additionalProperties"].is_object() {
        described(&below("*"), &node["additionalProperties"], root, keys);
    }
}

#[test]
fn the_schema_describes_the_keys_that_are_read_and_no_others() {
    READ.take();
    drop(Config::parse(EVERYTHING, Catalogue::shipped(), &|_| {
        Ok(Secret::new("x"))
    }));
    let schema = schema();
    let mut keys = Keys::new();
    described("", &schema, &schema, &mut keys);
    assert_eq!(keys, READ.take());
}

#[test]
fn the_schema_takes_the_documents_of_the_pages_and_refuses_mistakes_of_key_type_and_range() {
    let schema = schema();
    let judge = jsonschema::options()
        .with_draft(Draft::Draft7)
        .build(&schema)
        .unwrap();
    let is_valid = |text: &str| {
        let document: toml::Table = toml::from_str(text).unwrap();
        judge.is_valid(&serde_json::to_value(document).unwrap())
    };
    let page = include_str!("../../../../docs/reference/configuration.md");
    let page = page
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let page = page.replace("sha256:…", &format!("sha256:{}", "0".repeat(64)));
    assert!(is_valid(&page));
    assert!(is_valid(include_str!(
        "../../../../examples/local/courier.toml"
    )));
    for (right, wrong) in [
        ("days = 90", "days = 29"),
        ("days = 90", "days = \"90\""),
        ("days = 90", "day = 90"),
        ("\"global\"", "\"mars\""),
        ("\"env:GRAPH_SECRET\"", "\"secret\""),
        ("[seal]", "[sea]"),
    ] {
        assert!(page.contains(right), "{right}");
        assert!(!is_valid(&page.replace(right, wrong)), "{wrong}");
    }
}
