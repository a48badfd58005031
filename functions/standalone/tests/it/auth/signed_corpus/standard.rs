//! Requests in the dialect of Standard Webhooks 1.0, and variants of it that must be refused.

use super::{body, case, hmac, standard_signature};
use crate::auth::signed::Verdict::{Accepted, Refused, RefusedBecause};
use crate::auth::signed::{Case, NOW, STALE, Sign, secret};

pub(super) fn standard(sign: Sign<'_>) -> Vec<Case> {
    let by = |name: &str, id: &str, text: &str| standard_signature(sign, name, id, NOW, text);
    let case = |name, id: &str, signature: &str, text: &str, verdict| {
        let now = NOW.to_string();
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", &now),
            ("webhook-signature", signature),
        ];
        case(name, &headers, text, verdict)
    };
    let good = by("REQUESTS_NEW", "s", &body());
    let accepted = Accepted("standard");
    let long = "i".repeat(255);
    let longer = "i".repeat(256);
    let umlauts = body().replace("UTC", "Europe/Zürich ⌚");
    let spaced = format!(" {}\r\n", body());
    let text_key = secret("REQUESTS_NEW");
    let text_key = format!(
        "v1,{}",
        hmac(
            sign,
            "sha256",
            "base64",
            &text_key,
            &format!("s.{NOW}."),
            &body()
        )
    );
    vec![
        case(
            "old secret",
            "s-old",
            &by("REQUESTS_OLD", "s-old", &body()),
            &body(),
            accepted,
        ),
        case(
            "changed body",
            "s",
            &good,
            &body().replace("UTC", "UTD"),
            Refused,
        ),
        case("blank added", "s", &good, &format!("{} ", body()), Refused),
        case(
            "written otherwise",
            "s",
            &good,
            &body().replace(':', ": "),
            Refused,
        ),
        case("empty body", "s", &good, "", Refused),
        case("other id", "t", &good, &body(), Refused),
        case("id in other letters", "S", &good, &body(), Refused),
        case(
            "dots in the id",
            "a.b.1",
            &by("REQUESTS_NEW", "a.b.1", &body()),
            &body(),
            accepted,
        ),
        case(
            "blanks in the id",
            "a b",
            &by("REQUESTS_NEW", "a b", &body()),
            &body(),
            accepted,
        ),
        case(
            "longest id",
            &long,
            &by("REQUESTS_NEW", &long, &body()),
            &body(),
            accepted,
        ),
        case(
            "too long an id",
            &longer,
            &by("REQUESTS_NEW", &longer, &body()),
            &body(),
            Refused,
        ),
        case(
            "non-ASCII body",
            "s-8",
            &by("REQUESTS_NEW", "s-8", &umlauts),
            &umlauts,
            accepted,
        ),
        case(
            "blanks around",
            "s-9",
            &by("REQUESTS_NEW", "s-9", &spaced),
            &spaced,
            accepted,
        ),
        case("secret as text", "s", &text_key, &body(), Refused),
        case(
            "of our callbacks",
            "s",
            &courier_testkit::signing::standard(
                courier_testkit::world::SIGNING_SECRETS[0],
                "s",
                NOW,
                &body(),
            ),
            &body(),
            Refused,
        ),
    ]
}

/// Returns cases for the value of `webhook-signature`, a list of versioned signatures.
pub(super) fn standard_lists(sign: Sign<'_>) -> Vec<Case> {
    let good = |id: &str| standard_signature(sign, "REQUESTS_NEW", id, NOW, &body());
    let old = |id: &str| standard_signature(sign, "REQUESTS_OLD", id, NOW, &body());
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let bare = good("l").split_once(',').unwrap().1.to_owned();
    let raw = hmac(sign, "sha256", "hex", "REQUESTS", "", &body());
    let accepted = Accepted("standard");
    let shift = |letter: char| char::from(letter as u8 + 1);
    let last = bare.trim_end_matches('=').chars().last().unwrap_or('A');
    let sloppy = format!("v1,{}{}=", &bare[..42], shift(last));
    [
        (
            "wrong, then good",
            "l1",
            format!("{wrong} {}", good("l1")),
            accepted,
        ),
        (
            "good, then wrong",
            "l2",
            format!("{} {wrong}", good("l2")),
            accepted,
        ),
        (
            "old, then new",
            "l3",
            format!("{} {}", old("l3"), good("l3")),
            accepted,
        ),
        (
            "asymmetric, then good",
            "l4",
            format!("v1a,AAAA {}", good("l4")),
            accepted,
        ),
        (
            "rubbish, then good",
            "l5",
            format!("x , v1 v1, {}", good("l5")),
            accepted,
        ),
        (
            "two blanks between",
            "l6",
            format!("{wrong}  {}", good("l6")),
            accepted,
        ),
        (
            "forty wrong, then good",
            "l7",
            format!("{}{}", format!("{wrong} ").repeat(40), good("l7")),
            accepted,
        ),
        ("wrong only", "l", wrong.to_owned(), Refused),
        ("asymmetric only", "l", format!("v1a,{bare}"), Refused),
        ("version 2", "l", format!("v2,{bare}"), Refused),
        ("version 0", "l", format!("v0,{bare}"), Refused),
        ("capital version", "l", format!("V1,{bare}"), Refused),
        ("no version", "l", bare.clone(), Refused),
        ("no comma", "l", format!("v1{bare}"), Refused),
        ("two commas", "l", format!("v1,,{bare}"), Refused),
        ("equals sign", "l", format!("v1={bare}"), Refused),
        ("blank after the comma", "l", format!("v1, {bare}"), Refused),
        ("comma between", "l", format!("{wrong},v1,{bare}"), Refused),
        ("tab between", "l", format!("{wrong}\tv1,{bare}"), Refused),
        ("nothing signed", "l", "v1,".to_owned(), Refused),
        (
            "no padding",
            "l",
            format!("v1,{}", bare.trim_end_matches('=')),
            Refused,
        ),
        ("too much padding", "l", format!("v1,{bare}="), Refused),
        ("another last letter", "l", sloppy, Refused),
        ("cut off", "l", format!("v1,{}", &bare[..40]), Refused),
        ("longer", "l", format!("v1,AAAA{bare}"), Refused),
        (
            "small letters",
            "l",
            format!("v1,{}", bare.to_lowercase()),
            Refused,
        ),
        (
            "URL-safe letters",
            "l",
            format!("v1,{}", bare.replace('+', "-").replace('/', "_")),
            Refused,
        ),
        ("hexadecimal", "l", format!("v1,{raw}"), Refused),
    ]
    .map(|(name, id, signature, verdict)| {
        let now = NOW.to_string();
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", &now),
            ("webhook-signature", &signature),
        ];
        case(name, &headers, &body(), verdict)
    })
    .into()
}

/// Returns cases with headers that are missing, repeated or not numbers.
pub(super) fn standard_headers(sign: Sign<'_>) -> Vec<Case> {
    let good = standard_signature(sign, "REQUESTS_NEW", "h", NOW, &body());
    let key = "new-secret-for-signed-requests";
    let millis_hmac = hmac(
        sign,
        "sha256",
        "base64",
        key,
        &format!("h.{}.", NOW * 1000),
        &body(),
    );
    let millis = format!("v1,{millis_hmac}");
    let now = NOW.to_string();
    let (id, time, signature) = (
        ("webhook-id", "h"),
        ("webhook-timestamp", &*now),
        ("webhook-signature", &*good),
    );
    let at = |text: &'static str| [id, ("webhook-timestamp", text), signature];
    let text = &body();
    vec![
        case("no id", &[time, signature], text, Refused),
        case("no time", &[id, signature], text, Refused),
        case("no signature", &[id, time], text, Refused),
        case("nothing", &[], text, Refused),
        case("two ids", &[id, id, time, signature], text, Refused),
        case("two times", &[id, time, time, signature], text, Refused),
        case(
            "two signatures",
            &[id, time, signature, signature],
            text,
            Refused,
        ),
        case("another time", &at("1795291201"), text, Refused),
        case("signed time", &at("+1795291200"), text, Refused),
        case("time before 1970", &at("-5"), text, Refused),
        case("decimal time", &at("1795291200.0"), text, Refused),
        case("padded time", &at("01795291200"), text, Refused),
        case("hexadecimal time", &at("0x6b022f40"), text, Refused),
        case("endless time", &at("99999999999999999999"), text, Refused),
        case("time in words", &at("2026-11-21T20:00:00Z"), text, Refused),
        case(
            "milliseconds",
            &[
                id,
                ("webhook-timestamp", &(NOW * 1000).to_string()),
                ("webhook-signature", &millis),
            ],
            text,
            RefusedBecause(STALE),
        ),
        case(
            "the names of Svix",
            &[
                ("svix-id", "h"),
                ("Svix-Timestamp", &now),
                ("svix-signature", &good),
            ],
            text,
            Accepted("standard"),
        ),
        case(
            "the names of Svix with another id",
            &[
                ("svix-id", "i"),
                ("svix-timestamp", &now),
                ("svix-signature", &good),
            ],
            text,
            Refused,
        ),
        case(
            "both names of all headers",
            &[
                id,
                time,
                signature,
                ("svix-id", "h"),
                ("svix-timestamp", &now),
                ("svix-signature", &good),
            ],
            text,
            Refused,
        ),
        case(
            "both names of the signature",
            &[id, time, signature, ("svix-signature", "v1,AAAA")],
            text,
            Refused,
        ),
        case(
            "both names of the id",
            &[id, time, signature, ("svix-id", "h")],
            text,
            Refused,
        ),
        case(
            "both names of the time",
            &[
                ("svix-id", "h"),
                ("svix-timestamp", &now),
                ("svix-signature", &good),
                time,
            ],
            text,
            Refused,
        ),
        case(
            "names of both kinds",
            &[id, ("svix-timestamp", &now), signature],
            text,
            Refused,
        ),
        case(
            "capital names",
            &[
                ("Webhook-Id", "h"),
                ("Webhook-Timestamp", &now),
                ("Webhook-Signature", &good),
            ],
            text,
            Accepted("standard"),
        ),
    ]
}
