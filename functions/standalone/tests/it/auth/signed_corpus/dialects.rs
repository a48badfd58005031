//! Requests in Zendesk's and GitHub's dialects, and with plain HMACs of the body.

use super::{ZENDESK, ZENDESK_TIME, body, case, hmac, of_zendesk};
use crate::auth::signed::Verdict::{Accepted, Refused};
use crate::auth::signed::{Case, Sign, secret};

pub(super) fn zendesk(sign: Sign<'_>) -> Vec<Case> {
    let now = "2026-11-21T20:00:00Z";
    let good = of_zendesk(sign, "ZENDESK_NEW", now, &body());
    let at = |time: &str| of_zendesk(sign, "ZENDESK_NEW", time, &body());
    let raw = hmac(sign, "sha256", "hex", &secret("ZENDESK_NEW"), now, &body());
    let accepted = Accepted("zendesk");
    let single = |name, time: &str, signature: &str, verdict| {
        case(
            name,
            &[(ZENDESK_TIME, time), (ZENDESK, signature)],
            &body(),
            verdict,
        )
    };
    let (offset, fraction) = ("2026-11-21T21:00:00+01:00", "2026-11-21T20:00:00.5Z");
    let umlauts = body().replace("UTC", "Zürich");
    let text = &body();
    vec![
        single(
            "old secret",
            now,
            &of_zendesk(sign, "ZENDESK_OLD", now, &body()),
            accepted,
        ),
        single(
            "secret of another",
            now,
            &of_zendesk(sign, "GITHUB_SECRET", now, &body()),
            Refused,
        ),
        single("time with an offset", offset, &at(offset), accepted),
        single("time with a fraction", fraction, &at(fraction), accepted),
        single("time as a number", "1795291200", &at("1795291200"), Refused),
        single("time in another writing", offset, &good, Refused),
        single(
            "time without zone",
            "2026-11-21T20:00:00",
            &at("2026-11-21T20:00:00"),
            Refused,
        ),
        single("another time", "2026-11-21T20:00:01Z", &good, Refused),
        single("time not signed", now, &at(""), Refused),
        single("hexadecimal", now, &raw, Refused),
        single("no padding", now, good.trim_end_matches('='), Refused),
        single("version before it", now, &format!("v1,{good}"), Refused),
        case(
            "changed body",
            &[(ZENDESK_TIME, now), (ZENDESK, &good)],
            &text.replace("UTC", "UTD"),
            Refused,
        ),
        case(
            "non-ASCII body",
            &[
                (ZENDESK_TIME, now),
                (ZENDESK, &of_zendesk(sign, "ZENDESK_NEW", now, &umlauts)),
            ],
            &umlauts,
            accepted,
        ),
        case("no time", &[(ZENDESK, &good)], text, Refused),
        case(
            "two times",
            &[(ZENDESK_TIME, now), (ZENDESK_TIME, now), (ZENDESK, &good)],
            text,
            Refused,
        ),
        case(
            "two signatures",
            &[(ZENDESK_TIME, now), (ZENDESK, &good), (ZENDESK, &good)],
            text,
            Refused,
        ),
    ]
}

pub(super) fn github(sign: Sign<'_>) -> Vec<Case> {
    const HEADER: &str = "x-hub-signature-256";
    let by = |name: &str, how| hmac(sign, how, "hex", &secret(name), "", &body());
    let good = by("GITHUB_SECRET", "sha256");
    let base64 = hmac(
        sign,
        "sha256",
        "base64",
        &secret("GITHUB_SECRET"),
        "",
        &body(),
    );
    let old = (
        "x-hub-signature",
        "sha1=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    );
    let text = &body();
    let single = |name, signature: &str, verdict| case(name, &[(HEADER, signature)], text, verdict);
    let accepted = Accepted("github");
    let whole = format!("sha256={good}");
    vec![
        single("good", &whole, accepted),
        single(
            "capital digits",
            &format!("sha256={}", good.to_uppercase()),
            accepted,
        ),
        case(
            "with the old header",
            &[old, (HEADER, &whole)],
            text,
            accepted,
        ),
        case("the old header only", &[old], text, Refused),
        single(
            "secret of another",
            &format!("sha256={}", by("ZENDESK_NEW", "sha256")),
            Refused,
        ),
        single("no algorithm", &good, Refused),
        single(
            "another algorithm",
            &format!("sha512={}", by("GITHUB_SECRET", "sha512")),
            Refused,
        ),
        single(
            "a longer hash",
            &format!("sha256={}", by("GITHUB_SECRET", "sha512")),
            Refused,
        ),
        single("capital algorithm", &format!("SHA256={good}"), Refused),
        single("blank after it", &format!("sha256= {good}"), Refused),
        single("odd digits", &whole[..whole.len() - 1], Refused),
        single("cut off", &whole[..whole.len() - 2], Refused),
        single(
            "sign before a digit",
            &format!("sha256=+{}", &good[1..]),
            Refused,
        ),
        single("base64", &format!("sha256={base64}"), Refused),
        case(
            "changed body",
            &[(HEADER, &whole)],
            &text.replace("UTC", "UTD"),
            Refused,
        ),
        case(
            "twice",
            &[(HEADER, &whole), (HEADER, &whole)],
            text,
            Refused,
        ),
    ]
}

pub(super) fn plain(sign: Sign<'_>) -> Vec<Case> {
    let by = |how, encoding| hmac(sign, how, encoding, &secret("PLAIN_SECRET"), "", &body());
    let (digits, letters) = (by("sha512", "hex"), by("sha384", "base64"));
    let text = &body();
    let hexadecimal =
        |name, value: &str, verdict| case(name, &[("x-body-signature", value)], text, verdict);
    let prefixed = |name, value: &str, verdict| case(name, &[("x-sn-hmac", value)], text, verdict);
    vec![
        hexadecimal("good", &digits, Accepted("hexadecimal")),
        hexadecimal(
            "capital digits",
            &digits.to_uppercase(),
            Accepted("hexadecimal"),
        ),
        hexadecimal("another hash", &by("sha256", "hex"), Refused),
        hexadecimal("another encoding", &by("sha512", "base64"), Refused),
        hexadecimal("with a prefix", &format!("sha512={digits}"), Refused),
        prefixed("good", &format!("v={letters}"), Accepted("prefixed")),
        prefixed("no prefix", &letters, Refused),
        prefixed("prefix only", "v=", Refused),
        prefixed(
            "another hash",
            &format!("v={}", by("sha512", "base64")),
            Refused,
        ),
        prefixed(
            "another encoding",
            &format!("v={}", by("sha384", "hex")),
            Refused,
        ),
    ]
}
