//! Callbacks are verified by third-party code as a receiver uses it: `standardwebhooks` of PyPI and of npm, pinned by hash.

use courier_testkit::receiver::{Answer, Callback};
use courier_testkit::world::{SIGNING_SECRETS, World};
use serde_json::{Value, json};

use crate::libraries;
use crate::process::program::now;

/// Python program that reads a list of `{secret, headers, body}` and writes for each `null`, or why it was refused.
const IN_PYTHON: &str = r#"
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
def verdict(case):
    try:
        parsed = Webhook(case["secret"]).verify(case["body"].encode(), case["headers"])
        return None if parsed == json.loads(case["body"]) else "another body"
    except WebhookVerificationError as error:
        return str(error)
print(json.dumps([verdict(case) for case in json.load(sys.stdin)]))
"#;

/// The same as a JavaScript module.
const IN_JAVASCRIPT: &str = r#"
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
function verdict({ secret, headers, body }) {
  try {
    const parsed = new Webhook(secret).verify(Buffer.from(body), headers);
    return isDeepStrictEqual(parsed, JSON.parse(body)) ? null : "another body";
  } catch (error) {
    if (error instanceof WebhookVerificationError) return error.message;
    throw error;
  }
}
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(verdict)));
"#;

/// One input of the library and the verdict that it must return.
struct Case {
    what: String,
    secret: String,
    headers: Vec<(String, String)>,
    body: String,
    /// The library's error message; `None` if it must verify.
    refusal: Option<&'static str>,
}

impl Case {
    fn json(&self) -> Value {
        let headers = self.headers.iter().cloned();
        let headers: serde_json::Map<_, _> = headers
            .map(|(name, value)| (name, Value::from(value)))
            .collect();
        json!({ "secret": self.secret, "headers": headers, "body": self.body })
    }
}

#[tokio::test]
async fn receivers_verify_callbacks_with_the_library_of_their_choice() {
    let callbacks = callbacks().await;
    assert_eq!(
        callbacks.len(),
        4,
        "three operations, one of them delivered twice"
    );
    let cases: Vec<Case> = callbacks.iter().flat_map(cases).collect();
    let input = Value::Array(cases.iter().map(Case::json).collect());
    for (language, verdicts) in [
        ("Python", libraries::judge(IN_PYTHON, &input)),
        (
            "JavaScript",
            libraries::judge_in_node(IN_JAVASCRIPT, &input),
        ),
    ] {
        assert_eq!(verdicts.len(), cases.len(), "{language}");
        for (case, verdict) in cases.iter().zip(verdicts) {
            let (what, headers) = (&case.what, &case.headers);
            assert_eq!(
                verdict.as_str(),
                case.refusal,
                "{language}, {what}: {headers:?}"
            );
        }
    }
}

/// Returns callbacks of all three operations, sent at the time of the clock that the library reads.
async fn callbacks() -> Vec<Callback> {
    let world = World::with(|setup| {
        setup.simulator.durations.export_seconds = 10.0;
        setup.simulator.durations.goals_seconds = 10.0;
        setup.clock.set(now());
    })
    .await;
    world.receiver.answer_next(Answer::status(500));
    for body in [world.schedule(), world.goals(), world.export("dsar")] {
        let headers = [("idempotency-key", body["operation"].as_str().unwrap())];
        let id = world.post_with(&headers, &body).await.id();
        assert_eq!(world.closed(&id).await["status"], "succeeded");
        world.clock.set(now());
    }
    world.receiver.journal()
}

fn cases(callback: &Callback) -> Vec<Case> {
    let body = String::from_utf8(callback.body.to_vec()).unwrap();
    let good = |what: &str, secret: &str| Case {
        what: what.to_owned(),
        secret: secret.to_owned(),
        headers: callback.headers.clone(),
        body: body.clone(),
        refusal: None,
    };
    let bad = |what: &str, refusal, change: &dyn Fn(&mut Case)| {
        let mut case = good(what, SIGNING_SECRETS[0]);
        case.refusal = Some(refusal);
        change(&mut case);
        case
    };
    let header = |case: &mut Case, name: &str, value: String| {
        let found = case.headers.iter_mut().find(|(key, _)| key == name);
        found.unwrap().1 = value;
    };
    let seconds: i64 = callback
        .header("webhook-timestamp")
        .unwrap()
        .parse()
        .unwrap();
    let no_match = "No matching signature found";
    vec![
        good("the new secret", SIGNING_SECRETS[0]),
        good("the old secret", SIGNING_SECRETS[1]),
        bad("another secret", no_match, &|case| {
            case.secret = "whsec_YW5vdGhlci1zZWNyZXQtb2YtYW5vdGhlci1jbGllbnQ=".to_owned();
        }),
        bad("a changed body", no_match, &|case| {
            case.body = case.body.replacen("succeeded", "succeedee", 1);
        }),
        bad("another id", no_match, &|case| {
            header(case, "webhook-id", "msg_other".to_owned());
        }),
        bad("another timestamp", no_match, &|case| {
            header(case, "webhook-timestamp", (seconds + 1).to_string());
        }),
        bad("an old timestamp", "Message timestamp too old", &|case| {
            header(case, "webhook-timestamp", (seconds - 900).to_string());
        }),
        bad(
            "a timestamp to come",
            "Message timestamp too new",
            &|case| {
                header(case, "webhook-timestamp", (seconds + 900).to_string());
            },
        ),
    ]
}
