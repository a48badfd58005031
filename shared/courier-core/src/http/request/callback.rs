//! Reads where a completion is to go: the `callback` of a request, or the body of a later change of it.

use serde_json::{Map, Value, json};

use crate::catalogue::schema::Violation;
use crate::config::{Client, Proof};
use crate::crypto::seal::Sealer;
use crate::crypto::secret::Secret;
use crate::http::problem::Problem;
use crate::operation::{CallbackTarget, OperationId, SealedField, Unknown};
use crate::outbound::address::Allowed;
use crate::outbound::target_url::{self, CallbackUrl};
use crate::profile::{Need, Template};
use crate::strict_json::child;

/// Longest accepted token, which is the longest task token of AWS Step Functions.
const MAX_TOKEN_BYTES: usize = 2048;

/// The callback of a request, each field with the right type.
#[derive(Default)]
pub(crate) struct RequestedCallback {
    pub(crate) url: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) token: Option<Secret>,
    pub(crate) include_secrets: bool,
    /// The JSON pointer of the object that contains these fields.
    base: &'static str,
}

impl RequestedCallback {
    pub(crate) fn read(
        callback: Map<String, Value>,
        base: &'static str,
        errors: &mut Vec<Violation>,
    ) -> Self {
        let mut requested = Self {
            base,
            ..Self::default()
        };
        for (name, value) in callback {
            let pointer = child(base, &name);
            match (name.as_str(), value) {
                ("url", Value::String(text)) => requested.url = Some(text),
                ("profile", Value::String(text)) => requested.profile = Some(text),
                ("token", Value::String(text)) => {
                    if text.is_empty() || text.len() > MAX_TOKEN_BYTES {
                        errors.push(Violation::new(pointer, "must have 1 to 2048 bytes"));
                    }
                    requested.token = Some(Secret::new(text));
                }
                ("includeSecrets", Value::Bool(include)) => requested.include_secrets = include,
                ("includeSecrets", _) => {
                    errors.push(Violation::new(pointer, "must be true or false"));
                }
                ("profile" | "token", Value::Null) => {}
                ("url" | "profile" | "token", _) => {
                    errors.push(Violation::new(pointer, "must be a string"));
                }
                _ => errors.push(Violation::new(pointer, "is not a known field")),
            }
        }
        requested
    }

    pub(crate) fn require_url(&self, errors: &mut Vec<Violation>) {
        let pointer = self.pointer("url");
        if self.url.is_none() && !errors.iter().any(|error| error.pointer == pointer) {
            errors.push(Violation::new(pointer, "is required"));
        }
    }

    /// Returns the part of the callback that goes into the request's fingerprint.
    pub(super) fn payload(&self) -> Value {
        let token = self.token.as_ref().map(Secret::expose);
        match (&self.profile, token, self.include_secrets) {
            (None, None, false) => json!(self.url),
            (profile, token, false) => json!([self.url, profile, token]),
            (profile, token, true) => json!([self.url, profile, token, true]),
        }
    }

    fn pointer(&self, field: &str) -> String {
        format!("{}/{field}", self.base)
    }

    /// Checks the callback against the rules of `client`; `url` and `reference` are those the operation will have.
    pub(crate) fn target(
        self,
        url: &str,
        reference: Option<&str>,
        client: &Client,
        allowed: &Allowed,
        errors: &mut Vec<Violation>,
    ) -> Result<Option<Target>, Problem> {
        let name = self.profile.as_ref().unwrap_or(&client.profiles.default);
        let Some(profile) = client.profiles.all.get(name) else {
            return Err(Problem::CallbackForbidden {
                pointer: self.pointer("profile"),
                rule: "is not one of the client's profiles".to_owned(),
            });
        };
        let is_signed = matches!(profile.proof, Proof::Sigv4(_));
        let profile = &profile.format;
        let needs = |need| profile.needs.contains(&need);
        let needed = || format!("is required by the callback profile {name}");
        if needs(Need::Reference) && reference.is_none() {
            errors.push(Violation::new("/reference", needed()));
        }
        match (&self.token, needs(Need::Token)) {
            (None, true) => errors.push(Violation::new(self.pointer("token"), needed())),
            (Some(_), false) => {
                let rule = format!("is not used by the callback profile {name}");
                errors.push(Violation::new(self.pointer("token"), rule));
            }
            (None, false) | (Some(_), true) => {}
        }
        if self.include_secrets && is_signed {
            let rule = format!(
                "is not possible with the callback profile {name}: its body has no place for secrets"
            );
            errors.push(Violation::new(self.pointer("includeSecrets"), rule));
        }
        match target_url::parse(url, &client.callback_origins, allowed) {
            Ok(url) if profile.path.is_some() && !is_origin(&url) => {
                let rule = format!(
                    "must be an origin alone: the callback profile {name} names what is called there"
                );
                errors.push(Violation::new(self.pointer("url"), rule));
                Ok(None)
            }
            Ok(url) => Ok(Some(Target {
                url,
                profile: name.clone(),
                template: profile.body.clone(),
                unless_succeeded: profile
                    .unless_succeeded
                    .as_ref()
                    .map(|form| form.body.clone()),
                as_form: profile.is_form(),
                token: self.token,
                include_secrets: self.include_secrets,
            })),
            Err(refusal) if refusal.forbidden => Err(Problem::CallbackForbidden {
                pointer: self.pointer("url"),
                rule: refusal.rule,
            }),
            Err(refusal) => {
                errors.push(Violation::new(self.pointer("url"), refusal.rule));
                Ok(None)
            }
        }
    }
}

/// Reports whether a URL has neither path nor query.
fn is_origin(url: &CallbackUrl) -> bool {
    let url = url.as_url();
    url.path() == "/" && url.query().is_none()
}

/// A callback that has been checked against the client's rules.
#[derive(Clone)]
pub(crate) struct Target {
    url: CallbackUrl,
    profile: String,
    template: Option<Template>,
    unless_succeeded: Option<Template>,
    as_form: bool,
    token: Option<Secret>,
    include_secrets: bool,
}

impl Target {
    /// Returns the callback as the record stores it, with URL and token sealed.
    pub(crate) fn sealed(self, id: &OperationId, sealer: &Sealer) -> CallbackTarget {
        let url = Secret::new(self.url.as_str());
        let token = self.token.as_ref();
        CallbackTarget {
            url: sealer.seal(&SealedField::CallbackUrl.seal_context(id), &url),
            origin: self.url.origin(),
            profile: Some(self.profile),
            template: self.template,
            unless_succeeded: self.unless_succeeded,
            as_form: self.as_form,
            token: token.map(|token| sealer.seal(&SealedField::TaskToken.seal_context(id), token)),
            include_secrets: self.include_secrets,
            version: 0,
            unknown: Unknown::new(),
        }
    }
}
