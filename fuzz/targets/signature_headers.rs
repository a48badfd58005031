//! Fuzzes signed requests, given as header lines, an empty line and a body.
//!
//! No request is accepted without a signature, or with a signed time more than five minutes from now.
//!
//! `%standard`, `%zendesk`, `%github` and `%plain` in a header's value stand for the right signature of the request.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use courier_core::auth::signed::verify;
use courier_core::config::credentials::{
    Credentials, Dialect, Encoding, HmacAlgorithm, SignedRequests,
};
use courier_core::config::{CallbackProfiles, Client, EventRules};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use sha2::{Sha256, Sha512};

const NOW: i64 = 1_795_291_200;
const KEY: &[u8] = b"a key that nobody guesses";

static CLIENTS: LazyLock<BTreeMap<String, Client>> = LazyLock::new(|| {
    let plain = Dialect::BodyHmac {
        header: HeaderName::from_static("x-signature"),
        encoding: Encoding::Hex,
        algorithm: HmacAlgorithm::Sha512,
        prefix: "sha512=".to_owned(),
    };
    let dialects = [
        Dialect::StandardWebhooks,
        Dialect::Zendesk,
        Dialect::Github,
        plain,
    ];
    dialects
        .map(|dialect| (dialect.as_str().to_owned(), client(dialect)))
        .into()
});

fn client(dialect: Dialect) -> Client {
    let secrets = vec![b"an older key".to_vec(), KEY.to_vec()];
    Client {
        name: dialect.as_str().to_owned(),
        tenant: "contoso".to_owned(),
        credentials: Credentials {
            signed: Some(SignedRequests { dialect, secrets }),
            ..Credentials::default()
        },
        requests_per_minute: 600,
        max_open_operations: 20_000,
        operations: Default::default(),
        storages: BTreeSet::new(),
        callback_origins: Vec::new(),
        signing_secrets: Vec::new(),
        profiles: CallbackProfiles::default(),
        events: true,
        event_rules: EventRules::default(),
    }
}

fuzz_target!(|data: &[u8]| {
    let (lines, body) = split(data);
    let first = |name: &str| lines.iter().find(|(header, _)| header.as_str() == name);
    let value = |name: &str| first(name).map_or(Vec::new(), |(_, value)| value.clone());
    let standard = [&value("webhook-id")[..], &value("webhook-timestamp"), body].join(&b'.');
    let zendesk = [&value("x-zendesk-webhook-signature-timestamp")[..], body].concat();
    let signatures = [
        (
            "%standard",
            format!("v1,{}", STANDARD.encode(sha256(&standard))),
        ),
        ("%zendesk", STANDARD.encode(sha256(&zendesk))),
        ("%github", format!("sha256={}", hex(&sha256(body)))),
        ("%plain", format!("sha512={}", hex(&sha512(body)))),
    ];
    let mut headers = HeaderMap::new();
    let mut signed = false;
    for (name, value) in &lines {
        let mut text = String::from_utf8_lossy(value).into_owned();
        for (placeholder, signature) in &signatures {
            signed |= text.contains(placeholder);
            text = text.replace(placeholder, signature);
        }
        let Ok(value) = HeaderValue::from_str(&text) else {
            return;
        };
        headers.append(name, value);
    }
    let now = Timestamp::from_second(NOW).unwrap();
    let Ok(caller) = verify(&headers, body, &CLIENTS, now) else {
        return;
    };
    assert!(signed, "an unsigned request was accepted");
    let signed_at = match caller.client.name.as_str() {
        "standard-webhooks" => String::from_utf8(value("webhook-timestamp"))
            .unwrap()
            .parse()
            .unwrap(),
        "zendesk" => {
            let time = value("x-zendesk-webhook-signature-timestamp");
            let time: Timestamp = String::from_utf8(time).unwrap().parse().unwrap();
            time.as_second()
        }
        _ => NOW,
    };
    assert!(
        signed_at.abs_diff(NOW) <= 300,
        "the signed time {signed_at} is not near now"
    );
});

/// Splits the input into headers and body; the first line that is no header begins the body.
fn split(data: &[u8]) -> (Vec<(HeaderName, Vec<u8>)>, &[u8]) {
    let mut lines = Vec::new();
    let mut rest = data;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        let colon = line.iter().position(|byte| *byte == b':');
        let name = colon.and_then(|colon| HeaderName::from_bytes(&line[..colon]).ok());
        let (Some(name), Some(colon)) = (name, colon) else {
            return (
                lines,
                if line.is_empty() {
                    &rest[end + 1..]
                } else {
                    rest
                },
            );
        };
        lines.push((name, line[colon + 1..].trim_ascii().to_vec()));
        rest = &rest[end + 1..];
    }
    (lines, rest)
}

fn sha256(content: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.chain_update(content).finalize().into_bytes().to_vec()
}

fn sha512(content: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha512>::new_from_slice(KEY).unwrap();
    mac.chain_update(content).finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
