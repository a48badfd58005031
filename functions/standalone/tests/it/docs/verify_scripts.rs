//! The scripts of `docs/callers/verify` accept the callbacks of the golden files and refuse any that was altered.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use courier_testkit::signing;
use courier_testkit::tenants::{RECEIVER_HMAC, SIGNING_SECRETS};
use serde_json::{Map, Value, json};

#[cfg(feature = "second-tier")]
use crate::libraries;

pub(crate) const GLIDE: &str = include_str!("glide.mjs");
const OTHER_SECRET: &str = "whsec_YW5vdGhlci1zZWNyZXQtb2YtYW5vdGhlci1jbGllbnQ=";
const HMAC_HEADER: &str = "x-sn-hmac-signature-256";
/// Profiles whose callbacks carry the signature of Standard Webhooks.
const SIGNED_PROFILES: [&str; 5] = [
    "generic",
    "logic-apps",
    "okta-workflows",
    "servicenow-scripted",
    "standard-webhooks",
];

pub(crate) fn callers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/callers")
}

pub(crate) fn read(path: &str) -> String {
    let file = callers().join(path);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A callback that a script receives, and the verdict that it must return.
#[derive(Clone)]
struct Case {
    what: String,
    secrets: Vec<String>,
    headers: Map<String, Value>,
    body: String,
    now: i64,
    /// Reason why it must be refused; `None` if it must be accepted.
    refusal: Option<String>,
}

impl Case {
    /// Returns the callback of a golden file, received at the time when it was sent.
    fn golden(profile: &str, secrets: &[&str]) -> Self {
        let text = read(&format!("golden/{profile}.http"));
        let parts: Vec<&str> = text.splitn(3, "\n\n").collect();
        let [_, head, body] = parts[..] else {
            panic!("{profile}: configuration, head and body")
        };
        let lines = head.lines().skip(1);
        let headers: Map<String, Value> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        let now = headers["webhook-timestamp"].as_str().unwrap();
        Self {
            what: profile.to_owned(),
            secrets: secrets.iter().map(|&secret| secret.to_owned()).collect(),
            now: now.parse().unwrap(),
            body: body.strip_suffix('\n').unwrap().to_owned(),
            headers,
            refusal: None,
        }
    }

    /// Returns a copy with one change and the expected refusal.
    fn but(&self, what: &str, refusal: Option<&str>, change: impl Fn(&mut Self)) -> Self {
        let mut case = self.clone();
        case.what = format!("{} but {what}", self.what);
        case.refusal = refusal.map(str::to_owned);
        change(&mut case);
        assert!(
            case.secrets != self.secrets
                || case.headers != self.headers
                || case.body != self.body
                || case.now != self.now,
            "{}: nothing is changed",
            case.what
        );
        case
    }

    fn json(&self) -> Value {
        json!({ "secrets": self.secrets, "headers": self.headers, "body": self.body, "now": self.now })
    }
}

/// Returns cases made from a golden callback with the signature of Standard Webhooks, unchanged and altered.
fn standard(profile: &str) -> Vec<Case> {
    let [new, old] = SIGNING_SECRETS;
    let good = Case::golden(profile, &[new]);
    let now = good.now;
    let secrets = |secrets: &[&str]| -> Vec<String> {
        secrets.iter().map(|&secret| secret.to_owned()).collect()
    };
    let unfit = Some("no signature fits");
    let late = Some("it was not sent within the last 5 minutes");
    let mut cases = vec![
        good.clone(),
        good.but("known by the old secret", None, |case| {
            case.secrets = secrets(&[old]);
        }),
        good.but("the secret is being rotated", None, |case| {
            case.secrets = secrets(&[OTHER_SECRET, old]);
        }),
        good.but("a signature of another version first", None, |case| {
            let signed = case.headers["webhook-signature"].as_str().unwrap();
            let all = format!("v1a,{} v2 {signed}", "A".repeat(43));
            case.headers["webhook-signature"] = json!(all);
        }),
        good.but("letters of more than one byte", None, |case| {
            case.body = case.body.replacen("Chicago", "Çhicägo €", 1);
            let id = case.headers["webhook-id"].as_str().unwrap();
            let signature = signing::standard(new, id, now, &case.body);
            case.headers["webhook-signature"] = json!(signature);
        }),
        good.but("300 s late", None, |case| case.now = now + 300),
        good.but("300 s early", None, |case| case.now = now - 300),
        good.but("301 s late", late, |case| case.now = now + 301),
        good.but("301 s early", late, |case| case.now = now - 301),
        good.but("one byte of the body", unfit, |case| {
            case.body = case.body.replacen("succeeded", "succeedee", 1);
        }),
        good.but("another id", unfit, |case| {
            case.headers["webhook-id"] = json!("msg_other");
        }),
        good.but("another time", unfit, |case| {
            case.headers["webhook-timestamp"] = json!((now + 1).to_string());
        }),
        good.but("another secret", unfit, |case| {
            case.secrets = secrets(&[OTHER_SECRET]);
        }),
        good.but("no secret", unfit, |case| case.secrets.clear()),
        good.but("half a signature", unfit, |case| {
            let all = case.headers["webhook-signature"].as_str().unwrap();
            case.headers["webhook-signature"] = json!(&all[..20]);
        }),
    ];
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let missing = format!("{name} is missing");
        cases.push(good.but(&format!("no {name}"), Some(&missing), |case| {
            case.headers.remove(name);
        }));
    }
    cases
}

fn compare(cases: &[Case], output: &str) {
    let verdicts: Vec<Option<String>> = serde_json::from_str(output).unwrap();
    assert_eq!(verdicts.len(), cases.len());
    for (case, verdict) in cases.iter().zip(verdicts) {
        assert_eq!(verdict, case.refusal, "{}", case.what);
    }
}

fn all_standard() -> (Vec<Case>, String) {
    let cases: Vec<Case> = SIGNED_PROFILES
        .iter()
        .flat_map(|profile| standard(profile))
        .collect();
    let input: Vec<Value> = cases.iter().map(Case::json).collect();
    (cases, Value::Array(input).to_string())
}

#[test]
fn every_signed_golden_callback_is_in_this_test() {
    let files = fs::read_dir(callers().join("golden")).unwrap();
    let mut found: Vec<String> = files
        .map(|file| file.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| {
            let text = read(&format!("golden/{name}.http"));
            text.contains("\nwebhook-signature: ")
        })
        .collect();
    found.sort();
    assert_eq!(found, SIGNED_PROFILES);
}

#[cfg(feature = "second-tier")]
#[test]
fn the_python_script_accepts_only_correctly_signed_callbacks() {
    const DRIVER: &str = r#"
import json, sys
from verify import Refused, verify
def verdict(case):
    try:
        event = verify(case["body"].encode(), case["headers"], case["secrets"], case["now"])
        return None if event == json.loads(case["body"]) else "another event"
    except Refused as refused:
        return str(refused)
print(json.dumps([verdict(case) for case in json.load(sys.stdin)]))
"#;
    let (cases, input) = all_standard();
    let scripts = callers().join("verify");
    compare(
        &cases,
        &libraries::output(
            Command::new("python3")
                .env("PYTHONPATH", scripts)
                .args(["-B", "-c", DRIVER]),
            &input,
        ),
    );
}

#[test]
fn the_node_script_accepts_only_correctly_signed_callbacks() {
    const DRIVER: &str = r#"
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { pathToFileURL } from "node:url";
const { Refused, verify } = await import(pathToFileURL(process.argv[1]));
function verdict({ body, headers, secrets, now }) {
  try {
    const event = verify(Buffer.from(body), headers, secrets, now);
    return isDeepStrictEqual(event, JSON.parse(body)) ? null : "another event";
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
}
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(verdict)));
"#;
    let (cases, input) = all_standard();
    let script = callers().join("verify/verify.mjs");
    if let Some(output) = node(DRIVER, &[script.to_str().unwrap()], &input) {
        compare(&cases, &output);
    }
}

/// The script is run with both kinds of signature, in an application's scope and in the global one.
///
/// For the global scope the names are replaced as the script's first comment says.
#[test]
fn the_servicenow_script_accepts_only_correctly_signed_callbacks() {
    let script = read("verify/servicenow.js");
    is_es5(&script);
    let global = script
        .replace(
            "new CertificateEncryption",
            "new GlideCertificateEncryption",
        )
        .replace(
            "return gs.base64Encode",
            "return GlideStringUtil.base64Encode",
        );
    assert_ne!(script, global);
    let mut cases = standard("servicenow-scripted");
    cases.extend(body_hmac_cases());
    let number = "DSAR-\"17\"";
    let mut unknown = Case::golden("servicenow-scripted", &[SIGNING_SECRETS[0]]);
    unknown.what = "another task".to_owned();
    for (script, global) in [(script, false), (global, true)] {
        let one = |case: &Case, number: &str| {
            let (standard, plain): (Vec<_>, Vec<_>) = case
                .secrets
                .iter()
                .map(String::as_str)
                .partition(|secret| secret.starts_with("whsec_"));
            let mut one = case.json();
            one["global"] = json!(global);
            one["number"] = json!(number);
            one["properties"] = json!({
                "x_dsar.courier.signing_secrets": standard.join(" "),
                "x_dsar.courier.hmac_secrets": plain.join(" "),
            });
            one
        };
        let mut deliveries: Vec<Value> = cases.iter().map(|case| one(case, number)).collect();
        deliveries.push(one(&unknown, "another"));
        let input = json!({ "script": script, "cases": deliveries }).to_string();
        let Some(output) = node(GLIDE, &[], &input) else {
            return;
        };
        let mut answers: Vec<Value> = serde_json::from_str(&output).unwrap();
        let lost = answers.pop().unwrap();
        assert_eq!(
            (&lost["status"], &lost["updates"]),
            (&json!(404), &json!(0))
        );
        assert_eq!(answers.len(), cases.len());
        for (case, answer) in cases.iter().zip(answers) {
            let found = (&answer["status"], &answer["updates"], &answer["note"]);
            let note = json!("Microsoft 365, team.schedule: succeeded");
            let expected = match &case.refusal {
                None => (&json!(200), &json!(1), &note),
                Some(_) => (&json!(401), &json!(0), &Value::Null),
            };
            assert_eq!(found, expected, "{}: {answer}", case.what);
        }
    }
}

/// Returns cases of the profile `servicenow-hmac`, whose HMAC covers only the body.
fn body_hmac_cases() -> Vec<Case> {
    let good = Case::golden("servicenow-hmac", &[RECEIVER_HMAC]);
    let refused = Some("the HMAC does not fit");
    let secrets = |all: &[&str]| -> Vec<String> { all.iter().map(|&one| one.to_owned()).collect() };
    vec![
        good.clone(),
        good.but("the secret is being rotated", None, |case| {
            case.secrets = secrets(&["another", RECEIVER_HMAC]);
        }),
        good.but("one byte of the body", refused, |case| {
            case.body = case.body.replacen("succeeded", "succeedee", 1);
        }),
        good.but("another secret", refused, |case| {
            case.secrets = secrets(&["another"]);
        }),
        good.but("no secret", refused, |case| case.secrets.clear()),
        good.but("only secrets of the other signature", refused, |case| {
            case.secrets = secrets(&[SIGNING_SECRETS[0]]);
        }),
        good.but("no signature", refused, |case| {
            case.headers.remove(HMAC_HEADER);
        }),
    ]
}

/// Checks that a script is ES5, because ServiceNow's engine runs nothing newer in some scopes.
pub(crate) fn is_es5(script: &str) {
    for newer in ["=>", "`", "let ", "const ", "async "] {
        assert!(!script.contains(newer), "{newer} is newer than ES5");
    }
}

/// Runs a module with Node and returns what it wrote.
///
/// The first tier prints that Node is not installed, where that is so, and returns `None`; the second brings its own.
pub(crate) fn node(module: &str, arguments: &[&str], input: &str) -> Option<String> {
    #[cfg(feature = "second-tier")]
    let mut node = libraries::node(module);
    #[cfg(not(feature = "second-tier"))]
    let mut node = Command::new("node");
    #[cfg(not(feature = "second-tier"))]
    node.args(["--input-type=module", "-e", module]);
    let spawned = node
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("skipped: node is not installed");
            return None;
        }
        Err(error) => panic!("node: {error}"),
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "node: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}
