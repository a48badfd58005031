//! Reads what a configuration changes of a callback profile.

use std::collections::BTreeMap;

use super::reader::Reader;
use crate::crypto::hmac::{Encoding, HmacAlgorithm};
use crate::profile::{Condition, Hmac, Need, Otherwise, Profile, Template, method_of};

/// The parts of a profile that the configuration changes.
pub(super) struct Changes {
    method: Option<http::Method>,
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
    body: Option<Template>,
    success: Vec<u16>,
    token_header: Option<String>,
    token_scheme: Option<String>,
    json_only: Option<bool>,
    hmac: Option<Hmac>,
    path: Option<String>,
    target: Option<String>,
    unless_succeeded: Option<Otherwise>,
    success_when: Option<Condition>,
    error_at: Vec<String>,
    busy_when: Vec<String>,
    give_up_when: Vec<String>,
}

impl Changes {
    pub(super) fn read(table: &mut Reader<'_>) -> Self {
        let method = table.optional_text("method").and_then(|text| {
            let method = method_of(&text);
            if method.is_none() {
                table.error("method", "must be POST, PUT or PATCH");
            }
            method
        });
        let target = table.optional_text("target");
        if target.as_deref().is_some_and(|text| !may_be_target(text)) {
            table.error(
                "target",
                "must be a name, an ARN or a URL of visible characters, without {{",
            );
        }
        Self {
            method,
            content_type: table.optional_text("content_type"),
            headers: table.text_map("headers"),
            body: template(table),
            success: table.statuses("success"),
            token_header: table.optional_text("token_header"),
            token_scheme: table.text_or_nothing("token_scheme"),
            json_only: table.flag("json_only"),
            hmac: table.optional_table("hmac", hmac).flatten(),
            path: table.optional_text("path"),
            target,
            unless_succeeded: table
                .optional_table("unless_succeeded", otherwise)
                .flatten(),
            success_when: table.optional_table("success_when", condition).flatten(),
            error_at: table.texts("error_at", Ok),
            busy_when: table.texts("busy_when", Ok),
            give_up_when: table.texts("give_up_when", Ok),
        }
    }

    /// Returns the profile with these changes, and reports a target that is missing or used nowhere.
    pub(super) fn over(self, mut profile: Profile, table: &mut Reader<'_>) -> Profile {
        profile.method = self.method.unwrap_or(profile.method);
        profile.content_type = self.content_type.unwrap_or(profile.content_type);
        profile.headers.extend(self.headers);
        profile.body = self.body.or(profile.body);
        let header = self.token_header.map(|name| name.to_ascii_lowercase());
        profile.token_header = header.unwrap_or(profile.token_header);
        profile.token_scheme = self.token_scheme.or(profile.token_scheme);
        profile.json_only = self.json_only.unwrap_or(profile.json_only);
        profile.hmac = self.hmac.or(profile.hmac);
        profile.path = self.path.or(profile.path);
        profile.unless_succeeded = self.unless_succeeded.or(profile.unless_succeeded);
        profile.success_when = self.success_when.or(profile.success_when);
        for (changed, list) in [
            (self.error_at, &mut profile.error_at),
            (self.busy_when, &mut profile.busy_when),
            (self.give_up_when, &mut profile.give_up_when),
        ] {
            if !changed.is_empty() {
                *list = changed;
            }
        }
        if !self.success.is_empty() {
            profile.success = self.success;
        }
        if profile.has_token_in_path() && !profile.needs.contains(&Need::Token) {
            profile.needs.push(Need::Token);
        }
        match (profile.wants_target(), self.target) {
            (true, Some(target)) => return profile.aimed(&target),
            (true, None) => {
                let rule = format!(
                    "is missing: {} is sent to the queue, topic or bus that it names",
                    profile.name
                );
                table.missing("target", &[], &rule);
            }
            (false, Some(_)) => table.error("target", "has no place: no body has {{target}}"),
            (false, None) => {}
        }
        profile
    }
}

fn may_be_target(text: &str) -> bool {
    text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains("{{")
}

fn template(table: &mut Reader<'_>) -> Option<Template> {
    let text = table.optional_text("body")?;
    let template = Template::try_from(text);
    template.map_err(|rule| table.error("body", &rule)).ok()
}

fn hmac(table: &mut Reader<'_>) -> Option<Hmac> {
    let header = table.text("header");
    let algorithm = table.word("algorithm", HmacAlgorithm::parse, HmacAlgorithm::Sha256);
    let encoding = table.word("encoding", Encoding::parse, Encoding::Hex);
    let prefix = table.optional_text("prefix").unwrap_or_default();
    Some(Hmac {
        header: header?,
        algorithm,
        encoding,
        prefix,
    })
}

fn otherwise(table: &mut Reader<'_>) -> Option<Otherwise> {
    let path = table.optional_text("path");
    let headers = table.text_map("headers");
    if !table.has("body") {
        table.missing("body", &[], "is missing");
    }
    Some(Otherwise {
        path,
        headers,
        body: template(table)?,
    })
}

fn condition(table: &mut Reader<'_>) -> Option<Condition> {
    let at = table.text("at");
    let equals = table.scalar("equals");
    Some(Condition {
        at: at?,
        equals: equals?,
    })
}
