//! The files of `examples` that go into other systems: configurations hold, requests are accepted, scripts run.

use std::fs;

use courier_core::catalogue::Catalogue;
use courier_core::config::Config;
use courier_testkit::tenants::resolve;
use courier_testkit::world::World;
use serde_json::{Value, json};

use crate::auth::credentials::hash;
use crate::rules::{read, root};

/// Folders whose `courier.toml` is for one client of another system.
const SYSTEMS: [&str; 5] = [
    "jira",
    "power-automate",
    "servicenow",
    "step-functions",
    "zendesk",
];
/// What stands in the examples in place of a key's hash.
const NOBODY: &str = "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"";
const KEY: &str = "key-of-the-example";
/// What the other systems put in the place of their placeholders.
const FILLS: [(&str, &str); 9] = [
    ("{{issue.key}}", "DSAR-17"),
    ("{{issue.Team ID}}", PERSON),
    ("{{issue.Entra object ID}}", PERSON),
    ("{{ticket.id}}", "35436"),
    ("{{ticket.ticket_field_DEVICE_FIELD}}", PERSON),
    ("@{parameters('courierUrl')}", ""),
    ("@{triggerBody()?['userId']}", PERSON),
    ("@{triggerBody()?['reference']}", "DSAR-17"),
    (
        "@{listCallbackUrl()}",
        "https://prod-42.westeurope.logic.azure.com/workflows/8f2a/runs/1?sig=a-_~",
    ),
];
const PERSON: &str = "6e7b768e-07e2-4810-8459-485f84f8f204";

fn config(system: &str) -> String {
    read(&format!("examples/{system}/courier.toml"))
}

fn filled(text: &str) -> String {
    let sas = courier_testkit::world::sas("dsar-17");
    let text = text
        .replace("@{triggerBody()?['storageLocation']}", &sas)
        .replace(
            "{{webhookResponse.body.url.asJsonString}}",
            &format!("\"{sas}\""),
        );
    FILLS.iter().fold(text, |text, (placeholder, value)| {
        text.replace(placeholder, value)
    })
}

/// Returns a world with the client of this example, whose key is `KEY`.
async fn world(system: &str) -> World {
    let text = config(system).replace(NOBODY, &hash(KEY));
    let client = &text[text.find("[clients.").unwrap()..text.find("[seal]").unwrap()];
    World::with(|setup| {
        setup.config = setup
            .config
            .replace("[seal]\n", &format!("{client}[seal]\n"));
    })
    .await
}

#[test]
fn every_example_has_a_configuration_that_holds_and_opens_for_nobody() {
    for system in SYSTEMS {
        let text = config(system);
        assert_eq!(text.matches("sha256:").count(), 1, "{system}");
        assert!(text.contains(NOBODY), "{system}");
        let parsed = Config::parse(&text, Catalogue::shipped(), &resolve);
        let config = parsed.unwrap_or_else(|errors| panic!("{system}: {errors}"));
        assert_eq!(config.clients.len(), 1, "{system}");
    }
}

#[tokio::test]
async fn the_bodies_of_the_examples_are_accepted_and_may_be_repeated() {
    let mut bodies = 0;
    for system in ["jira", "zendesk"] {
        let world = world(system).await;
        for file in fs::read_dir(root().join("examples").join(system)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            let body = filled(&fs::read_to_string(&path).unwrap());
            assert!(!body.contains("{{"), "{body}");
            let headers = [("x-api-key", KEY), ("prefer", "respond-async")];
            let first = world
                .call("POST", "/v1/operations", &headers, body.clone())
                .await;
            assert_eq!(first.status, 202, "{}: {first:?}", path.display());
            let again = world.call("POST", "/v1/operations", &headers, body).await;
            assert_eq!(again.id(), first.id());
            bodies += 1;
        }
    }
    assert_eq!(bodies, 3);
}

/// Asked twice, told where to call, and cancelled by what Logic Apps calls when the run is cancelled.
#[tokio::test]
async fn the_requests_of_the_power_automate_flow_are_answered_as_its_page_says() {
    let world = world("power-automate").await;
    let text = filled(&read("examples/power-automate/workflow.json"));
    let key = text.replace("@{parameters('courierKey')}", KEY);
    let asks: Value = serde_json::from_str(&key).unwrap();
    let ask = &asks["definition"]["actions"]["Ask"]["inputs"];
    let first = send(&world, ask).await;
    assert_eq!(first.0, 202, "{first:?}");
    let id = first.1["id"].as_str().unwrap();
    assert_eq!(first.1["callback"]["status"], "none");
    assert_eq!(send(&world, ask).await.1["id"], id);
    let known = key.replace("@{body('Ask')?['id']}", id);
    let known: Value = serde_json::from_str(&known).unwrap();
    let actions = &known["definition"]["actions"];
    let wait = &actions["Wait"]["inputs"];
    let (status, told) = send(&world, &wait["subscribe"]).await;
    assert_eq!(
        (status, &told["callback"]["status"]),
        (202, &json!("pending"))
    );
    assert_eq!(send(&world, &wait["unsubscribe"]).await.0, 200);
    let (status, read) = send(&world, &actions["Read"]["inputs"]).await;
    assert_eq!((status, &read["status"]), (200, &json!("cancelled")));
}

/// Sends what an action of Logic Apps with these inputs sends.
async fn send(world: &World, inputs: &Value) -> (u16, Value) {
    let headers = inputs["headers"].as_object().unwrap().iter();
    let headers: Vec<(&str, &str)> = headers
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let body = inputs.get("body").map(Value::to_string).unwrap_or_default();
    let (method, path) = (&inputs["method"], &inputs["uri"]);
    let answer = world
        .call(
            method.as_str().unwrap(),
            path.as_str().unwrap(),
            &headers,
            body,
        )
        .await;
    (answer.status, answer.body)
}

#[cfg(feature = "second-tier")]
mod second_tier {
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use courier_testkit::tenants::{SIGNING_SECRETS, TICKETS_KEY};
    use serde_json::{Value, json};
    use tokio::time::timeout;

    use super::*;
    use crate::libraries;
    use crate::process::deployment::{QUICK, Site};
    use crate::process::program::PATIENCE;

    #[test]
    fn every_script_for_servicenow_is_es5_by_a_real_parser() {
        const PARSE: &str = r#"
import { readFileSync } from "node:fs";
import { parse } from "acorn";
const scripts = JSON.parse(readFileSync(0, "utf8"));
const wrong = (text) => { try { parse(text, { ecmaVersion: 5 }); return null; } catch (error) { return error.message; } };
process.stdout.write(JSON.stringify(scripts.map(wrong)));
"#;
        let mut scripts = vec![read("docs/callers/verify/servicenow.js")];
        for file in fs::read_dir(root().join("examples/servicenow")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "js") {
                scripts.push(fs::read_to_string(path).unwrap());
            }
        }
        scripts.push("let newer = 1;".to_owned());
        let mut verdicts = libraries::judge_in_node(PARSE, &json!(scripts));
        assert_ne!(verdicts.pop(), Some(Value::Null), "newer than ES5");
        assert_eq!(verdicts, vec![Value::Null; 5]);
    }

    #[tokio::test]
    async fn the_servicenow_scripts_ask_are_told_and_cancel() {
        let site = Site::new(QUICK).await;
        // Free a moment ago: the configuration must name it before the script can listen.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let port = free.unwrap().port();
        let file = site.path("courier.toml");
        let config = fs::read_to_string(&file).unwrap();
        let origins = format!("callback_origins = [\"http://127.0.0.1:{port}\", ");
        fs::write(&file, config.replace("callback_origins = [", &origins)).unwrap();
        let (_server, api) = site.serve(&[]).await;
        let node = tokio::task::spawn_blocking(|| {
            let script = root().join("examples/servicenow/try.mjs");
            let script = json!(format!("file://{}", script.display()));
            libraries::node(&format!(
                "process.argv.splice(1, 0, \"try.mjs\"); await import({script});"
            ))
        });
        let mut node = tokio::process::Command::from(node.await.unwrap());
        node.args([&api, TICKETS_KEY, SIGNING_SECRETS[0], &port.to_string()])
            .envs([("NO_PROXY", "*")])
            .kill_on_drop(true);
        let output = timeout(PATIENCE, node.output()).await.unwrap().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }

    /// The Azure CLI is a stand-in, which makes a SAS of the words that it is given, as the real one does.
    #[tokio::test]
    async fn the_container_script_prints_a_url_that_is_accepted() {
        const AZ: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    create) exit 0 ;;
    --permissions) sp=$2 ;;
    --expiry) se=$2 ;;
    --https-only) spr=https ;;
  esac
  shift
done
echo "se=$se&sp=$sp&spr=$spr&sv=2026-04-06&sr=c&sig=canarySasSignature0123456789abcdefABCDEFGHI%3D"
"#;
        let folder = tempfile::tempdir().unwrap();
        let az = folder.path().join("az");
        fs::write(&az, AZ).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&az, executable).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let output = Command::new(root().join("examples/storage/container.sh"))
            .args(["RITM 12/34_"])
            .env("PATH", path)
            .env("AZURE_STORAGE_ACCOUNT", "contosodsar")
            .output()
            .unwrap();
        let url = String::from_utf8(output.stdout).unwrap();
        let start = "https://contosodsar.blob.core.windows.net/dsar-ritm-12-34?se=";
        assert!(url.starts_with(start), "{url} {:?}", output.stderr);
        let world = World::new().await;
        let mut request = world.export("dsar");
        request["parameters"]["storageLocation"] = json!(url.trim_end());
        assert_eq!(world.post(&request).await.status, 202);
    }

    /// A stand-in plays Entra, and the browser that comes back from the sign-in, once with the state of somebody else.
    #[test]
    fn the_entra_script_prints_what_was_granted_and_keeps_the_refresh_token_to_itself() {
        const DRIVER: &str = r#"
import base64, json, os, re, subprocess, sys, threading, urllib.error, urllib.parse, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
script, folder = sys.argv[1:]
class Entra(BaseHTTPRequestHandler):
    def do_POST(self):
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
        claims = {"roles": ["User.Export.All", "A.B"]} if form["client_id"] == "granted" else {}
        token = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        code = form.get("code")
        answer = {"access_token": f"e30.{token}.x", **({"refresh_token": f"of-{code}", "scope": "a b"} if code else {})}
        self.send_response(200 if form["client_secret"] == "secret" else 401)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())
    def log_message(self, *_): pass
entra = HTTPServer(("127.0.0.1", 0), Entra)
threading.Thread(target=entra.serve_forever, daemon=True).start()
secret, out = os.path.join(folder, "secret"), os.path.join(folder, "refresh-token")
with open(secret, "w") as file: file.write("secret\n")
def start(command, client, *more):
    words = ["--tenant=t", f"--client={client}", f"--secret={secret}", f"--login=http://127.0.0.1:{entra.server_port}", *more]
    return subprocess.Popen([sys.executable, "-B", script, command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
seen = [start("roles", client).communicate() for client in ("granted", "other")]
free = HTTPServer(("127.0.0.1", 0), Entra); port = free.server_port; free.server_close()
signing = start("sign-in", "granted", f"--out={out}", f"--port={port}")
url = next(line for line in signing.stdout if "/authorize?" in line)
state = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url.strip()).query))["state"]
for query in ("code=EVIL&state=other", f"code=GOOD&state={state}"):
    while True:
        try: urllib.request.urlopen(f"http://127.0.0.1:{port}/?{query}")
        except urllib.error.HTTPError: pass
        except urllib.error.URLError: continue
        break
said = signing.communicate()
json.dump([seen, open(out).read(), oct(os.stat(out).st_mode & 0o777), "GOOD" in str(said), signing.returncode], sys.stdout)
"#;
        let folder = tempfile::tempdir().unwrap();
        let script = root().join("examples/app-registration/entra.py");
        let mut python = Command::new("python3");
        python
            .args(["-B", "-c", DRIVER])
            .arg(script)
            .arg(folder.path());
        python.env("NO_PROXY", "*");
        let seen: Value = serde_json::from_str(&libraries::output(&mut python, "")).unwrap();
        let none = "a token, and no permission in it: nobody has consented yet\n";
        let expected = json!([
            [["A.B\nUser.Export.All\n", ""], ["", none]],
            "of-GOOD",
            "0o600",
            false,
            0
        ]);
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_python_verifier_says_as_a_program_why_a_request_is_refused() {
        use std::io::Write;

        let request = read("docs/callers/golden/standard-webhooks.http");
        let written_anew = request
            .replace("{\"type\":", "{ \"type\": ")
            .replace("content-length", "x-length");
        let other = request.replace("\"succeeded\"", "\"failed\"");
        let cases = [
            (&request, "--any-age", ""),
            (&request, "--header=a: b", "refused: webhook-id is missing"),
            (
                &request,
                "--secret=whsec_AAAA",
                "an old copy (see --any-age)",
            ),
            (&written_anew, "--any-age", "parsed it and written it anew"),
            (&other, "--any-age", "that of another client"),
        ];
        for (request, option, reason) in cases {
            let mut child = Command::new("python3")
                .arg("-B")
                .arg(root().join("docs/callers/verify/verify.py"))
                .args(["--secret", SIGNING_SECRETS[1], option])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(request.as_bytes()).unwrap();
            drop(stdin);
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let code = i32::from(!reason.is_empty());
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains(reason), "{said}");
        }
    }
}
