//! The callback profiles: how each kind of receiver wants its completion, as one TOML file each.
//!
//! A client's configuration chooses a profile, gives it its secrets and may override any entry of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::{HeaderName, HeaderValue, Method};
use serde::Deserialize;

use crate::crypto::hmac::{Encoding, HmacAlgorithm};

pub mod answers;
mod form;
mod headers;
mod template;

pub use answers::Condition;
pub use form::Otherwise;
use headers::{header_mistakes, may_send};
pub use template::{Template, written};

const FILES: [&str; 15] = [
    include_str!("../../profiles/standard-webhooks.toml"),
    include_str!("../../profiles/servicenow-scripted.toml"),
    include_str!("../../profiles/servicenow-hmac.toml"),
    include_str!("../../profiles/servicenow-table.toml"),
    include_str!("../../profiles/jira-automation.toml"),
    include_str!("../../profiles/zendesk.toml"),
    include_str!("../../profiles/okta-workflows.toml"),
    include_str!("../../profiles/logic-apps.toml"),
    include_str!("../../profiles/step-functions-task-token.toml"),
    include_str!("../../profiles/step-functions.toml"),
    include_str!("../../profiles/lambda-durable.toml"),
    include_str!("../../profiles/eventbridge.toml"),
    include_str!("../../profiles/sqs.toml"),
    include_str!("../../profiles/sns.toml"),
    include_str!("../../profiles/generic.toml"),
];

/// Name of the default profile, for clients that set none.
pub const DEFAULT: &str = "standard-webhooks";

/// The request that carries a completion, without its URL and its secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub name: String,
    pub summary: String,
    #[serde(with = "method")]
    pub method: Method,
    #[serde(default = "json_type")]
    pub content_type: String,
    /// Statuses by which the receiver accepts the completion; any 2xx if the list is empty.
    #[serde(default)]
    pub success: Vec<u16>,
    /// Headers that are sent as they are.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Template of the body; without one the body is the completion itself.
    pub body: Option<Template>,
    /// The use of a Standard Webhooks signature, and of the CloudEvents headers that come with it.
    pub signature: Signature,
    /// HMAC of the body alone, in a header of its own.
    pub hmac: Option<Hmac>,
    /// Header that holds `token`.
    #[serde(default = "authorization")]
    pub token_header: String,
    /// Word before `token`, such as `Splunk`; if it is empty the token stands alone. Without it the word is `Bearer` in
    /// `authorization`, and any other header holds the token alone.
    pub token_scheme: Option<String>,
    /// The receiver refuses a request that has an `Authorization` header.
    #[serde(default)]
    pub no_authorization: bool,
    /// An answer with a body counts as success only if the body is JSON, because such a receiver answers in JSON: another
    /// body comes from a page in its place, for signing in or for an instance that sleeps.
    #[serde(default)]
    pub json_only: bool,
    /// The kinds of credentials that the receiver accepts; one of them is needed unless the list is empty.
    #[serde(default)]
    pub proofs: Vec<ProofKind>,
    /// Fields of the caller's request that this kind of receiver requires.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// JSON pointer to the place in the body for the secret `callback.token` of the caller's request.
    pub token_at: Option<String>,
    /// Path of the request, in which `{{token}}` may stand. With one, the URL of the caller's request is an origin alone, so
    /// that a request cannot choose what is called there.
    pub path: Option<String>,
    /// The queue, topic or bus that the completion is sent to, as the configuration names it.
    #[serde(skip)]
    pub target: Option<String>,
    /// The name of the service in signatures for AWS (`sigv4`).
    pub service: Option<String>,
    /// What is sent instead of an operation that has not ended as `succeeded`.
    pub unless_succeeded: Option<Otherwise>,
    /// What the body of an answer must say besides its status to mean success.
    pub success_when: Option<Condition>,
    /// Where an answer names its error: JSON pointers into its body, and names of headers.
    #[serde(default)]
    pub error_at: Vec<String>,
    /// Errors that say that the receiver is overloaded, as the status 429 does.
    #[serde(default)]
    pub busy_when: Vec<String>,
    /// Errors after which trying again is of no use, as after the status 410.
    #[serde(default)]
    pub give_up_when: Vec<String>,
}

/// The use of a Standard Webhooks signature by a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    Required,
    /// The callback is signed if the client has signing secrets.
    Offered,
    None,
}

/// The settings of an HMAC of the body.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hmac {
    pub header: String,
    pub algorithm: HmacAlgorithm,
    pub encoding: Encoding,
    /// Text before the signature in the header, such as `sha256=`.
    #[serde(default)]
    pub prefix: String,
}

/// A kind of credentials by which we authenticate ourselves to a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofKind {
    Token,
    Basic,
    Oauth2,
    Hmac,
    Sigv4,
}

/// An optional field of the caller's request that a profile makes mandatory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    Reference,
    Token,
}

impl Profile {
    /// Returns the profiles shipped with this program. A test parses every file, so this cannot fail in production.
    pub fn shipped() -> &'static [Self] {
        static SHIPPED: LazyLock<Vec<Profile>> = LazyLock::new(|| {
            #[expect(
                clippy::expect_used,
                reason = "the files are compiled in and read by a test"
            )]
            let read = |text: &&str| toml::from_str(text).expect("a shipped profile is valid");
            FILES.iter().map(read).collect()
        });
        &SHIPPED
    }

    pub fn find(name: &str) -> Option<&'static Self> {
        Self::shipped().iter().find(|profile| profile.name == name)
    }

    /// Reports whether a status means that the receiver has accepted the completion.
    pub fn takes(&self, status: u16) -> bool {
        if self.success.is_empty() {
            (200..300).contains(&status)
        } else {
            self.success.contains(&status)
        }
    }

    /// Reports whether the body of an answer has to be read whole.
    pub fn reads_answers(&self) -> bool {
        self.success_when.is_some() || !self.error_at.is_empty()
    }

    /// Returns the word before `token`; an empty one means that the token stands alone.
    pub fn scheme(&self) -> &str {
        let bearer = if self.token_header == "authorization" {
            "Bearer"
        } else {
            ""
        };
        self.token_scheme.as_deref().unwrap_or(bearer)
    }

    /// Returns what cannot be sent: the key and the rule that it breaks.
    pub fn mistakes(&self) -> Vec<(&'static str, &'static str)> {
        let mut mistakes = Vec::new();
        mistakes.extend(header_mistakes(&self.headers).map(|rule| ("headers", rule)));
        if let Some(form) = &self.unless_succeeded {
            let own = form.path.as_deref().and_then(form::path_mistake);
            let rules = header_mistakes(&form.headers).chain(own);
            mistakes.extend(rules.map(|rule| ("unless_succeeded", rule)));
        }
        if let Some(rule) = self.path.as_deref().and_then(form::path_mistake) {
            mistakes.push(("path", rule));
        }
        let templates = self.unless_succeeded.iter().map(|form| &form.body);
        if self.is_form() && !self.body.iter().chain(templates).all(Template::is_object) {
            mistakes.push((
                "body",
                "must be an object, whose fields are those of the form",
            ));
        }
        if HeaderValue::from_str(&self.content_type).is_err() {
            mistakes.push(("content_type", "must be a media type"));
        }
        if self.token_header != "authorization"
            && let Err(rule) = may_send(&self.token_header)
        {
            mistakes.push(("token_header", rule));
        }
        if let Some(scheme) = &self.token_scheme
            && !scheme.bytes().all(is_token_byte)
        {
            mistakes.push((
                "token_scheme",
                "must be one word (RFC 9110 §11.1), or empty",
            ));
        }
        if let Some(hmac) = &self.hmac
            && let Err(rule) = may_send(&hmac.header)
        {
            mistakes.push(("hmac", rule));
        }
        if self
            .success
            .iter()
            .any(|status| !(200..600).contains(status))
        {
            mistakes.push(("success", "must be HTTP statuses from 200 to 599"));
        }
        mistakes.extend(self.answer_mistakes());
        mistakes
    }

    /// Returns what is wrong with the rules for answers.
    fn answer_mistakes(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let condition = self.success_when.as_ref();
        let condition = condition.filter(|condition| !condition.at.starts_with('/'));
        let place = |place: &String| {
            place.starts_with('/') || HeaderName::from_bytes(place.as_bytes()).is_ok()
        };
        let lists = [
            ("busy_when", &self.busy_when),
            ("give_up_when", &self.give_up_when),
        ];
        let names = lists.into_iter().filter_map(|(key, names)| {
            if !names.iter().all(|name| answers::is_name(name)) {
                Some((
                    key,
                    "must be names of errors: letters, digits, dots, hyphens and underscores",
                ))
            } else if !names.is_empty() && self.error_at.is_empty() {
                Some((
                    key,
                    "needs error_at, which says where an answer names its error",
                ))
            } else {
                None
            }
        });
        let pointer = condition.map(|_| {
            (
                "success_when",
                "at must be a JSON pointer such as /FailedEntryCount",
            )
        });
        let places = (!self.error_at.iter().all(place)).then_some((
            "error_at",
            "must be JSON pointers such as /__type, or names of headers",
        ));
        pointer.into_iter().chain(places).chain(names)
    }
}

/// Reports whether this byte may be part of a `token` (RFC 9110 §5.6.2), as the name of a scheme is.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn json_type() -> String {
    "application/json".to_owned()
}

fn authorization() -> String {
    "authorization".to_owned()
}

mod method {
    //! Deserializes a method that carries a body.

    use http::Method;
    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(text: D) -> Result<Method, D::Error> {
        let text = String::deserialize(text)?;
        super::method_of(&text).ok_or_else(|| D::Error::custom("POST, PUT or PATCH"))
    }
}

/// Parses `POST`, `PUT` or `PATCH`; `None` for any other text.
pub(crate) fn method_of(text: &str) -> Option<Method> {
    let known = [Method::POST, Method::PUT, Method::PATCH];
    known.into_iter().find(|method| method.as_str() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_profile_is_valid() {
        for (profile, file) in Profile::shipped().iter().zip(FILES) {
            assert_eq!(profile.mistakes(), [], "{}", profile.name);
            assert!(file.contains(&format!("name = \"{}\"", profile.name)));
            let token = profile.needs.contains(&Need::Token);
            let has_place = profile.token_at.is_some() || profile.has_token_in_path();
            assert_eq!(has_place, token, "{}", profile.name);
            let hmac = profile.proofs.contains(&ProofKind::Hmac);
            assert!(!hmac || profile.hmac.is_some(), "{}", profile.name);
        }
        assert!(Profile::find(DEFAULT).is_some());
        assert!(Profile::find("no-such").is_none());
    }

    #[test]
    fn profile_accepts_its_success_statuses_or_any_2xx() {
        let mut profile = Profile::find(DEFAULT).unwrap().clone();
        for (status, taken) in [
            (199, false),
            (200, true),
            (299, true),
            (300, false),
            (410, false),
        ] {
            assert_eq!(profile.takes(status), taken, "{status}");
        }
        profile.success = vec![200, 409];
        for (status, taken) in [(200, true), (201, false), (409, true)] {
            assert_eq!(profile.takes(status), taken, "{status}");
        }
    }

    #[test]
    fn header_that_frames_or_signs_the_message_is_refused() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "webhook-id",
            "ce-type",
            "a b",
            "",
        ] {
            let mut profile = Profile::find(DEFAULT).unwrap().clone();
            profile.headers.insert(name.to_owned(), "1".to_owned());
            assert_eq!(profile.mistakes().len(), 1, "{name}");
        }
        let mut profile = Profile::find(DEFAULT).unwrap().clone();
        profile
            .headers
            .insert("x-team".to_owned(), "a\r\nb".to_owned());
        assert_eq!(profile.mistakes().len(), 1);
    }
}
