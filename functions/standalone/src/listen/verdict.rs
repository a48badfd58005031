//! Says whether a callback's signature is right and, if it is not, why: by trying what usually goes wrong.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use courier_core::crypto::secret::Secret;
use courier_core::crypto::webhook_signature::{SigningSecret, sign};
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use crate::secret::Given;
use crate::terminal::{shown, span};

/// The furthest that timestamp and clock may be apart (Standard Webhooks 1.0, "Verifying webhook authenticity").
const TOLERANCE_SECONDS: u64 = 300;

/// The judgement on one callback: the reasons why it is not verified, or none.
pub(crate) struct Verdict {
    pub(crate) reasons: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_verified(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Judges a callback that arrived at `now`.
    pub(crate) fn of(headers: &HeaderMap, body: &[u8], given: &Given, now: Timestamp) -> Self {
        let reasons = match Signed::read(headers) {
            Ok(signed) => signed.reasons(body, given, now),
            Err(reasons) => reasons,
        };
        Self { reasons }
    }
}

/// The three headers of a signed callback.
struct Signed<'a> {
    id: &'a str,
    timestamp: Timestamp,
    /// The signatures, with their version.
    signatures: Vec<&'a str>,
}

impl<'a> Signed<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, Vec<String>> {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let values = names.map(|name| headers.get(name).and_then(|value| value.to_str().ok()));
        let missing: Vec<&str> = names
            .iter()
            .zip(values)
            .filter_map(|(name, value)| value.is_none().then_some(*name))
            .collect();
        let [Some(id), Some(timestamp), Some(signatures)] = values else {
            let mut reason = format!("there is no {}", missing.join(", no "));
            if missing == ["webhook-signature"] {
                reason.push_str(": this callback profile signs in another way, or the client has no signing_secrets");
            } else {
                reason.push_str(": it was not sent by graph-courier, or something on the way took the headers out");
            }
            return Err(vec![reason]);
        };
        let seconds = timestamp.parse::<i64>().ok();
        let Some(time) = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) else {
            return Err(vec![format!(
                "webhook-timestamp is {}, and must be whole seconds since 1970",
                shown(timestamp)
            )]);
        };
        let signatures: Vec<&str> = signatures
            .split(' ')
            .filter(|one| !one.is_empty())
            .collect();
        if !signatures.iter().any(|one| one.starts_with("v1,")) {
            return Err(vec![
                "webhook-signature has no signature of version v1: each begins with `v1,`, with spaces between them".to_owned(),
            ]);
        }
        Ok(Self {
            id,
            timestamp: time,
            signatures,
        })
    }

    fn reasons(&self, body: &[u8], given: &Given, now: Timestamp) -> Vec<String> {
        let mut reasons = Vec::new();
        let is_right = match &given.parsed {
            Ok(secret) => self.verifies(secret, body),
            Err(rule) => {
                reasons.push(self.wrong_form(rule, body, given));
                true
            }
        };
        if !is_right {
            reasons.push(self.wrong_signature(body, given));
        }
        reasons.extend(self.wrong_time(now));
        reasons
    }

    fn verifies(&self, secret: &SigningSecret, body: &[u8]) -> bool {
        let expected = sign(std::slice::from_ref(secret), self.id, self.timestamp, body);
        self.signatures.contains(&expected.as_str())
    }

    fn wrong_time(&self, now: Timestamp) -> Option<String> {
        let distance = now.duration_since(self.timestamp);
        if distance.unsigned_abs().as_secs() <= TOLERANCE_SECONDS {
            return None;
        }
        let clock = now.strftime("%H:%M:%S");
        let span = span(distance.unsigned_abs());
        Some(if distance.is_negative() {
            format!(
                "the timestamp is {span} ahead of the clock here ({clock} UTC): one of the two clocks is wrong"
            )
        } else {
            format!(
                "the timestamp is too old: {span} behind the clock here ({clock} UTC). One of the two clocks is wrong, or an old callback was sent again"
            )
        })
    }

    /// The given secret is none; it may still be known what it should have been.
    fn wrong_form(&self, rule: &str, body: &[u8], given: &Given) -> String {
        let text = given.text.expose();
        let bare = text.strip_prefix("whsec_").unwrap_or(text);
        let decoded = [
            STANDARD.decode(bare),
            STANDARD_NO_PAD.decode(bare),
            URL_SAFE.decode(bare),
            URL_SAFE_NO_PAD.decode(bare),
        ];
        let mut keys = decoded.into_iter().flatten().chain(unhex(bare));
        if keys.any(|key| secret_of(&key).is_some_and(|secret| self.verifies(&secret, body))) {
            return "the secret has the wrong form: it is the right one, but must be written as whsec_ and base64 (RFC 4648, section 4)".to_owned();
        }
        format!("the secret has the wrong form: it {rule}")
    }

    fn wrong_signature(&self, body: &[u8], given: &Given) -> String {
        let text = given.text.expose();
        let bare = text.strip_prefix("whsec_").unwrap_or(text);
        let as_text = [text.as_bytes(), bare.as_bytes()];
        let mut as_text = as_text.into_iter().filter_map(secret_of);
        if as_text.any(|secret| self.verifies(&secret, body)) {
            return "the sender used the secret in the wrong form: it signed with the text, and the key is what the base64 behind whsec_ stands for".to_owned();
        }
        let Ok(secret) = &given.parsed else {
            return String::new();
        };
        for (variant, what) in variants(body) {
            if self.verifies(secret, &variant) {
                return format!(
                    "the body was changed on the way: {what}. Verify the bytes as they came, before anything parses them"
                );
            }
        }
        if let Some(change) = self.visible_change(body) {
            return format!("the body was changed on the way: {change}");
        }
        "the secret is another one than the sender's, or a value in the body was changed on the way"
            .to_owned()
    }

    /// Returns a sign that this is not the body that graph-courier sent.
    fn visible_change(&self, body: &[u8]) -> Option<&'static str> {
        let Ok(document) = serde_json::from_slice::<Value>(body) else {
            return Some(match body {
                [] => "it is empty",
                _ => "it is no JSON any more",
            });
        };
        if document.to_string().as_bytes() != body {
            return Some(
                "it is not written as graph-courier writes JSON, so something parsed and wrote it anew",
            );
        }
        let id = document["data"]["id"].as_str()?.strip_prefix("op_")?;
        let fits = self.id.starts_with("msg_") && self.id.contains(id);
        (!fits).then_some("webhook-id and body are about different operations")
    }
}

/// Returns a secret of these bytes, if there may be such a one.
fn secret_of(key: &[u8]) -> Option<SigningSecret> {
    SigningSecret::parse(&Secret::new(format!("whsec_{}", STANDARD.encode(key)))).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Returns what the body may have been, and what then happened to it.
fn variants(body: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let mut variants = Vec::new();
    if let Ok(document) = serde_json::from_slice::<Value>(body) {
        let compact = document.to_string().into_bytes();
        let what = "the JSON was parsed and written anew, with other spaces or escapes";
        variants.push((compact, what));
        let sorted_back = in_order(&document).to_string().into_bytes();
        let what = "the JSON was parsed and written anew, with its fields in another order";
        variants.push((sorted_back, what));
    }
    let trimmed = body.trim_ascii();
    variants.push((trimmed.to_vec(), "white space was added around it"));
    variants.push((
        [trimmed, b"\n"].concat(),
        "the line break at its end was taken off",
    ));
    if let Ok(text) = std::str::from_utf8(body) {
        // Each byte of UTF-8 became a character of its own.
        let bytes: Option<Vec<u8>> = text
            .chars()
            .map(|letter| u8::try_from(u32::from(letter)).ok())
            .collect();
        let what = "its UTF-8 was taken for Latin-1 and encoded again";
        variants.extend(bytes.map(|bytes| (bytes, what)));
    }
    variants
}

/// The fields of a completion in the order in which they are written.
const ORDER: [&str; 24] = [
    "type",
    "timestamp",
    "data",
    "id",
    "operation",
    "status",
    "reason",
    "reference",
    "createdAt",
    "startedAt",
    "endedAt",
    "deadline",
    "adopted",
    "graph",
    "progress",
    "clientRequestId",
    "requestId",
    "polls",
    "nextPollAt",
    "result",
    "error",
    "previous",
    "resumedFrom",
    "secrets",
];

/// Returns the document with the fields of a completion in their order. What is in a result stays as it is.
fn in_order(value: &Value) -> Value {
    let Value::Object(fields) = value else {
        return value.clone();
    };
    let place = |name: &str| ORDER.iter().position(|known| *known == name);
    let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
    fields.sort_by_key(|(name, _)| place(name).unwrap_or(ORDER.len()));
    let kept = |name: &str, value: &Value| match name {
        "data" | "graph" => in_order(value),
        _ => value.clone(),
    };
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name.clone(), kept(name, value)));
    Value::Object(fields.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::DEVELOPMENT_SECRET;

    const BODY: &str = r#"{"type":"operation.succeeded","timestamp":"2026-11-21T20:00:30.525Z","data":{"id":"op_ab","operation":"team.schedule","status":"succeeded","reference":"Zoë","graph":{"status":"Completed","progress":null},"result":{"b":1,"a":2}}}"#;
    const ID: &str = "msg_ab_succeeded";

    fn given(text: &str) -> Given {
        let text = Secret::new(text);
        Given {
            parsed: SigningSecret::parse(&text),
            text,
            is_for_development: true,
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_291_230).unwrap()
    }

    /// Headers of [`BODY`], signed now with the development secret.
    fn headers() -> HeaderMap {
        signed_with(&given(DEVELOPMENT_SECRET).parsed.unwrap())
    }

    fn signed_with(secret: &SigningSecret) -> HeaderMap {
        let signature = sign(std::slice::from_ref(secret), ID, now(), BODY.as_bytes());
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", ID.parse().unwrap());
        headers.insert("webhook-timestamp", "1795291230".parse().unwrap());
        let both = format!("v1,b3RoZXI= {signature}");
        headers.insert("webhook-signature", both.parse().unwrap());
        headers
    }

    fn reasons(headers: &HeaderMap, body: &str, secret: &str, now: Timestamp) -> Vec<String> {
        Verdict::of(headers, body.as_bytes(), &given(secret), now).reasons
    }

    fn check(headers: &HeaderMap, body: &str, secret: &str, words: &str) {
        let reasons = reasons(headers, body, secret, now());
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        assert!(reasons[0].contains(words), "{words}: {reasons:?}");
    }

    #[test]
    fn one_right_signature_of_several_verifies() {
        assert_eq!(
            reasons(&headers(), BODY, DEVELOPMENT_SECRET, now()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_header_that_is_missing_or_malformed_is_named() {
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let mut without = headers();
            without.remove(name);
            check(&without, BODY, DEVELOPMENT_SECRET, &format!("no {name}"));
        }
        for (name, value, words) in [
            ("webhook-timestamp", "soon", "whole seconds"),
            ("webhook-signature", "sha256=ab", "version v1"),
        ] {
            let mut wrong = headers();
            wrong.insert(name, value.parse().unwrap());
            check(&wrong, BODY, DEVELOPMENT_SECRET, words);
        }
    }

    #[test]
    fn a_timestamp_far_from_the_clock_is_told_with_the_difference() {
        let later = Timestamp::from_second(1_795_291_230 + 725).unwrap();
        let old = reasons(&headers(), BODY, DEVELOPMENT_SECRET, later);
        assert!(old[0].contains("12 min behind"), "{old:?}");
        let earlier = Timestamp::from_second(1_795_291_230 - 301).unwrap();
        let new = reasons(&headers(), BODY, DEVELOPMENT_SECRET, earlier);
        assert!(new[0].contains("5 min 1 s ahead"), "{new:?}");
        let edge = Timestamp::from_second(1_795_291_230 + 300).unwrap();
        assert!(reasons(&headers(), BODY, DEVELOPMENT_SECRET, edge).is_empty());
    }

    #[test]
    fn a_body_that_was_changed_on_the_way_is_told_from_a_wrong_secret() {
        let document: Value = serde_json::from_str(BODY).unwrap();
        let pretty = serde_json::to_string_pretty(&document).unwrap();
        let escaped = BODY.replace('ë', "\\u00eb");
        let latin: String = BODY.bytes().map(char::from).collect();
        let sorted = r#"{"data":{"graph":{"progress":null,"status":"Completed"},"id":"op_ab","operation":"team.schedule","reference":"Zoë","result":{"b":1,"a":2},"status":"succeeded"},"timestamp":"2026-11-21T20:00:30.525Z","type":"operation.succeeded"}"#;
        for (body, words) in [
            (pretty.as_str(), "other spaces or escapes"),
            (escaped.as_str(), "other spaces or escapes"),
            (sorted, "another order"),
            (&format!("{BODY}\n"), "changed on the way"),
            (latin.as_str(), "Latin-1"),
            ("", "is empty"),
            ("a=b", "no JSON"),
            (&BODY.replace("op_ab", "op_cd"), "different operations"),
            (&BODY.replace("Zoë", "Zoe"), "the secret is another one"),
        ] {
            check(&headers(), body, DEVELOPMENT_SECRET, words);
        }
        let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        check(&headers(), BODY, other, "the secret is another one");
    }

    #[test]
    fn a_secret_in_the_wrong_form_is_told() {
        let bare = DEVELOPMENT_SECRET.strip_prefix("whsec_").unwrap();
        check(&headers(), BODY, bare, "it is the right one");
        let key = STANDARD.decode(bare).unwrap();
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        check(&headers(), BODY, &hex, "it is the right one");
        check(&headers(), BODY, "hunter2", "must begin with whsec_");
        let by_text = signed_with(&secret_of(DEVELOPMENT_SECRET.as_bytes()).unwrap());
        check(&by_text, BODY, DEVELOPMENT_SECRET, "signed with the text");
    }
}
