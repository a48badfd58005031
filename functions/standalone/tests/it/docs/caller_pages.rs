//! The examples of `docs/callers/*.md` work: their configurations are valid, their requests are accepted, and the
//! scripts and callbacks that they show are the real ones.

use std::collections::BTreeSet;
use std::fs;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use courier_core::catalogue::Catalogue;
use courier_core::config::{Config, Proof};
use courier_core::operation::OperationId;
use courier_testkit::receiver;
use courier_testkit::tenants::{REQUEST_SECRETS, resolve};
use courier_testkit::world::{Answer, World};
use serde_json::{Value, json};

use crate::docs::authentication::{PASSWORD, filled};
use crate::docs::verify_scripts::{GLIDE, callers, is_es5, node, read};

struct Page {
    name: &'static str,
    client: &'static str,
    golden: &'static str,
    script: &'static str,
    /// Placeholders of the other system, and the values that it puts in their place.
    fills: &'static [(&'static str, &'static str)],
}

const PAGES: [Page; 4] = [
    Page {
        name: "jira",
        client: "jira",
        golden: "jira-automation",
        script: "verify.mjs",
        fills: &[("{{issue.key}}", "DSAR-17")],
    },
    Page {
        name: "power-automate",
        client: "flows",
        golden: "logic-apps",
        script: "verify.mjs",
        fills: &[(
            "@{listCallbackUrl()}",
            "https://prod-42.westeurope.logic.azure.com:443/workflows/8f2a/runs/1/contents?sp=%2Frun&sv=1.0&sig=a-_~",
        )],
    },
    Page {
        name: "servicenow",
        client: "servicenow",
        golden: "servicenow-scripted",
        script: "servicenow.js",
        fills: &[],
    },
    Page {
        name: "zendesk",
        client: "zendesk",
        golden: "zendesk",
        script: "verify.py",
        fills: &[("{{ticket.id}}", "35436")],
    },
];

impl Page {
    fn text(&self) -> String {
        read(&format!("{}.md", self.name))
    }

    /// Returns all configuration blocks of the page as one document.
    fn config(&self) -> String {
        filled(&blocks(&self.text(), "toml").join("\n"))
    }

    async fn world(&self) -> World {
        let clients = format!("{}\n[seal]\n", self.config());
        World::with(|setup| setup.config = setup.config.replace("[seal]\n", &clients)).await
    }
}

pub(crate) fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = text.split(&fence).skip(1);
    parts
        .map(|part| part.split("\n```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_page_is_in_this_test_and_in_the_index() {
    let files = fs::read_dir(callers()).unwrap();
    let pages: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| Some(name.strip_suffix(".md")?.to_owned()))
        .filter(|name| name != "README")
        .collect();
    let tested = PAGES.iter().map(|page| page.name).chain(["aws"]);
    assert_eq!(pages, tested.map(str::to_owned).collect());
    let index = read("README.md");
    for name in pages {
        assert!(index.contains(&format!("[{name}.md]({name}.md)")), "{name}");
    }
}

#[test]
fn every_page_shows_the_current_script_and_golden_callback() {
    for page in &PAGES {
        let text = page.text();
        for file in [
            format!("verify/{}", page.script),
            format!("golden/{}.http", page.golden),
        ] {
            // A page shows what verifies, and not what makes a program of it.
            let text_of_file = read(&file);
            let verifier = text_of_file.split("\n# From here on").next().unwrap();
            let shown = format!("\n{}\n```\n", verifier.trim_end());
            assert!(text.contains(&shown), "{}: {file}", page.name);
        }
    }
}

#[test]
fn every_link_between_the_pages_has_a_target() {
    for name in ["README", "jira", "power-automate", "servicenow", "zendesk"] {
        let text = read(&format!("{name}.md"));
        let targets: Vec<&str> = text
            .split("](")
            .skip(1)
            .map(|rest| rest.split(')').next().unwrap())
            .collect();
        assert!(!targets.is_empty(), "{name}");
        for target in targets {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            assert!(callers().join(file).exists(), "{name}: {target}");
            let heading = anchor.replace('-', " ");
            let found = || {
                let page = read(file);
                let mut headings = page.lines().filter(|line| line.starts_with("## "));
                headings.any(|line| line[3..].to_lowercase() == heading)
            };
            assert!(anchor.is_empty() || found(), "{name}: {target}");
        }
    }
}

/// Each configuration is checked by itself, without the networks and origins of a World.
#[test]
fn every_configuration_is_valid_and_sends_the_shown_callback() {
    const HEAD: &str = "[graph.tenants.contoso]\ntenant_id = \"contoso.example\"\n\
        client_id = \"3f2504e0-4f89-41d3-9a0c-0305e82c3301\"\nclient_secret = \"env:GRAPH_SECRET\"\n[seal]\nkey = \"env:SEAL_KEY\"\n";
    for page in &PAGES {
        let text = format!("{HEAD}{}", page.config());
        let parsed = Config::parse(&text, Catalogue::shipped(), &resolve);
        let config = parsed.unwrap_or_else(|errors| panic!("{}: {errors}", page.name));
        assert!(
            config.clients.keys().eq([page.client]),
            "{}: one client",
            page.name
        );
        let own = table(&text, page.client);
        let golden = read(&format!("golden/{}.http", page.golden));
        let comment = golden.split("\n#\n").next().unwrap();
        let above: Vec<&str> = comment.lines().map(|line| &line[2..]).collect();
        assert_eq!(own, table(&above.join("\n"), "tickets"), "{}", page.name);
    }
}

/// Returns the callback table of a client.
fn table(text: &str, client: &str) -> toml::Value {
    let all: toml::Table = toml::from_str(text).unwrap();
    all["clients"][client]["callback"].clone()
}

/// A request as a page shows it.
struct ShownRequest {
    headers: Vec<(String, String)>,
    body: String,
}

#[tokio::test]
async fn every_request_is_accepted_from_the_pages_client_and_may_be_repeated() {
    for page in PAGES.iter().filter(|page| page.name != "servicenow") {
        let http_blocks = blocks(&page.text(), "http");
        let mut requests = http_blocks
            .iter()
            .filter_map(|block| block.strip_prefix("POST https://courier.example/v1/operations\n"));
        let (Some(request), None) = (requests.next(), requests.next()) else {
            panic!("{}: one request", page.name)
        };
        let mut filled = request.to_owned();
        for (placeholder, value) in page.fills {
            assert!(filled.contains(placeholder), "{}: {placeholder}", page.name);
            filled = filled.replace(placeholder, value);
        }
        for placeholder in ["{{", "@{"] {
            assert!(!filled.contains(placeholder), "{}: {filled}", page.name);
        }
        let (head, body) = filled.split_once("\n\n").unwrap();
        let headers = head.lines().map(|line| line.split_once(": ").unwrap());
        let shown = ShownRequest {
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        };
        assert_accepted_and_repeatable(page, &shown).await;
    }
}

/// Checks that the request is accepted and that its repeat ten seconds later is the same operation.
async fn assert_accepted_and_repeatable(page: &Page, request: &ShownRequest) {
    let world = page.world().await;
    let first = send(page, &world, request).await;
    assert_eq!(first.status, 202, "{}: {first:?}", page.name);
    let id = OperationId::parse(&first.id()).unwrap();
    let record = world.app.store.load(&id).await.unwrap().unwrap();
    assert_eq!(record.client, page.client);
    assert!(record.callback.is_some(), "{}", page.name);
    world.clock.advance(std::time::Duration::from_secs(10));
    let again = send(page, &world, request).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.id(), first.id());
}

async fn send(page: &Page, world: &World, request: &ShownRequest) -> Answer {
    let mut headers = request.headers.clone();
    headers.push(("x-api-key".to_owned(), String::new()));
    if page.name == "zendesk" {
        let now = world.clock.now().to_string();
        let secret = REQUEST_SECRETS
            .iter()
            .find(|(name, _)| *name == "ZENDESK_NEW");
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.unwrap().1.as_bytes());
        let digest = hmac::sign(&key, format!("{now}{}", request.body).as_bytes());
        let signature = STANDARD.encode(digest);
        headers.push(("x-zendesk-webhook-signature".to_owned(), signature));
        headers.push(("x-zendesk-webhook-signature-timestamp".to_owned(), now));
    }
    // The empty x-api-key only keeps the World from adding its own; it is dropped where the page sends a key.
    let mut named = BTreeSet::new();
    let pairs: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| named.insert(name.to_lowercase()))
        .collect();
    world
        .call("POST", "/v1/operations", &pairs, request.body.clone())
        .await
}

#[tokio::test]
async fn the_request_of_servicenows_script_is_accepted() {
    let page = PAGES.iter().find(|page| page.name == "servicenow").unwrap();
    let text = page.text();
    let script = blocks(&text, "js").remove(0);
    is_es5(&script);
    let container = courier_testkit::world::sas("dsar-0012345");
    let person = "6e7b768e-07e2-4810-8459-485f84f8f204";
    let call = json!(["askGraphCourier", ["RITM0012345", person, container]]);
    let input = json!({ "script": script, "call": call }).to_string();
    let Some(output) = node(GLIDE, &[], &input) else {
        return;
    };
    let sent: Value = serde_json::from_str(&output).unwrap();
    for name in ["message", "method"] {
        let name = sent[name].as_str().unwrap();
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
    assert_eq!(sent["returned"], "202 {\"id\":\"op_1\"}");
    let headers = sent["headers"].as_object().unwrap().iter();
    let mut request = ShownRequest {
        headers: headers
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        body: sent["body"].as_str().unwrap().to_owned(),
    };
    // ServiceNow adds this header because of the authentication profile of the REST message.
    let basic = STANDARD.encode(format!("ServiceNow:{PASSWORD}"));
    request
        .headers
        .push(("authorization".to_owned(), format!("Basic {basic}")));
    assert_accepted_and_repeatable(page, &request).await;
    let with_profile = request.body.replace(
        "/api/x_dsar/graph\"",
        "/api/x_dsar/graph\",\"profile\":\"servicenow-hmac\"",
    );
    assert_ne!(with_profile, request.body);
    request.body = with_profile;
    assert_accepted_and_repeatable(page, &request).await;
}

/// The calls are made for an operation whose callback is undeliverable.
#[tokio::test]
async fn the_documented_calls_for_undeliverable_callbacks_work_in_order() {
    let world = World::new().await;
    world.receiver.answer_next(receiver::Answer::status(410));
    world.simulator.set_durations(|d| d.schedule_seconds = 0.0);
    let id = world.post(&world.schedule()).await.id();
    let closed = world.closed(&id).await;
    assert_eq!(closed["callback"]["status"], "undeliverable");
    let script = blocks(&read("README.md"), "sh")
        .remove(0)
        .replace("\\\n", "");
    let mut answers = Vec::new();
    for line in script.lines() {
        let path = line
            .split("\"https://courier.example")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_else(|| panic!("{line}"))
            .replace("$ID", &id);
        let method = line
            .split("-X ")
            .nth(1)
            .map_or("GET", |rest| rest.split(' ').next().unwrap());
        let shown_body = line
            .split("-d '")
            .nth(1)
            .map_or("", |rest| rest.split('\'').next().unwrap());
        let body = shown_body.replace("https://contoso.example", &world.receiver.origin());
        let answer = world.call(method, &path, &[], body).await;
        world.work().await;
        answers.push((method.to_owned(), answer));
    }
    let statuses: Vec<(&str, u16)> = answers
        .iter()
        .map(|(method, answer)| (method.as_str(), answer.status))
        .collect();
    assert_eq!(
        statuses,
        [
            ("GET", 200),
            ("GET", 200),
            ("PATCH", 200),
            ("POST", 202),
            ("POST", 202)
        ]
    );
    assert_eq!(answers[0].1.body["operations"][0]["id"], id.as_str());
    let journal = world.receiver.journal();
    let paths: Vec<&str> = journal.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(paths[1..], ["/new", "/new"]);
}

/// What it says of the requests is what `callback/aws.rs` tries.
#[test]
fn the_profiles_of_the_page_for_aws_hold_and_each_is_named_by_a_request() {
    let text = read("aws.md");
    let tables = filled(&blocks(&text, "toml").join("\n"));
    let config = courier_testkit::tenants::CONFIG
        .replace("{graph}", "http://127.0.0.1:1")
        .replace("{receiver}", "http://127.0.0.1:2")
        .replace("[seal]\n", &format!("{tables}\n[seal]\n"));
    let parsed = Config::parse(&config, Catalogue::shipped(), &resolve);
    let config = parsed.unwrap_or_else(|errors| panic!("{errors}"));
    let client = &config.clients["pipelines"];
    assert_eq!(client.profiles.all.len(), 6);
    for (name, profile) in &client.profiles.all {
        let is_asked_for = text.contains(&format!("\"profile\": \"{name}\""));
        assert!(is_asked_for || name == "line", "{name}");
        assert!(matches!(profile.proof, Proof::Sigv4(_)), "{name}");
    }
}
