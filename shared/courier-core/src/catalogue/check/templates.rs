//! The checks of templates: what their placeholders may name.

use serde_json::Value;

use super::Check;

impl Check<'_> {
    /// Checks a path template in which placeholders of `sources` may stand besides parameters.
    pub(super) fn path(&mut self, key: &str, path: &str, sources: &[&str]) {
        let lower = path.to_ascii_lowercase();
        let is_below = path.starts_with('/')
            && !["/v1.0/", "/beta/"]
                .iter()
                .any(|version| lower.starts_with(version))
            && !["//", "..", "#", "\\", "%2f", "%5c"]
                .iter()
                .any(|part| lower.contains(part));
        let rule = "must be a path below the version, without //, .., # or encoded slashes";
        self.require(is_below, key, rule);
        self.placeholders(key, path, sources);
        for name in names_in(path, "{", "}") {
            if !name.contains('/') && name != "since" && self.is_open(name) && !self.is_sure(name) {
                self.fault(
                    key,
                    format!("{{{name}}} may be absent: it is no required parameter"),
                );
            }
        }
    }

    pub(super) fn placeholders(&mut self, key: &str, template: &str, sources: &[&str]) {
        for name in names_in(template, "{", "}") {
            let known = match name.split_once('/') {
                Some(("operation", "id" | "tag" | "reference")) => true,
                Some((source, rest)) => sources.contains(&source) && !rest.is_empty(),
                None => name == "since" || self.is_open(name),
            };
            if !known {
                let rule = if self.is_secret(name) {
                    "is a secret"
                } else {
                    "is not known here"
                };
                self.fault(key, format!("{{{name}}} {rule}"));
            }
        }
    }

    pub(super) fn templates(&mut self, key: &str, value: &Value) {
        match value {
            Value::String(text) => self.template(key, text),
            Value::Array(elements) => elements.iter().for_each(|one| self.templates(key, one)),
            Value::Object(fields) => {
                for (name, one) in fields {
                    self.templates(&format!("{key}.{name}"), one);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    pub(super) fn template(&mut self, key: &str, text: &str) {
        for place in names_in(text, "{{", "}}") {
            let parameter = place.strip_prefix("/parameters/");
            let name = parameter.map(|rest| rest.split('/').next().unwrap_or_default());
            let known = match name {
                Some(name) => self.properties().is_some_and(|all| all.contains_key(name)),
                None => [
                    "/graph",
                    "/operation/id",
                    "/operation/tag",
                    "/operation/reference",
                ]
                .contains(&place),
            };
            self.require(known, key, &format!("{{{{{place}}}}} is not known"));
            // A secret goes into the start only: the later calls do not have it any more.
            let in_start = key.starts_with("start.body");
            let is_secret = name.is_some_and(|name| self.is_secret(name));
            let rule = format!("{{{{{place}}}}} is a secret, which only start.body may hold");
            self.require(in_start || !is_secret, key, &rule);
        }
    }

    fn properties(&self) -> Option<&serde_json::Map<String, Value>> {
        self.operation.parameters.get("properties")?.as_object()
    }

    fn is_secret(&self, name: &str) -> bool {
        self.operation
            .schema()
            .secrets()
            .iter()
            .any(|secret| secret == name)
    }

    /// Reports whether this is a parameter that is no secret.
    pub(super) fn is_open(&self, name: &str) -> bool {
        self.properties().is_some_and(|all| all.contains_key(name)) && !self.is_secret(name)
    }

    /// Reports whether every request has this parameter, and it is no secret.
    pub(super) fn is_sure(&self, name: &str) -> bool {
        let required = self
            .operation
            .parameters
            .get("required")
            .and_then(Value::as_array);
        let is_required = required.is_some_and(|all| all.iter().any(|one| one == name));
        is_required && self.is_open(name)
    }
}

/// Returns what stands between the marks, each time.
fn names_in<'t>(template: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    let parts = template.split(open).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(close)?.0))
        .collect()
}
