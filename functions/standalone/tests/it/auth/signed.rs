//! Signed requests: every case of the corpus over HTTP, with signatures made by third-party code.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use courier_core::operation::OperationId;
use courier_testkit::tenants::REQUEST_SECRETS;
use courier_testkit::world::World;
#[cfg(feature = "second-tier")]
use serde_json::{Value, json};

use crate::auth::signed_corpus::corpus;
#[cfg(feature = "second-tier")]
use crate::libraries::judge;

/// Time at which the clock of a World begins, in seconds since 1970.
pub(crate) const NOW: i64 = 1_795_291_200;
/// Detail of the refusal of a request whose signed time is too far from now.
pub(crate) const STALE: &str = "the signed timestamp is more than 5 minutes away";

/// Configuration of clients that authenticate by signatures.
pub(crate) const SIGNERS: &str = r#"
[clients.standard]
tenant = "contoso"
operations = ["team.schedule", "user.exportPersonalData"]
signed = { dialect = "standard-webhooks", secrets = ["env:REQUESTS_NEW", "env:REQUESTS_OLD"] }
[clients.zendesk]
tenant = "contoso"
operations = ["team.schedule", "user.exportPersonalData"]
signed = { dialect = "zendesk", secrets = ["env:ZENDESK_NEW", "env:ZENDESK_OLD"] }
[clients.github]
tenant = "contoso"
operations = ["team.schedule", "user.exportPersonalData"]
signed = { dialect = "github", secrets = ["env:GITHUB_SECRET"] }
[clients.hexadecimal]
tenant = "contoso"
operations = ["team.schedule"]
signed = { dialect = "body-hmac", header = "X-Body-Signature", encoding = "hex", algorithm = "sha512", secrets = ["env:PLAIN_SECRET"] }
[clients.prefixed]
tenant = "contoso"
operations = ["team.schedule"]
signed = { dialect = "body-hmac", header = "X-Sn-Hmac", encoding = "base64", algorithm = "sha384", prefix = "v=", secrets = ["env:PLAIN_SECRET"] }
[seal]
"#;

pub(crate) async fn signers() -> World {
    World::with(|setup| setup.config = setup.config.replace("[seal]\n", SIGNERS)).await
}

/// One signature to make: the signed text and the algorithm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ToSign {
    /// `standard`, or the hash of a plain HMAC.
    pub(crate) how: &'static str,
    pub(crate) encoding: &'static str,
    pub(crate) secret: String,
    pub(crate) id: String,
    /// The time, or other text that precedes the body.
    pub(crate) before: String,
    pub(crate) body: String,
}

/// Makes one signature; the corpus is built with such a function.
pub(crate) type Sign<'a> = &'a dyn Fn(ToSign) -> String;

/// Returns the secret that the configuration refers to by this name.
pub(crate) fn secret(name: &str) -> String {
    let found = REQUEST_SECRETS.iter().find(|(known, _)| *known == name);
    found.unwrap().1.to_owned()
}

#[cfg(feature = "second-tier")]
const SIGN: &str = r#"
import base64, hmac, json, sys
from datetime import datetime, timezone
from standardwebhooks import Webhook
def signature(one):
    if one["how"] == "standard":
        at = datetime.fromtimestamp(int(one["before"]), tz=timezone.utc)
        return Webhook(one["secret"]).sign(one["id"], at, one["body"])
    text = (one["before"] + one["body"]).encode()
    digest = hmac.new(one["secret"].encode(), text, one["how"]).digest()
    return digest.hex() if one["encoding"] == "hex" else base64.b64encode(digest).decode()
print(json.dumps([signature(one) for one in json.load(sys.stdin)]))
"#;

/// Returns what `build` makes, with signatures by other people's code: the crates `standardwebhooks` and `aws-lc-rs`, and in
/// the second tier also by PyPI's `standardwebhooks` and Python's `hmac`, which must agree with them.
pub(crate) fn signed<T>(build: impl Fn(Sign<'_>) -> T) -> T {
    let wanted = RefCell::new(Vec::new());
    build(&|one| {
        wanted.borrow_mut().push(one);
        format!("v1,{}", "A".repeat(128))
    });
    let wanted = wanted.into_inner();
    let made: Vec<String> = wanted.iter().map(by_crates).collect();
    #[cfg(feature = "second-tier")]
    for (one, python) in wanted.iter().zip(by_python(&wanted)) {
        assert_eq!(by_crates(one), python, "the libraries differ: {one:?}");
    }
    let made: BTreeMap<ToSign, String> = wanted.into_iter().zip(made).collect();
    build(&|one| made[&one].clone())
}

fn by_crates(one: &ToSign) -> String {
    let algorithm = match one.how {
        "standard" => {
            let second = one.before.parse().unwrap();
            return courier_testkit::signing::standard(&one.secret, &one.id, second, &one.body);
        }
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => hmac::HMAC_SHA256,
        "sha384" => hmac::HMAC_SHA384,
        "sha512" => hmac::HMAC_SHA512,
        other => panic!("{other}"),
    };
    let key = hmac::Key::new(algorithm, one.secret.as_bytes());
    let tag = hmac::sign(&key, format!("{}{}", one.before, one.body).as_bytes());
    match one.encoding {
        "hex" => tag
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        _ => STANDARD.encode(tag),
    }
}

#[cfg(feature = "second-tier")]
fn by_python(wanted: &[ToSign]) -> Vec<String> {
    let input: Vec<Value> = wanted
        .iter()
        .map(|one| {
            json!({ "how": one.how, "encoding": one.encoding, "secret": one.secret,
                    "id": one.id, "before": one.before, "body": one.body })
        })
        .collect();
    let signatures = judge(SIGN, &Value::Array(input)).into_iter();
    signatures
        .map(|signature| signature.as_str().unwrap().to_owned())
        .collect()
}

/// The expected result of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 202 with an operation of this client.
    Accepted(&'static str),
    /// 401 with this detail.
    RefusedBecause(&'static str),
    /// 401 without a detail.
    Refused,
}

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    pub(crate) verdict: Verdict,
}

#[tokio::test]
async fn every_signed_request_of_the_corpus_gets_its_verdict() {
    let world = signers().await;
    let cases = signed(corpus);
    assert!(cases.len() >= 80, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let mut headers = vec![("x-api-key", "")];
        let given = case.headers.iter();
        headers.extend(given.map(|(name, value)| (*name, value.as_str())));
        let answer = world
            .call("POST", "/v1/operations", &headers, case.body.clone())
            .await;
        let found = match answer.status {
            202 => {
                let id = OperationId::parse(&answer.id()).unwrap();
                let record = world.app.store.load(&id).await.unwrap().unwrap();
                format!("accepted as {}", record.client)
            }
            401 => {
                assert_eq!(answer.problem(), "unauthenticated", "{}", case.name);
                let mut challenges = answer.headers.get_all("www-authenticate").iter();
                assert_eq!(challenges.next_back().unwrap(), "Bearer");
                format!("refused: {:?}", answer.body["detail"].as_str())
            }
            _ => format!("{answer:?}"),
        };
        let expected = match case.verdict {
            Verdict::Accepted(client) => format!("accepted as {client}"),
            Verdict::RefusedBecause(rule) => format!("refused: {:?}", Some(rule)),
            Verdict::Refused => format!("refused: {:?}", None::<&str>),
        };
        if found != expected {
            let (name, sent) = (case.name, &case.headers);
            wrong.push(format!("{name}: {found}, not {expected}: {sent:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
