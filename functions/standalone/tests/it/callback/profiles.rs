//! Callback profiles on the wire: each golden file in `docs/callers/golden` is a request as a receiver got it.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use courier_core::profile::Profile;
use courier_testkit::receiver::{Answer, Callback};
use courier_testkit::world::World;
use serde_json::{Value, json};

pub(crate) use super::profile_cases::{CASES, Case};

/// Returns a World whose tickets client has this callback table, with the same ids and clock in every run.
pub(crate) async fn world(table: &str) -> World {
    World::with(|setup| {
        let before = "[clients.hr]";
        let table = format!("[clients.tickets.callback]\n{table}\n{before}");
        setup.config = setup.config.replace(before, &table);
        setup.simulator.request_id = Some("5f2c9d5e-0000-0000-0000-000000000000".to_owned());
        let count = AtomicU64::new(0);
        setup.ids =
            Arc::new(move || uuid::Uuid::from_u64_pair(0, count.fetch_add(1, Ordering::Relaxed)));
    })
    .await
}

fn settings(case: &Case) -> String {
    format!("profile = \"{}\"{}", case.profile, case.settings)
}

/// Returns the answer of a receiver that takes the callback.
fn answer(case: &Case) -> Answer {
    match case.profile {
        "eventbridge" => Answer::Status {
            status: case.answers,
            headers: Vec::new(),
            body: r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#.into(),
        },
        _ => Answer::status(case.answers),
    }
}

/// Runs a schedule whose callback uses the profile; returns the World and its one callback.
pub(crate) async fn delivered(case: &Case) -> (World, Callback) {
    let world = world(&settings(case)).await;
    world.receiver.answer_otherwise(answer(case));
    let mut body = world.schedule();
    body["reference"] = json!("DSAR-\"17\"");
    let callback = case
        .callback
        .replace("{receiver}", &world.receiver.origin());
    body["callback"] = serde_json::from_str(&callback).unwrap();
    let answer = world.post(&body).await;
    assert!(answer.status < 300, "{answer:?}");
    let closed = world.closed(&answer.id()).await;
    assert_eq!(
        closed["callback"]["status"], "delivered",
        "{}",
        case.profile
    );
    let mut journal = world.receiver.journal();
    assert_eq!(journal.len(), 1, "{}", case.profile);
    (world, journal.remove(0))
}

/// Returns the golden file: the configuration and the request as comments, then the callback as sent.
fn golden(case: &Case, world: &World, callback: &Callback) -> String {
    let mut text = String::new();
    let above = format!(
        "[clients.tickets.callback]\n{}\n\n\"callback\": {}",
        settings(case),
        case.callback
    );
    for line in above.lines() {
        writeln!(text, "{}", format!("# {line}").trim_end()).unwrap();
    }
    writeln!(text, "\n{} {} HTTP/1.1", callback.method, callback.path).unwrap();
    for (name, value) in &callback.headers {
        // The port of the receiver is signed too, and another one each time.
        let (value, signature) = value.split_once("Signature=").unwrap_or((value, ""));
        let shown = if signature.is_empty() {
            ""
        } else {
            "Signature=…"
        };
        writeln!(text, "{name}: {value}{shown}").unwrap();
    }
    writeln!(text, "\n{}", String::from_utf8_lossy(&callback.body)).unwrap();
    let host = world.receiver.origin().replace("http://", "");
    let anonymous = text.replace(&host, "receiver.example");
    anonymous
        .replace("http://receiver.example", "https://receiver.example")
        .replace("{receiver}", "https://receiver.example")
}

fn file(profile: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/callers/golden");
    directory.join(format!("{profile}.http"))
}

#[test]
fn the_reference_names_every_profile_and_links_what_it_sends() {
    let page = crate::rules::read("docs/reference/callbacks.md");
    for Profile { name, .. } in Profile::shipped() {
        let row = format!("| [`{name}`](../callers/golden/{name}.http)");
        assert!(page.contains(&row), "{name}");
    }
}

#[tokio::test]
async fn every_profile_sends_what_its_golden_file_shows() {
    let shipped = Profile::shipped()
        .iter()
        .map(|profile| profile.name.as_str());
    assert!(CASES.iter().map(|case| case.profile).eq(shipped));
    for case in &CASES {
        let (world, callback) = delivered(case).await;
        let expected = fs::read_to_string(file(case.profile)).unwrap();
        assert_eq!(
            golden(case, &world, &callback),
            expected,
            "{}",
            case.profile
        );
    }
}

#[tokio::test]
#[ignore = "it writes docs/callers/golden"]
async fn writes_the_golden_files() {
    for case in &CASES {
        let (world, callback) = delivered(case).await;
        let file = file(case.profile);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, golden(case, &world, &callback)).unwrap();
    }
}

#[tokio::test]
async fn a_capability_url_is_sent_byte_for_byte() {
    let world = world("profile = \"logic-apps\"").await;
    for path in [
        "/as/%7Etoken%2f/a;b=c,d:@!$*()-._~?sp=%2Ftriggers%2Fmanual&sv=1.0&sig=A%2bb%2F_-~%3d",
        "/as/a//b/?a=%C3%BC&&b&c==d+e/?",
        "/as/x?a={b}|c^d`e",
        "/as/?",
    ] {
        let mut body = world.schedule();
        body["parameters"]["teamId"] = json!(uuid::Uuid::new_v4().to_string());
        body["callback"]["url"] = json!(world.receiver.url(path));
        let id = world.post(&body).await.id();
        let closed = world.closed(&id).await;
        assert_eq!(
            closed["callback"]["status"], "delivered",
            "{path}: {closed}"
        );
        assert_eq!(world.receiver.journal().last().unwrap().path, path);
    }
}

#[tokio::test]
async fn a_request_may_name_only_a_profile_of_its_client() {
    let world = world(
        "[clients.tickets.profiles.jira-automation]\ntoken = \"env:RECEIVER_TOKEN\"\n\
         [clients.tickets.profiles.board]\nprofile = \"generic\"\nmethod = \"PATCH\"",
    )
    .await;
    let send = async |profile: Value, reference: Value| {
        let mut body = world.schedule();
        body["parameters"]["teamId"] = json!(uuid::Uuid::new_v4().to_string());
        body["reference"] = reference;
        body["callback"] = json!({ "url": world.receiver.url("/as/x"), "profile": profile });
        world.post(&body).await
    };
    for (profile, method, header) in [
        (
            json!("jira-automation"),
            "POST",
            Some("canary-receiver-token"),
        ),
        (json!("board"), "PATCH", None),
    ] {
        let id = send(profile, json!(method)).await.id();
        world.closed(&id).await;
        let callback = world.receiver.journal().pop().unwrap();
        assert_eq!(callback.method, method);
        assert_eq!(callback.header("x-automation-webhook-token"), header);
        let cancelled = world
            .call("POST", &format!("/v1/operations/{id}/cancel"), &[], "")
            .await;
        assert_eq!(cancelled.status, 409);
    }
    for (profile, reference, status, pointer, rule) in [
        (
            json!("zendesk"),
            json!("K-2"),
            403,
            "/callback/profile",
            "is not one of the client's profiles",
        ),
        (
            json!(""),
            json!("K-2"),
            403,
            "/callback/profile",
            "is not one of the client's profiles",
        ),
        (
            json!(7),
            json!("K-2"),
            400,
            "/callback/profile",
            "must be a string",
        ),
        (
            json!("jira-automation"),
            json!(null),
            400,
            "/reference",
            "is required by the callback profile jira-automation",
        ),
    ] {
        let refused = send(profile.clone(), reference).await;
        assert_eq!(refused.status, status, "{profile}: {refused:?}");
        assert_eq!(
            refused.body["errors"],
            json!([{ "pointer": pointer, "rule": rule }])
        );
    }
}

#[tokio::test]
async fn a_callback_token_is_required_by_profiles_that_use_it_and_refused_by_others() {
    let world = world(
        "[clients.tickets.profiles.step-functions-task-token]\ntoken = \"env:RECEIVER_TOKEN\"",
    )
    .await;
    let profile = "step-functions-task-token";
    let url = world.receiver.url("/as/x");
    let long = "t".repeat(2049);
    for (callback, rule) in [
        (
            json!({ "url": url, "profile": profile }),
            "is required by the callback profile step-functions-task-token",
        ),
        (
            json!({ "url": url, "profile": profile, "token": "" }),
            "must have 1 to 2048 bytes",
        ),
        (
            json!({ "url": url, "profile": profile, "token": long }),
            "must have 1 to 2048 bytes",
        ),
        (
            json!({ "url": url, "profile": profile, "token": 1 }),
            "must be a string",
        ),
        (
            json!({ "url": url, "token": "t" }),
            "is not used by the callback profile standard-webhooks",
        ),
    ] {
        let mut body = world.schedule();
        body["callback"] = callback;
        let refused = world.post(&body).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        let error = json!({ "pointer": "/callback/token", "rule": rule });
        assert!(
            refused.body["errors"].as_array().unwrap().contains(&error),
            "{refused:?}"
        );
    }
}

/// The body is frozen, in the profile's format, when the operation ends.
#[tokio::test]
async fn every_attempt_of_a_profile_carries_the_same_body() {
    let world =
        world("profile = \"step-functions-task-token\"\ntoken = \"env:RECEIVER_TOKEN\"").await;
    let mut body = world.schedule();
    let token = "canary-callback-token";
    body["callback"] = json!({ "url": world.receiver.url("/as/x"), "token": token });
    world.receiver.answer_otherwise(Answer::status(200));
    for _ in 0..3 {
        world.receiver.answer_next(Answer::status(500));
    }
    let id = world.post(&body).await.id();
    assert_eq!(world.closed(&id).await["callback"]["attempts"], 4);
    for callback in world.receiver.journal() {
        let body: Value = serde_json::from_slice(&callback.body).unwrap();
        assert_eq!(body["taskToken"], token);
        let output: Value = serde_json::from_str(body["output"].as_str().unwrap()).unwrap();
        assert_eq!(output["id"], id.as_str());
        assert_eq!(callback.header("x-api-key"), Some("canary-receiver-token"));
    }
}
