//! The corpus of signed requests: valid ones, forged ones, and the expected verdict on each.

use serde_json::json;

use crate::auth::signed::Verdict::{Accepted, Refused, RefusedBecause};
use crate::auth::signed::{Case, NOW, STALE, Sign, ToSign, Verdict, secret};
mod dialects;
mod standard;

use dialects::{github, plain, zendesk};
use standard::{standard, standard_headers, standard_lists};

const TEAM: &str = "871dbd5c-3a6a-4392-bfe1-042452793a50";

/// Returns the body of a valid request for an operation that may be started twice.
pub(crate) fn body() -> String {
    json!({
        "operation": "team.schedule",
        "parameters": { "teamId": TEAM, "schedule": { "enabled": true, "timeZone": "UTC" } },
    })
    .to_string()
}

pub(crate) fn corpus(sign: Sign<'_>) -> Vec<Case> {
    let mut cases = times(sign);
    cases.extend(standard(sign));
    cases.extend(standard_lists(sign));
    cases.extend(standard_headers(sign));
    cases.extend(zendesk(sign));
    cases.extend(github(sign));
    cases.extend(plain(sign));
    cases.extend(two_credentials(sign));
    cases
}

fn case(
    name: &'static str,
    headers: &[(&'static str, &str)],
    body: &str,
    verdict: Verdict,
) -> Case {
    let headers = headers.iter();
    Case {
        name,
        headers: headers
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect(),
        body: body.to_owned(),
        verdict,
    }
}

/// Returns a signature `v1,…` made by PyPI's library.
pub(crate) fn standard_signature(
    sign: Sign<'_>,
    secret_name: &str,
    id: &str,
    second: i64,
    body: &str,
) -> String {
    sign(ToSign {
        how: "standard",
        encoding: "base64",
        secret: secret(secret_name),
        id: id.to_owned(),
        before: second.to_string(),
        body: body.to_owned(),
    })
}

/// Returns an HMAC made by Python.
pub(crate) fn hmac(
    sign: Sign<'_>,
    how: &'static str,
    encoding: &'static str,
    secret: &str,
    before: &str,
    body: &str,
) -> String {
    sign(ToSign {
        how,
        encoding,
        secret: secret.to_owned(),
        id: String::new(),
        before: before.to_owned(),
        body: body.to_owned(),
    })
}

/// Returns cases for both dialects that sign a time, which may be up to 300 seconds before or after now.
fn times(sign: Sign<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, shift, is_near) in [
        ("301 s ago", -301, false),
        ("300 s ago", -300, true),
        ("1 s ago", -1, true),
        ("now", 0, true),
        ("in 1 s", 1, true),
        ("in 300 s", 300, true),
        ("in 301 s", 301, false),
        ("at the beginning of time", -NOW, false),
        ("in a thousand years", 1000 * 31_557_600, false),
    ] {
        let second = NOW + shift;
        let verdict = |client| {
            if is_near {
                Accepted(client)
            } else {
                RefusedBecause(STALE)
            }
        };
        let signature = standard_signature(sign, "REQUESTS_NEW", name, second, &body());
        let headers = [
            ("webhook-id", name),
            ("webhook-timestamp", &second.to_string()),
            ("webhook-signature", &signature),
        ];
        cases.push(case(name, &headers, &body(), verdict("standard")));
        let time = jiff::Timestamp::from_second(second).unwrap().to_string();
        let signature = of_zendesk(sign, "ZENDESK_NEW", &time, &body());
        let headers = [(ZENDESK_TIME, time.as_str()), (ZENDESK, &signature)];
        cases.push(case(name, &headers, &body(), verdict("zendesk")));
    }
    cases
}

const ZENDESK: &str = "x-zendesk-webhook-signature";
const ZENDESK_TIME: &str = "x-zendesk-webhook-signature-timestamp";

fn of_zendesk(sign: Sign<'_>, name: &str, time: &str, body: &str) -> String {
    hmac(sign, "sha256", "base64", &secret(name), time, body)
}

/// Returns cases with two credentials: a signature beside a key does not count, and two signatures are ambiguous.
fn two_credentials(sign: Sign<'_>) -> Vec<Case> {
    let github_hmac = hmac(sign, "sha256", "hex", &secret("GITHUB_SECRET"), "", &body());
    let github = ("x-hub-signature-256", format!("sha256={github_hmac}"));
    let plain_hmac = hmac(sign, "sha512", "hex", &secret("PLAIN_SECRET"), "", &body());
    let plain = ("x-body-signature", plain_hmac);
    let key = |name, value: &str| (name, value.to_owned());
    let with = |name, headers: &[(&'static str, String)], verdict| Case {
        name,
        headers: headers.to_vec(),
        body: body(),
        verdict,
    };
    let good = courier_testkit::world::TICKETS_KEY;
    vec![
        with(
            "good key, bad signature",
            &[key("x-api-key", good), ("x-hub-signature-256", "x".into())],
            Accepted("tickets"),
        ),
        with(
            "good key, good signature",
            &[key("x-api-key", good), github.clone()],
            Accepted("tickets"),
        ),
        with(
            "bad key, good signature",
            &[key("x-api-key", "wrong"), github.clone()],
            Refused,
        ),
        with(
            "bad token, good signature",
            &[key("authorization", "Bearer a.b.c"), github.clone()],
            Refused,
        ),
        with(
            "unknown scheme, good signature",
            &[key("authorization", "Digest x"), github.clone()],
            Refused,
        ),
        with("two good signatures", &[github, plain], Refused),
    ]
}
