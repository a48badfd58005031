//! Where a profile's request goes and what it is, for receivers that are told of success and of anything else in two ways.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Profile, Template};
use crate::outbound::sigv4::encoded;

/// The place for the request's `callback.token` in a path.
const TOKEN: &str = "{{token}}";

/// What a profile sends of an operation that has not ended as `succeeded`, where that is another request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Otherwise {
    pub path: Option<String>,
    /// Headers that stand in the place of the profile's, or beside them.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub body: Template,
}

impl Profile {
    /// Returns the path of the request, with the token in its place; `None` if the URL of the request says it.
    pub fn path(&self, is_otherwise: bool, token: Option<&str>) -> Option<String> {
        let otherwise = self.unless_succeeded.as_ref().filter(|_| is_otherwise);
        let path = otherwise.and_then(|form| form.path.as_ref());
        let path = path.or(self.path.as_ref())?;
        Some(path.replace(TOKEN, &encoded(token.unwrap_or_default())))
    }

    /// Returns the headers that are sent as they are; a later one replaces an earlier one of the same name.
    pub fn headers(&self, is_otherwise: bool) -> impl Iterator<Item = (&String, &String)> {
        let otherwise = self.unless_succeeded.iter().filter(move |_| is_otherwise);
        self.headers
            .iter()
            .chain(otherwise.flat_map(|form| &form.headers))
    }

    /// Reports whether the body is written as a form.
    pub fn is_form(&self) -> bool {
        let essence = self
            .content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") && self.body.is_some()
    }

    /// Reports whether the token of a request is put into the path.
    pub fn has_token_in_path(&self) -> bool {
        let otherwise = self
            .unless_succeeded
            .iter()
            .filter_map(|form| form.path.as_ref());
        self.path
            .iter()
            .chain(otherwise)
            .any(|path| path.contains(TOKEN))
    }

    /// Reports whether a template needs `target`.
    pub fn wants_target(&self) -> bool {
        let otherwise = self.unless_succeeded.iter().map(|form| &form.body);
        self.body
            .iter()
            .chain(otherwise)
            .any(Template::wants_target)
    }

    /// Returns the profile with `target` in its templates.
    #[must_use]
    pub fn aimed(self, target: &str) -> Self {
        Self {
            body: self.body.map(|body| body.aimed(target)),
            unless_succeeded: self.unless_succeeded.map(|form| Otherwise {
                body: form.body.aimed(target),
                ..form
            }),
            target: Some(target.to_owned()),
            ..self
        }
    }
}

/// Returns the rule that a path breaks.
pub(super) fn path_mistake(path: &str) -> Option<&'static str> {
    let plain = path.replace(TOKEN, "token");
    let is_sent = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%:@".contains(&byte);
    let has_dots = plain.split('/').any(|part| part == "." || part == "..");
    (!plain.starts_with('/') || !plain.bytes().all(is_sent) || has_dots)
        .then_some("must be an absolute path without query, in which {{token}} may stand")
}
